"""One method on one exam of axial slices: load, prepare, predict, assemble, measure.

`analyze.analyze` is the door to it. Nothing here needs torch before a network is loaded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis import detection, labelmap, provenance
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.errors import OutOfGpuMemoryError, OutOfMemoryError
from ICHSegmenterLib.preprocessing.input_check import check_head_ct
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult, SlicePrediction
from ICHSegmenterLib.runtime.context import Predictor, RunContext, SliceDetector
from ICHSegmenterLib.runtime.device import Device
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

logger = logging.getLogger(__name__)


def analyze_by_one(
    volume: Volume,
    request: AnalysisRequest,
    context: RunContext,
    session: Session,
    brain_mask: NDArray[np.bool_] | None,
) -> AnalysisResult:
    """Detect and outline by the method of a request; its detector is not looked at.

    Args:
        volume: HU; its acquired slices are axial.
        request: The method and its settings.
        context: Progress and cancellation; warnings are added.
        session: Keeps networks warm between exams.
        brain_mask: bool (slices, rows, columns) to use instead of our own.

    Raises:
        ICHSegmenterError: Typed; says what is wrong, what was found and what to do.
    """
    card = request.card
    seconds: dict[str, float] = {}
    for sentence in (*volume.source.warnings, *check_head_ct(volume)):
        context.warn(sentence)

    with _timed(seconds, "load"):
        context.report(0, 1, Phase.LOADING)
        files = store.find(card, request.weights)
        device = session.device(card, request.device, request.precision)
        if device.warning:
            context.warn(device.warning)
        predictor = session.predictor(card, files, device)
        digests = named_digests(files)  # now: the files may be gone when it is done
    with _timed(seconds, "prepare"):
        context.report(0, 1, Phase.FINDING_BRAIN)
        exam = prepare(volume, card.preprocessing, brain_mask)
    with _timed(seconds, "predict"):
        loaded = _Loaded(card, files, device, session, request.detection_only)
        predictor, predictions = _predict(predictor, exam, context, loaded)
    with _timed(seconds, "assemble"):
        context.report(1, 1, Phase.MEASURING)
        map_threshold = card.threshold if request.threshold is None else request.threshold
        slice_threshold = card.detection_threshold
        if request.detection_threshold is not None:
            slice_threshold = request.detection_threshold
        segmentation = None
        if card.labels and not (request.detection_only and isinstance(predictor, SliceDetector)):
            segmentation = labelmap.assemble(
                predictions,
                volume,
                card,
                threshold=map_threshold,
                detection_threshold=slice_threshold,
                keep_maps=request.keeps_maps,
            )
        blood_ml = None if segmentation is None else labelmap.blood_per_slice_ml(segmentation)
        summary = detection.summarize(predictions, volume.geometry, slice_threshold, blood_ml)
        if request.detection_only:
            segmentation = None
        measurements = () if segmentation is None else labelmap.measure(segmentation, volume)

    origin = provenance.of_method(card, predictor, digests, map_threshold, seconds)
    origin = replace(origin, warnings=tuple(context.warnings), series_uid=volume.source.series_uid)
    return AnalysisResult(volume.geometry, summary, segmentation, measurements, origin)


@dataclass(frozen=True)
class _Loaded:
    """How a predictor was loaded, to load it again on another device; and whether only its slice values count."""

    card: ModelCard
    files: Sequence[Path]
    device: Device
    session: Session
    detection_only: bool


def _predict(
    predictor: Predictor, exam: PreparedVolume, context: RunContext, loaded: _Loaded
) -> tuple[Predictor, list[SlicePrediction]]:
    """Predict; when memory runs out halve the batch, then go to the CPU, and say so."""
    device = loaded.device
    while True:
        try:
            if loaded.detection_only and isinstance(predictor, SliceDetector):
                return predictor, predictor.detect(exam, context)
            return predictor, predictor.predict(exam, context)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            logger.warning("out of memory on %s with batches of %d", predictor.device, predictor.batch_size)
            if predictor.batch_size > 1:
                predictor.batch_size //= 2
                context.warn(f"Memory ran out; continued with batches of {predictor.batch_size}.")
            elif device.name != "cpu":
                context.warn("The graphics memory ran out even for one slice; continued on the CPU.")
                loaded.session.drop(predictor)
                device = loaded.session.device(loaded.card, "cpu", "auto")
                predictor = loaded.session.predictor(loaded.card, loaded.files, device)
            else:
                raise OutOfMemoryError(
                    "This computer ran out of memory even for one slice at a time. Close other programs or volumes "
                    "and run again, or choose the method hu-threshold."
                ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    """True for Python's and torch's ways of saying that memory ran out."""
    if isinstance(error, MemoryError | OutOfGpuMemoryError):
        return True
    text = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or "out of memory" in text or "can't allocate memory" in text


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start
