"""Lesions put into a given CT on its own grid: displaced, blended with partial volume, with the noise of the scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.brain_mask import brain_mask as find_brain
from ICHSegmenterLib.preprocessing.resample import labelmap_to_regular, regular_grid, to_regular
from ICHSegmenterLib.synthesis.acquisition.scanner import sample
from ICHSegmenterLib.synthesis.anatomy.head import Head
from ICHSegmenterLib.synthesis.exam import SyntheticExam, label
from ICHSegmenterLib.synthesis.fields import Field, Mask
from ICHSegmenterLib.synthesis.pathology.lesions import MASS_EFFECT, Bleeding, LesionPlan, bleed_into
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning
from ICHSegmenterLib.volume.volume import Volume

GRID_MM = 1.0
FLUID_HU = (4.0, 20.0)
"""All fluid at or below the first, none at or above the second, in brain smoothed against noise."""
CISTERN_HU = 4.0
"""Fluid alone; a voxel of a sulcus or cistern holds fluid and the tissue around it, and lies between the two."""
SHARE = (0.3, 0.5)
"""Share of fluid of a sulcus at least, and what it reaches somewhere; white matter and noise stay below the second."""
SMALLEST_FLUID_ML = 0.06
"""Connected fluid with less of the latter is noise too."""
TISSUE_AROUND_MM = 7.0
AIR_HU = -100.0
AIR_REACH_MM = 5.0
"""Dark soft tissue as near to air as this lines a sinus, an ethmoid or a mastoid cell; it is no cistern."""
BONE_RIM_MM = 1.5
SULCUS_DEPTH_MM = 22.0
INTERHEMISPHERIC_MM = 8.0
ABOVE_CISTERNS_MM = 10.0
UNSMOOTHED = 1.6
"""Thin fluid, spread out by smoothing, is so much more in the middle of its sulcus or ventricle."""
VENTRICLE_DEPTH_MM = 20.0
"""Fluid as deep as this is ventricle (or old infarct), shallower fluid is cistern or sulcus."""
VENTRICLE_MIN_ML = 1.0
SMOOTHING_MM = 1.2
TISSUE_HU = (20.0, 90.0)
BONE_HU = 130.0
CORTEX_HU = 35.0
"""Gray matter and some white below it, where the beam is not hardened."""
RIM_MM = 2.0
"""Distance to bone within which a voxel is partly bone, so that brightness of tissue is not measured there."""
SURROUNDINGS_MM = 5.0
MOST_BRIGHTENING_HU = 30.0
LARGEST_NOISE_HU = 15.0
"""Difference from the surroundings above which there is structure, not noise."""


def insert_lesions(
    volume: Volume, plans: Sequence[LesionPlan], *, seed: int = 0, brain_mask: NDArray[np.bool_] | None = None
) -> SyntheticExam:
    """Put lesions into a CT.

    Args:
        volume: A head CT without hemorrhage, on any grid.
        plans: The lesions.
        seed: Where they go.
        brain_mask: bool (slices, rows, columns); found if None.

    Returns:
        The CT with the lesions, on the same grid, and the truth.

    Raises:
        VolumeError: No brain was found.
        ValueError: The mask has another shape.
    """
    brain = find_brain(volume) if brain_mask is None else brain_mask
    if brain.shape != volume.hu.shape:
        raise ValueError(f"brain_mask has shape {brain.shape}, the volume {volume.hu.shape}")
    random = np.random.default_rng(seed)
    _, bleeding = bleed_into(as_head(volume, brain), plans, random)
    fractions = tuple(sample(one, bleeding.grid, volume.geometry) * brain for one in bleeding.fractions)
    hu = _blend(volume, brain, bleeding, fractions)
    warnings = (*volume.source.reader_warnings, ReaderWarning(ReaderCode.INSERTED))
    source = replace(volume.source, reader_warnings=warnings)
    painted = Volume(hu, volume.geometry, source)
    labelmap, total = label(fractions, bleeding.plans, painted)
    return SyntheticExam(painted, labelmap, total, brain, bleeding.plans, seed)


def as_head(volume: Volume, brain: Mask) -> Head:
    """A CT on a 1 mm grid, with its fluid spaces estimated from density and depth."""
    grid = regular_grid(volume.geometry, GRID_MM, mask=brain, margin_mm=4.0)
    hu = to_regular(volume, grid)
    cavity = labelmap_to_regular(brain, volume.geometry, grid)
    depth = ndimage.distance_transform_edt(cavity).astype(np.float32)
    smooth = ndimage.gaussian_filter(np.clip(hu, -20, 80), SMOOTHING_MM)
    fluid = np.clip((FLUID_HU[1] - smooth) / (FLUID_HU[1] - FLUID_HU[0]), 0, 1).astype(np.float32) * cavity
    ventricles = np.where(_ventricles(fluid > 0.4, depth), fluid, 0).astype(np.float32)
    ventricles = np.where(ventricles > 0.35, np.minimum(UNSMOOTHED * ventricles, 1), 0).astype(np.float32)
    csf = _sulci_and_cisterns(hu, smooth, cavity)
    csf[(ventricles > 0) | _white_matter(depth)] = 0
    return Head(grid, hu, cavity, depth, csf, ventricles)


def _sulci_and_cisterns(hu: Field, smooth: Field, cavity: Mask) -> Field:
    """Share of each voxel that is thin fluid, by how much darker it is than the tissue around it."""
    level = _mean_around(hu, cavity & (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1]), TISSUE_AROUND_MM / GRID_MM)
    share = np.clip((level - smooth) / (level - CISTERN_HU), 0, 1) * cavity
    share[~_beside_brain(hu, cavity)] = 0
    # Broad fluid is an old infarct or a cyst, not a cistern.
    broad = ndimage.binary_opening(share > 0.4, structure=ndimage.generate_binary_structure(3, 1), iterations=4)
    share[ndimage.binary_dilation(broad, iterations=4)] = 0
    labels, count = ndimage.label(share > SHARE[0])
    surely = np.bincount(labels[share > SHARE[1]], minlength=count + 1)
    surely[0] = 0
    kept = (surely > SMALLEST_FLUID_ML * 1000 / GRID_MM**3)[labels]
    return np.where(kept, np.minimum(UNSMOOTHED * share, 1), 0).astype(np.float32)


def _white_matter(depth: Field) -> Mask:
    """Where sulci do not reach: deep, above the basal cisterns and away from the midline."""
    above, _, middle = ndimage.center_of_mass(depth > 0)
    z, _, x = np.ogrid[tuple(slice(n) for n in depth.shape)]
    sided = np.abs(x - middle) * GRID_MM > INTERHEMISPHERIC_MM
    return np.asarray((depth > SULCUS_DEPTH_MM) & sided & ((z - above) * GRID_MM > ABOVE_CISTERNS_MM))


def _beside_brain(hu: Field, cavity: Mask) -> Mask:
    """Voxels away from air and off the rim of bone: what a brain mask takes in of cells and sinuses is left out."""
    off_air = ndimage.distance_transform_edt(hu > AIR_HU) * GRID_MM > AIR_REACH_MM
    off_bone = ndimage.distance_transform_edt(hu < BONE_HU) * GRID_MM > BONE_RIM_MM
    return np.asarray(cavity & off_air & off_bone)


def _ventricles(fluid: Mask, depth: Field) -> Mask:
    """Large connected pieces of deep fluid near the midline."""
    labels, count = ndimage.label(fluid & (depth > VENTRICLE_DEPTH_MM))
    if not count:
        return labels > 0
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    middle = ndimage.center_of_mass(depth > 0)
    inner = np.zeros(depth.shape, dtype=bool)
    half = 38
    inner[:, :, max(0, int(middle[2]) - half) : int(middle[2]) + half] = True
    large = np.flatnonzero(sizes > VENTRICLE_MIN_ML * 1000)
    kept = np.isin(labels, large[large > 0]) & inner
    return np.asarray(ndimage.binary_dilation(kept, iterations=2) & fluid)


def _blend(volume: Volume, brain: Mask, bleeding: Bleeding, fractions: Sequence[Field]) -> Field:
    """HU with tissue moved in the plane, edema, and blood by its share of a voxel, as bright as the scan is there."""
    geometry = volume.geometry
    shift = bleeding.displacement.on_grid()
    moved = _move(volume.hu, [sample(one, bleeding.grid, geometry) for one in shift], volume, brain)
    hu = moved - sample(bleeding.edema_hu, bleeding.grid, geometry) * brain
    pixel = geometry.pixel_spacing_mm[0]
    shares = [sample(density * (density > 0), bleeding.grid, geometry) for density in bleeding.densities]
    for k in np.flatnonzero(sum(fractions, np.zeros_like(hu)).any(axis=(1, 2))):
        level = _tissue_level(volume.hu[k], brain[k], pixel)
        brighter = np.clip(level - CORTEX_HU, 0, MOST_BRIGHTENING_HU)
        noise = _noise(volume.hu[k], brain[k], pixel)
        for fraction, share, plan in zip(fractions, shares, bleeding.plans, strict=True):
            hu[k] += fraction[k] * (share[k] + brighter + noise - _replaced(hu[k], level, plan))
    return np.where(brain, np.rint(hu), volume.hu).astype(np.float32)


def _replaced(hu: Field, level: Field, plan: LesionPlan) -> Field:
    """HU of what gives way to blood: the fluid of a voxel, its soft tissue, but never its bone."""
    if plan.subtype not in MASS_EFFECT:
        return np.minimum(hu, CISTERN_HU)
    return np.minimum(hu, level + LARGEST_NOISE_HU)


def _tissue_level(hu: Field, brain: Mask, pixel_mm: float) -> Field:
    """Mean HU of tissue around each pixel of a slice; beam hardening near bone raises it, and blood with it."""
    inside = ndimage.distance_transform_edt(brain) * pixel_mm > RIM_MM
    return _mean_around(hu, inside & (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1]), SURROUNDINGS_MM / pixel_mm)


def _noise(hu: Field, brain: Mask, pixel_mm: float) -> Field:
    """By what each soft pixel differs from its soft neighbors."""
    soft = brain & (hu < TISSUE_HU[1])
    noise = np.where(soft, hu - _mean_around(hu, soft, SMOOTHING_MM / pixel_mm), 0)
    return np.asarray(np.clip(noise, -LARGEST_NOISE_HU, LARGEST_NOISE_HU), dtype=np.float32)


def _mean_around(hu: Field, counted: Mask, sd_pixels: float) -> Field:
    """Gaussian mean of the pixels that count; as cortex where there are none."""
    weight = counted.astype(np.float32)
    near, around = (ndimage.gaussian_filter(one, sd_pixels) for one in (weight, weight * hu))
    return np.divide(around, near, out=np.full_like(hu, CORTEX_HU), where=near > 0.01)


def _move(hu: Field, shift: Sequence[Field], volume: Volume, brain: Mask) -> Field:
    """Brain moved by the in-plane part of a displacement (z, y, x in mm); the rest stays."""
    result = np.array(hu, dtype=np.float32)
    geometry = volume.geometry
    basis = np.linalg.pinv(np.column_stack((geometry.column_step, geometry.row_step)))
    soft = brain & (hu < TISSUE_HU[1])
    for k in np.flatnonzero(soft.any(axis=(1, 2))):
        j, i = np.nonzero(soft[k])
        arrow = np.stack([component[k][j, i] for component in reversed(shift)])
        if np.abs(arrow).max(initial=0) < 0.1:
            continue
        di, dj = basis @ arrow
        # Bone neither moves nor is drawn into the brain: the source of a voxel is soft, or the voxel stays as it is.
        inside = soft[k][
            np.clip(np.rint(j - dj), 0, hu.shape[1] - 1).astype(int),
            np.clip(np.rint(i - di), 0, hu.shape[2] - 1).astype(int),
        ]
        j, i, di, dj = j[inside], i[inside], di[inside], dj[inside]
        result[k][j, i] = ndimage.map_coordinates(hu[k], (j - dj, i - di), order=1, mode="nearest")
    return result
