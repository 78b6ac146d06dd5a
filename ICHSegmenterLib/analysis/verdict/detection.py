"""Slice values, or pieces of blood, to a detection: which slices, which type, which slice to look at first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.predictions import ExamPredictions, SlicePrediction
from ICHSegmenterLib.results import DetectionResult, SliceDetection, key_slice_of
from ICHSegmenterLib.verdict import Piece
from ICHSegmenterLib.volume.geometry import VolumeGeometry

EXAM_WINDOW_MM = 3.0
"""Slices thinner than this are averaged over it before the highest value of them is taken: of 1000 noisy values the
highest is higher than of 40, which would make a thin-slice exam more suspicious than a thick one."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SlicePieces:
    """Pieces of blood and the slices that they lie on.

    Attributes:
        voxels: int (pieces, slices), voxels of each piece on each slice.
        probabilities: (pieces,); is_drawn: bool (pieces,).
        pieces: As data, in the same order.
    """

    voxels: NDArray[np.intp]
    probabilities: Values
    is_drawn: NDArray[np.bool_]
    pieces: Sequence[Piece]


def summarize(
    predictions: Sequence[SlicePrediction],
    geometry: VolumeGeometry,
    threshold: float,
    blood_ml: Values | None = None,
    *,
    calibrate: Callable[[float], float] = float,
    own_threshold: float | None = None,
) -> DetectionResult:
    """Detection of an exam from values of slices.

    Args:
        predictions: One a slice, in array order.
        geometry: The acquired grid.
        threshold: "any" at or above it makes a slice positive.
        blood_ml: (slices,) segmented blood, if there is a segmentation.
        calibrate: Value of "any" to probability, monotone.
        own_threshold: The method's own threshold of a slice.

    Returns:
        The exam has the highest value of its slices, label by label, of thin slices their mean over
        `EXAM_WINDOW_MM`; or what an `ExamPredictions` says.
    """
    volumes = np.zeros(len(predictions)) if blood_ml is None else blood_ml
    positions = geometry.slice_positions_mm
    slices = []
    for one in predictions:
        own = {key: float(value) for key, value in one.probabilities.items()}
        values = {**own, ANY: calibrate(own[ANY])}
        is_positive = bool(values[ANY] >= threshold)
        blood = float(volumes[one.index])
        position = float(positions[one.index])
        slices.append(SliceDetection(one.index, position, values, is_positive, blood, {} if own == values else own))
    exam: Mapping[str, float]
    if isinstance(predictions, ExamPredictions):
        exam = {key: float(value) for key, value in predictions.exam.items()}
    else:
        keys = list(predictions[0].probabilities)
        weights = window_weights(geometry)
        exam = {
            key: float(np.max(weights @ np.array([one.probabilities.get(key, 0.0) for one in predictions])))
            for key in keys
        }
    exam = {**exam, ANY: calibrate(exam[ANY])}
    return DetectionResult(tuple(slices), exam, threshold, key_slice_of(slices), threshold, own_threshold)


def window_weights(geometry: VolumeGeometry) -> Values:
    """(slices, slices) weights of the mean over `EXAM_WINDOW_MM` around each slice; the unit matrix of thick slices.

    At the ends of the stack the window lies within it.
    """
    positions, extents = geometry.slice_positions_mm, geometry.slice_extents_mm
    half = np.maximum(EXAM_WINDOW_MM, extents) / 2
    first, last = (positions - extents / 2).min() + half, (positions + extents / 2).max() - half
    centers = np.maximum(np.minimum(positions, last), np.minimum(first, last))
    low = np.maximum((centers - half)[:, None], positions - extents / 2)
    high = np.minimum((centers + half)[:, None], positions + extents / 2)
    overlap = np.maximum(high - low, 0.0)
    overlap[extents >= EXAM_WINDOW_MM] = np.eye(len(extents))[extents >= EXAM_WINDOW_MM]
    return overlap / overlap.sum(axis=1, keepdims=True)


def of_pieces(
    predictions: Sequence[SlicePrediction],
    geometry: VolumeGeometry,
    found: SlicePieces,
    *,
    exam: float,
    cuts: tuple[float, float, float],
) -> DetectionResult:
    """Detection of an exam from its pieces: a slice is positive if blood is drawn on it.

    Args:
        predictions: One a slice, in array order; their values are kept as the method's own.
        geometry: The acquired grid.
        found: The pieces.
        exam: The exam's probability.
        cuts: Threshold of the exam's probability, of the pieces', and of the method's own slice values.

    Returns:
        A slice has the probability of the likeliest piece on it, and of each subtype that of its likeliest piece.
    """
    keys = [key for key in predictions[0].probabilities if key != ANY]
    is_on = found.voxels > 0
    by_label = {ANY: _highest(is_on, found.probabilities)}
    for key in keys:
        of_key = [one.probability * one.subtype_probability * (one.subtype == key) for one in found.pieces]
        by_label[key] = _highest(is_on, np.array(of_key))
    voxel_ml = geometry.voxel_volumes_mm3 / 1000
    blood_ml = found.voxels[found.is_drawn].sum(axis=0) * voxel_ml
    is_positive: NDArray[np.bool_] = np.any(is_on[found.is_drawn], axis=0)
    slices = tuple(
        SliceDetection(
            one.index,
            float(geometry.slice_positions_mm[one.index]),
            {key: float(values[one.index]) for key, values in by_label.items()},
            bool(is_positive[one.index]),
            float(blood_ml[one.index]),
            {key: float(value) for key, value in one.probabilities.items()},
        )
        for one in predictions
    )
    exam_values = {key: min(exam, float(values.max(initial=0.0))) for key, values in by_label.items()}
    return DetectionResult(
        slices, {**exam_values, ANY: exam}, cuts[0], _key_slice(slices, found), cuts[1], cuts[2], exam >= cuts[0]
    )


def with_blood(detection: DetectionResult, blood_ml: Values) -> DetectionResult:
    """The detection with the volumes (slices,) of a segmentation."""
    slices = tuple(replace(one, blood_ml=float(blood_ml[one.index])) for one in detection.slices)
    return replace(detection, slices=slices, key_slice=key_slice_of(slices))


def with_verdict(detection: DetectionResult, is_positive: bool) -> DetectionResult:
    """The detection of an exam that was judged so; a negative one has no positive slices."""
    slices = detection.slices
    if not is_positive:
        slices = tuple(replace(one, is_positive=False) for one in slices)
    return replace(detection, slices=slices, key_slice=key_slice_of(slices), called_positive=is_positive)


def _highest(is_on: NDArray[np.bool_], values: Values) -> Values:
    """(slices,) the highest value of the pieces on each slice, 0 where there is none."""
    return np.where(is_on, values[:, None], 0.0).max(axis=0, initial=0.0) if len(values) else np.zeros(is_on.shape[1])


def _key_slice(slices: Sequence[SliceDetection], found: SlicePieces) -> int:
    """That of `key_slice_of` if there is blood, else of the likeliest piece, else what the method itself suspects."""
    if any(one.is_positive for one in slices):
        return key_slice_of(slices)
    if len(found.probabilities):
        return found.pieces[int(np.argmax(found.probabilities))].key_slice
    return max(slices, key=lambda one: one.own_probabilities.get(ANY, 0.0)).index
