"""Contrast medium, recognized by what vessels do: they are bright on both sides of the head in nearly all slices.

Calcifications, clips, shunts and blood are bright on one side or at few heights, or are broad. Bone, its beam hardening
and the noise of a sharp kernel make brightness that depends on the distance to bone: each voxel is compared with those
at its distance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.checks.brain_slabs import BrainSlabs
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.volume import Volume

CALCIUM_HU, NEAR_CALCIUM_MM = 250.0, 4.0
"""Smoothed, which brings enhanced vessels below. What lies so near, or right above or below, does not count."""
OFF_WALL_MM, DEEP_MM, FARTHEST_MM = 2.5, 6.0, 14
"""Distance to bone from which spots count, of deep tissue, and from where all is alike."""
THIN_MM, TOP_HAT_HU = 3.5, (-10.0, 300.0)
"""Half the width of what is too broad for a vessel, and what is looked at."""
SPOT_HU, SPOT_SD = 15.0, 3.0
"""By how much spots stand out, and out of so many SD of deep tissue, put together as squares."""
USUAL_SD_HU, LEAST_DEEP = 5.0, 200
"""Of deep tissue where there are fewer voxels of it."""
MIDDLE_MM, BACK_SHARE, SINUS_MM2 = 9.0, 0.125, 10.0
"""Sinuses lie so near to the midplane, behind so much of the head's length, and are so large in a slab."""
LARGE_SLAB, SINUS_PERCENT = 0.3, 75.0
"""Slabs with so large a share of the largest one's brain count; sinuses are looked for where they are bright."""
VESSEL_HU, LEAST_ML = 60.0, 0.3
"""Above soft tissue as far from bone, what the finding counts, and how much of it there is at least for each
`REFERENCE_ML` of brain: vessels of plain blood are not so bright."""
LEAST_TISSUE, TISSUE_HU = 20, 36.0
"""Voxels of soft tissue for a median, and what stands for it where there are fewer."""
USUAL_NOISE_HU = 5.0
"""Where the noise cannot be measured."""
WEIGHTS, OFFSET = (8.19, 3.66, 2.31, -0.82, -2.17, 2.89, 1.9), -21.9
"""Logistic regression on made-up exams (docs/input-checks.md) of what `contrast_features` returns. Only noise counts
against vessels."""

Numbers = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def check_contrast(volume: Volume, mask: Mask, noise_hu: float) -> InputFinding | None:
    """Contrast medium in the vessels of the brain, None if there is none to be seen.

    Args:
        volume: Axial slices; no NaN.
        mask: bool (slices, rows, columns), the inside of the skull.
        noise_hu: SD of the noise in even brain, not a number if unknown: noise makes spots, too.
    """
    brain = BrainSlabs.of(volume, mask)
    if brain is None or float(np.dot(WEIGHTS, contrast_features(brain, noise_hu))) + OFFSET < 0:
        return None
    spots = _vessels_can_be(brain) & (above_tissue(brain, brain.fine) > VESSEL_HU)
    if brain.per_reference_ml(spots) < LEAST_ML:
        return None
    parameters = {
        "volume_ml": float(spots.sum() * brain.pixel_ml),
        "mean_hu": float(brain.fine[spots].mean()),
        "places": int(ndimage.label(spots, CONNECTIVITY_26)[1]),
    }
    return InputFinding(InputCode.CONTRAST_MEDIUM, parameters)


def contrast_features(brain: BrainSlabs, noise_hu: float) -> tuple[float, ...]:
    """What `WEIGHTS` weigh: the first two are shares, the others logarithms of one and mL or HU.

    Share of slabs with thin bright spots on both sides, and with spots after coarser smoothing; mL of thin spots for
    each `REFERENCE_ML` of brain; noise; SD of deep tissue; how bright the back of the midplane is, and its deep part.
    """
    tissue = _vessels_can_be(brain)
    counts = tissue & ~brain.has_metal[:, None, None]
    deep = counts & (brain.from_wall_mm > DEEP_MM)
    fine, coarse = (above_tissue(brain, image) for image in (brain.fine, brain.coarse))
    thin = _thin(brain)
    thin_spots = counts & (thin > _standing_out(thin[deep]))
    coarse_spots = counts & (coarse > _standing_out(coarse[deep]))
    middle = tissue & (np.abs(brain.across_mm) < MIDDLE_MM)
    back = brain.behind_mm > BACK_SHARE * np.ptp(brain.behind_mm[brain.inside])
    amounts = (
        brain.per_reference_ml(thin_spots),
        noise_hu if np.isfinite(noise_hu) else USUAL_NOISE_HU,
        _middle_and_sd(fine[deep])[1],
        _sinus_hu(brain, coarse, middle & back),
        _sinus_hu(brain, coarse, middle & (brain.from_wall_mm > DEEP_MM)),
    )
    return (_on_both_sides(brain, thin_spots), _on_both_sides(brain, coarse_spots), *np.log1p(amounts).tolist())


