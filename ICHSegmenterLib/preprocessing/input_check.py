"""Is this a head CT in Hounsfield units? Refuses what is not, warns of what makes results less reliable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.hounsfield import HIGHEST_LOW_HU
from ICHSegmenterLib.volume.kernels import is_sharp_kernel
from ICHSegmenterLib.volume.volume import Volume

MIN_SLICES = 3
"""Fewer slices are a picture, not a scan."""
MIN_FIELD_OF_VIEW_MM, MAX_FIELD_OF_VIEW_MM = 100.0, 400.0
"""In-plane side lengths; a head CT is reconstructed at 160 (newborn) to 350 mm, a trunk at 350 to 500 mm."""
MIN_COVERAGE_MM, MAX_COVERAGE_MM = 30.0, 400.0
"""Along the normal; a head is 150 to 250 mm high, with the neck up to 400 mm."""
USUAL_COVERAGE_MM = 100.0
"""A smaller stack may leave part of the brain out: a warning."""
MIN_PIXEL_MM, MAX_PIXEL_MM = 0.1, 5.0
MAX_SLICE_STEP_MM = 20.0
USUAL_SLICE_STEP_MM = 10.0
"""Thicker steps hide small bleeds between slices: a warning."""
MIN_HEAD_AREA_CM2, MAX_HEAD_AREA_CM2 = 40.0, 450.0
"""Tissue on a slice, head rest included: an adult head has 200 to 300 cm2, a newborn's 80, a wrist 25, a trunk 500."""

TISSUE_HU = -300.0
BONE_HU = 300.0
SOFT_TISSUE_HU = (0.0, 80.0)
MAX_NOISE_HU = 25.0
"""Pixel noise in soft tissue: 2 to 10 HU in 5 mm brain kernels, up to 20 in thin slices, 40 in bone kernels."""
MIN_NOISE_PIXELS = 500


def check_head_ct(volume: Volume) -> tuple[str, ...]:
    """Warnings for the reader of the result; those of the file reader stand in `volume.source.warnings`.

    Raises:
        VolumeError: The volume is not a head CT in Hounsfield units.
    """
    _check_stack(volume)
    _check_field_of_view(volume)
    _check_hounsfield(volume.hu)
    _check_tissue(volume)
    return tuple(sentence for sentence in (_coverage(volume), _kernel(volume), _bone(volume)) if sentence)


def _check_stack(volume: Volume) -> None:
    slices = volume.geometry.shape[0]
    if slices < MIN_SLICES:
        stack = "one slice" if slices == 1 else f"{slices} slices"
        raise VolumeError(f"The volume holds {stack}; a head CT has at least {MIN_SLICES}. Load the whole series.")
    step_mm = volume.geometry.slice_step_mm
    pixels_mm = volume.geometry.pixel_spacing_mm
    if not MIN_PIXEL_MM <= min(pixels_mm) <= max(pixels_mm) <= MAX_PIXEL_MM or step_mm > MAX_SLICE_STEP_MM:
        raise VolumeError(
            f"Voxels are {pixels_mm[0]:.3g} x {pixels_mm[1]:.3g} x {step_mm:.3g} mm, which no head CT has. "
            "The spacing was lost in a conversion: load the original DICOM files."
        )


def _check_field_of_view(volume: Volume) -> None:
    slices, rows, columns = volume.geometry.shape
    between_rows, between_columns = volume.geometry.pixel_spacing_mm
    sides_mm = (rows * between_rows, columns * between_columns)
    size = f"{sides_mm[1]:.0f} x {sides_mm[0]:.0f} mm"
    if max(sides_mm) > MAX_FIELD_OF_VIEW_MM:
        raise VolumeError(
            f"The field of view is {size}, more than a head needs ({MAX_FIELD_OF_VIEW_MM:.0f} mm): this seems to be "
            "a body CT. Choose the series of the head, or crop the volume to it."
        )
    if min(sides_mm) < MIN_FIELD_OF_VIEW_MM:
        raise VolumeError(
            f"The field of view is {size}, too small for a head ({MIN_FIELD_OF_VIEW_MM:.0f} mm at least). "
            "Choose a series that shows the whole head."
        )
    height_mm = float(volume.geometry.slice_extents_mm.sum())
    if height_mm > MAX_COVERAGE_MM:
        raise VolumeError(
            f"The scan is {height_mm:.0f} mm long, more than head and neck ({MAX_COVERAGE_MM:.0f} mm): this seems to "
            "be a body or spine CT. Choose the series of the head, or crop the volume to it."
        )
    if height_mm < MIN_COVERAGE_MM:
        raise VolumeError(
            f"The {slices} slices cover {height_mm:.0f} mm, too little of a head ({MIN_COVERAGE_MM:.0f} mm at least). "
            "Load the whole series."
        )


