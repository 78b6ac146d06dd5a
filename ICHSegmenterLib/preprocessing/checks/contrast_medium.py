"""Contrast medium, recognized by what vessels do: thin bright spots at many places, deep ones in most slices.

Bone, its beam hardening and the noise of a sharp kernel make brightness that depends on the distance to bone: each
voxel is compared with those at its distance. Calcifications, clips and blood are bright at few places, or are broad.
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
FINE_MM, COARSE_MM = 1.0, 1.6
"""Smoothing; vessels lose more by the coarser one than what is broad."""
WALL_HU = 450.0
"""Smoothed bone."""
CALCIUM_HU = 350.0
SURROUNDINGS_MM, SURROUNDINGS_HU = 6.0, (-20.0, 100.0)
OFF_WALL_MM, DEEP_MM, FARTHEST_MM = 2.5, 4.0, 14
"""Distance to bone, also of the slices above and below: where spots count, deep ones, and from where all is alike."""
EXCESS_HU = 60.0
"""Of a spot above the median of soft tissue as far from bone."""
CELL_MM = 12.0
"""Spots are counted once in each cube of this size."""
LEAST_TISSUE, TISSUE_HU = 20, 36.0
"""Voxels of soft tissue for a median, and what stands for it where there are fewer."""
REFERENCE_ML = 1400.0
DEEP_AREA_MM2 = 10.0
"""The brightest pixels of a slice that are looked at."""
LARGE_SLICE = 0.5
"""Share of the largest slice's brain, from which a slice counts."""
WEIGHTS, OFFSET = (9.47, -7.38, 2.16), -14.28
"""Logistic regression on 41 made-up exams with contrast medium, 165 without and 80 of a real head, augmented
(docs/input-checks.md): logarithms of one and cubes of fine spots, the same of coarse spots, of the deep excess."""
LIMIT = 0.5

Numbers = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Brain:
    """The brain in slices a few millimeters apart.

    Attributes:
        inside: (slices, rows, columns).
        hu, fine, coarse: As acquired and smoothed.
        from_wall_mm: Distance to bone in the plane.
        slice_mm: (slices,), positions along the normal.
        pixel_mm: Size of a pixel.
        step_mm: Distance of slices.
    """

    inside: Mask
    hu: NDArray[np.float32]
    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    from_wall_mm: Numbers
    slice_mm: Numbers
    pixel_mm: float
    step_mm: float


def check_contrast(volume: Volume, mask: Mask) -> InputFinding | None:
    """Contrast medium in the vessels of the brain, None if there is none to be seen."""
    used = _spread_slices(volume, mask)
    if len(used) < 3:
        return None
    brain = _brain(volume, mask, used)
    fine = _spots(brain, brain.fine)
    places = _cubes(brain, fine)
    if _score(places, _cubes(brain, _spots(brain, brain.coarse)), _deep_excess(brain)) < LIMIT:
        return None
    parameters = {
        "volume_ml": float(fine.sum() * brain.pixel_mm**2 * brain.step_mm / 1000),
        "mean_hu": float(brain.fine[fine].mean()) if fine.any() else 0.0,
        "places": int(places),
    }
    return InputFinding(InputCode.CONTRAST_MEDIUM, parameters)


def _score(fine_cubes: float, coarse_cubes: float, excess_hu: float) -> float:
    features = (np.log1p(fine_cubes), np.log1p(coarse_cubes), np.log(max(excess_hu, 1.0)))
    return float(np.dot(WEIGHTS, features) + OFFSET)


def _spread_slices(volume: Volume, mask: Mask) -> list[int]:
    """Slices with brain, none closer than `STEP_MM`."""
    positions = volume.geometry.slice_positions_mm
    used: list[int] = []
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        if not used or abs(positions[k] - positions[used[-1]]) > STEP_MM:
            used.append(int(k))
    return used


def _brain(volume: Volume, mask: Mask, used: list[int]) -> _Brain:
    block = max(1, int(PIXEL_MM / volume.geometry.pixel_spacing_mm[0] + 0.05))
    pixel = block * volume.geometry.pixel_spacing_mm[0]
    rows, columns = _box(mask, used, round(8.0 * block / pixel))
    hu = np.clip(volume.hu[used][:, rows, columns], -50, 1500)
    masked = mask[used][:, rows, columns].astype(np.float32)
    hu, share = (block_mean(block_mean(field, 1, block), 2, block) for field in (hu, masked))
    inside = np.asarray(share > 0.5)
    fine, coarse = (_smooth(hu, width / pixel) for width in (FINE_MM, COARSE_MM))
    positions = np.abs(volume.geometry.slice_positions_mm - volume.geometry.slice_positions_mm[0])[used]
    from_wall = _distance_to_wall(~inside | (fine > WALL_HU)) * pixel
    step_mm = float(np.median(np.abs(np.diff(positions))))
    return _Brain(inside, hu, fine, coarse, from_wall, positions, pixel, step_mm)


