"""Between the acquired slices and a regular, untilted grid in patient axes: exact geometry, linear or nearest.

Every slice keeps its own position, so gantry tilt, shear and unequal steps need no flattening. Between two slices
values are interpolated along the line that joins voxels of the same column and row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

AIR_HU = -1024.0
"""HU outside the acquired slices."""

HALF_VOXEL = 0.5
"""A voxel stands for half a step on each side of its center; farther out is outside."""

AXIS_TOLERANCE = 1e-6
SAMPLING_THREADS = min(8, os.cpu_count() or 1)
ROUNDING = 1e-6
"""Steps of the grid that rounding may add to a position without costing another plane."""


def regular_grid(
    geometry: VolumeGeometry, spacing_mm: float = 1.0, *, mask: NDArray[np.bool_] | None = None, margin_mm: float = 0.0
) -> VolumeGeometry:
    """A grid with cubic voxels along the LPS axes that covers the voxel centers of `geometry`.

    Args:
        geometry: The acquired slices.
        spacing_mm: Edge of a voxel.
        mask: bool (slices, rows, columns); if given, only its true voxels and the margin need to be covered.
        margin_mm: Around the mask on every side, as far as the acquired voxels reach.

    Returns:
        Columns to the patient's left, rows to posterior, slices to superior; its corner lies on whole multiples of
        the spacing.

    Raises:
        ValueError: The mask is empty, or the spacing is not positive.
    """
    if spacing_mm <= 0:
        raise ValueError(f"spacing_mm must be positive, got {spacing_mm}")
    acquired = np.concatenate(list(_corners(geometry, None)))
    low_mm, high_mm = acquired.min(axis=0), acquired.max(axis=0)
    if mask is not None:
        corners = np.concatenate(list(_corners(geometry, mask)))
        low_mm = np.maximum(low_mm, corners.min(axis=0) - margin_mm)
        high_mm = np.minimum(high_mm, corners.max(axis=0) + margin_mm)
    low, high = np.floor(low_mm / spacing_mm + ROUNDING), np.ceil(high_mm / spacing_mm - ROUNDING)
    columns, rows, slices = (int(n) for n in high - low + 1)
    affine = np.diag((spacing_mm, spacing_mm, spacing_mm, 1.0))
    affine[:3, 3] = low * spacing_mm
    return VolumeGeometry.from_affine((slices, rows, columns), affine)


def to_regular(volume: Volume, grid: VolumeGeometry) -> NDArray[np.float32]:
    """HU on the grid, linear between voxel centers, air outside the acquired slices.

    Returns:
        float32 `grid.shape`, Hounsfield units.
    """
    result = np.full(grid.shape, AIR_HU, dtype=np.float32)
    _sample_acquired(volume.hu, volume.geometry, grid, result, order=1)
    return result


def labelmap_to_regular(labelmap: NDArray[Any], geometry: VolumeGeometry, grid: VolumeGeometry) -> NDArray[Any]:
    """The nearest acquired label at every voxel of the grid; 0 outside.

    Args:
        labelmap: integer or bool (slices, rows, columns) on `geometry`.
        geometry: The acquired slices.
        grid: An LPS-aligned grid, as `regular_grid` makes it.

    Returns:
        `grid.shape`, of the labelmap's type.
    """
    values = labelmap.view(np.uint8) if labelmap.dtype == np.bool_ else labelmap
    result = np.zeros(grid.shape, dtype=values.dtype)
    _sample_acquired(values, geometry, grid, result, order=0)
    return result.view(labelmap.dtype)


def from_regular(
    maps: NDArray[np.floating[Any]],
    grid: VolumeGeometry,
    geometry: VolumeGeometry,
    *,
    where: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Soft maps of the grid at every acquired voxel center, linear; 0 more than half a voxel outside the grid.

    Args:
        maps: float (..., z, y, x) on the grid.
        grid: A regular grid of any orientation.
        geometry: The acquired slices.
        where: bool (slices, rows, columns); only these voxels are computed, the others stay 0.

    Returns:
        float32 (..., slices, rows, columns).
    """
    stack = _as_stack(maps, grid)
    result = np.zeros((len(stack), *geometry.shape), dtype=np.float32)
    points = list(_acquired_points(geometry, grid, where))
    for channel, values in zip(result, stack, strict=True):
        source = np.asarray(values, dtype=np.float32)  # one map at a time: float16 is not interpolated by scipy
        for index, pixels, coordinates in points:
            channel[index][pixels] = ndimage.map_coordinates(source, coordinates, order=1, mode="nearest")
    return result.reshape(*maps.shape[:-3], *geometry.shape)


