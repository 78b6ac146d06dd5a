"""A detection method and a segmentation method on one exam: one says which type, the other where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.analysis import labelmap
from ICHSegmenterLib.analysis.analyze import analyze, as_acquired
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import NO_CONFIG, ModelCard, method_cards
from ICHSegmenterLib.labels import ANY, SUBTYPES_OF, SegmentLabel
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.results import AnalysisResult, DetectionResult, Provenance, SegmentationResult
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import free_name

MIN_SUBTYPE_PROBABILITY = 0.5
"""A piece of blood is named only if its subtype is at least so probable on the slices that it spans."""
MIN_SUBTYPE_LEAD = 0.2
"""And if it is so much more probable than the next one; slices with two kinds of blood leave both unnamed."""


def detectors() -> tuple[ModelCard, ...]:
    """The methods that can name the segments of another one."""
    return tuple(card for card in method_cards().values() if card.knows_subtypes)


def segmenters() -> tuple[ModelCard, ...]:
    """The methods whose segments leave a subtype open."""
    return tuple(card for card in method_cards().values() if any(label.key in SUBTYPES_OF for label in card.labels))


def analyze_together(
    volume: Volume,
    method: str,
    detector: str,
    *,
    weights: Sequence[Path] = (),
    detector_weights: Sequence[Path] = (),
    device: str = "auto",
    precision: str = "auto",
    brain_mask: NDArray[np.bool_] | None = None,
    threshold: float | None = None,
    detection_threshold: float | None = None,
    save_maps: bool = False,
    options: Mapping[str, Any] = NO_CONFIG,
    detector_options: Mapping[str, Any] = NO_CONFIG,
    run: RunContext | None = None,
    session: Session | None = None,
) -> AnalysisResult:
    """Outline by one method, detect by another, and name the outlines by what was detected.

    Without a detector it is `engine.analyze`, so callers need not tell the two apart.

    Args:
        volume: HU on the acquired grid.
        method: Outlines; one of `segmenters`.
        detector: Says which slices bleed and of which type; one of `detectors`, or empty for `method` alone.
        weights, options, threshold: Of the outlining method.
        detector_weights, detector_options: Of the detector; detection_threshold: of what detects.
        device, precision, brain_mask, save_maps, run, session: As for `engine.analyze`.

    Returns:
        The detector's detection, the segments of `method` with subtypes where they are certain, and both methods in
        the provenance.

    Raises:
        ValueError: The two cannot work together, or there is no detector that weights or options are for.
        ICHSegmenterError: Typed, as of `engine.analyze`.
    """
    if not detector:
        if detector_weights or detector_options:
            raise ValueError("weights or options of a detector were given, but no detector; name it by --detector")
        return analyze(
            volume,
            method,
            weights=weights,
            device=device,
            precision=precision,
            brain_mask=brain_mask,
            threshold=threshold,
            detection_threshold=detection_threshold,
            save_maps=save_maps,
            options=options,
            run=run,
            session=session,
        )
    check_pair(store.card_of(method, weights), store.card_of(detector, detector_weights))
    run, session = run or RunContext(), session or Session()
    view = AxialView.of(volume.geometry)
    axial = volume if view.keeps_slices else view.volume(volume)
    if brain_mask is not None and not view.keeps_slices:
        brain_mask = view.apply(brain_mask)
    found = analyze(
        axial,
        detector,
        weights=detector_weights,
        device=device,
        precision=precision,
        brain_mask=brain_mask,
        detection_threshold=detection_threshold,
        options=detector_options,
        run=run,
        session=session,
    )
    outlined = analyze(
        axial,
        method,
        weights=weights,
        device=device,
        precision=precision,
        brain_mask=brain_mask,
        threshold=threshold,
        save_maps=save_maps,
        options=options,
        run=run,
        session=session,
    )
    result = combine(outlined, found, axial)
    return result if view.keeps_slices else as_acquired(result, view, volume)


def check_pair(segmenter: ModelCard, detector: ModelCard) -> None:
    """Two methods that can work together.

    Raises:
        ValueError: They cannot; says which ones can.
    """
    if not detector.knows_subtypes:
        names = ", ".join(card.name for card in detectors())
        raise ValueError(f"{detector.name} tells no subtypes of hemorrhage, so it cannot name segments; choose {names}")
    if not any(label.key in SUBTYPES_OF for label in segmenter.labels):
        names = ", ".join(card.name for card in segmenters())
        raise ValueError(f"{segmenter.name} has no segment that a detector could name; choose {names}")


def combine(outlined: AnalysisResult, found: AnalysisResult, volume: Volume) -> AnalysisResult:
    """The segments of one result named by the detection of another; both of the same volume, in the same array order.

    Args:
        outlined: Has a segmentation.
        found: Its detection holds the subtypes.
        volume: The exam whose slices both speak of.
    """
    if outlined.segmentation is None:
        raise ValueError(f"{outlined.provenance.method} made no segmentation to name")
    segmentation = named(outlined.segmentation, found.detection)
    return AnalysisResult(
        geometry=outlined.geometry,
        detection=_with_blood(found.detection, labelmap.blood_per_slice_ml(segmentation)),
        segmentation=segmentation,
        measurements=labelmap.measure(segmentation, volume),
        provenance=_joined(outlined.provenance, found.provenance),
    )


def named(segmentation: SegmentationResult, detection: DetectionResult) -> SegmentationResult:
    """Each piece of blood without a subtype gets the one that is most probable over its slices, if certain enough.

    Labels keep their values; subtypes that are new are appended.
    """
    labels = list(segmentation.labels)
    voxels = segmentation.labelmap.copy()
    maps = None if segmentation.soft_maps is None else list(segmentation.soft_maps.copy())
    for value, label in enumerate(segmentation.labels, start=1):
        choices = SUBTYPES_OF.get(label.key, ())
        pieces, _ = ndimage.label(segmentation.labelmap == value, structure=CONNECTIVITY_26)
        for number, box in enumerate(ndimage.find_objects(pieces) if choices else (), start=1):
            piece = pieces[box] == number
            subtype = _subtype(choices, detection, box[0].start, piece.sum(axis=(1, 2)))
            if subtype is None:
                continue
            if subtype not in labels:
                labels.append(subtype)
                if maps is not None:
                    maps.append(np.zeros_like(maps[0]))
            new = labels.index(subtype) + 1
            voxels[box][piece] = new
            if maps is not None:
                maps[new - 1][box][piece] = maps[value - 1][box][piece]
                maps[value - 1][box][piece] = 0.0
    return replace(
        segmentation, labelmap=voxels, labels=tuple(labels), soft_maps=None if maps is None else np.stack(maps)
    )


def _subtype(
    choices: Sequence[SegmentLabel], detection: DetectionResult, first_slice: int, voxels: NDArray[np.intp]
) -> SegmentLabel | None:
    """The certain subtype of a piece with so many voxels on each slice from `first_slice`, None if none is."""
    slices = detection.slices[first_slice : first_slice + len(voxels)]
    means = [
        float(np.average([one.probabilities.get(label.key, 0.0) for one in slices], weights=voxels))
        for label in choices
    ]
    first, second = np.argsort(means)[::-1][:2]
    is_certain = means[first] >= MIN_SUBTYPE_PROBABILITY and means[first] - means[second] >= MIN_SUBTYPE_LEAD
    return choices[first] if is_certain else None


def _with_blood(detection: DetectionResult, blood_ml: NDArray[np.float64]) -> DetectionResult:
    """The detection with the volumes of the segmentation; the key slice is the positive one with most blood."""
    slices = tuple(replace(one, blood_ml=float(blood_ml[one.index])) for one in detection.slices)
    key = max(slices, key=lambda one: (one.is_positive, one.blood_ml, one.probabilities[ANY]))
    return replace(detection, slices=slices, key_slice=key.index)


def _joined(outlined: Provenance, found: Provenance) -> Provenance:
    """Both methods in one record; times of the same phase are added."""
    phases = dict.fromkeys((*found.seconds, *outlined.seconds))
    devices = dict.fromkeys((found.device, outlined.device))
    precisions = dict.fromkeys((found.precision, outlined.precision))
    weights = dict(outlined.weights)
    for name, digest in found.weights.items():
        weights[free_name(name, weights)] = digest
    return replace(
        outlined,
        title=f"{outlined.title}, named by {found.title}",
        detector=found.method,
        value_name=found.value_name,
        weights=weights,
        detector_options=found.options,
        device=" and ".join(devices),
        precision=" and ".join(precisions),
        seconds={phase: round(found.seconds.get(phase, 0) + outlined.seconds.get(phase, 0), 3) for phase in phases},
        warnings=tuple(dict.fromkeys((*found.warnings, *outlined.warnings))),
    )
