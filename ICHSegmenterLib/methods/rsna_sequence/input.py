"""A series as the slice-and-sequence transformer sees it: three windows in bytes, cropped, edges removed, 224 x 224.

Re-creates the data path of Shang et al., arXiv 2205.07556 (PaddlePaddle/Research, Apache-2.0), quirks included:
bytes are truncated, not rounded, and both crops lose their last row and column.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.spec import Window

cv2: Any = import_module("cv2") if find_spec("cv2") else None
"""OpenCV, which comes with the torch extra; this method also runs without it."""

Bytes = NDArray[np.uint8]

OPENING_ITERATIONS = 3
OPENING_ELEMENT = np.array(
    [[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=bool
)
"""A 5 x 5 ellipse."""
FIXED_POINT = 2048
"""OpenCV's weights of neighboring pixels are whole numbers of this."""
GROUP_MM = 5.0
"""Thin slices are averaged to about this thickness before the network, which was trained on thick ones."""
MAX_GROUPED_STEP_MM = 2.5
"""Only exams with smaller steps are grouped; others are shown as acquired."""


def windowed_cube(hu: NDArray[np.float32], windows: Sequence[Window]) -> Bytes:
    """HU (slices, rows, columns) to bytes (slices, rows', columns', windows), cropped to what any window shows.

    The crop box is that of all slices together and loses its last row and column, as the authors' does.
    """
    cube = np.empty((*hu.shape, len(windows)), dtype=np.uint8)
    shown_by = np.zeros(cube.shape[1:], dtype=np.uint8)
    for one, pixels in zip(hu, cube, strict=True):  # one slice stays in the cache
        pixels[...] = _in_windows(one, windows)
        shown_by |= pixels
    shown = np.asarray(shown_by.any(axis=-1))
    if not shown.any():
        return cube
    rows, columns = (np.flatnonzero(np.any(shown, axis=axis)) for axis in (1, 0))
    return cube[:, rows[0] : max(rows[-1], rows[0] + 1), columns[0] : max(columns[-1], columns[0] + 1)]


def without_black_edge(pixels: Bytes) -> Bytes:
    """One slice (rows, columns, windows) cropped to its head: the box of the opened first window.

    A slice with nothing in it becomes zeros.
    """
    opened = _opened(pixels[..., 0])
    if not opened.any():
        return np.zeros_like(pixels)
    rows, columns = (np.flatnonzero(np.any(opened, axis=axis)) for axis in (1, 0))
    return pixels[rows[0] : max(rows[-1], rows[0] + 1), columns[0] : max(columns[-1], columns[0] + 1)]


def resized(pixels: Bytes, side: int) -> Bytes:
    """(rows, columns, windows) to (windows, side, side): bilinear, half-pixel centers, no antialiasing.

    In OpenCV's fixed point, so that no gray level differs from the authors' arrays; by OpenCV itself where a slice
    becomes smaller, as heads do. What becomes larger is computed here, the same with and without OpenCV.
    """
    if cv2 is not None and min(pixels.shape[:2]) >= side:
        small = cv2.resize(np.ascontiguousarray(pixels), (side, side), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(small.reshape(side, side, -1).transpose(2, 0, 1))
    return resized_by_hand(pixels, side)


def resized_by_hand(pixels: Bytes, side: int) -> Bytes:
    """The same without OpenCV; equal to the last bit where a slice becomes smaller."""
    rows, columns = (_taps(size, side) for size in pixels.shape[:2])
    values = pixels.astype(np.int64)
    left, right = values[:, columns[0]], values[:, columns[1]]
    across = left * columns[2][:, None] + right * columns[3][:, None]
    top, bottom = (across[rows[n]] >> 4 for n in (0, 1))
    down = ((rows[2][:, None, None] * top) >> 16) + ((rows[3][:, None, None] * bottom) >> 16)
    return ((down + 2) >> 2).astype(np.uint8).transpose(2, 0, 1)


def network_slices(cube: Bytes, side: int) -> Bytes:
    """Cube (slices, rows, columns, windows) to (slices, windows, side, side), each slice cropped by itself."""
    return np.stack([resized(without_black_edge(pixels), side) for pixels in cube])


def slice_groups(slices: int, step_mm: float) -> NDArray[np.intp]:
    """(slices,) number of the group that each slice belongs to; neighbors together until `GROUP_MM` is reached."""
    together = max(1, round(GROUP_MM / step_mm)) if step_mm < MAX_GROUPED_STEP_MM else 1
    return np.arange(slices) // together


def grouped(hu: NDArray[np.float32], groups: NDArray[np.intp]) -> NDArray[np.float32]:
    """Mean HU of each group: (groups, rows, columns)."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    is_real = np.bincount(groups)[:, None, None]
    return np.asarray(np.add.reduceat(hu, starts, axis=0) / is_real, dtype=np.float32)


def _in_windows(hu: NDArray[np.float32], windows: Sequence[Window]) -> Bytes:
    """HU (rows, columns) to bytes (rows, columns, windows); whole numbers, as most files hold, by a table."""
    whole = hu.astype(np.int16)
    if not hu.size or not np.array_equal(whole, hu):  # such as a mean of slices
        return np.stack([_shown(hu, window) for window in windows], axis=-1)
    lowest, highest = int(whole.min()), int(whole.max())
    levels = np.arange(lowest, highest + 1, dtype=np.float32)
    table = np.stack([_shown(levels, window) for window in windows], axis=-1)
    return table.take(np.subtract(whole, lowest, dtype=np.intp), axis=0)


def _shown(hu: NDArray[np.float32], window: Window) -> Bytes:
    """HU in a window as bytes, truncated."""
    low, high = window.edges
    return np.asarray(np.clip((hu - low) / (high - low), 0.0, 1.0) * 255).astype(np.uint8)


def _opened(pixels: Bytes) -> Bytes:
    """Gray-scale opening of one window (rows, columns); by OpenCV seventy times as fast, to the same bytes."""
    if cv2 is not None:
        element = OPENING_ELEMENT.astype(np.uint8)
        opened = cv2.morphologyEx(np.ascontiguousarray(pixels), cv2.MORPH_OPEN, element, iterations=OPENING_ITERATIONS)
        return np.asarray(opened, dtype=np.uint8)
    return opened_by_hand(pixels)


def opened_by_hand(pixels: Bytes) -> Bytes:
    """The same without OpenCV."""
    for _ in range(OPENING_ITERATIONS):
        pixels = ndimage.grey_erosion(pixels, footprint=OPENING_ELEMENT, mode="constant", cval=255)
    for _ in range(OPENING_ITERATIONS):
        pixels = ndimage.grey_dilation(pixels, footprint=OPENING_ELEMENT, mode="constant", cval=0)
    return pixels


def _taps(size: int, side: int) -> tuple[NDArray[np.int64], ...]:
    """For each new pixel: its two neighbors and their weights in units of 1 / `FIXED_POINT`."""
    position = ((np.arange(side) + 0.5) * (size / side) - 0.5).astype(np.float32)
    left = np.floor(position).astype(np.int64)
    share = np.where((left < 0) | (left >= size - 1), np.float32(0), position - left.astype(np.float32))
    left = np.clip(left, 0, size - 1)
    right = np.minimum(left + 1, size - 1)
    weights = (np.rint(part * FIXED_POINT).astype(np.int64) for part in (1 - share, share))
    return left, right, *weights
