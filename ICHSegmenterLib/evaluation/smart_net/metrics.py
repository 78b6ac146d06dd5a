"""Metrics of SMART-Net's authors: exams without blood have no Dice, they have false positive voxels.

Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). A case is a slice or a volume at the network's pixels; a
probability of exactly a half is negative. Equal to MONAI's means on their golden cases.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.volume import overlap

POSITIVE_ABOVE = 0.5
Mask = NDArray[np.bool_]


def dice(predicted: Mask, truth: Mask) -> float:
    """2 |A and B| / (|A| + |B|) of two masks of one shape; NaN where the truth is empty."""
    return overlap.dice(predicted, truth) if truth.any() else float("nan")


def mean_dice(cases: Iterable[float]) -> float:
    """Mean over the cases with blood; NaN if there is none."""
    counted = [value for value in cases if not np.isnan(value)]
    return sum(counted) / len(counted) if counted else float("nan")


def false_positive_voxels(predicted: Mask, truth: Mask) -> int:
    """Voxels outlined in a case without blood; 0 for a case with blood, whose Dice tells of it."""
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction and truth have shapes {predicted.shape} and {truth.shape}")
    return 0 if truth.any() else int(np.count_nonzero(predicted))
