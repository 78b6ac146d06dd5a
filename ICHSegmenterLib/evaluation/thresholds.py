"""Thresholds searched on the training folds only, and applied to the patients that were held out."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.files import typed_reader

MAP_GRID = tuple(round(0.01 * step, 2) for step in range(1, 20)) + tuple(round(0.05 * step, 2) for step in range(4, 20))
"""Thresholds tried on maps: fine where attention maps are cut, coarse above."""

Folds = Mapping[str, str]
"""Patient to the fold in which the patient is held out."""


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of one held-out fold.

    Attributes:
        fold: Its name.
        exam, slice: Thresholds of the values; highest sensitivity + specificity on the other folds.
        map: Threshold of the maps; highest mean Dice on the other folds. None if the method has no such one.
    """

    fold: str
    exam: float
    slice: float
    map: float | None


@typed_reader(EvaluationError)
def read_folds(path: Path) -> dict[str, str]:
    """Patient to fold, from a CSV with the columns patient,fold or a JSON object.

    Raises:
        EvaluationError: The file cannot be read, or a patient is in two folds.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({error.strerror}). Name a file of patient and fold.") from error
    pairs = _from_json(text, path) if path.suffix.lower() == ".json" else _from_csv(text, path)
    folds: dict[str, str] = {}
    for patient, fold in pairs:
        if folds.setdefault(patient, fold) != fold:
            raise EvaluationError(
                f"{path.name}: leak: patient {patient} is in the folds {folds[patient]} and {fold}. A threshold would "
                "be searched on the patient that it is applied to. Keep every patient in one fold."
            )
    return folds


def check_folds(folds: Folds, cases: Sequence[Case]) -> None:
    """Check that the folds can hold out the patients of these cases.

    Raises:
        EvaluationError: A patient has no fold, there are fewer than two folds, or two folds hold the same image.
    """
    patients = {case.patient for case in cases}
    absent = sorted(patients - set(folds))
    if absent:
        raise EvaluationError(
            f"{len(absent)} patients have no fold ({', '.join(absent[:3])}). Add them to the file of folds."
        )
    used = sorted({folds[patient] for patient in patients})
    if len(used) < 2:
        raise EvaluationError(
            f"All patients are in the fold {used[0] if used else ''!r}; there is no other one to search on. Use two "
            "folds or more."
        )
    by_size: dict[int, list[Case]] = {}
    for case in cases:
        for earlier in by_size.setdefault(case.images[0].stat().st_size, []):
            if folds[earlier.patient] != folds[case.patient] and cmp(earlier.images[0], case.images[0], shallow=False):
                raise EvaluationError(
                    f"Leak: {earlier.name} and {case.name} are the same image in the folds {folds[earlier.patient]} "
                    f"and {folds[case.patient]}. Keep both in one fold, or leave one out."
                )
        by_size[case.images[0].stat().st_size].append(case)


def best_cut(truth: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    """The value that parts items with the highest sensitivity + specificity (Youden's index), half-way to the next.

    Raises:
        EvaluationError: Only one kind of item is there.
    """
    from sklearn.metrics import roc_curve

    if not truth.any() or truth.all():
        kind = "with" if truth.all() else "without"
        raise EvaluationError(
            f"A threshold cannot be searched: the training folds hold only items {kind} hemorrhage. Use fewer folds, "
            "or spread the patients with hemorrhage over them."
        )
    false_rates, true_rates, cuts = roc_curve(truth, values, drop_intermediate=False)
    best = cuts[int(np.argmax(true_rates - false_rates))]
    if not np.isfinite(best):  # no cut is better than calling nothing positive
        return 1.0
    below = values[values < best]
    return float((best + below.max()) / 2) if len(below) else float(best)


def best_map_threshold(sweeps: Sequence[Sequence[float]]) -> float | None:
    """The threshold of `MAP_GRID` with the highest mean Dice; the middle one of several that are equal.

    Args:
        sweeps: Dice of each bleeding case at each threshold of `MAP_GRID`; none if there are no maps.
    """
    if not sweeps:
        return None
    means = np.mean(np.asarray(sweeps, dtype=np.float64), axis=0)
    highest = np.flatnonzero(np.isclose(means, means.max(), rtol=0, atol=1e-9))
    return MAP_GRID[int(highest[len(highest) // 2])]


def map_sweep(soft: NDArray[np.float32], truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """Dice of a map cut at each threshold of `MAP_GRID`; the truth must hold blood."""
    grid = np.asarray(MAP_GRID, dtype=np.float32)
    passed = np.searchsorted(grid, soft[soft >= grid[0]], side="right") - 1  # the highest threshold that it reaches
    hits = np.searchsorted(grid, soft[truth & (soft >= grid[0])], side="right") - 1
    predicted, common = (np.bincount(reached, minlength=len(grid))[::-1].cumsum()[::-1] for reached in (passed, hits))
    return tuple((2 * common / (predicted + truth.sum())).tolist())


def _from_csv(text: str, path: Path) -> list[tuple[str, str]]:
    lines = csv.DictReader(text.splitlines())
    if not {"patient", "fold"} <= set(lines.fieldnames or ()):
        columns = ",".join(lines.fieldnames or ()) or "nothing"
        raise EvaluationError(f"{path.name}: it needs the columns patient,fold; found {columns}.")
    return [(str(line["patient"]), str(line["fold"])) for line in lines]


def _from_json(text: str, path: Path) -> list[tuple[str, str]]:
    """Pairs as they stand, so that a patient named twice is seen."""
    try:
        content = json.loads(text, object_pairs_hook=list)
    except ValueError as error:
        raise EvaluationError(f"{path.name}: no JSON ({error}).") from error
    if not isinstance(content, list) or not all(isinstance(pair, tuple) for pair in content):
        raise EvaluationError(f'{path.name}: it must be one object like {{"patient": "fold"}}.')
    return [(str(patient), str(fold)) for patient, fold in content]