def _spots(brain: _Brain, hu: NDArray[np.float32]) -> Mask:
    """Voxels far brighter than soft tissue at their distance from bone, in their slice and the ones beside it."""
    distance = np.clip(brain.from_wall_mm, 0, FARTHEST_MM).astype(np.int8)
    soft = brain.inside & (hu > 0) & (hu < 90)
    counts = brain.inside & (brain.from_wall_mm > OFF_WALL_MM) & (brain.fine < CALCIUM_HU)
    rings = [_of_rings(image[chosen], ring[chosen]) for image, ring, chosen in zip(hu, distance, soft, strict=True)]
    limits = np.full((len(hu), FARTHEST_MM + 1), TISSUE_HU)
    for k in np.flatnonzero(counts.any(axis=(1, 2))):
        for ring in range(int(OFF_WALL_MM), FARTHEST_MM + 1):
            tissue = np.concatenate([of_slice[ring] for of_slice in rings[max(0, k - 1) : k + 2]])
            if len(tissue) > LEAST_TISSUE:
                limits[k, ring] = np.median(tissue)
    limits = (limits + EXCESS_HU).astype(np.float32)
    return counts & np.stack([image > limit[ring] for image, limit, ring in zip(hu, limits, distance, strict=True)])


def _of_rings(values: NDArray[np.float32], rings: NDArray[np.int8]) -> list[NDArray[np.float32]]:
    """The values of a slice by their distance from bone, from 0 to `FARTHEST_MM`."""
    order = np.argsort(rings, kind="stable")  # of small integers: by counting
    return np.split(values[order], np.cumsum(np.bincount(rings, minlength=FARTHEST_MM + 1))[:-1])


def _cubes(brain: _Brain, spots: Mask) -> float:
    """Cubes of `CELL_MM` with spots, for each `REFERENCE_ML` of brain."""
    k, j, i = np.nonzero(spots)
    places = (brain.slice_mm[k], j * brain.pixel_mm, i * brain.pixel_mm)
    z, y, x = ((axis // CELL_MM).astype(np.int64) for axis in places)
    brain_ml = float(brain.inside.sum()) * brain.pixel_mm**2 * brain.step_mm / 1000
    return float(len(np.unique((z * 1000 + y) * 1000 + x)) / max(brain_ml, 1.0) * REFERENCE_ML)


def _deep_excess(brain: _Brain) -> float:
    """HU by which the brightest 10 mm² of a slice stand out of their surroundings away from bone; median of slices."""
    width = SURROUNDINGS_MM / brain.pixel_mm
    soft = _smooth(np.clip(brain.hu, *SURROUNDINGS_HU) * brain.inside, width)
    around = soft / np.maximum(_smooth(brain.inside.astype(np.float32), width), 0.02)
    areas = brain.inside.sum(axis=(1, 2))
    count = max(1, int(DEEP_AREA_MM2 / brain.pixel_mm**2))
    excesses = []
    for k in np.flatnonzero(areas > LARGE_SLICE * areas.max()):
        deep = brain.inside[k] & (brain.from_wall_mm[k] > DEEP_MM) & (brain.fine[k] < CALCIUM_HU)
        if deep.sum() > count:
            excesses.append(np.partition((brain.fine[k] - around[k])[deep], -count)[-count])
    return float(np.median(excesses)) if excesses else 0.0


def _distance_to_wall(wall: Mask) -> Numbers:
    """In pixels, in the plane, to the bone of a slice and of its neighbors."""
    near = wall.copy()
    near[1:] |= wall[:-1]
    near[:-1] |= wall[1:]
    return np.stack([ndimage.distance_transform_edt(~image) for image in near])


def _smooth(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.stack([ndimage.gaussian_filter(image, sigma, truncate=3) for image in images])


def _box(mask: Mask, used: list[int], margin: int) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask[used].any(axis=axes)) for axes in ((0, 2), (0, 1)))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin),
    )
