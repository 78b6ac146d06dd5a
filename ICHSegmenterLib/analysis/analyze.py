"""The one entry point: a head CT and a method in, detection, segmentation and measurements out.

Panel, batch, command line and evaluation all call `analyze`. Nothing here needs torch before a network is loaded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib import __version__
from ICHSegmenterLib.analysis import detection, labelmap
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import NO_CONFIG, ModelCard, with_options
from ICHSegmenterLib.errors import OutOfGpuMemoryError, OutOfMemoryError
from ICHSegmenterLib.preprocessing.input_check import check_head_ct
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.results import AnalysisResult, Provenance, SlicePrediction
from ICHSegmenterLib.runtime.context import Predictor, RunContext
from ICHSegmenterLib.runtime.device import Device
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

logger = logging.getLogger(__name__)


def analyze(
    volume: Volume,
    method: str,
    *,
    weights: Sequence[Path] = (),
    device: str = "auto",
    precision: str = "auto",
    brain_mask: NDArray[np.bool_] | None = None,
    threshold: float | None = None,
    detection_threshold: float | None = None,
    save_maps: bool = False,
    options: Mapping[str, Any] = NO_CONFIG,
    run: RunContext | None = None,
    session: Session | None = None,
) -> AnalysisResult:
    """Detect and outline hemorrhage on one head CT.

    Args:
        volume: HU on the acquired grid.
        method: A name of `method_cards()`, or of the card beside `weights`.
        weights: Files to use instead of the installed ones; several make an ensemble.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "float32" or "bfloat16".
        brain_mask: bool (slices, rows, columns) to use instead of our own.
        threshold: Of the maps, 0 to 1, instead of the card's.
        detection_threshold: Of the slice values, 0 to 1, instead of the card's.
        save_maps: Keep the soft maps in the result.
        options: Other values for options of the method, see `ModelCard.options`.
        run: Progress and cancellation.
        session: Keeps networks warm between exams.

    Raises:
        ICHSegmenterError: Typed; says what is wrong, what was found and what to do.
    """
    view = AxialView.of(volume.geometry)
    if not view.keeps_slices:
        result = analyze(
            view.volume(volume),
            method,
            weights=weights,
            device=device,
            precision=precision,
            brain_mask=None if brain_mask is None else view.apply(brain_mask),
            threshold=threshold,
            detection_threshold=detection_threshold,
            save_maps=save_maps,
            options=options,
            run=run,
            session=session,
        )
        return as_acquired(result, view, volume)
    run = run or RunContext()
    session = session or Session()
    card = configured(method, options, weights)
    _check_fraction("threshold", threshold)
    _check_fraction("detection_threshold", detection_threshold)
    seconds: dict[str, float] = {}
    for sentence in (*volume.source.warnings, *check_head_ct(volume)):
        run.warn(sentence)

    with _timed(seconds, "load"):
        run.report(0, 1, "Loading the network")
        files = store.find(card, weights)
        place = session.device(card, device, precision)
        if place.warning:
            run.warn(place.warning)
        predictor = session.predictor(card, files, place)
        digests = named_digests(files)  # now: the files may be gone when it is done
    with _timed(seconds, "prepare"):
        run.report(0, 1, "Finding the brain")
        exam = prepare(volume, card.preprocessing, brain_mask)
    with _timed(seconds, "predict"):
        predictor, predictions = _predict(predictor, exam, run, session, card, files, place)
    with _timed(seconds, "assemble"):
        run.report(1, 1, "Measuring")
        map_threshold = card.threshold if threshold is None else threshold
        slice_threshold = card.detection_threshold if detection_threshold is None else detection_threshold
        segmentation = None
        if card.labels:
            segmentation = labelmap.assemble(
                predictions,
                volume,
                card,
                threshold=map_threshold,
                detection_threshold=slice_threshold,
                keep_maps=save_maps,
            )
        blood_ml = None if segmentation is None else labelmap.blood_per_slice_ml(segmentation)
        found = detection.summarize(predictions, volume.geometry, slice_threshold, blood_ml)
        measurements = () if segmentation is None else labelmap.measure(segmentation, volume)

    provenance = Provenance(
        method=card.name,
        title=card.title,
        version=__version__,
        device=predictor.device,
        precision=predictor.precision,
        value_name=card.value_name,
        weights=digests,
        options=card.option_values,
        threshold=map_threshold if card.labelmap_rule != "argmax" else None,
        seconds={phase: round(value, 3) for phase, value in seconds.items()},
        warnings=tuple(run.warnings),
        series_uid=volume.source.series_uid,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    return AnalysisResult(volume.geometry, found, segmentation, measurements, provenance)


def configured(method: str, options: Mapping[str, Any] = NO_CONFIG, weights: Sequence[Path] = ()) -> ModelCard:
    """The card that runs, the method's or that beside the weights, with these options.

    Raises:
        ModelNotFoundError: No such method.
        WeightsError: A card beside the weights cannot be used.
        ValueError: It has no such option, or no use for weights.
    """
    card = with_options(store.card_of(method, weights), options)
    if weights and not card.needs_weights:
        raise ValueError(f"{card.name} has no network and takes no weights; leave --weights out")
    return card


def as_acquired(result: AnalysisResult, view: AxialView, volume: Volume) -> AnalysisResult:
    """The masks of an axial view back on the acquired grid; the detection keeps speaking of axial slices."""
    if result.segmentation is None:
        return result
    axial = result.segmentation
    maps = axial.soft_maps
    segmentation = replace(
        axial,
        labelmap=np.ascontiguousarray(view.undo(axial.labelmap)),
        geometry=volume.geometry,
        soft_maps=None if maps is None else np.stack([view.undo(one) for one in maps]),
        uncertainty=None if axial.uncertainty is None else np.ascontiguousarray(view.undo(axial.uncertainty)),
    )
    return replace(result, segmentation=segmentation)


def _predict(
    predictor: Predictor,
    exam: PreparedVolume,
    run: RunContext,
    session: Session,
    card: ModelCard,
    files: Sequence[Path],
    place: Device,
) -> tuple[Predictor, list[SlicePrediction]]:
    """Predict; when memory runs out halve the batch, then go to the CPU, and say so."""
    while True:
        try:
            return predictor, predictor.predict(exam, run)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            logger.warning("out of memory on %s with batches of %d", predictor.device, predictor.batch_size)
            if predictor.batch_size > 1:
                predictor.batch_size //= 2
                run.warn(f"Memory ran out; continued with batches of {predictor.batch_size}.")
            elif place.name != "cpu":
                run.warn("The graphics memory ran out even for one slice; continued on the CPU.")
                session.drop(predictor)
                place = session.device(card, "cpu", "auto")
                predictor = session.predictor(card, files, place)
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


def _check_fraction(name: str, value: float | None) -> None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start
