"""Scores of one exam under one method, slice by slice at the network's pixels: values, truth, and their overlap.

The protocol of Rasoulian et al., MELBA 2023:012 (HealthX-Lab/HGI-SAM, Apache-2.0): Dice and IoU of every slice with
true blood, on the cropped square that the network sees.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.files import replacing

THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 100))
"""Thresholds of a map at which every slice is scored."""
FLOATS = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SliceScores:
    """Scores of the slices of one exam, in acquired order.

    Attributes:
        case, patient, method: Names.
        truth: bool (slices,), by the labels of the data set and its masks.
        labels: bool (slices,), by the labels alone where there are some.
        values: (slices,) of "any".
        outlined: int (bleeding,), the slices with true blood at the network's pixels.
        dice: (bleeding, thresholds) of the map cut at each of `THRESHOLDS`.
        facts: What the scores were made with; other facts make them out of date.
    """

    case: str
    patient: str
    method: str
    truth: NDArray[np.bool_]
    labels: NDArray[np.bool_]
    values: FLOATS
    outlined: NDArray[np.intp]
    dice: FLOATS
    facts: dict[str, Any]

    def dice_at(self, threshold: float) -> FLOATS:
        """(bleeding,) Dice of the map cut at the nearest of `THRESHOLDS`."""
        return np.asarray(self.dice[:, nearest_threshold(threshold)])

    def by_label(self) -> SliceScores:
        """The scores as the authors count: a slice bleeds if its label says so, whatever its mask holds."""
        kept = self.labels[self.outlined]
        return replace(self, truth=self.labels, outlined=self.outlined[kept], dice=self.dice[kept])


def nearest_threshold(threshold: float) -> int:
    """Place in `THRESHOLDS`."""
    return int(np.abs(np.asarray(THRESHOLDS) - threshold).argmin())


def dice_sweep(soft: NDArray[np.floating[Any]], truth: NDArray[np.bool_]) -> FLOATS:
    """(thresholds,) Dice of one map (rows, columns) at each of `THRESHOLDS`; NaN if the truth is empty.

    A pixel is blood if the map is at or above the threshold.
    """
    size = int(truth.sum())
    if not size:
        return np.full(len(THRESHOLDS), np.nan)
    grid = np.asarray(THRESHOLDS, dtype=np.float32)
    reached = np.searchsorted(grid, soft.astype(np.float32), side="right") - 1  # the highest threshold that it passes
    predicted, common = (
        np.bincount(levels[levels >= 0], minlength=len(grid))[::-1].cumsum()[::-1]
        for levels in (reached.ravel(), reached[truth])
    )
    return np.asarray(2 * common / (predicted + size), dtype=np.float64)


def iou_of(dice: FLOATS) -> FLOATS:
    """IoU of the same two masks."""
    return np.asarray(dice / (2 - dice))


@dataclass(frozen=True, eq=False)
class SlicePictures:
    """Contents of the pictures of the bleeding slices: uint8 gray, bool truth and float16 map (slices, H, W)."""

    gray: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    soft: NDArray[np.float16]


def save_scores(scores: SliceScores, pictures: SlicePictures, path: Path) -> None:
    """Write both as one file, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = json.dumps([scores.case, scores.patient, scores.method])
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(
            stream,
            names=names,
            facts=json.dumps(scores.facts, sort_keys=True),
            truth=scores.truth,
            labels=scores.labels,
            values=scores.values,
            outlined=scores.outlined,
            dice=scores.dice,
            gray=pictures.gray,
            masks=pictures.truth,
            soft=pictures.soft,
        )


def load_scores(path: Path, facts: dict[str, Any]) -> SliceScores | None:
    """Scores of an earlier run; None if there are none, they are damaged, or they were made with other facts."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["facts"]) != json.dumps(facts, sort_keys=True):
                return None
            case, patient, method = json.loads(str(stored["names"]))
            arrays = {name: stored[name] for name in ("truth", "labels", "values", "outlined", "dice")}
    except Exception:  # no file, or one that a kill left damaged in whatever way
        return None
    return SliceScores(case, patient, method, **arrays, facts=facts)


def load_pictures(path: Path, slices: NDArray[np.intp]) -> SlicePictures:
    """The pictures beside the scores, of some of the outlined slices."""
    with np.load(path, allow_pickle=False) as stored:
        rows = np.searchsorted(stored["outlined"], slices)
        return SlicePictures(stored["gray"][rows], stored["masks"][rows], stored["soft"][rows])
