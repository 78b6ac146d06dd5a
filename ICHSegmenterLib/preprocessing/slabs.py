"""Slabs of an exam: thin slices averaged, a square around the brain at one pixel size, and the exact way back.

A sheared or tilted stack is followed: the square goes straight along the slice normal, so that neighbors lie over each
other. What a network says of slabs comes back to the acquired voxels by linear interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing
from ICHSegmenterLib.preprocessing.windowing import apply_windows
from ICHSegmenterLib.volume.geometry import VolumeGeometry

AIR_HU = -1024.0
BAND_ROWS = 32
"""Rows of a resampling that are multiplied at once."""
SHEAR_TOLERANCE_MM = 0.05
"""A stack that wanders less is straight."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SlabGrid:
    """The pixels of a network in the slabs of an exam. Slabs are counted from the feet, as axial slices are.

    Attributes:
        view: From the acquired array to its axial view; it keeps slices.
        geometry: Of the axial view.
        preprocessing: Thickness, pixel size and side.
        center_mm: (row, column) in mm from the first pixel of the lowest axial slice, straight along the normal.
    """

    view: AxialView
    geometry: VolumeGeometry
    preprocessing: SlabPreprocessing
    center_mm: tuple[float, float]

    @classmethod
    def of(cls, acquired: VolumeGeometry, brain_mask: NDArray[np.bool_], preprocessing: SlabPreprocessing) -> SlabGrid:
        """The slabs around a brain.

        Args:
            acquired: The grid; its slices are axial.
            brain_mask: bool (slices, rows, columns) on it; without any voxel the middle of the slices is taken.
            preprocessing: What the network wants to see.
        """
        view = AxialView.of(acquired)
        geometry = view.geometry(acquired)
        mask = view.apply(brain_mask)
        drift = _drift_mm(geometry)
        center = []
        for axis, spacing in enumerate(geometry.pixel_spacing_mm):
            inside = mask.any(axis=2 - axis)  # (slices, rows) or (slices, columns)
            slices, pixels = np.nonzero(inside)
            straight = pixels * spacing + drift[slices, axis]
            middle = (geometry.shape[1 + axis] - 1) / 2 * spacing + float(drift[:, axis].mean())
            center.append(float(straight.min() + straight.max()) / 2 if len(straight) else middle)
        return cls(view, geometry, preprocessing, (center[0], center[1]))

    @cached_property
    def slices_a_slab(self) -> int:
        """Acquired slices that are averaged; 1 if they are thick enough."""
        positions = self.geometry.slice_positions_mm
        if len(positions) < 2:
            return 1
        step = float(np.median(np.abs(np.diff(positions))))
        return max(1, round(self.preprocessing.slab_mm / step))

    @cached_property
    def count(self) -> int:
        """Number of slabs."""
        return -(-self.geometry.shape[0] // self.slices_a_slab)

    @cached_property
    def positions_mm(self) -> NDArray[np.float64]:
        """(slabs,) middle of each along the slice normal, ascending."""
        return np.array([self._slice_positions_mm[self._slices_of(number)].mean() for number in range(self.count)])

    def forward(self, acquired: NDArray[Any], outside: float = AIR_HU) -> Array:
        """The acquired array at the network's pixels.

        Args:
            acquired: (slices, rows, columns), HU unless `outside` says otherwise.
            outside: What lies beyond the slices.

        Returns:
            float32 (slabs, side, side).
        """
        axial = self.view.apply(acquired)
        side = self.preprocessing.side
        slabs = np.empty((self.count, side, side), dtype=np.float32)
        for number in range(self.count):
            members = self._slices_of(number)
            if self._is_straight:
                slabs[number] = self._at_pixels(axial[members], members.start, outside)
                continue
            shown = [self._at_pixels(axial[one : one + 1], one, outside) for one in range(members.start, members.stop)]
            slabs[number] = np.mean(shown, axis=0)
        return slabs

    def forward_share(self, acquired: NDArray[np.bool_]) -> Array:
        """How much of each of the network's pixels a mask of the acquired array fills: float32 (slabs, side, side)."""
        return self.forward(acquired, outside=0.0)

    def inverse(self, maps: Array, index: int, within: NDArray[np.bool_] | None = None) -> Array:
        """Maps on one acquired slice.

        Args:
            maps: float32 (slabs, labels, side, side).
            index: Of the acquired slice.
            within: bool (rows, columns) of that slice; elsewhere the maps are zero.

        Returns:
            float32 (labels, rows, columns), zero outside the network's square. Memory is taken up only around what is
            not zero.
        """
        mixed = self.mixed(maps, index)
        on_slice = np.zeros((len(mixed), *self._acquired_shape), dtype=np.float32)
        seen: NDArray[np.bool_] = np.any(mixed, axis=0)
        if not seen.any():
            return on_slice
        axial_index = self.view.acquired_index(index, self.geometry.shape[0])
        top_bottom, left_right = _span(np.any(seen, axis=1)), _span(np.any(seen, axis=0))
        between_rows, rows = self._back(axial_index, 0, top_bottom)
        between_columns, columns = self._back(axial_index, 1, left_right)
        framed = np.pad(mixed[:, top_bottom, left_right], ((0, 0), (1, 1), (1, 1)))
        values = _interpolated(_interpolated(framed, between_rows, 1), between_columns, 2)
        if within is not None:
            values *= self.view.apply_to_slices(within)[rows, columns]
        self.view.apply_to_slices(on_slice)[:, rows, columns] = values
        return on_slice

    def mixed(self, maps: Array, index: int) -> Array:
        """Maps (slabs, ...) at the height of an acquired slice, at the network's pixels: (...)."""
        weights = self.slab_weights(index)
        used = np.flatnonzero(weights)
        return np.tensordot(weights[used], maps[used], axes=1)

    def slab_weights(self, index: int) -> Array:
        """(slabs,) share of each in an acquired slice: linear between the middles of slabs."""
        return np.asarray(self._slab_weights[self.view.acquired_index(index, self.geometry.shape[0])])

    @cached_property
    def _slice_positions_mm(self) -> NDArray[np.float64]:
        """(slices,) of the axial slices along their normal, ascending."""
        positions = self.geometry.slice_positions_mm
        return positions if positions[-1] >= positions[0] else -positions

    @property
    def _acquired_shape(self) -> tuple[int, int]:
        """(rows, columns) of an acquired slice."""
        shape = [0, 0]
        for axis, count in zip(self.view.axes[1:], self.geometry.shape[1:], strict=True):
            shape[axis - 1] = count
        return shape[0], shape[1]

    def _slices_of(self, number: int) -> slice:
        """Axial slices of a slab."""
        start = number * self.slices_a_slab
        return slice(start, min(start + self.slices_a_slab, self.geometry.shape[0]))

    @cached_property
    def _drift(self) -> NDArray[np.float64]:
        return _drift_mm(self.geometry)

    @cached_property
    def _is_straight(self) -> bool:
        return bool(np.ptp(self._drift, axis=0).max() < SHEAR_TOLERANCE_MM)

    @cached_property
    def _slab_weights(self) -> Array:
        """(slices, slabs)."""
        return _interpolation(self._slice_positions_mm, self.positions_mm)

    def _center_pixel(self, axial_index: int, axis: int) -> float:
        return float((self.center_mm[axis] - self._drift[axial_index, axis]) / self.geometry.pixel_spacing_mm[axis])

    def _at_pixels(self, slices: NDArray[Any], axial_index: int, outside: float) -> Array:
        """(slices, rows, columns), averaged, at the network's pixels of one of them: (side, side)."""
        (along_rows, rows), (along_columns, columns) = (self._weights(axial_index, axis) for axis in (0, 1))
        mean = slices[:, rows, columns].mean(axis=0, dtype=np.float32) - np.float32(outside)
        return along_rows.product(along_columns.product(mean.T).T) + np.float32(outside)

    def _weights(self, axial_index: int, axis: int) -> tuple[_Bands, slice]:
        """(side, pixels in the span) weights, and the span: a triangle over the wider of both pixels.

        So fine pixels are averaged. A straight stack needs them once.
        """
        if self._is_straight:
            return self._straight_weights[axis]
        return self._weights_of(axial_index, axis)

    @cached_property
    def _straight_weights(self) -> tuple[tuple[_Bands, slice], ...]:
        return tuple(self._weights_of(0, axis) for axis in (0, 1))

    def _weights_of(self, axial_index: int, axis: int) -> tuple[_Bands, slice]:
        spacing, side = self.preprocessing.spacing_mm, self.preprocessing.side
        scale = spacing / self.geometry.pixel_spacing_mm[axis]
        position = self._center_pixel(axial_index, axis) + (np.arange(side) - (side - 1) / 2) * scale
        reach = max(1.0, scale)
        first = int(np.floor(position.min() - reach))
        pixels = np.arange(first, int(np.ceil(position.max() + reach)) + 1)
        weights = np.maximum(0, 1 - np.abs(position[:, None] - pixels) / reach)
        weights /= weights.sum(axis=1, keepdims=True)
        inside = (pixels >= 0) & (pixels < self.geometry.shape[1 + axis])
        span = slice(int(pixels[inside][0]), int(pixels[inside][-1]) + 1) if inside.any() else slice(0, 0)
        return _Bands(weights[:, inside].astype(np.float32)), span

    def _back(self, axial_index: int, axis: int, seen: slice) -> tuple[NDArray[np.float64], slice]:
        """Where acquired pixels lie among the seen ones of the network, counted from one before these, and which."""
        spacing, side = self.preprocessing.spacing_mm, self.preprocessing.side
        pixels = np.arange(self.geometry.shape[1 + axis]) - self._center_pixel(axial_index, axis)
        position = pixels * self.geometry.pixel_spacing_mm[axis] / spacing + (side - 1) / 2
        reached = np.flatnonzero((position > seen.start - 1) & (position < seen.stop))
        span = slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else slice(0, 0)
        return position[span] - (seen.start - 1), span


class _Bands:
    """A matrix whose rows hold a few neighboring weights each, so that most of a whole product would be of zeros.

    Args:
        weights: float32 (rows, columns).
    """

    def __init__(self, weights: Array) -> None:
        self._rows = len(weights)
        self._bands: list[tuple[slice, slice, Array]] = []
        for start in range(0, self._rows, BAND_ROWS):
            band = weights[start : start + BAND_ROWS]
            if band.any():
                used = _span(np.any(band, axis=0))
                self._bands.append((slice(start, start + len(band)), used, np.ascontiguousarray(band[:, used])))

    def product(self, values: Array) -> Array:
        """The matrix times values (columns, n): (rows, n)."""
        result = np.zeros((self._rows, values.shape[1]), dtype=np.float32)
        for rows, used, weights in self._bands:
            np.matmul(weights, values[used], out=result[rows])
        return result


def channels(slabs: Array, positions_mm: NDArray[np.float64], number: int, preprocessing: SlabPreprocessing) -> Array:
    """Network input for one slab: float32 (neighbors + windows, side, side) in [0, 1].

    Args:
        slabs: HU (slabs, side, side).
        positions_mm: (slabs,) ascending.
        number: Which slab; beyond the outermost ones these are repeated.
        preprocessing: Neighbors and windows.
    """
    return windowed(slabs[number], neighbors(slabs, positions_mm, number, preprocessing), preprocessing)


def neighbors(slabs: Array, positions_mm: NDArray[np.float64], number: int, preprocessing: SlabPreprocessing) -> Array:
    """HU (neighbors, side, side), each interpolated between the slabs around it."""
    return weighted(slabs, neighbor_weights(positions_mm, number, preprocessing))


def weighted(slabs: Array, weights: Array) -> Array:
    """Sums (neighbors, side, side) of slabs (slabs, side, side) by weights (neighbors, slabs)."""
    used = np.flatnonzero(weights.any(axis=0))
    return np.tensordot(weights[:, used], slabs[used], axes=1)


def neighbor_table(positions_mm: NDArray[np.float64], preprocessing: SlabPreprocessing) -> Array:
    """The weights of `neighbor_weights` for every slab: (slabs, neighbors, slabs)."""
    heights = positions_mm[:, None] + np.asarray(preprocessing.neighbors_mm)
    return _interpolation(heights.ravel(), positions_mm).reshape(*heights.shape, len(positions_mm))


def neighbor_weights(
    positions_mm: NDArray[np.float64], number: int, preprocessing: SlabPreprocessing
) -> NDArray[np.float32]:
    """(neighbors, slabs) weights of linear interpolation; beyond the outermost slabs these are repeated."""
    return _interpolation(positions_mm[number] + np.asarray(preprocessing.neighbors_mm), positions_mm)


def windowed(slab: Array, around: Array, preprocessing: SlabPreprocessing) -> Array:
    """Channels of a slab (side, side) and its neighbors (neighbors, side, side), both in HU."""
    beside = apply_windows(around, (preprocessing.neighbor_window,), "window")[:, 0]
    return np.concatenate((beside, apply_windows(slab[None], preprocessing.windows, "window")[0]))


def _interpolated(values: Array, position: NDArray[np.float64], axis: int) -> Array:
    """Values at fractional indices of an axis; each has a neighbor above."""
    low = np.floor(position).astype(np.intp)
    shape = [1] * values.ndim
    shape[axis] = -1
    result = values.take(low, axis=axis)
    result += (values.take(low + 1, axis=axis) - result) * (position - low).astype(np.float32).reshape(shape)
    return result


def _span(is_used: NDArray[np.bool_]) -> slice:
    """From the first to the last True."""
    places = np.flatnonzero(is_used)
    return slice(int(places[0]), int(places[-1]) + 1)


def _interpolation(heights_mm: NDArray[np.float64], positions_mm: NDArray[np.float64]) -> Array:
    """(heights, positions) weights of linear interpolation, constant beyond the outer positions."""
    identity = np.eye(len(positions_mm))
    return np.stack([np.interp(heights_mm, positions_mm, row) for row in identity], axis=1).astype(np.float32)


def _drift_mm(geometry: VolumeGeometry) -> NDArray[np.float64]:
    """(slices, 2) how far each slice's first pixel lies from the lowest one's along rows and columns, in mm."""
    steps = np.stack((geometry.row_step, geometry.column_step))
    directions = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray((geometry.slice_origins - geometry.slice_origins[0]) @ directions.T)