def _check_hounsfield(hu: NDArray[np.float32]) -> None:
    lowest, highest = float(hu.min()), float(hu.max())
    if lowest < HIGHEST_LOW_HU:
        return
    if lowest == highest:
        raise VolumeError(f"Every voxel is {lowest:.4g}: the volume is blank. Load the original CT.")
    span = f"Values span {lowest:.4g} to {highest:.4g}, not Hounsfield units (air is -1000)"
    if lowest >= 0 and highest <= 255:
        raise VolumeError(f"{span}: this is a picture with window and level applied. Load the original CT.")
    if lowest >= 0 and highest > 255:
        raise VolumeError(f"{span}: were rescale slope and intercept (usually -1024) applied? Load the original CT.")
    raise VolumeError(f"{span}: the values were clipped or normalized. Load the original CT.")


def _check_tissue(volume: Volume) -> None:
    """The fullest slice must reach a head's area; the median one not exceed it (scans may include the shoulders)."""
    between_rows, between_columns = volume.geometry.pixel_spacing_mm
    pixels = np.array([np.count_nonzero(one > TISSUE_HU) for one in volume.hu])
    areas_cm2 = pixels * between_rows * between_columns / 100.0
    largest, usual = float(areas_cm2.max()), float(np.median(areas_cm2))
    if largest < MIN_HEAD_AREA_CM2 or usual > MAX_HEAD_AREA_CM2:
        areas = f"at most {largest:.0f}" if largest < MIN_HEAD_AREA_CM2 else f"usually {usual:.0f}"
        raise VolumeError(
            f"This does not look like a head: slices show {areas} cm² of tissue, a head 80 to 300 cm². "
            "Choose the series of the head, or crop a larger scan to it."
        )


def _coverage(volume: Volume) -> str:
    height_mm = float(volume.geometry.slice_extents_mm.sum())
    if height_mm < USUAL_COVERAGE_MM:
        return f"The slices cover only {height_mm:.0f} mm; part of the brain may be missing."
    if volume.geometry.slice_step_mm > USUAL_SLICE_STEP_MM:
        return f"Slices are {volume.geometry.slice_step_mm:.1f} mm apart; small bleeds may lie between them."
    return ""


def _kernel(volume: Volume) -> str:
    kernel = volume.source.kernel
    if is_sharp_kernel(kernel):
        return (
            f"The images were reconstructed with the sharp kernel {kernel} (bone or lung): noise may be taken for "
            "blood and faint bleeds missed. Prefer the brain (soft tissue) series."
        )
    noise_hu = _noise_hu(volume.hu)
    if noise_hu > MAX_NOISE_HU:
        return (
            f"The images are noisy ({noise_hu:.0f} HU in soft tissue), as with a bone kernel or very thin slices: "
            "noise may be taken for blood. Prefer the brain (soft tissue) series."
        )
    return ""


def _bone(volume: Volume) -> str:
    highest = float(volume.hu.max())
    if highest >= BONE_HU:
        return ""
    return f"No value lies above {highest:.0f} HU: the skull is missing or was clipped, so the brain may not be found."


def _noise_hu(hu: NDArray[np.float32]) -> float:
    """Standard deviation of pixel noise in soft tissue of three slices around the middle; 0 if there is too little."""
    slices = hu.shape[0]
    estimates = []
    for index in {slices // 3, slices // 2, (2 * slices) // 3}:
        plane = np.clip(hu[index], -200.0, 300.0)
        smooth = ndimage.uniform_filter(plane, 7)
        inside = (smooth > SOFT_TISSUE_HU[0]) & (smooth < SOFT_TISSUE_HU[1])
        soft = ndimage.binary_erosion(inside, iterations=3)[:, 1:]
        differences = np.diff(plane, axis=1)[soft]
        if differences.size >= MIN_NOISE_PIXELS:
            estimates.append(1.4826 * float(np.median(np.abs(differences))) / np.sqrt(2.0))
    return float(np.median(estimates)) if estimates else 0.0
