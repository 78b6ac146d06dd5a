"""Records to `summary.json`: every figure with its interval, every method beside the others, and how it was counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib import __version__
from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.evaluation import detection_metrics
from ICHSegmenterLib.evaluation.bootstrap import (
    FEW_PATIENTS,
    Difference,
    PatientBootstrap,
    Statistic,
    Weights,
    holm,
)
from ICHSegmenterLib.evaluation.records import CaseRecord, scored_exams, scored_slices, scored_subtypes
from ICHSegmenterLib.evaluation.segmentation_metrics import (
    FOUND_SHARE,
    LESION_BINS_ML,
    SegmentationScores,
    bland_altman,
)
from ICHSegmenterLib.results import RESEARCH_NOTICE

FORMAT_VERSION = 1
SMALL_ML = 1.0
"""Bleeds from this volume on have a Dice of their own; negative exams should get less than it."""

Scored = Sequence[tuple[CaseRecord, SegmentationScores]]
Records = Mapping[str, Sequence[CaseRecord]]
"""Method to its records."""

DEFINITIONS = {
    "interval": "95 %: percentile bootstrap over patients, whose exams and slices are drawn together; of rates with "
    "one item a patient Wilson's, of rates of 0 or 1 the exact one of Clopper and Pearson with patients as items. With "
    f"fewer than {FEW_PATIENTS} patients bootstrap intervals are too narrow",
    "exam": "an exam bleeds if any of its slices does",
    "dice": "on voxels of the acquired grid, all blood as one; only exams with true blood, 0 if nothing is outlined",
    "hd95_mm": "greater of the two directed 95th percentiles of the distances between surface voxels, measured between "
    "their centers in the patient, also of tilted or unequally spaced slices; undefined, and left out, where either "
    "mask is empty",
    "volume": "voxels times their volume, each slice with its own extent",
    "lesion": "26-connected piece of true blood; found if at least "
    f"{FOUND_SHARE:.0%} of its volume is outlined; a false one is an outlined piece that touches no blood; its Dice is "
    "with those outlined voxels that are nearer to it than to another lesion, false pieces left out",
    "calibration": "ten bins of equal width; ECE is the mean distance between mean value and share of bleeding items, "
    "by count; a method whose values are scores is not meant to be calibrated",
    "comparison": "first minus second on the cases that both scored, bootstrapped in pairs over patients; p is "
    "two-sided, never below what so few patients can show (2 / 2^patients); p_holm is corrected after Holm for all the "
    "comparisons of this table",
}


def summarize(
    records: Records, failures: Sequence[Failure], *, folds: Mapping[str, Any] | None, resamples: int, seed: int
) -> dict[str, Any]:
    """Everything that was found, as plain data."""
    methods = {name: _method(of_method, resamples, seed) for name, of_method in records.items()}
    seen = {one.case: one for of_method in records.values() for one in of_method}.values()
    return {
        "format": FORMAT_VERSION,
        "notice": RESEARCH_NOTICE,
        "version": __version__,
        "data": {
            "exams": len(seen),
            "patients": len({one.patient for one in seen}),
            "bleeding_exams": sum(one.bleeds for one in seen),
            "slices": sum(len(one.slice_truth) for one in seen),
            "bleeding_slices": sum(int(one.slice_truth.sum()) for one in seen),
        },
        "bootstrap": {"resamples": resamples, "seed": seed, "unit": "patient"},
        "methods": methods,
        "comparisons": _comparisons(records, resamples, seed),
        "thresholds": folds,
        "failures": [
            {"method": one.method, "case": one.case, "kind": one.kind, "message": one.message} for one in failures
        ],
        "definitions": DEFINITIONS,
    }


def scored(records: Sequence[CaseRecord]) -> list[tuple[CaseRecord, SegmentationScores]]:
    """The records that have an outline and a true mask."""
    return [(one, one.segmentation) for one in records if one.segmentation is not None]


def _method(records: Sequence[CaseRecord], resamples: int, seed: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"cases": len(records), "value_name": records[0].value_name if records else ""}
    if not records:
        return {**figures, "detection": None, "segmentation": None}
    figures["seconds_median"] = float(np.median([one.seconds for one in records]))
    figures["detection"] = {}
    for level, items in (("exam", scored_exams(records)), ("slice", scored_slices(records))):
        estimates = detection_metrics.scores(items, resamples=resamples, seed=seed)
        figures["detection"][level] = {
            "items": len(items.truth),
            "bleeding": int(items.truth.sum()),
            **{name: figure.to_json() for name, figure in estimates.items()},
            "calibration": asdict(detection_metrics.calibration(items)),
        }
    figures["detection"]["subtypes"] = {
        key: {
            "slices": len(items.truth),
            "bleeding": int(items.truth.sum()),
            "auc": PatientBootstrap(items.patients, resamples, seed)
            .estimate(partial(detection_metrics.auc, items), undefined=detection_metrics.NEEDS_BOTH)
            .to_json(),
        }
        for key, items in scored_subtypes(records).items()
    }
    with_masks = scored(records)
    figures["segmentation"] = _segmentation(with_masks, resamples, seed) if with_masks else None
    return figures


def _segmentation(cases: Scored, resamples: int, seed: int) -> dict[str, Any]:
    draws = PatientBootstrap(tuple(one.patient for one, _ in cases), resamples, seed)
    true_ml = np.array([it.truth_ml for _, it in cases])
    predicted_ml = np.array([it.predicted_ml for _, it in cases])
    dice, bleeds = _dice(cases), true_ml > 0
    figures: dict[str, tuple[Statistic, str]] = {
        "dice_mean": (partial(_mean, dice), "undefined: no exam with true blood"),
        "dice_median": (partial(_median, dice), "undefined: no exam with true blood"),
        "dice_median_from_1_ml": (
            partial(_median, np.where(true_ml >= SMALL_ML, dice, np.nan)),
            "undefined: no bleed of 1 mL or more",
        ),
        "iou_mean": (
            partial(_mean, np.where(bleeds, _values(it.iou for _, it in cases), np.nan)),
            "undefined: no exam with true blood",
        ),
        "hd95_mm_median": (
            partial(_median, _values(it.hd95_mm for _, it in cases)),
            "undefined: no exam has both outline and blood",
        ),
        "volume_error_ml_mean": (partial(_mean, predicted_ml - true_ml), ""),
        "volume_error_ml_absolute_mean": (partial(_mean, np.abs(predicted_ml - true_ml)), ""),
        "false_ml_in_negatives_mean": (
            partial(_mean, np.where(bleeds, np.nan, predicted_ml)),
            "undefined: no exam without blood",
        ),
        "false_lesions_mean": (partial(_mean, np.array([float(it.false_lesions) for _, it in cases])), ""),
    }
    summary: dict[str, Any] = {"cases": len(cases), "bleeding": int(bleeds.sum())}
    for name, (statistic, why) in figures.items():
        summary[name] = draws.estimate(statistic, undefined=why).to_json()
    below = predicted_ml < SMALL_ML
    summary["negatives_below_1_ml"] = draws.share(
        below,
        ~bleeds,
        partial(_mean, np.where(bleeds, np.nan, below)),
        undefined="undefined: no exam without blood",
    ).to_json()
    summary["bland_altman"] = asdict(bland_altman(predicted_ml.tolist(), true_ml.tolist()))
    summary["lesion_dice_median_from_1_ml"] = _recall(cases, SMALL_ML, float("inf"), resamples, seed)["dice_median"]
    summary["lesion_recall"] = [
        _recall(cases, low, high, resamples, seed)
        for low, high in zip((0.0, *LESION_BINS_ML[:-1]), (LESION_BINS_ML[-1], *LESION_BINS_ML[1:]), strict=True)
    ]
    return summary


def _recall(cases: Scored, low: float, high: float, resamples: int, seed: int) -> dict[str, Any]:
    """Share of lesions of one size that were found, and how well they were outlined; the first row is of all sizes."""
    lesions = [(one.patient, it) for one, scores in cases for it in scores.lesions if low <= it.volume_ml < high]
    draws = PatientBootstrap(tuple(patient for patient, _ in lesions), resamples, seed)
    is_found = np.array([it.is_found for _, it in lesions], dtype=np.float64)
    dice = np.array([it.dice for _, it in lesions], dtype=np.float64)
    return {
        "from_ml": low,
        "to_ml": None if np.isinf(high) else high,
        "lesions": len(lesions),
        "found": int(is_found.sum()),
        "recall": draws.share(
            is_found > 0,
            np.ones(len(is_found), dtype=bool),
            partial(_mean, is_found),
            undefined="no lesion of this size",
        ).to_json(),
        "dice_median": draws.estimate(partial(_median, dice), undefined="no lesion of this size").to_json(),
    }


def _comparisons(records: Records, resamples: int, seed: int) -> list[dict[str, Any]]:
    """Every pair of methods, on the cases that both scored."""
    comparisons = []
    for first, second in combinations(records, 2):
        of_second = {one.case: one for one in records[second]}
        pairs = [(one, of_second[one.case]) for one in records[first] if one.case in of_second]
        if not pairs:
            continue
        for figure, difference in _differences(pairs, resamples, seed).items():
            comparisons.append(
                {"first": first, "second": second, "figure": figure, "cases": len(pairs), **difference.to_json()}
            )
    known = [each for each in comparisons if each["p_value"] is not None]
    for each, corrected in zip(known, holm([each["p_value"] for each in known]), strict=True):
        each["p_holm"] = corrected
    return comparisons


def _differences(pairs: Sequence[tuple[CaseRecord, CaseRecord]], resamples: int, seed: int) -> dict[str, Difference]:
    records, other_records = [a for a, _ in pairs], [b for _, b in pairs]
    differences = {}
    levels: dict[str, Callable[[Sequence[CaseRecord]], detection_metrics.ScoredItems]] = {
        "exam_auc": scored_exams,
        "slice_auc": scored_slices,
    }
    for figure, items_of in levels.items():
        first, second = items_of(records), items_of(other_records)
        if len(first.truth) != len(second.truth):
            continue
        draws = PatientBootstrap(first.patients, resamples, seed)
        differences[figure] = draws.difference(
            partial(detection_metrics.auc, first),
            partial(detection_metrics.auc, second),
            undefined=detection_metrics.NEEDS_BOTH,
        )
    both = [(a, b) for a, b in pairs if a.segmentation is not None and b.segmentation is not None]
    if both:
        draws = PatientBootstrap(tuple(a.patient for a, _ in both), resamples, seed)
        differences["dice_mean"] = draws.difference(
            partial(_mean, _dice(scored([a for a, _ in both]))),
            partial(_mean, _dice(scored([b for _, b in both]))),
            undefined="undefined: no exam with true blood",
        )
    return differences


def _dice(cases: Scored) -> NDArray[np.float64]:
    """(cases,) NaN where there is no true blood."""
    return np.array([np.nan if it.truth_ml == 0 or it.dice is None else it.dice for _, it in cases])


def _values(values: Any) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _mean(values: NDArray[np.float64], weights: Weights) -> float:
    """Weighted mean of what is defined."""
    counted = ~np.isnan(values)
    total = float(weights[counted].sum())
    return float(weights[counted] @ values[counted]) / total if total else float("nan")


def _median(values: NDArray[np.float64], weights: Weights) -> float:
    """Median of what is defined, each value as often as it counts."""
    counted = ~np.isnan(values)
    repeated = np.repeat(values[counted], weights[counted].astype(int))
    return float(np.median(repeated)) if len(repeated) else float("nan")
