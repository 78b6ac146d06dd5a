"""Scores of an outline against the true one: overlap, surface distance, volume, and which lesions were found.

Overlap is MONAI's. Distances are in millimeters between the positions of surface voxels in the patient, so tilted and
unequally spaced slices, which no single spacing describes, are measured exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.volume.components import CONNECTIVITY_26, component_volumes
from ICHSegmenterLib.volume.geometry import Points, VolumeGeometry

Mask = NDArray[np.bool_]

SURFACE_PERCENTILE = 95
QUERY_POINTS = 65536
"""Surface voxels whose nearest neighbor is sought at a time, which bounds the memory."""
FOUND_SHARE = 0.1
"""A lesion counts as found if at least this share of its volume is outlined."""
LESION_BINS_ML = (0.0, 0.1, 1.0, 5.0, 15.0, 30.0, float("inf"))
LIMITS_OF_AGREEMENT = 1.96
"""Standard deviations on both sides of the mean that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Lesion:
    """One true piece of blood.

    Attributes:
        volume_ml: Its volume.
        outlined_share: Of it.
        dice: Of this piece with the outline around it: with those voxels of the outlined pieces touching any lesion
            that are nearer to this one than to another.
    """

    volume_ml: float
    outlined_share: float
    dice: float

    @property
    def is_found(self) -> bool:
        """At least `FOUND_SHARE` of it was outlined."""
        return self.outlined_share >= FOUND_SHARE


@dataclass(frozen=True)
class SegmentationScores:
    """One outline against its truth.

    Attributes:
        dice, iou: On voxels; None if neither mask has any.
        hd95_mm: Greater of the two 95th percentiles of surface distances; None if a mask is empty.
        truth_ml, predicted_ml: Volumes, each slice with its own extent.
        lesions: The true pieces.
        false_lesions: Outlined pieces that touch no blood; false_ml: their volume.
    """

    dice: float | None
    iou: float | None
    hd95_mm: float | None
    truth_ml: float
    predicted_ml: float
    lesions: tuple[Lesion, ...]
    false_lesions: int
    false_ml: float

    @property
    def volume_error_ml(self) -> float:
        """Predicted minus true volume."""
        return self.predicted_ml - self.truth_ml


@dataclass(frozen=True)
class BlandAltman:
    """Agreement of two volumes.

    Attributes:
        bias_ml: Mean difference, predicted minus true.
        low_ml, high_ml: Limits that hold 95 % of the differences; None with fewer than two cases.
    """

    bias_ml: float
    low_ml: float | None
    high_ml: float | None


def score_outline(predicted: Mask, truth: Mask, geometry: VolumeGeometry) -> SegmentationScores:
    """Score one outline.

    Args:
        predicted, truth: bool (slices, rows, columns) of `geometry`.
        geometry: The acquired grid.

    Raises:
        DependencyError: MONAI is not installed.
    """
    if predicted.shape != geometry.shape or truth.shape != geometry.shape:
        raise ValueError(f"masks have shapes {predicted.shape} and {truth.shape}, their geometry {geometry.shape}")
    dice, iou = overlap(predicted, truth)
    pieces, count = ndimage.label(truth, structure=CONNECTIVITY_26)
    outlined, outlined_count = ndimage.label(predicted, structure=CONNECTIVITY_26)
    true_mm3 = component_volumes(pieces, count, geometry.voxel_volumes_mm3)
    hit_mm3 = component_volumes(np.where(predicted, pieces, 0), count, geometry.voxel_volumes_mm3)
    false = np.setdiff1d(np.arange(1, outlined_count + 1), np.unique(outlined[truth]))
    false_mm3 = component_volumes(outlined, outlined_count, geometry.voxel_volumes_mm3)[false - 1]
    around_mm3 = component_volumes(
        _nearest_lesion(pieces, outlined, false, geometry), count, geometry.voxel_volumes_mm3
    )
    lesions = [
        Lesion(float(all_of / 1000), float(hit / all_of), float(2 * hit / (all_of + around)))
        for all_of, hit, around in zip(true_mm3, hit_mm3, around_mm3, strict=True)
    ]
    return SegmentationScores(
        dice=dice,
        iou=iou,
        hd95_mm=hd95_mm(predicted, truth, geometry),
        truth_ml=volume_ml(truth, geometry),
        predicted_ml=volume_ml(predicted, geometry),
        lesions=tuple(lesions),
        false_lesions=len(false),
        false_ml=float(false_mm3.sum()) / 1000,
    )


