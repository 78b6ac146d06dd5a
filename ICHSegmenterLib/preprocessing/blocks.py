"""Block means of voxels and the linear way back: a coarse grid whose place in the acquired one is exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MAX_COUNTED = 255
"""Voxels of a block of a mask that a byte counts."""


def block_mean(array: NDArray[np.float32] | NDArray[np.bool_], axis: int, block: int) -> NDArray[np.float32]:
    """Mean of `block` neighbors along an axis, of a mask their share.

    An incomplete last block is filled up with its last voxel.
    """
    if block == 1:
        return array.astype(np.float32, copy=False)
    size = array.shape[axis]
    count = -(-size // block)
    # In the order of the memory, which the masks made of these means keep: ten times faster than across it.
    is_counted = array.dtype == np.bool_ and block <= MAX_COUNTED
    kind = np.uint8 if is_counted else np.float32
    total = np.zeros((*array.shape[:axis], count, *array.shape[axis + 1 :]), dtype=kind)
    for offset in range(block):
        part = array[_along(axis, slice(offset, None, block))]
        total[_along(axis, slice(part.shape[axis]))] += part
        if part.shape[axis] < count:
            total[_along(axis, -1)] += array[_along(axis, -1)]
    means = total.astype(np.float32, copy=False)
    means /= block
    return means


def linear_weights(size: int, blocks: int, block: int) -> NDArray[np.float32]:
    """(size, blocks) weights of linear interpolation between block centers, constant beyond the outer ones."""
    position = np.clip((np.arange(size) + 0.5) / block - 0.5, 0, blocks - 1)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(blocks))).astype(np.float32)


def dilate_in_plane(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """(slices, rows, columns) grown by a disk of `radius` pixels in every slice."""
    _, rows, columns = mask.shape
    padded = np.pad(mask, ((0, 0), (radius, radius), (radius, radius)))
    wide = padded.copy()
    grown = np.zeros_like(mask)
    width = 0
    # From the top and bottom of the disk to its middle, whose runs are ever wider.
    for i in range(radius, -1, -1):
        run = int((radius * (radius + 1) - i * i) ** 0.5)
        while width < run:
            width += 1
            wide[:, :, width:] |= padded[:, :, :-width]
            wide[:, :, :-width] |= padded[:, :, width:]
        for start in {radius - i, radius + i}:
            grown |= wide[:, start : start + rows, radius : radius + columns]
    return grown


def erode_in_plane(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """(slices, rows, columns) shrunk by a disk of `radius` pixels in every slice."""
    return ~dilate_in_plane(~mask, radius)


def box_in_plane(mask: NDArray[np.bool_], margin: float) -> tuple[slice, slice]:
    """Rows and columns around what any slice of (slices, rows, columns) has of a mask, and so many pixels more."""
    bounds = []
    for axes in ((0, 2), (0, 1)):
        hits = np.flatnonzero(mask.any(axis=axes))
        bounds.append(slice(max(0, int(hits[0] - margin)), int(hits[-1] + margin) + 1))
    return bounds[0], bounds[1]


def fill_holes_in_plane(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(slices, rows, columns) with all in every slice that no path over sides of pixels joins with its border.

    As `scipy.ndimage.binary_fill_holes` of each slice, in a third of the time.
    """
    filled = np.empty_like(mask)
    for k, plane in enumerate(mask):
        outside, _ = ndimage.label(~np.pad(plane, 1))
        filled[k] = outside[1:-1, 1:-1] != outside[0, 0]
    return filled


def _along(axis: int, index: int | slice) -> tuple[int | slice, ...]:
    return (*(slice(None),) * axis, index)
