"""Slices of a head that moved, put back beside each other, for what looks across slices.

For a method only the grid on which it sees the slices changes, never a pixel: each slice lies elsewhere in its own
plane, and what is outlined on it stays on its acquired pixels. Checks look at pixels that are moved on the same grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.blocks import box_in_plane
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

PIXEL_MM = 1.5
"""Of the pictures that are laid over each other."""
SHOWN_HU = (-300.0, 500.0)
"""Skin, brain and skull count, air and the depth of bone do not."""
BLURS_PIXELS = (3.0, 1.0)
"""Far shifts are found in the coarser pictures, and made exact in the finer ones."""
MAX_TRIES, EXACT_PIXELS = 10, 0.02
MIN_AREA = 0.03
"""Of the largest slice's brain; slices with less are not moved."""
TREND_MM = 20.0
"""Heads lean and narrow: what goes on over such a distance is anatomy, what jumps from slice to slice is motion."""
TREND_ROUNDS, USUAL_ERROR_MM = 3, 0.05
MAX_SHIFT_MM = 15.0
"""More is no motion that a scan survives, but slices that were laid over each other wrongly."""
MARGIN_MM = 10.0
"""Around the brain, for checks that look at its border."""

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def align_slices(volume: Volume, shifts_mm: Floats) -> tuple[Volume, InputFinding]:
    """The same pixels on a grid whose slices lie as if the head had been still, and what was done.

    Args:
        volume: Axial slices of a head that moved (`InputCode.MOTION`).
        shifts_mm: As of `slice_shifts_mm`.
    """
    grid = volume.geometry
    origins = grid.slice_origins - shifts_mm @ _directions(grid)
    still = VolumeGeometry(grid.shape, grid.column_step, grid.row_step, origins)
    farthest = float(np.linalg.norm(shifts_mm, axis=1).max())
    return Volume(volume.hu, still, volume.source), InputFinding(InputCode.ALIGNED, {"farthest_mm": farthest})


def put_back(volume: Volume, mask: Mask, shifts_mm: Floats) -> tuple[Volume, Mask]:
    """The slices as they would have been sampled of a still head, on the same grid, and the mask with them.

    Pixels are interpolated around the brain; what is farther away stays as it is.

    Args:
        volume: Axial slices of a head that moved.
        mask: bool (slices, rows, columns), the inside of the skull.
        shifts_mm: As of `slice_shifts_mm`.
    """
    hu, inside = volume.hu.copy(), mask.copy()
    spacing_mm = np.array(volume.geometry.pixel_spacing_mm)
    around = box_in_plane(mask, int(np.ceil((MAX_SHIFT_MM + MARGIN_MM) / spacing_mm.min())))
    for k, shift in enumerate(-shifts_mm / spacing_mm):
        if shift.any():
            ndimage.shift(volume.hu[k][around], shift, hu[k][around], order=1, mode="nearest")
            ndimage.shift(mask[k][around], shift, inside[k][around], order=0)
    return Volume(hu, volume.geometry, volume.source), inside


def slice_shifts_mm(volume: Volume, mask: Mask) -> Floats:
    """How far each slice lies beside where its neighbors say it should.

    Each slice is laid over the next one by translation and growth (Lucas and Kanade, IJCAI 1981). Of the path of the
    head that this makes, a line that is fitted around each slice is anatomy, and the rest is motion.

    Args:
        volume: Axial slices in HU, without NaN.
        mask: bool (slices, rows, columns), the inside of the skull.

    Returns:
        float64 (slices, 2) mm, down the rows and along the columns; zero for slices with hardly any brain.
    """
    areas = mask.sum(axis=(1, 2))
    seen = np.flatnonzero(areas > MIN_AREA * areas.max())
    used = np.arange(seen[0], seen[-1] + 1)
    grid = volume.geometry
    pictures = [_Picture.of(volume.hu[k], grid.pixel_spacing_mm) for k in used]
    steps = [beside_pixels(one, other) for one, other in pairwise(pictures)]
    path = grid.slice_origins[used] @ _directions(grid).T
    path[1:] += PIXEL_MM * np.cumsum(steps, axis=0).reshape(-1, 2)
    shifts = np.zeros((grid.shape[0], 2))
    shifts[used] = path - _trend(path, grid.slice_positions_mm[used])
    shifts[np.linalg.norm(shifts, axis=1) > MAX_SHIFT_MM] = 0.0
    return shifts


