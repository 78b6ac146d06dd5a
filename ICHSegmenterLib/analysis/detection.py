"""Slice values to a detection: which slices, which type, which slice to look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.predictions import ExamPredictions, SlicePrediction
from ICHSegmenterLib.results import DetectionResult, SliceDetection, key_slice_of
from ICHSegmenterLib.volume.geometry import VolumeGeometry


def summarize(
    predictions: Sequence[SlicePrediction],
    geometry: VolumeGeometry,
    threshold: float,
    blood_ml: NDArray[np.float64] | None = None,
) -> DetectionResult:
    """Detection of an exam.

    Args:
        predictions: One a slice, in array order.
        geometry: The acquired grid.
        threshold: "any" at or above it makes a slice positive.
        blood_ml: (slices,) segmented blood, if there is a segmentation.

    Returns:
        The exam has the highest value of its slices, label by label, or what an `ExamPredictions` says.
    """
    volumes = np.zeros(len(predictions)) if blood_ml is None else blood_ml
    positions = geometry.slice_positions_mm
    slices = tuple(
        SliceDetection(
            index=one.index,
            position_mm=float(positions[one.index]),
            probabilities={key: float(value) for key, value in one.probabilities.items()},
            is_positive=bool(one.probabilities[ANY] >= threshold),
            blood_ml=float(volumes[one.index]),
        )
        for one in predictions
    )
    exam: Mapping[str, float]
    if isinstance(predictions, ExamPredictions):
        exam = predictions.exam
    else:
        keys = list(predictions[0].probabilities)
        exam = {key: max(one.probabilities.get(key, 0.0) for one in slices) for key in keys}
    return DetectionResult(slices, exam, threshold, key_slice_of(slices))
