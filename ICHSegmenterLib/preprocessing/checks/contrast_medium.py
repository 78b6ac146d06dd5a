"""Contrast medium, recognized by what vessels do: small bright spots at many places, high up as well as at the base.

Calcifications, clips and partial volume of bone are bright at few places; blood is not as bright, or broad.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.blocks import block_mean
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.volume.volume import Volume

PIXEL_MM, STEP_MM = 1.0, 2.9
"""Finer pixels are averaged in blocks, thinner slices are left out."""
FINE_MM, COARSE_MM, NOISY_HU = 1.0, 1.6, 5.0
"""Smoothing; the coarser one where the finer leaves more noise than the last."""
WALL_HU, CALCIUM_HU = 450.0, 400.0
"""Smoothed bone, and the peak from which a bright piece is calcium or metal."""
PIECE_HU = 90.0
SURROUNDINGS_MM, SURROUNDINGS_HU = 6.0, (-20.0, 100.0)
BROAD_HU = 60.0
"""Where the surroundings are so dense lies a broad bleed, not a vessel."""
CELL_MM = 12.0
"""Bright voxels are counted once in each cube of this size."""
REFERENCE_MM = 50.0


@dataclass(frozen=True)
class Spots:
    """What counts as a bright spot.

    Attributes:
        above_hu: Smoothed density.
        from_wall_mm: Distance to bone, also of the slices above and below.
        contrast_hu: Least difference from the surroundings.
        least_ml: Of a cube, for it to count.
        share: Of the largest slice's brain, which a slice must have to count.
    """

    above_hu: float
    from_wall_mm: float
    contrast_hu: float
    least_ml: float
    share: float


ANYWHERE = Spots(75.0, 3.5, 25.0, 0.0, 0.0)
HIGH_UP = Spots(80.0, 2.5, -np.inf, 0.005, 0.8)
WEIGHTS, OFFSET = (1.85, 1.94), -10.83
"""Logistic regression on log(1 + cubes) of both, on 14 made-up exams with contrast medium and 32 without."""
LIMIT = 0.2

Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class _Bright:
    """Bright voxels: slice, position along the normal, row and column in mm; densities; distance to bone."""

    slice: NDArray[np.intp]
    z_mm: Numbers
    y_mm: Numbers
    x_mm: Numbers
    fine_hu: Numbers
    hu: Numbers
    around_hu: Numbers
    from_wall_mm: Numbers
    voxel_ml: float
    areas: Numbers
    step_mm: float


def check_contrast(volume: Volume, mask: NDArray[np.bool_]) -> InputFinding | None:
    """Contrast medium in the vessels of the brain, None if there is none to be seen."""
    used = _spread_slices(volume, mask)
    if len(used) < 3:
        return None
    bright = _bright_voxels(volume, mask, used)
    if contrast_score(bright) < LIMIT:
        return None
    is_vessel = _is_spot(bright, ANYWHERE) | _is_spot(bright, HIGH_UP)
    parameters = {
        "volume_ml": float(is_vessel.sum() * bright.voxel_ml),
        "mean_hu": float(bright.fine_hu[is_vessel].mean()),
        "places": len(np.unique(_cells(bright, is_vessel))),
    }
    return InputFinding(InputCode.CONTRAST_MEDIUM, parameters)


def contrast_score(bright: _Bright) -> float:
    """Above `LIMIT` with contrast medium."""
    counts = [_cells_per_reference(bright, spots) for spots in (ANYWHERE, HIGH_UP)]
    return float(np.dot(WEIGHTS, np.log1p(counts)) + OFFSET)


def _spread_slices(volume: Volume, mask: NDArray[np.bool_]) -> list[int]:
    """Slices with brain, none closer than `STEP_MM`."""
    positions = volume.geometry.slice_positions_mm
    used: list[int] = []
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        if not used or abs(positions[k] - positions[used[-1]]) > STEP_MM:
            used.append(int(k))
    return used


def _bright_voxels(volume: Volume, mask: NDArray[np.bool_], used: list[int]) -> _Bright:
    block = max(1, int(PIXEL_MM / volume.geometry.pixel_spacing_mm[0] + 0.05))
    pixel = block * volume.geometry.pixel_spacing_mm[0]
    rows, columns = _box(mask, used, round(8.0 * block / pixel))
    inside = mask[used][:, rows, columns]
    hu = np.clip(volume.hu[used][:, rows, columns], -50, 1500)
    hu, share = (block_mean(block_mean(field, 1, block), 2, block) for field in (hu, inside.astype(np.float32)))
    inside = share > 0.5
    fine = _smooth(hu, FINE_MM / pixel)
    soft = _smooth(np.clip(hu, *SURROUNDINGS_HU) * inside, SURROUNDINGS_MM / pixel)
    around = soft / np.maximum(_smooth(inside.astype(np.float32), SURROUNDINGS_MM / pixel), 0.02)
    level = inside & (fine > -10) & (fine < 90)
    noise_hu = 1.4826 * float(np.median(np.abs((fine - around)[level]))) if level.any() else 0.0
    shown = _smooth(hu, COARSE_MM / pixel) if noise_hu > NOISY_HU else fine
    from_wall = _distance_to_wall(~inside | (fine > WALL_HU)) * pixel
    labels, count = ndimage.label(inside & (fine > PIECE_HU), np.ones((3, 3, 3)))
    peaks = np.zeros(count + 1)
    if count:
        peaks[1:] = ndimage.maximum(fine, labels, np.arange(1, count + 1))
    where = np.nonzero(inside & (fine > min(ANYWHERE.above_hu, HIGH_UP.above_hu)) & (peaks[labels] < CALCIUM_HU))
    positions = np.abs(volume.geometry.slice_positions_mm - volume.geometry.slice_positions_mm[0])[used]
    step_mm = float(np.median(np.diff(positions)))
    return _Bright(
        where[0],
        positions[where[0]],
        where[1] * pixel,
        where[2] * pixel,
        fine[where],
        shown[where],
        around[where],
        from_wall[where],
        pixel**2 * step_mm / 1000,
        inside.sum(axis=(1, 2)) * pixel**2 / 100,
        step_mm,
    )


def _cells_per_reference(bright: _Bright, spots: Spots) -> float:
    """Cubes with bright spots for each `REFERENCE_MM` of the slices that count."""
    _, counts = np.unique(_cells(bright, _is_spot(bright, spots)), return_counts=True)
    height_mm = np.count_nonzero(bright.areas > spots.share * bright.areas.max()) * bright.step_mm
    return float(np.count_nonzero(counts * bright.voxel_ml > spots.least_ml) / max(height_mm, 1.0) * REFERENCE_MM)


def _is_spot(bright: _Bright, spots: Spots) -> NDArray[np.bool_]:
    counts = bright.areas > spots.share * bright.areas.max()
    return np.asarray(
        (bright.fine_hu > spots.above_hu)
        & (bright.hu > spots.above_hu - NOISY_HU)
        & (bright.from_wall_mm > spots.from_wall_mm)
        & (bright.hu - bright.around_hu > spots.contrast_hu)
        & (bright.around_hu < BROAD_HU)
        & counts[bright.slice]
    )


def _cells(bright: _Bright, spots: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The number of the cube of each spot."""
    z, y, x = ((axis[spots] // CELL_MM).astype(np.int64) for axis in (bright.z_mm, bright.y_mm, bright.x_mm))
    return np.asarray((z * 1000 + y) * 1000 + x)


def _distance_to_wall(wall: NDArray[np.bool_]) -> NDArray[np.float64]:
    """In pixels, in the plane, to the bone of a slice and of its neighbors."""
    near = wall.copy()
    near[1:] |= wall[:-1]
    near[:-1] |= wall[1:]
    return np.stack([ndimage.distance_transform_edt(~image) for image in near])


def _smooth(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.stack([ndimage.gaussian_filter(image, sigma, truncate=3) for image in images])


def _box(mask: NDArray[np.bool_], used: list[int], margin: int) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask[used].any(axis=axes)) for axes in ((0, 2), (0, 1)))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin),
    )
