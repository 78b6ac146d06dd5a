"""Measures of pieces to probabilities of pieces, and those to the probability of the exam, by the card's calibration.

Without a calibration both are scores by one rule for all methods: a piece has the mean of its map over its most
probable quarter of a milliliter (what a smaller one lacks counts 0), the exam that of its highest piece.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ICHSegmenterLib.analysis.verdict.measures import Measures
from ICHSegmenterLib.cards.calibration import Calibration, Cuts, LogisticModel
from ICHSegmenterLib.cards.table import ModelCard

MAX_LOGIT = 8.0
"""Logits are clipped there: nothing is fitted on enough exams to be surer than one in 3000."""
SMALLEST_ML = 0.01
"""Added to the expected volume before its logarithm."""

Values = NDArray[np.float64]


def piece_features(measures: Measures) -> dict[str, Values]:
    """The features of `PIECE_FEATURES`, (pieces,) each: of about unit size, and linear where a logit is."""
    return {
        "log_volume": np.log10(np.maximum(measures.volume_ml, SMALLEST_ML)),
        "mean_logit": logit(measures.mean_probability),
        "max_logit": logit(measures.max_probability),
        "mean_hu": measures.mean_hu / 10,
        "contrast_hu": measures.contrast_hu / 10,
        "extent": measures.extent_mm / 10,
        "log_area": np.log10(np.maximum(measures.area_mm2, 1.0)),
        "skull_distance": measures.skull_distance_mm / 10,
        "midplane_distance": measures.midplane_distance_mm / 10,
        "height": measures.relative_height,
        "height_squared": measures.relative_height**2,
    }


def piece_probabilities(model: LogisticModel | None, measures: Measures) -> Values:
    """(pieces,) in [0, 1]: by the model, or the score without one."""
    if model is None:
        return np.clip(measures.core_score, 0.0, 1.0)
    if not len(measures):
        return np.zeros(0)
    return sigmoid(model_logits(model, piece_features(measures)))


def exam_features(probabilities: Values, volumes_ml: Values, slice_value: float = 0.0) -> dict[str, Values]:
    """The features of `EXAM_FEATURES`, (1,) each.

    Args:
        probabilities, volumes_ml: (pieces,) of the exam.
        slice_value: Of a method that only detects, 0 to 1.
    """
    logits = np.sort(np.r_[logit(probabilities), -MAX_LOGIT, -MAX_LOGIT])[::-1]
    blood_ml = float(probabilities @ volumes_ml)
    return {
        "top_logit": logits[:1],
        "second_logit": logits[1:2],
        "log_blood": np.log10(np.array([blood_ml + SMALLEST_ML])),
        "slice_logit": logit(np.array([slice_value])),
    }


def exam_probability(calibration: Calibration | None, probabilities: Values, volumes_ml: Values) -> float:
    """The exam's probability from its pieces, or the score without a calibration."""
    if calibration is None or calibration.pieces is None:
        return float(np.max(probabilities, initial=0.0))
    return float(sigmoid(model_logits(calibration.exam, exam_features(probabilities, volumes_ml)))[0])


def calibrated_value(calibration: Calibration | None, value: float) -> float:
    """The probability that a detector's value means; the value itself without a calibration."""
    if calibration is None:
        return value
    none = np.zeros(0)
    return float(sigmoid(model_logits(calibration.exam, exam_features(none, none, value)))[0])


def operating_cuts(card: ModelCard, detection_threshold: float | None) -> tuple[Cuts, Cuts]:
    """The screening and the confirming point of a method.

    Without a calibration screening is the card's detection threshold, and confirming half-way from there to 1. A
    threshold of the request takes the place of the screening point of the exam, and raises the confirming one to it.
    """
    if card.calibration is not None:
        screening, confirming = card.calibration.screening, card.calibration.confirming
    else:
        threshold = card.detection_threshold if detection_threshold is None else detection_threshold
        middle = (1.0 + threshold) / 2
        screening, confirming = Cuts(threshold, threshold), Cuts(middle, middle)
    if detection_threshold is not None:
        screening = Cuts(detection_threshold, screening.piece)
        confirming = Cuts(max(detection_threshold, confirming.exam), confirming.piece)
    return screening, confirming


def model_logits(model: LogisticModel, features: Mapping[str, Values]) -> Values:
    """(items,) of features (items,) each, clipped to what the model was fitted on."""
    total = np.full(len(next(iter(features.values()))), model.intercept)
    for name, weight in model.weights.items():
        total += weight * np.clip(features[name], *model.ranges.get(name, (-np.inf, np.inf)))
    return total


def logit(values: ArrayLike) -> Values:
    """Log-odds, clipped to `MAX_LOGIT` either way."""
    within = np.clip(np.asarray(values, dtype=np.float64), 1e-9, 1 - 1e-9)
    return np.clip(np.log(within / (1 - within)), -MAX_LOGIT, MAX_LOGIT)


def sigmoid(logits: Values) -> Values:
    """Probabilities of log-odds, clipped to `MAX_LOGIT` either way."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT)))
