"""Measures of pieces of blood in mm and mL: none depends on how thick the slices are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.verdict.outline import OutlineVoxels
from ICHSegmenterLib.analysis.verdict.surroundings import Surroundings
from ICHSegmenterLib.volume.volume import Volume

CORE_ML = 0.25
"""The score of a piece is the mean of its map over its most probable quarter of a milliliter; what it lacks counts 0.
That is a spot of 8 mm in a slice of 5 mm."""
MAX_REACHED_ML = 0.05
"""The maximum of a piece is the value that so much of it reaches, so that one noisy voxel does not raise it."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measures:
    """Pieces in numbers, (pieces,) each; units as of `verdict.Piece`.

    Attributes:
        core_score: Mean of the map over the most probable `CORE_ML`, what is missing of it counting as 0.
        label_ml: (pieces, labels), the integral of each label's map.
        voxels_on_slice: int (pieces, slices).
        center_lps_mm: (pieces, 3).
    """

    volume_ml: Values
    mean_probability: Values
    max_probability: Values
    core_score: Values
    mean_hu: Values
    contrast_hu: Values
    extent_mm: Values
    area_mm2: Values
    skull_distance_mm: Values
    midplane_distance_mm: Values
    relative_height: Values
    first_slice: NDArray[np.intp]
    last_slice: NDArray[np.intp]
    key_slice: NDArray[np.intp]
    center_lps_mm: Values
    label_ml: Values
    voxels_on_slice: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.volume_ml)


def measure_pieces(
    voxels: OutlineVoxels, piece_of: NDArray[np.int32], count: int, volume: Volume, around: Surroundings
) -> Measures:
    """The measures of pieces.

    Args:
        voxels: The outline.
        piece_of: (n,), 1 to `count` for the drawn voxels of a piece, 0 for all others; each piece has a voxel.
        count: Of pieces.
        volume: The exam.
        around: The brain around them.
    """
    geometry = volume.geometry
    slices_total, _, columns_total = geometry.shape
    within = piece_of > 0
    piece = piece_of[within] - 1
    k, pixels, blood = voxels.slices[within], voxels.pixels[within], voxels.blood[within].astype(np.float64)
    rows, columns = np.divmod(pixels, columns_total)
    ml = geometry.voxel_volumes_mm3[k] / 1000

    def total(weights: Values) -> Values:
        return np.asarray(np.bincount(piece, weights=weights, minlength=count), dtype=np.float64)

    volume_ml = total(ml)
    hu = volume.hu.reshape(slices_total, -1)[k, pixels].astype(np.float64)
    on_slice = np.bincount(piece * slices_total + k, minlength=count * slices_total).reshape(count, slices_total)
    pixel_mm2 = float(np.linalg.norm(np.cross(geometry.column_step, geometry.row_step)))
    has_blood = on_slice > 0
    center = (
        np.stack([total(ml * geometry.slice_origins[k, axis]) for axis in range(3)], axis=1)
        + total(ml * columns)[:, None] * geometry.column_step
        + total(ml * rows)[:, None] * geometry.row_step
    ) / volume_ml[:, None]
    skull = total(ml * around.skull_distance(k, rows, columns)) / volume_ml
    labels = voxels.label_maps[within]
    return Measures(
        volume_ml=volume_ml,
        mean_probability=total(ml * blood) / volume_ml,
        max_probability=_reached(piece, blood, ml, np.minimum(MAX_REACHED_ML, volume_ml / 2)),
        core_score=_core(piece, blood, ml, count),
        mean_hu=total(ml * hu) / volume_ml,
        contrast_hu=around.contrast(k, rows, columns, piece, total(ml * hu) / volume_ml),
        extent_mm=has_blood @ geometry.slice_extents_mm,
        area_mm2=on_slice.max(axis=1, initial=0) * pixel_mm2,
        skull_distance_mm=skull,
        midplane_distance_mm=around.midplane_distance(center),
        relative_height=around.relative_height(center),
        first_slice=has_blood.argmax(axis=1),
        last_slice=slices_total - 1 - has_blood[:, ::-1].argmax(axis=1),
        key_slice=on_slice.argmax(axis=1),
        center_lps_mm=center,
        label_ml=np.stack([total(ml * labels[:, n]) for n in range(labels.shape[1])], axis=1),
        voxels_on_slice=on_slice,
    )


def _sorted(piece: NDArray[np.int32], blood: Values, ml: Values) -> tuple[NDArray[np.int32], Values, Values, Values]:
    """Piece, value, volume and volume so far of each voxel, the most probable of each piece first."""
    order = np.lexsort((-blood, piece))
    piece, blood, ml = piece[order], blood[order], ml[order]
    so_far = np.cumsum(ml)
    starts = np.flatnonzero(np.r_[True, piece[1:] != piece[:-1]])
    before = np.r_[0.0, so_far][starts]
    return piece, blood, ml, so_far - np.repeat(before, np.diff(np.r_[starts, len(piece)]))


def _reached(piece: NDArray[np.int32], blood: Values, ml: Values, reached_ml: Values) -> Values:
    """(pieces,) the highest value that at least `reached_ml` of a piece has."""
    if not len(piece):
        return np.zeros(len(reached_ml))
    piece, blood, _, so_far = _sorted(piece, blood, ml)
    values = np.zeros(len(reached_ml))
    is_deep = so_far >= reached_ml[piece] * (1 - 1e-9)
    np.maximum.at(values, piece[is_deep], blood[is_deep])
    return values


def _core(piece: NDArray[np.int32], blood: Values, ml: Values, count: int) -> Values:
    """(pieces,) mean of the map over the most probable `CORE_ML`, missing volume counting as 0."""
    if not len(piece):
        return np.zeros(count)
    piece, blood, ml, so_far = _sorted(piece, blood, ml)
    counted = np.clip(CORE_ML - (so_far - ml), 0.0, ml)
    return np.bincount(piece, weights=counted * blood, minlength=count) / CORE_ML
