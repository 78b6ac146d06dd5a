"""One method on one exam of axial slices: load, prepare, predict, assemble, measure.

`analyze.analyze` is the door to it. Nothing here needs torch before a network is loaded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis import labelmap, provenance
from ICHSegmenterLib.analysis.kept_predictions import Kept
from ICHSegmenterLib.analysis.prepared_input import prepare_input
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.analysis.verdict.assess import assess
from ICHSegmenterLib.analysis.verdict.outline_figures import outline_figures
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import NotKeptError, OutOfGpuMemoryError, OutOfMemoryError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.notices.run_notice import RunCode, RunNotice
from ICHSegmenterLib.plausibility import implausible
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.checked_scan import CheckedScan
from ICHSegmenterLib.preprocessing.checks.findings import InputFinding
from ICHSegmenterLib.preprocessing.input_check import accepted_findings, finite
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult, Provenance
from ICHSegmenterLib.runtime.context import LateMapper, Predictor, RunContext, SelectiveMapper, SliceDetector
from ICHSegmenterLib.runtime.device import Device
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

SIGNS_OF_TOO_LITTLE_MEMORY = ("out of memory", "can't allocate memory", "status_alloc_failed")
"""In messages of torch, of the system, and of cuBLAS and cuDNN, whose workspaces are not torch's."""

_Late = Callable[[], list[SlicePrediction]]

logger = logging.getLogger(__name__)


def analyze_by_one(
    volume: Volume,
    request: AnalysisRequest,
    context: RunContext,
    session: Session,
    brain_mask: NDArray[np.bool_] | None,
    checked: CheckedScan | None = None,
) -> AnalysisResult:
    """Detect and outline by the method of a request; its detector is not looked at.

    Args:
        volume: HU; its acquired slices are axial.
        request: The method and its settings.
        context: Progress and cancellation; warnings are added.
        session: Keeps networks warm between exams.
        brain_mask: bool (slices, rows, columns) to use instead of our own.
        checked: What was found about the volume before, by our own mask; found here if None.

    Raises:
        ICHSegmenterError: Typed; says what is wrong, what was found and what to do.
    """
    return begin_by_one(volume, request, context, session, brain_mask, checked)()


def begin_by_one(
    volume: Volume,
    request: AnalysisRequest,
    context: RunContext,
    session: Session,
    brain_mask: NDArray[np.bool_] | None,
    checked: CheckedScan | None = None,
) -> Callable[[], AnalysisResult]:
    """All up to the network, whose predictor is free for another exam then; arguments are those of `analyze_by_one`.

    Returns:
        The rest, to be called once, by any thread: the judgement of what was predicted.
    """
    predicted = predict_by_one(volume, request, context, session, brain_mask, checked)
    card = predicted.card
    context.report(1, 1, Phase.MEASURING)
    map_threshold = card.threshold if request.threshold is None else request.threshold
    origin = provenance.of_method(card, predicted.predictor, predicted.digests, map_threshold, predicted.seconds)
    origin = replace(origin, series_uid=volume.source.series_uid, input_findings=predicted.findings)
    return partial(_judged, volume, request, context, predicted, origin)


def _judged(
    volume: Volume, request: AnalysisRequest, context: RunContext, predicted: PredictedExam, origin: Provenance
) -> AnalysisResult:
    card, exam, seconds = predicted.card, predicted.exam, dict(origin.seconds)
    with _timed(seconds, "assemble"):
        judgement = assess(predicted.predictions, exam, card, request, context.caps)
        segmentation = None if request.detection_only else judgement.segmentation
        if card.draws_attention and segmentation is not None:
            context.warn(RunNotice(RunCode.ATTENTION_MAP, {"title": card.title}))
        measurements = () if segmentation is None else labelmap.measure(segmentation, volume)
        assessment, problem = judgement.assessment, None
        if judgement.segmentation is not None:
            figures = outline_figures(judgement.segmentation, volume, exam.brain_mask)
            problem = None if figures is None else implausible(figures)
        if problem is not None:
            assessment = assessment.capped(problem.code)

    seconds["assemble"] = round(seconds["assemble"], 3)
    origin = replace(
        origin,
        warnings=tuple(dict.fromkeys(notice.text for notice in context.warnings)),
        notices=tuple(notice for notice in context.warnings if isinstance(notice, RunNotice)),
        seconds=seconds,
    )
    return AnalysisResult(volume.geometry, judgement.detection, segmentation, measurements, origin, assessment, problem)