def overlap(predicted: Mask, truth: Mask) -> tuple[float | None, float | None]:
    """Dice and IoU on voxels; None if both masks are empty."""
    if not predicted.any() and not truth.any():
        return None, None
    metrics = _monai_metrics()
    tensors = _as_tensor(predicted), _as_tensor(truth)
    return (
        float(metrics.compute_dice(*tensors, ignore_empty=False)),
        float(metrics.compute_iou(*tensors, ignore_empty=False)),
    )


def hd95_mm(predicted: Mask, truth: Mask, geometry: VolumeGeometry) -> float | None:
    """95 % Hausdorff distance between surface voxels; None if a mask is empty.

    A surface voxel has a neighbor across a face that is not of the mask, or lies at the border of the volume. The
    distance from it goes to the center of the nearest surface voxel of the other mask. Of the 95th percentiles of both
    directions, interpolated linearly, the greater counts.

    Args:
        predicted, truth: bool (slices, rows, columns) of `geometry`.
        geometry: The acquired grid; tilt, shear and unequal steps are exact.
    """
    if not predicted.any() or not truth.any():
        return None
    outlined, bleeding = surface_mm(predicted, geometry), surface_mm(truth, geometry)
    directed = _nearest_mm(outlined, bleeding), _nearest_mm(bleeding, outlined)
    return max(float(np.percentile(distances, SURFACE_PERCENTILE)) for distances in directed)


def surface_mm(mask: Mask, geometry: VolumeGeometry) -> Points:
    """Centers of the surface voxels of a mask, (n, 3) mm in LPS."""
    if not mask.any():
        return np.empty((0, 3))
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    inner = mask[box]
    k, j, i = np.nonzero(inner & ~ndimage.binary_erosion(inner))
    ijk = np.column_stack((i + box[2].start, j + box[1].start, k + box[0].start))
    return geometry.ijk_to_lps(ijk)


def volume_ml(mask: Mask, geometry: VolumeGeometry) -> float:
    """Milliliters, each slice with its own extent."""
    return float(mask.sum(axis=(1, 2)) @ geometry.voxel_volumes_mm3) / 1000


def bland_altman(predicted_ml: Sequence[float], truth_ml: Sequence[float]) -> BlandAltman:
    """Bias and limits of agreement of the volumes."""
    if not len(predicted_ml):
        raise ValueError("Bland-Altman needs at least one pair of volumes")
    differences = np.asarray(predicted_ml) - np.asarray(truth_ml)
    bias = float(differences.mean())
    if len(differences) < 2:
        return BlandAltman(bias, None, None)
    reach = LIMITS_OF_AGREEMENT * float(differences.std(ddof=1))
    return BlandAltman(bias, bias - reach, bias + reach)


def _nearest_mm(points: Points, others: Points) -> Points:
    """(n,) distance from each point to the nearest of the others."""
    # Cut in the middle and not compacted: 15 times faster where much of the other surface is nearly as far away.
    tree = cKDTree(others, compact_nodes=False, balanced_tree=False)
    starts = range(0, len(points), QUERY_POINTS)
    return np.concatenate([tree.query(points[start : start + QUERY_POINTS])[0] for start in starts])


def _nearest_lesion(
    pieces: NDArray[Any], outlined: NDArray[Any], false: NDArray[Any], geometry: VolumeGeometry
) -> NDArray[Any]:
    """The lesion that each outlined voxel is nearest to; 0 outside the outline and in false pieces."""
    kept = (outlined > 0) & ~np.isin(outlined, false)
    nearest_label = np.zeros_like(pieces)
    if not kept.any():
        return nearest_label
    box = ndimage.find_objects((kept | (pieces > 0)).astype(np.uint8))[0]
    spacing = (geometry.slice_step_mm, *geometry.pixel_spacing_mm)
    nearest = ndimage.distance_transform_edt(
        pieces[box] == 0, sampling=spacing, return_distances=False, return_indices=True
    )
    nearest_label[box] = np.where(kept[box], pieces[box][tuple(nearest)], 0)
    return nearest_label


def _as_tensor(mask: Mask) -> Any:
    """(1, 1, slices, rows, columns) as MONAI takes it."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(mask[None, None]).astype(np.float32))


def _monai_metrics() -> Any:
    try:
        from monai import metrics
    except ImportError as error:
        raise DependencyError(
            'Outlines are scored by MONAI, which is not installed. Install it: pip install ".[train]".'
        ) from error
    return metrics