def _corners(geometry: VolumeGeometry, mask: NDArray[np.bool_] | None) -> Iterator[NDArray[np.float64]]:
    """(4, 3) mm for each slice: the corner voxels of what must be covered."""
    slices, rows, columns = geometry.shape
    has_corners = False
    for k in range(slices):
        j_range, i_range = (0, rows - 1), (0, columns - 1)
        if mask is not None:
            j_hits, i_hits = np.flatnonzero(mask[k].any(axis=1)), np.flatnonzero(mask[k].any(axis=0))
            if not len(j_hits):
                continue
            j_range, i_range = (int(j_hits[0]), int(j_hits[-1])), (int(i_hits[0]), int(i_hits[-1]))
        has_corners = True
        yield geometry.ijk_to_lps([(i, j, k) for j in j_range for i in i_range])
    if not has_corners:
        raise ValueError("the mask is empty: nothing to cover")


_FillPlane = Callable[[float, NDArray[Any]], None]
"""Fills the plane (y, x) of the grid at height z in mm."""


@dataclass(frozen=True)
class _Lattice:
    """An LPS-aligned grid as three coordinate axes in mm."""

    z: NDArray[np.float64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]

    @classmethod
    def of(cls, grid: VolumeGeometry) -> _Lattice:
        affine = grid.affine
        off_axis = affine[:3, :3] - np.diag(np.diag(affine[:3, :3]))
        if not grid.is_regular or np.abs(off_axis).max() > AXIS_TOLERANCE:
            raise ValueError("the target grid must be regular and lie along the LPS axes, as regular_grid makes it")
        slices, rows, columns = grid.shape
        x, y, z = (
            affine[axis, 3] + affine[axis, axis] * np.arange(n) for axis, n in enumerate((columns, rows, slices))
        )
        return cls(z, y, x)


def _sample_acquired(
    values: NDArray[Any], geometry: VolumeGeometry, grid: VolumeGeometry, result: NDArray[Any], *, order: int
) -> None:
    """Fills `result` (grid shape) plane by plane where the acquired voxels reach; planes run in threads."""
    lattice = _Lattice.of(grid)
    limits = np.array(geometry.shape, dtype=np.float64) - 1
    fill = _fill_by_rows if _columns_run_along_x(geometry) else _fill_by_points
    fill_plane = fill(values, geometry, lattice, limits, order)
    with ThreadPoolExecutor(SAMPLING_THREADS) as pool:  # NumPy and SciPy let go of the interpreter meanwhile
        list(pool.map(fill_plane, map(float, lattice.z), result))


def _columns_run_along_x(geometry: VolumeGeometry) -> bool:
    """True for a head that is not turned in the image: then one index of a point tells its column, two its row."""
    across = np.abs(geometry.column_step[1:]).max() + abs(float(geometry.row_step[0]))
    return bool(across < AXIS_TOLERANCE and np.ptp(geometry.slice_origins[:, 0]) < AXIS_TOLERANCE)


def _fill_by_points(
    values: NDArray[Any], geometry: VolumeGeometry, lattice: _Lattice, limits: NDArray[np.float64], order: int
) -> _FillPlane:
    """Any geometry: every voxel of a plane by its own three indices."""

    def fill(z: float, plane: NDArray[Any]) -> None:
        index = np.stack(_acquired_index(geometry, lattice, z))
        reach = limits.reshape(3, 1, 1) + HALF_VOXEL
        inside = np.all((index >= -HALF_VOXEL) & (index <= reach), axis=0)
        if not inside.any():
            return
        coordinates = np.clip(index[:, inside], 0, limits[:, None])  # the outer half voxel repeats the edge
        if order:
            plane[inside] = ndimage.map_coordinates(values, coordinates, order=order, mode="nearest")
        else:
            plane[inside] = values[tuple(np.rint(coordinates).astype(np.intp))]

    return fill


def _fill_by_rows(
    values: NDArray[Any], geometry: VolumeGeometry, lattice: _Lattice, limits: NDArray[np.float64], order: int
) -> _FillPlane:
    """Columns along x: interpolate along x once, then whole rows; the same numbers in a tenth of the time."""
    one_row = _Lattice(lattice.z[:1], lattice.y[:1], lattice.x)
    column = _acquired_index(geometry, one_row, lattice.z[0])[2][0]
    reached = (column >= -HALF_VOXEL) & (column <= limits[2] + HALF_VOXEL)
    rows = _blend(values, column[reached], limits[2], order)  # (slices, rows, x)
    first = int(np.argmax(reached))
    across = slice(first, first + np.count_nonzero(reached))  # one run: columns of the image follow each other along x
    one_column = _Lattice(lattice.z, lattice.y, lattice.x[:1])
    k, j, _ = (index[..., 0] for index in _acquired_index(geometry, one_column, lattice.z[:, None, None]))  # (z, y)
    inside = (k >= -HALF_VOXEL) & (k <= limits[0] + HALF_VOXEL) & (j >= -HALF_VOXEL) & (j <= limits[1] + HALF_VOXEL)
    number_of = {float(z): number for number, z in enumerate(lattice.z)}

    def fill(z: float, plane: NDArray[Any]) -> None:
        number = number_of[z]
        kept = inside[number]
        if not kept.any():
            return
        (below, above, share_k), (front, back, share_j) = (
            _taps(index[number][kept], limit, order) for index, limit in ((k, limits[0]), (j, limits[1]))
        )
        if not order:
            plane[:, across][kept] = rows[below, front]
            return
        lower = _between(rows[below, front], rows[below, back], share_j)
        upper = _between(rows[above, front], rows[above, back], share_j)
        plane[:, across][kept] = _between(lower, upper, share_k)

    return fill