def _directions(grid: VolumeGeometry) -> Floats:
    """(2, 3) unit vectors down the rows and along the columns."""
    return np.stack([step / np.linalg.norm(step) for step in (grid.row_step, grid.column_step)])


@dataclass(frozen=True, eq=False)
class _Picture:
    """A slice of `PIXEL_MM`, more and less blurred.

    Attributes:
        blurred: float64 (rows, columns), as coarse as `BLURS_PIXELS` says.
        slopes: float64 (4, rows, columns) of each: what a shift down the rows and along the columns changes, and what
            growth in both directions about the middle does.
        middle: (row, column) of the head.
    """

    blurred: tuple[Floats, ...]
    slopes: tuple[Floats, ...]
    middle: Floats

    @classmethod
    def of(cls, hu: NDArray[np.float32], spacing_mm: Sequence[float]) -> _Picture:
        """Of float32 (rows, columns) with the spacing of rows and of columns."""
        scales = [PIXEL_MM / spacing for spacing in spacing_mm]
        shown = ndimage.gaussian_filter(np.clip(hu, *SHOWN_HU), [0.5 * scale for scale in scales])
        size = tuple(int((count - 1) / scale) + 1 for count, scale in zip(hu.shape, scales, strict=True))
        picture = ndimage.affine_transform(shown, scales, output_shape=size, order=1, output=np.float64)
        middle = np.array(ndimage.center_of_mass(picture - SHOWN_HU[0]))
        away = np.indices(size) - middle[:, None, None]
        blurred = tuple(ndimage.gaussian_filter(picture, blur) for blur in BLURS_PIXELS)
        slopes = (np.stack(np.gradient(one)) for one in blurred)
        return cls(blurred, tuple(np.concatenate((slope, slope * away)) for slope in slopes), middle)


def beside_pixels(fixed: _Picture, moving: _Picture) -> Floats:
    """(2,) pixels, down the rows and along the columns, by which one picture shows the head farther on.

    It may be wider or narrower there, which in a leaning head looks like a shift: so it may also grow about its middle,
    in either direction.
    """
    change = np.zeros(4)
    for still, slopes, other in zip(fixed.blurred, fixed.slopes, moving.blurred, strict=True):
        slant = np.tensordot(slopes, slopes, axes=((1, 2), (1, 2)))
        for _ in range(MAX_TRIES):
            shift, growth = change[:2], change[2:]
            laid = ndimage.affine_transform(other, 1 + growth, shift - growth * fixed.middle, order=1, mode="nearest")
            step = np.linalg.lstsq(slant, np.tensordot(slopes, still - laid, axes=((1, 2), (0, 1))), rcond=None)[0]
            change = change + step
            if np.abs(step[:2]).max() < EXACT_PIXELS:
                break
    return change[:2]


def _trend(path: Floats, positions_mm: Floats) -> Floats:
    """(slices, 2) of lines through the slices around each; those that jump count less."""
    result = np.empty_like(path)
    for number, position in enumerate(positions_mm):
        away = positions_mm - position
        near = np.exp(-0.5 * (away / TREND_MM) ** 2)
        line = np.stack([np.ones_like(away), away], axis=1)
        for axis, values in enumerate(path.T):
            weight = near
            for _ in range(TREND_ROUNDS):
                weighted = line * weight[:, None]
                fit = np.linalg.lstsq(weighted.T @ line, weighted.T @ values, rcond=None)[0]
                error = np.abs(values - line @ fit)
                usual = 1.4826 * float(np.median(error)) + USUAL_ERROR_MM
                weight = near / (1.0 + (error / (2 * usual)) ** 2)
            result[number, axis] = fit[0]
    return result
