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
FAINT_HU, EXCESS_HU, STRONG_HU = 45.0, 60.0, 110.0
"""Of spots above the median of soft tissue as far from bone; the last after the coarser smoothing."""
CELL_MM = 12.0
"""Spots are counted once in each cube of this size."""
LEAST_TISSUE, TISSUE_HU = 20, 36.0
"""Voxels of soft tissue for a median, and what stands for it where there are fewer."""
REFERENCE_ML = 1400.0
DEEP_AREA_MM2, LARGE_SLICE, DEEP_PERCENTILE = 10.0, 0.3, 25.0
"""The brightest pixels of a slice that are looked at, on slices with so large a share of the largest slice's brain, and
the percentile of slices: enhanced vessels run through nearly all of them."""
USUAL_NOISE_HU = 5.0
"""Where the noise cannot be measured."""
WEIGHTS, OFFSET = (-1.93, 3.07, -3.07, 5.26, 1.63, -3.17, 4.32), -19.98
"""Logistic regression on made-up exams (docs/input-checks.md) of the logarithms of one and: noise in HU; cubes of faint
spots, fine and coarse; cubes of fine usual spots and their milliliters; cubes of coarse strong spots; the deep excess.
What noise, bone and broad blood make more of than vessels do cannot count for vessels, and the other way round."""

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

    @property
    def pixel_ml(self) -> float:
        """Volume of a pixel of a slice."""
        return self.pixel_mm**2 * self.step_mm / 1000

    def per_reference(self, amount: float) -> float:
        """An amount for each `REFERENCE_ML` of brain."""
        return amount / max(float(self.inside.sum()) * self.pixel_ml, 1.0) * REFERENCE_ML


def check_contrast(volume: Volume, mask: Mask, noise_hu: float) -> InputFinding | None:
    """Contrast medium in the vessels of the brain, None if there is none to be seen.

    Args:
        volume: Axial slices; no NaN.
        mask: bool (slices, rows, columns), the inside of the skull.
        noise_hu: SD of the noise in even brain, not a number if unknown: noise makes spots, too.
    """
    used = _spread_slices(volume, mask)
    if len(used) < 3:
        return None
    brain = _brain(volume, mask, used)
    fine = _excess(brain, brain.fine)
    spots = fine > EXCESS_HU
    features = _features(brain, fine, noise_hu)
    if float(np.dot(WEIGHTS, np.log1p(features))) + OFFSET < 0:
        return None
    parameters = {
        "volume_ml": float(spots.sum() * brain.pixel_ml),
        "mean_hu": float(brain.fine[spots].mean()) if spots.any() else 0.0,
        "places": int(_cubes(brain, spots)),
    }
    return InputFinding(InputCode.CONTRAST_MEDIUM, parameters)


def _features(brain: _Brain, fine: NDArray[np.float32], noise_hu: float) -> tuple[float, ...]:
    """What `WEIGHTS` weigh; none is negative."""
    coarse = _excess(brain, brain.coarse)
    spots = fine > EXCESS_HU
    return (
        noise_hu if np.isfinite(noise_hu) else USUAL_NOISE_HU,
        _cubes(brain, fine > FAINT_HU),
        _cubes(brain, coarse > FAINT_HU),
        _cubes(brain, spots),
        brain.per_reference(np.count_nonzero(spots) * brain.pixel_ml),
        _cubes(brain, coarse > STRONG_HU),
        max(_deep_excess(brain), 0.0),
    )


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


def _excess(brain: _Brain, hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """HU above soft tissue as far from bone in a slice and the ones beside it; no number where no spot can be."""
    distance = np.clip(brain.from_wall_mm, 0, FARTHEST_MM).astype(np.int8)
    soft = brain.inside & (hu > 0) & (hu < 90)
    counts = brain.inside & (brain.from_wall_mm > OFF_WALL_MM) & (brain.fine < CALCIUM_HU)
    rings = [_of_rings(image[chosen], ring[chosen]) for image, ring, chosen in zip(hu, distance, soft, strict=True)]
    levels = np.full((len(hu), FARTHEST_MM + 1), TISSUE_HU, dtype=np.float32)
    for k in np.flatnonzero(counts.any(axis=(1, 2))):
        for ring in range(int(OFF_WALL_MM), FARTHEST_MM + 1):
            tissue = np.concatenate([of_slice[ring] for of_slice in rings[max(0, k - 1) : k + 2]])
            if len(tissue) > LEAST_TISSUE:
                levels[k, ring] = np.median(tissue)
    around = np.stack([level[ring] for level, ring in zip(levels, distance, strict=True)])
    return np.where(counts, hu - around, np.float32(np.nan))


def _of_rings(values: NDArray[np.float32], rings: NDArray[np.int8]) -> list[NDArray[np.float32]]:
    """The values of a slice by their distance from bone, from 0 to `FARTHEST_MM`."""
    order = np.argsort(rings, kind="stable")  # of small integers: by counting
    return np.split(values[order], np.cumsum(np.bincount(rings, minlength=FARTHEST_MM + 1))[:-1])


def _cubes(brain: _Brain, spots: Mask) -> float:
    """Cubes of `CELL_MM` with spots, for each `REFERENCE_ML` of brain."""
    k, j, i = np.nonzero(spots)
    places = (brain.slice_mm[k], j * brain.pixel_mm, i * brain.pixel_mm)
    z, y, x = ((axis // CELL_MM).astype(np.int64) for axis in places)
    return brain.per_reference(len(np.unique((z * 1000 + y) * 1000 + x)))


def _deep_excess(brain: _Brain) -> float:
    """HU by which the brightest 10 mm² of most slices stand out of their surroundings away from bone."""
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
    return float(np.percentile(excesses, DEEP_PERCENTILE)) if excesses else 0.0


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
