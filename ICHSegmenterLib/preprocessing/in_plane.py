"""Resize and center crop of a slice, and the way back to the acquired pixels.

The forward way equals torchvision's `Resize(antialias=False)` + `CenterCrop` on square pixels. Bilinear
resizing is separable, so both ways interpolate along rows and along columns with weights made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.preprocessing.spec import MaskSampling

SQUARE_PIXEL_TOLERANCE = 1e-3
"""Relative difference of row and column spacing below which pixels count as square."""


@dataclass(frozen=True)
class InPlaneGrid:
    """The pixels a slice network sees, and where they lie in the acquired slice.

    The shorter side becomes `resize` pixels and the other keeps its proportion; pixels that are not square
    are measured in millimeters, so the network always sees undistorted anatomy.

    Attributes:
        shape: (rows, columns) of the acquired slice.
        resize: Shorter side after resizing, pixels.
        crop: Side of the central square, pixels.
        spacing_mm: (between rows, between columns) of the acquired slice.
    """

    shape: tuple[int, int]
    resize: int = 422
    crop: int = 384
    spacing_mm: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.spacing_mm) <= 0:
            raise ValueError(f"shape and spacing must be positive, got {self.shape} and {self.spacing_mm} mm")
        if not 0 < self.crop <= self.resize:
            raise ValueError(f"crop must be between 1 and resize = {self.resize}, got {self.crop}")

    @cached_property
    def resized_shape(self) -> tuple[int, int]:
        """(rows, columns) after resizing, before the crop."""
        rows, columns = (float(n) for n in self.shape)
        if abs(self.spacing_mm[0] / self.spacing_mm[1] - 1) > SQUARE_PIXEL_TOLERANCE:
            rows, columns = rows * self.spacing_mm[0], columns * self.spacing_mm[1]
        if rows <= columns:
            return self.resize, int(self.resize * columns / rows)
        return int(self.resize * rows / columns), self.resize

    @cached_property
    def crop_origin(self) -> tuple[int, int]:
        """(row, column) of the first cropped pixel on the resized slice."""
        rows, columns = self.resized_shape
        return round((rows - self.crop) / 2), round((columns - self.crop) / 2)

    def forward(self, slices: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resize bilinearly without antialiasing and crop: (..., rows, columns) -> (..., crop, crop)."""
        self._check(slices.shape, self.shape)
        return _interpolated(slices, *self._forward_taps)

    def inverse(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring maps back: (..., crop, crop) -> (..., rows, columns) of the acquired slice.

        Every acquired pixel samples the resized slice bilinearly at its own place; outside the crop is zero.
        """
        self._check(maps.shape, (self.crop, self.crop))
        return _interpolated(maps, *self._inverse_taps)

    def forward_mask(self, masks: NDArray[np.bool_], sampling: MaskSampling = "center") -> NDArray[np.bool_]:
        """One pixel for each new one, then crop: (..., rows, columns) -> (..., crop, crop)."""
        self._check(masks.shape, self.shape)
        rows, columns = (
            sampled_index(size, resized, sampling)[start : start + self.crop]
            for size, resized, start in zip(self.shape, self.resized_shape, self.crop_origin, strict=True)
        )
        return np.asarray(masks[..., rows[:, None], columns])

    @cached_property
    def _forward_taps(self) -> tuple[_Taps, _Taps]:
        rows, columns = (
            _Taps.of(size, resized).outputs(slice(start, start + self.crop))
            for size, resized, start in zip(self.shape, self.resized_shape, self.crop_origin, strict=True)
        )
        return rows, columns

    @cached_property
    def _inverse_taps(self) -> tuple[_Taps, _Taps]:
        rows, columns = (
            _Taps.of(resized, size).inputs(start, self.crop)
            for size, resized, start in zip(self.shape, self.resized_shape, self.crop_origin, strict=True)
        )
        return rows, columns

    def _check(self, shape: tuple[int, ...], expected: tuple[int, int]) -> None:
        if shape[-2:] != expected:
            raise ValueError(f"expected slices of {expected} pixels, got shape {shape}")


@dataclass(frozen=True, eq=False)
class _Taps:
    """Linear interpolation along one axis: each output is input[low] * low_weight + input[high] * high_weight."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    low_weight: NDArray[np.float32]
    high_weight: NDArray[np.float32]

    @classmethod
    def of(cls, size: int, resized: int) -> _Taps:
        """From `size` to `resized` pixels, between pixel centers, clamped at the edges.

        Positions are computed in single precision, as torch does, so that weights agree to the last digits.
        """
        centers = np.arange(resized, dtype=np.float32) + np.float32(0.5)
        position = np.maximum(centers * np.float32(size / resized) - np.float32(0.5), np.float32(0))
        low = np.minimum(position.astype(np.intp), size - 1)
        high_weight = (position - low).astype(np.float32)
        return cls(low, np.minimum(low + 1, size - 1), 1 - high_weight, high_weight)

    def outputs(self, kept: slice) -> _Taps:
        """Only these output pixels."""
        return _Taps(self.low[kept], self.high[kept], self.low_weight[kept], self.high_weight[kept])

    def inputs(self, start: int, count: int) -> _Taps:
        """For an input of which only `count` pixels from `start` are held and the others are zero."""
        low, high = self.low - start, self.high - start
        low_weight = np.where((low >= 0) & (low < count), self.low_weight, np.float32(0))
        high_weight = np.where((high >= 0) & (high < count), self.high_weight, np.float32(0))
        return _Taps(np.clip(low, 0, count - 1), np.clip(high, 0, count - 1), low_weight, high_weight)

    def apply(self, plane: NDArray[np.float32], axis: Literal[0, 1], out: NDArray[np.float32]) -> None:
        """Interpolate a plane along an axis into `out`."""
        low_weight, high_weight = self.low_weight, self.high_weight
        if axis == 0:
            low_weight, high_weight = low_weight[:, None], high_weight[:, None]
        np.take(plane, self.low, axis, out=out, mode="clip")  # the other mode copies once more
        out *= low_weight
        upper = np.take(plane, self.high, axis, mode="clip")
        upper *= high_weight
        out += upper


def _interpolated(planes: NDArray[np.float32], rows: _Taps, columns: _Taps) -> NDArray[np.float32]:
    """(..., rows, columns) along rows, then along columns, plane by plane: what is between stays in the cache."""
    height, width = len(rows.low), len(columns.low)
    result = np.empty((*planes.shape[:-2], height, width), dtype=np.float32)
    between = np.empty((height, planes.shape[-1]), dtype=np.float32)
    planes = np.asarray(planes, dtype=np.float32)
    for plane, out in zip(planes.reshape(-1, *planes.shape[-2:]), result.reshape(-1, height, width), strict=True):
        rows.apply(plane, 0, between)
        columns.apply(between, 1, out)
    return result


def sampled_index(size: int, resized: int, sampling: MaskSampling) -> NDArray[np.intp]:
    """(resized,) index of the pixel that each new one takes: of the nearest center, or at its upper left corner."""
    if sampling == "floor":  # in single precision, as torch's "nearest" mode computes
        position = np.floor(np.arange(resized, dtype=np.float32) * np.float32(size / resized))
    else:
        position = np.floor((np.arange(resized) + 0.5) * (size / resized))
    return np.minimum(position, size - 1).astype(np.intp)
