"""A run in progress: its progress, its cancellation, its warnings; and what a loaded method must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import CancelledError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.notices.notice import Notice
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.protocol import Phase, Stage

ProgressCallback = Callable[[int, int, Stage], None]
"""(done, total, stage): work done so far, all of it, and what is being done."""


def _silent(done: int, total: int, stage: Stage) -> None:
    """Report to nobody."""


def _never() -> bool:
    return False


@dataclass
class RunContext:
    """Progress and cancellation of one analysis.

    Attributes:
        progress: Called with (done, total, stage) between batches.
        cancelled: Asked between batches; True stops the run within a second.
        warnings: Collected on the way (about the file, the scan, memory fallbacks, ...); they end in the provenance.
        caps: Codes of reasons for which no verdict may be confident, such as "contrast_medium"; "suspected" becomes
            "possible".
        method: Name of the method that runs, if several are compared; it stands in every stage.
        only_kept: Nothing may be predicted anew: what the session keeps of the exam is judged again, or it fails.
    """

    progress: ProgressCallback = _silent
    cancelled: Callable[[], bool] = _never
    warnings: list[Notice] = field(default_factory=list)
    caps: list[str] = field(default_factory=list)
    method: str = ""
    only_kept: bool = False

    def of_method(self, method: str) -> RunContext:
        """The context of one of several methods; its warnings are its own."""
        return RunContext(self.progress, self.cancelled, method=method)

    def report(self, done: int, total: int, phase: Phase) -> None:
        """Pass the progress on, then stop here if the user asked to.

        Raises:
            CancelledError: The run was cancelled.
        """
        self.progress(done, total, Stage(phase, self.method))
        self.check()

    def check(self) -> None:
        """Stop here if the user asked to.

        Raises:
            CancelledError: The run was cancelled.
        """
        if self.cancelled():
            raise CancelledError(ErrorNotice(ErrorCode.CANCELLED))

    def warn(self, notice: Notice) -> None:
        """Keep a notice for the reader of the result, once."""
        if notice not in self.warnings:
            self.warnings.append(notice)

    def cap(self, reason: str) -> None:
        """Leave no confident verdict for this reason, a code; see `verdict.CAP_WORDS`."""
        if reason not in self.caps:
            self.caps.append(reason)


class Predictor(Protocol):
    """A loaded method, ready for any number of exams.

    Attributes:
        device, precision: What it really runs on.
        batch_size: Slices (or tiles) at a time; the engine halves it when memory runs out.
    """

    device: str
    precision: str
    batch_size: int

    @classmethod
    def load(cls, card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> Predictor:
        """Build the network of a card, fill it from checked weight files (none for classical methods), move it.

        device is "cpu", "cuda", "cuda:N" or "mps"; precision "float32", "bfloat16" or "float16": resolved.
        """
        ...

    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """One prediction for each acquired slice, in array order; an `ExamPredictions` also judges the whole exam.

        Slices without brain get zeros and no map. Reports `run.report(done, total, Phase.PREDICTING)` in slices, or in
        tiles of a volume network, first with done = 0 before the first batch.
        """
        ...


@runtime_checkable
class SliceDetector(Protocol):
    """A predictor whose slice values need no map: it detects in a fraction of the time."""

    def detect(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """The same as `Predictor.predict`, without maps."""
        ...


@runtime_checkable
class SelectiveMapper(Protocol):
    """A predictor whose maps cost far more than its values, so that it can leave out those that nobody looks at."""

    def predict_above(self, exam: PreparedVolume, run: RunContext, threshold: float) -> list[SlicePrediction]:
        """The same as `Predictor.predict`, with maps only of slices whose value of "any" is at or above a threshold."""
        ...


@runtime_checkable
class LateMapper(Protocol):
    """A predictor that can lay its maps on the slices while its network is at work on another exam."""

    def begin(self, exam: PreparedVolume, run: RunContext) -> Callable[[], list[SlicePrediction]]:
        """All of `Predictor.predict` that needs the network. The rest is called once, by any thread."""
        ...