def _blend(values: NDArray[Any], index: NDArray[np.float64], limit: float, order: int) -> NDArray[Any]:
    """Values at fractional indices of the last axis."""
    low, high, share = _taps(index, limit, order)
    if not order:
        return values.take(low, axis=-1)
    return _between(values.take(low, axis=-1), values.take(high, axis=-1), share[:, 0])


def _between(low: NDArray[Any], high: NDArray[Any], share: NDArray[np.float32]) -> NDArray[Any]:
    """Linear between two arrays, which are used up: `share` is the weight of the second."""
    if low.dtype.kind != "f":
        return np.asarray(low * (1 - share) + high * share)
    low *= 1 - share
    high *= share
    low += high
    return low


def _taps(
    index: NDArray[np.float64], limit: float, order: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Lower and upper neighbor, and the weight (n, 1) of the upper one; nearest neighbor twice for order 0."""
    clipped = np.clip(index, 0, limit)
    if not order:
        nearest = np.rint(clipped).astype(np.intp)
        return nearest, nearest, np.zeros((len(index), 1), dtype=np.float32)
    low = np.minimum(np.floor(clipped), max(limit - 1, 0)).astype(np.intp)
    high = np.minimum(low + 1, int(limit))
    return low, high, (clipped - low).astype(np.float32)[:, None]


def _acquired_index(
    geometry: VolumeGeometry, lattice: _Lattice, z: float | NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fractional (slice, row, column), each (y, x), of one plane of the lattice; (z, y, x) of heights (z, 1, 1).

    The same as `geometry.lps_to_ijk`, but sums of rows and columns instead of points.
    """
    normal = geometry.normal
    along = z * normal[2] + lattice.y[:, None] * normal[1] + lattice.x * normal[0]
    to_plane = np.linalg.pinv(np.column_stack((geometry.column_step, geometry.row_step)))
    positions = geometry.slice_positions_mm
    k = _fractional_slice(positions, along)
    low = np.clip(np.floor(k), 0, max(len(positions) - 2, 0)).astype(np.intp)
    weight = k - low
    in_plane = []
    for step in to_plane:  # first columns, then rows
        origins = geometry.slice_origins @ step
        gaps = np.append(np.diff(origins), 0.0)
        point = z * step[2] + lattice.y[:, None] * step[1] + lattice.x * step[0]
        in_plane.append(point - origins[low] - weight * gaps[low])
    return k, in_plane[1], in_plane[0]


def _fractional_slice(positions: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slice index of positions along the normal, extrapolated beyond the ends."""
    if len(positions) == 1:
        return np.asarray(along - positions[0])
    sign = 1.0 if positions[-1] > positions[0] else -1.0
    ascending = sign * positions
    low = np.clip(np.searchsorted(ascending, sign * along, side="right") - 1, 0, len(positions) - 2)
    return np.asarray(low + (sign * along - ascending[low]) / np.diff(ascending)[low])


def _as_stack(maps: NDArray[Any], grid: VolumeGeometry) -> NDArray[Any]:
    if maps.shape[-3:] != grid.shape:
        raise ValueError(f"maps end in shape {maps.shape[-3:]}, the grid has {grid.shape}")
    return maps.reshape(-1, *grid.shape)


def _acquired_points(
    geometry: VolumeGeometry, grid: VolumeGeometry, where: NDArray[np.bool_] | None
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.float64]]]:
    """Slices with wanted voxels in the grid: index, bool (rows, columns) of them, their (z, y, x) grid indices (3, n).

    Indices of the outer half voxel of the grid are moved to its edge.
    """
    if not grid.is_regular:
        raise ValueError("the source grid must be regular")
    _, rows, columns = geometry.shape
    limits = np.reshape(grid.shape, (3, 1)) - 1.0
    to_grid = np.linalg.inv(grid.affine)
    i_step, j_step = to_grid[:3, :3] @ geometry.column_step, to_grid[:3, :3] @ geometry.row_step
    for k, origin in enumerate(geometry.slice_origins):
        pixels = np.ones((rows, columns), dtype=bool) if where is None else where[k]
        j, i = np.nonzero(pixels)
        if not len(i):
            continue
        first = to_grid[:3, :3] @ origin + to_grid[:3, 3]
        zyx = (first[:, None] + i_step[:, None] * i + j_step[:, None] * j)[::-1]
        inside = np.all((zyx >= -HALF_VOXEL) & (zyx <= limits + HALF_VOXEL), axis=0)
        reached = np.zeros((rows, columns), dtype=bool)
        reached[j[inside], i[inside]] = True
        yield k, reached, np.clip(zyx[:, inside], 0, limits)