def above_tissue(brain: BrainSlabs, hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """HU above soft tissue as far from bone in a slab and the ones beside it; no number where no spot can be."""
    distance = np.clip(brain.from_wall_mm, 0, FARTHEST_MM).astype(np.int8)
    soft = brain.inside & (hu > 0) & (hu < 90)
    counts = brain.inside & (brain.from_wall_mm > OFF_WALL_MM)
    rings = [_of_rings(image[chosen], ring[chosen]) for image, ring, chosen in zip(hu, distance, soft, strict=True)]
    levels = np.full((len(hu), FARTHEST_MM + 1), TISSUE_HU, dtype=np.float32)
    for k in np.flatnonzero(counts.any(axis=(1, 2))):
        for ring in range(int(OFF_WALL_MM), FARTHEST_MM + 1):
            tissue = np.concatenate([of_slab[ring] for of_slab in rings[max(0, k - 1) : k + 2]])
            if len(tissue) > LEAST_TISSUE:
                levels[k, ring] = np.median(tissue)
    around = np.stack([level[ring] for level, ring in zip(levels, distance, strict=True)])
    return np.where(counts, hu - around, np.float32(np.nan))


def _of_rings(values: NDArray[np.float32], rings: NDArray[np.int8]) -> list[NDArray[np.float32]]:
    """The values of a slab by their distance from bone, from 0 to `FARTHEST_MM`."""
    order = np.argsort(rings, kind="stable")  # of small integers: by counting
    return np.split(values[order], np.cumsum(np.bincount(rings, minlength=FARTHEST_MM + 1))[:-1])


def _vessels_can_be(brain: BrainSlabs) -> Mask:
    """Where a vessel would be told from bone and calcium."""
    calcium = brain.inside & (brain.fine > CALCIUM_HU)
    near = np.zeros_like(calcium)
    for k in np.flatnonzero(calcium.any(axis=(1, 2))):
        near[k] = ndimage.distance_transform_edt(~calcium[k]) * brain.pixel_mm < NEAR_CALCIUM_MM
    near[1:] |= calcium[:-1]
    near[:-1] |= calcium[1:]
    kept: Mask = brain.inside & (brain.from_wall_mm > OFF_WALL_MM) & ~near
    return kept


def _thin(brain: BrainSlabs) -> NDArray[np.float32]:
    """HU of what is thinner than twice `THIN_MM` above what is around it: the white top-hat of each slab."""
    hu = np.where(brain.inside, np.clip(brain.fine, *TOP_HAT_HU), np.float32(TISSUE_HU))
    radius = THIN_MM / brain.pixel_mm
    rows, columns = np.mgrid[-int(radius) : int(radius) + 1, -int(radius) : int(radius) + 1]
    disk = rows**2 + columns**2 <= radius**2
    return hu - np.stack([ndimage.grey_opening(image, footprint=disk) for image in hu])


def _standing_out(deep: Numbers) -> float:
    """The value from which a voxel stands out of deep tissue."""
    middle, sd = _middle_and_sd(deep)
    return middle + float(np.hypot(SPOT_HU, SPOT_SD * sd))


def _middle_and_sd(deep: Numbers) -> tuple[float, float]:
    """Median and SD of deep tissue, the latter from the median of distances, which spots do not raise."""
    if len(deep) < LEAST_DEEP:
        return 0.0, USUAL_SD_HU
    middle = float(np.median(deep))
    return middle, 1.4826 * float(np.median(np.abs(deep - middle)))


def _on_both_sides(brain: BrainSlabs, spots: Mask) -> float:
    """Share of slabs with spots to the left and to the right of the middle."""
    left, right = ((spots & (sign * brain.across_mm > 0)).any(axis=(1, 2)) for sign in (1, -1))
    return float(np.mean(left & right))


def _sinus_hu(brain: BrainSlabs, above_hu: NDArray[np.float32], where: Mask) -> float:
    """What `SINUS_MM2` of a slab reach where it is bright, not negative; 0 without large slabs."""
    areas = brain.inside.sum(axis=(1, 2))
    count = max(1, int(SINUS_MM2 / brain.pixel_mm**2))
    slabs = np.flatnonzero((areas > LARGE_SLAB * areas.max()) & (where.sum(axis=(1, 2)) > count))
    reached = [np.partition(above_hu[k][where[k]], -count)[-count] for k in slabs]
    return max(float(np.percentile(reached, SINUS_PERCENT)), 0.0) if reached else 0.0
