"""A run in progress: it reports how far it is, and stops when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ICHSegmenterLib.errors import CancelledError
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.results import SlicePrediction

ProgressCallback = Callable[[int, int, str], None]
"""(done, total, message): work done so far, all of it, and the name of the phase."""


def _silent(done: int, total: int, message: str) -> None:
    """Report to nobody."""


def _never() -> bool:
    return False


@dataclass
class Run:
    """Progress and cancellation of one analysis.

    Attributes:
        progress: Called with (done, total, message) between batches.
        cancelled: Asked between batches; True stops the run within a second.
        warnings: Sentences collected on the way (memory fallbacks, ...); they end in the provenance.
    """

    progress: ProgressCallback = _silent
    cancelled: Callable[[], bool] = _never
    warnings: list[str] = field(default_factory=list)

    def report(self, done: int, total: int, message: str) -> None:
        """Tell the progress, then stop here if the user asked to.

        Raises:
            CancelledError: The run was cancelled.
        """
        self.progress(done, total, message)
        self.check()

    def check(self) -> None:
        """Stop here if the user asked to.

        Raises:
            CancelledError: The run was cancelled.
        """
        if self.cancelled():
            raise CancelledError("The run was cancelled; nothing was changed.")

    def warn(self, sentence: str) -> None:
        """Keep a sentence for the reader of the result, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)


class Predictor(Protocol):
    """A loaded method, ready for any number of exams."""

    device: str
    precision: str

    def predict(self, exam: PreparedVolume, run: Run) -> list[SlicePrediction]:
        """One prediction for each acquired slice, in array order.

        Slices without brain get zeros and no map. Reports progress in slices, or in tiles of a volume network.
        """
        ...