@dataclass(frozen=True, eq=False)
class PredictedExam:
    """What a method says of an exam, before it is judged.

    Attributes:
        card: The card that ran.
        exam: HU, grid and brain, as acquired.
        findings: About the scan.
        late: Makes the predictions, when it is called first.
        predictor: As it ran at last.
        digests: Weight file to SHA-256.
        seconds: Phase to wall time so far.
    """

    card: ModelCard
    exam: PreparedVolume
    findings: tuple[InputFinding, ...]
    late: _Late
    predictor: Predictor
    digests: dict[str, str]
    seconds: dict[str, float]

    @property
    def predictions(self) -> list[SlicePrediction]:
        """One a slice, in array order."""
        return self.late()


def predict_by_one(
    volume: Volume,
    request: AnalysisRequest,
    context: RunContext,
    session: Session,
    brain_mask: NDArray[np.bool_] | None,
    checked: CheckedScan | None = None,
) -> PredictedExam:
    """Load, prepare and predict; arguments and errors are those of `analyze_by_one`.

    What the session kept of the same method on the same exam is not predicted again.

    Raises:
        NotKeptError: Nothing is kept, and the context asks for that only.
    """
    kept, key = session.predictions, ""
    if kept is not None:
        key = kept.key(volume, request, store.find(request.card, request.weights), brain_mask)
        again = kept.get(key)
        if again is not None:
            for notice in again.warnings:
                context.warn(notice)
            for reason in again.caps:
                context.cap(reason)
            return replace(again.predicted, seconds={})
    if context.only_kept:
        raise NotKeptError(ErrorNotice(ErrorCode.NOT_KEPT))
    predicted = _predict_anew(volume, request, context, session, brain_mask, checked)
    if kept is not None:
        kept.put(key, Kept(predicted, tuple(context.warnings), tuple(context.caps)), predicted.predictions)
    return predicted


def _predict_anew(
    volume: Volume,
    request: AnalysisRequest,
    context: RunContext,
    session: Session,
    brain_mask: NDArray[np.bool_] | None,
    checked: CheckedScan | None,
) -> PredictedExam:
    card = request.card
    seconds: dict[str, float] = {}
    volume = finite(volume)
    quick = accepted_findings(volume) if checked is None else checked.quick
    for notice in (*volume.source.reader_warnings, *quick):
        context.warn(notice)

    with _timed(seconds, "load"):
        if card.needs_weights:
            context.report(0, 1, Phase.LOADING)
        loaded = _load(card, request, context, session)
        digests = named_digests(loaded.files)  # now: the files may be gone when it is done
    with _timed(seconds, "prepare"):
        context.report(0, 1, Phase.FINDING_BRAIN)
        exam = prepare_input(volume, quick, card, context, brain_mask, checked)
    with _timed(seconds, "predict"):
        predictor, late = _predict(loaded, exam.seen, context)
    return PredictedExam(card, exam.acquired, exam.findings, late, predictor, digests, seconds)


