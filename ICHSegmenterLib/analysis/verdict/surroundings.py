"""The brain around pieces of blood: its edge, its midplane, its height, and its density beside them.

Measured on a coarse grid, slabs of about 4 mm and blocks of about 2 mm, and only within slices: what lies beside a
piece does not depend on how thick the slices are, and an exam of 300 slices takes no longer than one of 30.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.volume.volume import Volume

SLAB_MM = 4.0
BLOCK_MM = 2.0
SHELL_MM = (3.0, 6.0)
"""Distance from a piece at which the density of its surroundings is measured."""
TISSUE_HU = (-20.0, 120.0)
"""Fat, air, bone and calcification are no surroundings."""
MIN_SHELL_BLOCKS = 5
MIN_ELONGATION = 1.05
"""A brain mask that is not longer than wide by this factor does not tell where the midplane runs."""

Values = NDArray[np.float64]
Indices = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The brain of an exam on the coarse grid.

    Attributes:
        slab_of: (slices,) slab of each slice; representatives: (slabs,) the middle slice of each.
        block: (rows, columns) of voxels a block.
        block_mm: (rows, columns) size of a block.
        hu: float32 (slabs, rows, columns).
        brain: bool of the same shape.
        depth_mm: float32 of the same shape: distance from the edge of the brain in the slice, 0 outside.
        midpoint, across: (3,) a point of the midplane and its normal, in LPS.
        low_mm, high_mm: Lowest and highest position of brain along `upward`, (3,) in LPS.
    """

    slab_of: NDArray[np.intp]
    block: tuple[int, int]
    block_mm: tuple[float, float]
    hu: NDArray[np.float32]
    brain: NDArray[np.bool_]
    depth_mm: NDArray[np.float32]
    midpoint: Values
    across: Values
    upward: Values
    low_mm: float
    high_mm: float

    @classmethod
    def of(cls, volume: Volume, brain_mask: NDArray[np.bool_]) -> Surroundings:
        """The surroundings in an exam with axial slices; brain_mask is bool (slices, rows, columns)."""
        geometry = volume.geometry
        slab_of = _slabs(geometry.slice_extents_mm)
        middles = np.array([int(np.median(np.flatnonzero(slab_of == slab))) for slab in range(slab_of[-1] + 1)])
        row_mm, column_mm = geometry.pixel_spacing_mm
        block = max(1, round(BLOCK_MM / row_mm)), max(1, round(BLOCK_MM / column_mm))
        block_mm = block[0] * row_mm, block[1] * column_mm
        brain = brain_mask[middles, block[0] // 2 :: block[0], block[1] // 2 :: block[1]]
        hu = volume.hu[middles, block[0] // 2 :: block[0], block[1] // 2 :: block[1]].astype(np.float32)
        depth = np.zeros(brain.shape, dtype=np.float32)
        for slab in np.flatnonzero(brain.any(axis=(1, 2))):
            depth[slab] = ndimage.distance_transform_edt(np.pad(brain[slab], 1), sampling=block_mm)[1:-1, 1:-1]
        upward = geometry.normal * (1.0 if geometry.normal[2] >= 0 else -1.0)
        has_brain = np.flatnonzero(brain_mask.any(axis=(1, 2)))
        heights = geometry.slice_origins @ upward
        half = geometry.slice_extents_mm / 2
        low = float(np.min((heights - half)[has_brain], initial=np.inf)) if len(has_brain) else 0.0
        high = float(np.max((heights + half)[has_brain], initial=-np.inf)) if len(has_brain) else 1.0
        midpoint, across = _midplane(volume, brain, middles, block)
        return cls(slab_of, block, block_mm, hu, brain, depth, midpoint, across, upward, low, high)

    def skull_distance(self, slices: Indices, rows: Indices, columns: Indices) -> Values:
        """(n,) mm from voxels to the edge of the brain in their slice."""
        return self.depth_mm[self._at(slices, rows, columns)].astype(np.float64)

    def midplane_distance(self, points: Values) -> Values:
        """(n,) mm of LPS points (n, 3) from the midplane."""
        return np.abs((points - self.midpoint) @ self.across)

    def relative_height(self, points: Values) -> Values:
        """(n,) heights of LPS points (n, 3) within the brain of the exam, 0 to 1."""
        return np.clip((points @ self.upward - self.low_mm) / max(self.high_mm - self.low_mm, 1e-6), 0.0, 1.0)

    def contrast(self, slices: Indices, rows: Indices, columns: Indices, piece: Indices, mean_hu: Values) -> Values:
        """(pieces,) density of each piece less that of the brain around it in its slices; 0 where there is none.

        Args:
            slices, rows, columns: (n,) voxels of all pieces.
            piece: (n,) whose they are, from 0.
            mean_hu: (pieces,) of each.
        """
        owner = np.full(self.brain.shape, -1, dtype=np.int32)
        owner[self._at(slices, rows, columns)] = piece
        count = len(mean_hu)
        sums, blocks = np.zeros(count), np.zeros(count)
        for slab in np.flatnonzero((owner >= 0).any(axis=(1, 2))):
            free = owner[slab] < 0
            distance, (near_row, near_column) = ndimage.distance_transform_edt(
                free, sampling=self.block_mm, return_indices=True
            )
            hu = self.hu[slab]
            shell = (distance >= SHELL_MM[0]) & (distance <= SHELL_MM[1]) & self.brain[slab]
            shell &= (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1])
            nearest = owner[slab][near_row[shell], near_column[shell]]
            sums += np.bincount(nearest, weights=hu[shell], minlength=count)
            blocks += np.bincount(nearest, minlength=count)
        return np.where(blocks >= MIN_SHELL_BLOCKS, mean_hu - sums / np.maximum(blocks, 1), 0.0)

    def _at(self, slices: Indices, rows: Indices, columns: Indices) -> tuple[NDArray[np.intp], ...]:
        """The blocks of voxels."""
        _, last_row, last_column = self.brain.shape
        return (
            self.slab_of[slices],
            np.minimum(rows // self.block[0], last_row - 1),
            np.minimum(columns // self.block[1], last_column - 1),
        )


def _slabs(extents_mm: Values) -> NDArray[np.intp]:
    """(slices,) the slab of each slice: neighbors together up to `SLAB_MM`, thicker slices alone."""
    slab_of = np.zeros(len(extents_mm), dtype=np.intp)
    thickness = 0.0
    for k, extent in enumerate(extents_mm):
        if k and thickness + extent > SLAB_MM * (1 + 1e-6):
            slab_of[k:] += 1
            thickness = 0.0
        thickness += extent
    return slab_of


def _midplane(
    volume: Volume, brain: NDArray[np.bool_], middles: NDArray[np.intp], block: tuple[int, int]
) -> tuple[Values, Values]:
    """A point of the plane between the halves of the brain, and its normal (3,), LPS.

    The brain is longer than wide: the plane runs through its center along its long axis in the slice.
    """
    slabs, rows, columns = np.nonzero(brain)
    across = np.array([1.0, 0.0, 0.0])
    if len(slabs) < MIN_SHELL_BLOCKS:
        return volume.geometry.slice_origins.mean(axis=0), across
    index = np.stack((columns * block[1] + block[1] // 2, rows * block[0] + block[0] // 2, middles[slabs]), axis=1)
    points = volume.geometry.ijk_to_lps(index)
    center = points.mean(axis=0)
    in_plane = points[:, :2] - center[:2]
    spread, axes = np.linalg.eigh(np.cov(in_plane.T))
    if spread[1] >= MIN_ELONGATION**2 * spread[0] and abs(axes[1, 1]) >= abs(axes[0, 1]):
        across = np.array([axes[0, 0], axes[1, 0], 0.0])
    return center, across
