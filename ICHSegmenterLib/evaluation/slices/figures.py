"""Figures of the slice protocol: Dice and IoU of bleeding slices, detection of all slices; each fold and all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation import detection_metrics
from ICHSegmenterLib.evaluation.bootstrap import PatientBootstrap, Weights
from ICHSegmenterLib.evaluation.detection_metrics import ScoredItems
from ICHSegmenterLib.evaluation.slices.slice_scores import THRESHOLDS, SliceScores, iou_of, nearest_threshold

ALL = "all"


@dataclass(frozen=True, eq=False)
class CutScores:
    """The slices of one exam at the threshold that applies to it.

    Attributes:
        scores: At every threshold.
        fold: Name, empty without folds.
        threshold: Of the map.
        dice: (bleeding,) at it; 0 of a slice that is called negative and for that reason not outlined.
        positive: bool (slices,), called so.
    """

    scores: SliceScores
    fold: str
    threshold: float
    dice: NDArray[np.float64]
    positive: NDArray[np.bool_]


def cut(
    scores: SliceScores, *, fold: str, threshold: float, detection_threshold: float, every_bleeding: bool
) -> CutScores:
    """Scores at one threshold.

    Args:
        scores: Of one exam.
        fold: That holds it out.
        threshold: Of the map.
        detection_threshold: Of the slice values.
        every_bleeding: Every slice with true blood is outlined, as the authors do; else only those called positive.
    """
    positive = np.asarray(scores.values >= detection_threshold)
    dice = scores.dice_at(threshold).copy()
    if not every_bleeding:
        dice[~positive[scores.outlined]] = 0.0
    return CutScores(scores, fold, threshold, dice, positive)


def best_threshold(others: Sequence[SliceScores], climb: tuple[float, ...] = ()) -> float:
    """The threshold with the highest mean Dice over the bleeding slices of other patients; the lowest of equals.

    Args:
        others: Scores of the other folds.
        climb: The authors' search: these thresholds in turn, up to the first that is no better than the one before.

    Raises:
        EvaluationError: They have none.
    """
    sweeps = [scores.dice for scores in others if len(scores.dice)]
    if not sweeps:
        raise EvaluationError(
            "A threshold of the maps cannot be searched: the other folds hold no slice with true blood. Use fewer "
            "folds, or spread the patients with hemorrhage over them."
        )
    means = np.nanmean(np.concatenate(sweeps), axis=0)
    if not climb:
        return THRESHOLDS[int(means.argmax())]
    columns = [nearest_threshold(threshold) for threshold in climb]
    best = columns[0]
    for column in columns[1:]:
        if means[column] <= means[best]:
            break
        best = column
    return THRESHOLDS[best]


def figures_of(cuts: Sequence[CutScores], *, resamples: int, seed: int) -> dict[str, Any]:
    """Every figure of one method, of all folds together and of each."""
    folds = sorted({each.fold for each in cuts})
    groups = {ALL: list(cuts)}
    if len(folds) > 1:
        groups |= {fold: [each for each in cuts if each.fold == fold] for fold in folds}
    return {name: _group(group, resamples, seed) for name, group in groups.items()}


def _group(cuts: Sequence[CutScores], resamples: int, seed: int) -> dict[str, Any]:
    dice = np.concatenate([each.dice for each in cuts]) if cuts else np.empty(0)
    whose = tuple(each.scores.patient for each in cuts for _ in each.dice)
    items = _items(cuts)
    hard = ScoredItems(items.truth, items.decisions.astype(np.float64), items.decisions, items.patients)
    draws = PatientBootstrap(items.patients, resamples, seed)
    detection = detection_metrics.scores(items, resamples=resamples, seed=seed)
    return {
        "exams": len(cuts),
        "patients": len({each.scores.patient for each in cuts}),
        "slices": len(items.truth),
        "bleeding_slices": int(items.truth.sum()),
        "outlined_slices": len(dice),
        "thresholds": sorted({each.threshold for each in cuts}),
        "dice": _mean_and_deviation(dice, whose, resamples, seed),
        "iou": _mean_and_deviation(iou_of(dice), whose, resamples, seed),
        "detection": {name: estimate.to_json() for name, estimate in detection.items()},
        "hard_label_auc": draws.estimate(
            partial(detection_metrics.auc, hard), undefined=detection_metrics.NEEDS_BOTH
        ).to_json(),
    }


def _items(cuts: Sequence[CutScores]) -> ScoredItems:
    return ScoredItems(
        np.concatenate([each.scores.truth for each in cuts]),
        np.concatenate([each.scores.values for each in cuts]),
        np.concatenate([each.positive for each in cuts]),
        tuple(each.scores.patient for each in cuts for _ in each.scores.truth),
    )


def _mean_and_deviation(
    values: NDArray[np.float64], whose: tuple[str, ...], resamples: int, seed: int
) -> dict[str, Any]:
    """Mean with its interval over patients, SD and SEM over slices; slices without a value are left out.

    As the authors: the SD has the number of slices as divisor (NumPy's default), the SEM one less (SciPy's).
    """
    counted = ~np.isnan(values)
    values, patients = values[counted], tuple(np.asarray(whose, dtype=np.str_)[counted].tolist())

    def mean(weights: Weights) -> float:
        total = float(weights.sum())
        return float(weights @ values) / total if total else float("nan")

    draws = PatientBootstrap(patients, resamples, seed)
    estimate = draws.estimate(mean, undefined="undefined: no slice with true blood")
    deviation = float(values.std()) if len(values) else None
    return {
        **estimate.to_json(),
        "sd": deviation,
        "sem": float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None,
        "slices": len(values),
    }
