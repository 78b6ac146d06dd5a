"""The voxels that a method outlines or nearly outlines, without the empty rest of the exam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.cards.table import LabelmapRule, ModelCard
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.geometry import VolumeGeometry

ARGMAX_LOW_CUT = 0.25
"""Low cut of the rule "argmax", which has no threshold: blood half as probable as what surely wins."""


FAINTEST_EDGE = 0.05
"""Value of the map down to which voxels are kept for a card that refines edges."""


@dataclass(frozen=True, eq=False)
class OutlineVoxels:
    """Voxels where the map of blood reaches the low cut, or that get a label; n of them.

    Attributes:
        shape: (slices, rows, columns) of the acquired grid.
        slices, pixels: int (n,), slice index and position within the slice, row by row.
        blood: float32 (n,) in [0, 1]: the map of blood, the labels' maps together or the highest, as the card's rule.
        label_maps: float32 (n, labels).
        labels: uint8 (n,), the label by the card's rule, 0 where none is drawn.
        is_blood: bool (labels,).
        low_cut: Value of `blood` down to which voxels belong to one piece.
    """

    shape: tuple[int, int, int]
    slices: NDArray[np.int32]
    pixels: NDArray[np.int32]
    blood: NDArray[np.float32]
    label_maps: NDArray[np.float32]
    labels: NDArray[np.uint8]
    is_blood: NDArray[np.bool_]
    low_cut: float

    @property
    def is_drawn(self) -> NDArray[np.bool_]:
        """bool (n,): blood by the card's rule."""
        return np.r_[False, self.is_blood][self.labels]

    def labelmap(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (slices, rows, columns) of labels (n,)."""
        voxels = np.zeros(self.shape, dtype=np.uint8)
        drawn = labels > 0
        voxels.reshape(self.shape[0], -1)[self.slices[drawn], self.pixels[drawn]] = labels[drawn]
        return voxels

    def components(self) -> tuple[NDArray[np.int32], int]:
        """int (n,) component of each voxel, 1 to the number of them, and that number; 0 where there is too little.

        All blood labels count together; voxels that share a face, an edge or a corner are one component.
        """
        of_voxel = np.zeros(len(self.slices), dtype=np.int32)
        within = (self.blood >= self.low_cut) | self.is_drawn
        if not within.any():
            return of_voxel, 0
        k, (rows, columns) = self.slices[within], np.divmod(self.pixels[within], self.shape[2])
        k, rows, columns = k - k.min(), rows - rows.min(), columns - columns.min()
        mask = np.zeros((k.max() + 1, rows.max() + 1, columns.max() + 1), dtype=bool)
        mask[k, rows, columns] = True
        numbers, count = ndimage.label(mask, structure=CONNECTIVITY_26)
        of_voxel[within] = numbers[k, rows, columns]
        return of_voxel, int(count)


def outline_voxels(
    predictions: Sequence[SlicePrediction],
    geometry: VolumeGeometry,
    card: ModelCard,
    *,
    threshold: float | None,
    detection_threshold: float,
) -> OutlineVoxels:
    """The outline of all slices by the rule of the card.

    Args:
        predictions: One a slice, in array order.
        geometry: The acquired grid.
        card: Its labels and rule.
        threshold: A voxel belongs to the label with the highest map if that map is at or above it (rule "threshold"),
            or if all maps together are (rule "sum").
        detection_threshold: Slices below it stay empty if the card says `positive_slices_only`.
    """
    is_blood = np.array([label.is_blood for label in card.labels], dtype=bool)
    cut = low_cut_of(card, threshold)
    faintest = min(cut, FAINTEST_EDGE if card.refine_edges else 0.5)
    parts: list[tuple[NDArray[Any], ...]] = [
        (
            np.zeros(0, np.int32),
            np.zeros(0, np.int32),
            np.zeros(0, np.float32),
            np.zeros((0, len(is_blood)), np.float32),
            np.zeros(0, np.uint8),
        )
    ]
    for prediction in predictions:
        if prediction.maps is None:
            continue
        if card.positive_slices_only and prediction.probabilities[ANY] < detection_threshold:
            continue
        maps = np.asarray(prediction.maps).reshape(len(is_blood), -1)
        total = maps.sum(axis=0, dtype=np.float32)
        pixels = np.flatnonzero(total >= faintest).astype(np.int32)
        if not len(pixels):
            continue
        values = np.ascontiguousarray(maps[:, pixels].T)
        labels = _labels(values, total[pixels], card.labelmap_rule, threshold)
        blood = values[:, is_blood]
        height = blood.max(axis=1, initial=0.0) if card.labelmap_rule == "threshold" else blood.sum(axis=1)
        slices = np.full(len(pixels), prediction.index, dtype=np.int32)
        parts.append((slices, pixels, np.clip(height, 0.0, 1.0).astype(np.float32), values.astype(np.float32), labels))
    slices, pixels, blood, label_maps, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return OutlineVoxels(geometry.shape, slices, pixels, blood, label_maps, labels, is_blood, cut)


def low_cut_of(card: ModelCard, threshold: float | None) -> float:
    """Value of the map of blood down to which voxels belong to one piece."""
    if card.calibration is not None and card.calibration.low_cut is not None:
        return min(card.calibration.low_cut, 1.0 if threshold is None else max(threshold, 1e-6))
    if card.labelmap_rule == "argmax" or threshold is None:
        return ARGMAX_LOW_CUT
    return max(threshold / 2, 1e-6)


def _labels(
    maps: NDArray[Any], total: NDArray[np.float32], rule: LabelmapRule, threshold: float | None
) -> NDArray[np.uint8]:
    """(voxels, labels) to uint8 (voxels,): the largest label where there is one at all."""
    best = maps.argmax(axis=1)
    height = total if rule == "sum" else np.take_along_axis(maps, best[:, None], axis=1)[:, 0]
    is_labeled = height > 1.0 - total if rule == "argmax" or threshold is None else height >= threshold
    return np.where(is_labeled, best + 1, 0).astype(np.uint8)
