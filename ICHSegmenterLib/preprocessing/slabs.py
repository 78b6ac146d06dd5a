"""Slabs of an exam: thin slices averaged, a square around the brain at one pixel size, and the exact way back.

A sheared or tilted stack is followed: the square goes straight along the slice normal, so that neighbors lie over each
other. What a network says of slabs comes back to the acquired voxels by linear interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.preprocessing.blocks import block_mean, linear_weights
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing
from ICHSegmenterLib.preprocessing.windowing import apply_windows
from ICHSegmenterLib.volume.geometry import VolumeGeometry

AIR_HU = -1024.0
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
        positions = self.geometry.slice_positions_mm
        positions = positions if positions[-1] >= positions[0] else -positions
        size = self.slices_a_slab
        return np.array([positions[start : start + size].mean() for start in range(0, len(positions), size)])

    def forward(self, acquired: Array) -> Array:
        """HU (slices, rows, columns) of the acquired array to float32 (slabs, side, side); air outside."""
        axial = self.view.apply(acquired)
        if self._is_straight:
            slabs = block_mean(np.ascontiguousarray(axial, dtype=np.float32), 0, self.slices_a_slab)
            return self._resampled(slabs, range(0, len(axial), self.slices_a_slab))
        return block_mean(self._resampled(axial, range(len(axial))), 0, self.slices_a_slab)

    def forward_share(self, acquired: NDArray[np.bool_]) -> Array:
        """How much of each of the network's pixels a mask of the acquired array fills: float32 (slabs, side, side)."""
        return self.forward(acquired.astype(np.float32) + np.float32(AIR_HU)) - np.float32(AIR_HU)

    def inverse(self, maps: Array, index: int) -> Array:
        """Maps (slabs, labels, side, side) on one acquired slice: float32 (labels, rows, columns), zero outside."""
        axial_index = self.view.acquired_index(index, self.geometry.shape[0])
        weights = self.slab_weights(index)
        used = np.flatnonzero(weights)
        mixed = np.tensordot(weights[used], maps[used], axes=1)
        _, rows, columns = self.geometry.shape
        on_axial = np.zeros((len(mixed), rows, columns), dtype=np.float32)
        seen = mixed.any(axis=0)
        if seen.any():
            top_bottom, left_right = _span(seen.any(axis=1)), _span(seen.any(axis=0))
            along_rows = self._back_weights(axial_index, 0)[:, top_bottom]
            along_columns = self._back_weights(axial_index, 1)[:, left_right]
            on_axial = np.matmul(np.matmul(along_rows, mixed[:, top_bottom, left_right]), along_columns.T)
        return np.ascontiguousarray(self.view.undo_slices(on_axial))

    def slab_weights(self, index: int) -> Array:
        """(slabs,) share of each in an acquired slice: linear between the middles of slabs."""
        return np.asarray(self._slab_weights[self.view.acquired_index(index, self.geometry.shape[0])])

    @cached_property
    def _drift(self) -> NDArray[np.float64]:
        return _drift_mm(self.geometry)

    @cached_property
    def _is_straight(self) -> bool:
        return bool(np.ptp(self._drift, axis=0).max() < SHEAR_TOLERANCE_MM)

    @cached_property
    def _slab_weights(self) -> Array:
        """(slices, slabs)."""
        return linear_weights(self.geometry.shape[0], self.count, self.slices_a_slab)

    def _center_pixel(self, axial_index: int, axis: int) -> float:
        return float((self.center_mm[axis] - self._drift[axial_index, axis]) / self.geometry.pixel_spacing_mm[axis])

    def _resampled(self, slices: Array, axial_indices: range) -> Array:
        """Slices whose axial indices are given, at the network's pixels."""
        side = self.preprocessing.side
        result = np.empty((len(slices), side, side), dtype=np.float32)
        rows = columns = None
        for number, index in enumerate(axial_indices):
            if rows is None or columns is None or not self._is_straight:
                rows, columns = (self._weights(index, axis) for axis in (0, 1))
            result[number] = rows @ (slices[number] - np.float32(AIR_HU)) @ columns.T
        return result + np.float32(AIR_HU)

    def _weights(self, axial_index: int, axis: int) -> Array:
        """(side, pixels): a triangle over the wider of both pixels, so that fine pixels are averaged."""
        spacing, side = self.preprocessing.spacing_mm, self.preprocessing.side
        scale = spacing / self.geometry.pixel_spacing_mm[axis]
        position = self._center_pixel(axial_index, axis) + (np.arange(side) - (side - 1) / 2) * scale
        reach = max(1.0, scale)
        first = int(np.floor(position.min() - reach))
        pixels = np.arange(first, int(np.ceil(position.max() + reach)) + 1)
        weights = np.maximum(0, 1 - np.abs(position[:, None] - pixels) / reach)
        weights /= weights.sum(axis=1, keepdims=True)
        count = self.geometry.shape[1 + axis]
        kept = np.zeros((side, count), dtype=np.float32)
        inside = (pixels >= 0) & (pixels < count)
        kept[:, pixels[inside]] = weights[:, inside]
        return kept

    def _back_weights(self, axial_index: int, axis: int) -> Array:
        """(pixels, side) weights of linear interpolation."""
        spacing, side = self.preprocessing.spacing_mm, self.preprocessing.side
        pixels = np.arange(self.geometry.shape[1 + axis]) - self._center_pixel(axial_index, axis)
        position = pixels * self.geometry.pixel_spacing_mm[axis] / spacing + (side - 1) / 2
        return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(side))).astype(np.float32)


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
    weights = neighbor_weights(positions_mm, number, preprocessing)
    used = np.flatnonzero(weights.any(axis=0))
    return np.tensordot(weights[:, used], slabs[used], axes=1)


def neighbor_weights(
    positions_mm: NDArray[np.float64], number: int, preprocessing: SlabPreprocessing
) -> NDArray[np.float32]:
    """(neighbors, slabs) weights of linear interpolation; beyond the outermost slabs these are repeated."""
    heights = positions_mm[number] + np.asarray(preprocessing.neighbors_mm)
    identity = np.eye(len(positions_mm))
    return np.stack([np.interp(heights, positions_mm, row) for row in identity], axis=1).astype(np.float32)


def windowed(slab: Array, around: Array, preprocessing: SlabPreprocessing) -> Array:
    """Channels of a slab (side, side) and its neighbors (neighbors, side, side), both in HU."""
    beside = apply_windows(around, (preprocessing.neighbor_window,), "window")[:, 0]
    return np.concatenate((beside, apply_windows(slab[None], preprocessing.windows, "window")[0]))


def _span(is_used: NDArray[np.bool_]) -> slice:
    """From the first to the last True."""
    places = np.flatnonzero(is_used)
    return slice(int(places[0]), int(places[-1]) + 1)


def _drift_mm(geometry: VolumeGeometry) -> NDArray[np.float64]:
    """(slices, 2) how far each slice's first pixel lies from the lowest one's along rows and columns, in mm."""
    steps = np.stack((geometry.row_step, geometry.column_step))
    directions = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray((geometry.slice_origins - geometry.slice_origins[0]) @ directions.T)
