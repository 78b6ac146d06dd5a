"""A bleed grown from one voxel: what is about as dense, connected to it, inside the skull, up to the nearest edge.

The edge of a bleed is where the density is half-way between its own and that of the brain around it; there the
gradient is steepest. Leaks through necks that are narrower than `NECK_MM` are cut, where the bleed itself is wider.
Works on blocks of one or two millimeters within a box around the voxel, so that a thin scan takes no longer than a
thick one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.errors import GrowingError
from ICHSegmenterLib.preprocessing.blocks import block_mean, dilate_in_plane, erode_in_plane, fill_holes_in_plane

REACHES_MM = ((20.0, 1.0), (45.0, 2.0))
"""How far to go from the click along each axis, and the size of the blocks; the second where the first is too near."""
NECK_MM = 2.0
"""Half the width of openings through which nothing grows."""
SNAP_MM = 1.5
"""A click is moved to the densest voxel this near."""
EDGE_SHARE = 0.5
"""Share of the contrast that a voxel needs."""
EXTENT_SHARE = 0.3
"""Change of that share at the ends of `extent`, -1 and 1."""
MAP_SHARE = 0.15
"""A voxel that the method sees as blood needs so much less of the contrast, one that it sees as none so much more."""
MIN_CONTRAST_HU = 8.0
"""A click with less contrast is on no bleed: half of the contrast of fresh blood to white matter is 15 HU."""
BLOOD_HU = (35.0, 110.0)
"""Density of blood, clotted or fresh, with the noise of a block; above are calcification, metal and bone."""
TISSUE_HU = (5.0, 50.0)
"""Density of cerebrospinal fluid and brain, with which a bleed is compared."""
BONE_HU = 300.0
WALL_HU = 220.0
"""Mean of a block that holds bone; the blocks beside it hold some too and are as dense as blood by that alone."""
MIN_BONY_SIDES = 3
"""Of the four directions in the plane, those in which a voxel inside the skull meets bone; a part may be gone."""

Box = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]
T = TypeVar("T")
Voxels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class GrownRegion:
    """A bleed grown from a voxel.

    Attributes:
        mask: bool (slices, rows, columns) of a box of the volume, cropped to its voxels.
        start: (slice, row, column) where the box begins.
        seed_hu, background_hu: Density at the click, and of the brain around.
        edge_hu: Density from which a voxel belongs to it, where the method says nothing.
        is_cut: It reaches as far as the last of `REACHES_MM` allows, and may go on.
    """

    mask: Mask
    start: tuple[int, int, int]
    seed_hu: float
    background_hu: float
    edge_hu: float
    is_cut: bool


def grow_region(
    hu: Voxels,
    seed: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    *,
    blood_map: Voxels | None = None,
    extent: float = 0.0,
) -> GrownRegion:
    """Grow a bleed from one voxel.

    Args:
        hu: (slices, rows, columns), Hounsfield units; only a box around the voxel is read, and its rows and columns.
        seed: (slice, row, column) of the voxel.
        spacing_mm: Between slices, rows and columns.
        blood_map: (slices, rows, columns), 0 to 1: what a method sees as blood; None without.
        extent: -1 takes only the densest core, 1 takes also what is little denser than the brain.

    Raises:
        GrowingError: The voxel is outside of the skull, or no denser than what is around it.
        ValueError: The voxel lies outside of the volume, or `extent` is not between -1 and 1.
    """
    if not all(0 <= position < size for position, size in zip(seed, hu.shape, strict=True)):
        raise ValueError(f"seed {seed} lies outside of a volume of shape {hu.shape}")
    if not -1 <= extent <= 1:
        raise ValueError(f"extent must be from -1 to 1, got {extent}")
    for reach_mm, block_mm in REACHES_MM:
        grid = _Grid.around(seed, spacing_mm, hu.shape, reach_mm=reach_mm, block_mm=block_mm)
        region = _grown(hu, blood_map, grid, extent)
        if not region.is_cut:
            break
    return region


def _grown(hu: Voxels, blood_map: Voxels | None, grid: _Grid, extent: float) -> GrownRegion:
    """The region within one box."""
    density = grid.blocks_of(hu)
    inside = _inside_skull(hu, grid, density)
    at = _snapped(density, inside, grid)
    if not inside[at]:
        raise GrowingError("There is no skull around this point. Click on blood inside the skull.")
    seed_hu, background_hu = _densities(density, inside, at, grid)
    contrast = seed_hu - background_hu
    if contrast < MIN_CONTRAST_HU or seed_hu < BLOOD_HU[0]:
        raise GrowingError(
            f"The point has {seed_hu:.0f} HU, the tissue around it {background_hu:.0f} HU: too little contrast to find "
            "an edge. Click into the densest part of the bleed, or draw it in Segment Editor.",
            (seed_hu, background_hu),
        )
    share = np.full(density.shape, EDGE_SHARE - EXTENT_SHARE * extent, np.float32)
    if blood_map is not None:
        seen = grid.blocks_of(blood_map)
        share += MAP_SHARE * (1 - 2 * seen) * float(seen.max() > EDGE_SHARE)
    edge = background_hu + contrast * share
    ceiling = max(BLOOD_HU[1], seed_hu + contrast)
    candidates = inside & (density >= edge) & (density <= ceiling)
    candidates[at] = True
    pieces = _connected(candidates, at, grid)
    region = fill_holes_in_plane(pieces) & inside
    mask, start = grid.acquired(region, hu)
    edge_hu = background_hu + contrast * (EDGE_SHARE - EXTENT_SHARE * extent)
    return GrownRegion(mask, start, seed_hu, background_hu, edge_hu, _touches_border(region, grid))


@dataclass(frozen=True, eq=False)
class _Grid:
    """Blocks of acquired voxels in a box. at: the block of the click; is_open: sides (axis, end) cut by the reach."""

    box: Box
    blocks: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    at: tuple[int, int, int]
    is_open: tuple[tuple[bool, bool], ...]

    @classmethod
    def around(
        cls,
        seed: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        shape: tuple[int, ...],
        *,
        reach_mm: float,
        block_mm: float,
    ) -> _Grid:
        blocks, box, at, is_open = [], [], [], []
        for position, mm, size in zip(seed, spacing_mm, shape, strict=True):
            block = max(1, round(block_mm / mm))
            reach = max(1, round(reach_mm / (mm * block))) * block
            low, high = max(0, position - reach), min(size, position + reach + 1)
            blocks.append(block)
            box.append(slice(low, high))
            at.append((position - low) // block)
            is_open.append((low > 0, high < size))
        spacing = tuple(block * mm for block, mm in zip(blocks, spacing_mm, strict=True))
        return cls(_three(box), _three(blocks), _three(spacing), _three(at), tuple(is_open))

    def blocks_of(self, array: Voxels) -> NDArray[np.float32]:
        """Means of the blocks."""
        means = np.asarray(array[self.box], dtype=np.float32)
        for axis, block in enumerate(self.blocks):
            means = block_mean(means, axis, block)
        return means

    def acquired(self, region: Mask, hu: Voxels) -> tuple[Mask, tuple[int, int, int]]:
        """The acquired voxels of a region of blocks that are no bone, cropped, and where that begins."""
        (found,) = ndimage.find_objects(region.astype(np.uint8))
        mask = region[found]
        start, ranges = [], []
        for axis, block in enumerate(self.blocks):
            mask = np.repeat(mask, block, axis)
            first = self.box[axis].start + found[axis].start * block
            last = min(self.box[axis].start + found[axis].stop * block, self.box[axis].stop)
            start.append(first)
            ranges.append(slice(first, last))
        rows = tuple(slice(0, part.stop - part.start) for part in ranges)
        return mask[rows] & (hu[_three(ranges)] < BONE_HU), _three(start)

    def pixels(self, length_mm: float) -> int:
        """A length in the plane, in blocks."""
        return max(1, round(length_mm / (0.5 * (self.spacing_mm[1] + self.spacing_mm[2]))))


def _inside_skull(hu: Voxels, grid: _Grid, density: NDArray[np.float32]) -> Mask:
    """Blocks that are no bone and meet bone in most directions of their slice, beyond the box too."""
    steps = [slice(part.start, part.stop, block) for part, block in zip(grid.box, grid.blocks, strict=True)]
    sides = np.zeros(density.shape, np.uint8)
    for axis in (1, 2):
        whole = [*steps]
        whole[axis] = slice(None)
        bone = hu[_three(whole)] > BONE_HU
        before = np.maximum.accumulate(bone, axis=axis)
        behind = np.flip(np.maximum.accumulate(np.flip(bone, axis), axis=axis), axis)
        within = (slice(None), steps[1]) if axis == 1 else (slice(None), slice(None), steps[2])
        sides += before[within]
        sides += behind[within]
    wall = dilate_in_plane(density > WALL_HU, 1)
    return np.asarray((sides >= MIN_BONY_SIDES) & ~wall)


def _snapped(density: NDArray[np.float32], inside: Mask, grid: _Grid) -> tuple[int, int, int]:
    """The densest block near the click in its slice that may be blood, else that of the click."""
    slice_, row, column = grid.at
    radius = grid.pixels(SNAP_MM)
    rows, columns = slice(max(0, row - radius), row + radius + 1), slice(max(0, column - radius), column + radius + 1)
    near = np.where(inside[slice_, rows, columns], density[slice_, rows, columns], -np.inf)
    near[near > BLOOD_HU[1]] = -np.inf
    if not np.isfinite(near).any():
        return grid.at
    down, right = np.unravel_index(int(near.argmax()), near.shape)
    return slice_, rows.start + int(down), columns.start + int(right)


def _densities(
    density: NDArray[np.float32], inside: Mask, at: tuple[int, int, int], grid: _Grid
) -> tuple[float, float]:
    """Density of the click and its neighbors, and of the tissue in the box that is less dense."""
    rows, columns = (slice(max(0, position - 1), position + 2) for position in at[1:])
    around = density[at[0], rows, columns][inside[at[0], rows, columns]]
    seed_hu = float(np.median(around)) if around.size else float(density[at])
    seed_hu = max(seed_hu, float(density[at]) - MIN_CONTRAST_HU)
    tissue = density[inside & (density > TISSUE_HU[0]) & (density < min(TISSUE_HU[1], seed_hu))]
    return seed_hu, float(np.median(tissue)) if tissue.size else TISSUE_HU[1] / 2


def _connected(candidates: Mask, at: tuple[int, int, int], grid: _Grid) -> Mask:
    """The candidates that hang together with the click; through narrow necks only if the bleed is as narrow."""
    whole = _piece_at(candidates, at)
    radius = grid.pixels(NECK_MM)
    for width in range(radius, 0, -1):
        core = erode_in_plane(whole, width)
        if not core.any():
            continue
        nearest = _nearest(core, at, grid)
        if nearest is None:
            continue
        kept = _piece_at(core, nearest)
        grown = np.asarray(ndimage.binary_dilation(kept, iterations=width + 1, mask=whole))
        if grown[at]:
            return _piece_at(grown, at)
    return whole


def _piece_at(mask: Mask, at: tuple[int, int, int]) -> Mask:
    labels, _ = ndimage.label(mask)
    return np.asarray(labels == labels[at])


def _nearest(core: Mask, at: tuple[int, int, int], grid: _Grid) -> tuple[int, int, int] | None:
    """The block of a core in the slice of the click that is nearest to it, None if it is far."""
    rows, columns = np.nonzero(core[at[0]])
    if not rows.size:
        return None
    distances = np.hypot(rows - at[1], columns - at[2])
    n = int(distances.argmin())
    return (at[0], int(rows[n]), int(columns[n])) if distances[n] <= 2 * grid.pixels(NECK_MM) else None


def _touches_border(region: Mask, grid: _Grid) -> bool:
    """True if the region ends at a side of the box that is not the volume's own."""
    for axis, (is_low_open, is_high_open) in enumerate(grid.is_open):
        ends = np.take(region, (0, -1), axis=axis)
        if (is_low_open and np.take(ends, 0, axis).any()) or (is_high_open and np.take(ends, 1, axis).any()):
            return True
    return False


def _three(values: Iterable[T]) -> tuple[T, T, T]:
    """Three values of one axis each, as a tuple of known length."""
    slices, rows, columns = values
    return slices, rows, columns