@dataclass(frozen=True)
class _Loaded:
    """A method on a device, kept warm by the session."""

    card: ModelCard
    files: Sequence[Path]
    session: Session
    device: Device
    predictor: Predictor
    detection_only: bool
    maps_from: float | None

    def predict(self, exam: PreparedVolume, context: RunContext) -> _Late:
        """Values of slices, with maps where they are used, as far as the predictor has a way without."""
        if self.detection_only and isinstance(self.predictor, SliceDetector):
            return _known(self.predictor.detect(exam, context))
        if self.maps_from is not None and isinstance(self.predictor, SelectiveMapper):
            return _known(self.predictor.predict_above(exam, context, self.maps_from))
        if isinstance(self.predictor, LateMapper):
            return cache(self.predictor.begin(exam, context))
        return _known(self.predictor.predict(exam, context))

    def on(self, device: str, precision: str) -> _Loaded:
        """The same method on another device or in another precision; this one's memory is freed."""
        self.session.drop(self.predictor)
        other = self.session.device(self.card, device, precision)
        return replace(self, device=other, predictor=self.session.predictor(self.card, self.files, other))


def _load(card: ModelCard, request: AnalysisRequest, context: RunContext, session: Session) -> _Loaded:
    """The method on the requested device; on the CPU, if not even the network fits into the graphics memory."""
    files, maps_from = store.find(card, request.weights), _maps_from(card, request)
    device = session.device(card, request.device, request.precision)
    for notice in device.notices:
        context.warn(notice)
    try:
        predictor = session.predictor(card, files, device)
        return _Loaded(card, files, session, device, predictor, request.detection_only, maps_from)
    except RuntimeError as error:
        if device.name == "cpu" or not is_out_of_memory(error):
            raise
    logger.info("out of memory on %s while loading", device.name)
    context.warn(RunNotice(RunCode.NETWORK_ON_CPU))
    device = session.device(card, "cpu", "auto")
    predictor = session.predictor(card, files, device)
    return _Loaded(card, files, session, device, predictor, request.detection_only, maps_from)


def _maps_from(card: ModelCard, request: AnalysisRequest) -> float | None:
    """The slice value from which maps are used, None if all are: wanted in the result, or outlined everywhere."""
    if request.keeps_maps or not card.positive_slices_only:
        return None
    return card.detection_threshold if request.detection_threshold is None else request.detection_threshold


def _known(predictions: list[SlicePrediction]) -> _Late:
    return lambda: predictions


def _predict(loaded: _Loaded, exam: PreparedVolume, context: RunContext) -> tuple[Predictor, _Late]:
    """Predict; when memory runs out halve the batch, then go to the CPU; when float16 overflows go to float32."""
    while True:
        predictor = loaded.predictor
        try:
            late = loaded.predict(exam, context)
            if predictor.precision != "float16" or _are_finite(late()):
                return predictor, late
            context.warn(RunNotice(RunCode.FLOAT32))
            loaded = loaded.on(loaded.device.name, "float32")
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            logger.info("out of memory on %s with batches of %d", predictor.device, predictor.batch_size)
            if predictor.batch_size > 1:
                predictor.batch_size //= 2
                context.warn(RunNotice(RunCode.SMALLER_BATCHES, {"size": predictor.batch_size}))
            elif loaded.device.name != "cpu":
                context.warn(RunNotice(RunCode.SLICES_ON_CPU))
                loaded = loaded.on("cpu", "auto")
            else:
                raise OutOfMemoryError(ErrorNotice(ErrorCode.NO_MEMORY_FOR_A_SLICE)) from error


def _are_finite(predictions: Sequence[SlicePrediction]) -> bool:
    """False if any value or map holds infinity or NaN, which no threshold would call hemorrhage."""
    values = [list(prediction.probabilities.values()) for prediction in predictions]
    maps = (prediction.maps for prediction in predictions if prediction.maps is not None)
    return bool(np.isfinite(values).all()) and all(bool(np.isfinite(map_).all()) for map_ in maps)


def is_out_of_memory(error: BaseException) -> bool:
    """True for Python's and torch's ways of saying that memory ran out."""
    if isinstance(error, MemoryError | OutOfGpuMemoryError):
        return True
    text = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or any(sign in text for sign in SIGNS_OF_TOO_LITTLE_MEMORY)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start
