"""Is this a head CT in Hounsfield units, and what of it makes results less reliable?

`check_head_ct` refuses and warns by what is quick to see; `check_input` also measures the pixels inside the skull.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask as find_brain
from ICHSegmenterLib.preprocessing.checks.artifacts import check_metal, check_motion
from ICHSegmenterLib.preprocessing.checks.contrast_medium import check_contrast
from ICHSegmenterLib.preprocessing.checks.extent import check_air, check_child, check_extent
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding, Severity
from ICHSegmenterLib.preprocessing.checks.texture import Noise, measure_noise
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.slice_alignment import put_back, slice_shifts_mm
from ICHSegmenterLib.volume.hounsfield import AIR_HU, HIGHEST_LOW_HU, LOWEST_HU
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
USUAL_PIXEL_MM = 1.3
"""Coarser pixels were resampled: a field of view of 330 mm on 256 columns has 1.29 mm. A warning."""
MIN_HEAD_AREA_CM2, MAX_HEAD_AREA_CM2 = 40.0, 450.0
"""Tissue on a slice, head rest included: an adult head has 200 to 300 cm2, a newborn's 80, a wrist 25, a trunk 500."""

TISSUE_HU = -300.0
BONE_HU = 300.0
SOFT_TISSUE_HU = (0.0, 80.0)
MAX_NOISE_HU = 25.0
"""Pixel noise in soft tissue: 2 to 10 HU in 5 mm brain kernels, up to 20 in thin slices, 40 in bone kernels."""
MIN_NOISE_PIXELS = 500
SHARP_LENGTH_MM, SHARP_NOISE_HU = 0.6, 8.0
"""Noise that is finer than the first and stronger than the second is that of a sharp kernel."""

Mask = NDArray[np.bool_]


def check_head_ct(volume: Volume) -> tuple[str, ...]:
    """Warnings for the reader of the result; those of the file reader stand in `volume.source.warnings`.

    Raises:
        VolumeError: The volume is not a head CT in Hounsfield units.
    """
    return tuple(finding.text for finding in accepted_findings(volume))


def accepted_findings(volume: Volume) -> tuple[InputFinding, ...]:
    """The quick findings of a volume that can be analyzed.

    Raises:
        VolumeError: The volume is not a head CT in Hounsfield units.
    """
    findings = quick_findings(volume)
    for finding in findings:
        if finding.severity is Severity.BLOCKS:
            raise VolumeError(finding)
    return findings


def quick_findings(volume: Volume) -> tuple[InputFinding, ...]:
    """What can be seen without looking for the brain; one finding that blocks stands alone."""
    for check in (_stack, _field_of_view, _hounsfield, _tissue):
        finding = check(volume)
        if finding is not None:
            return (finding,)
    found = (_coverage(volume), _pixels(volume), _kernel(volume), _bone(volume))
    return tuple(finding for finding in found if finding is not None)


def check_input(volume: Volume, brain_mask: Mask | None = None) -> tuple[InputFinding, ...]:
    """Everything that is found about a scan; never raises for what is in it.

    Args:
        volume: Stored as axial, sagittal or coronal slices.
        brain_mask: bool (slices, rows, columns) on the acquired grid; found here if None.
    """
    view = AxialView.at_border(volume.geometry)
    number = _numbers(volume)
    axial = view.volume(finite(volume))
    quick = quick_findings(axial)
    if any(finding.severity is Severity.BLOCKS for finding in quick):
        return (*number, *quick)
    try:
        mask = find_brain(axial) if brain_mask is None else view.apply(brain_mask)
    except VolumeError:
        return (*number, *quick, InputFinding(InputCode.NO_BRAIN))
    return (*number, *quick, *measure_scan(axial, mask).findings)


@dataclass(frozen=True, eq=False)
class MeasuredScan:
    """What the pixels inside the skull say.

    Attributes:
        findings: By them.
        noise: Of the brain.
        shifts_mm: As of `slice_shifts_mm`; None of a head that kept still.
    """

    findings: tuple[InputFinding, ...]
    noise: Noise
    shifts_mm: NDArray[np.float64] | None


def measure_scan(volume: Volume, mask: Mask) -> MeasuredScan:
    """Measure the pixels inside the skull; vessels are looked for where the slices would lie in a still head.

    Args:
        volume: Axial slices; no NaN.
        mask: bool (slices, rows, columns), the inside of the skull.
    """
    noise = measure_noise(volume, mask)
    motion = check_motion(volume, mask)
    shifts_mm = None if motion is None else slice_shifts_mm(volume, mask)
    still = (volume, mask) if shifts_mm is None else put_back(volume, mask, shifts_mm)
    header = (InputFinding(InputCode.CONTRAST_IN_HEADER),) if volume.source.has_contrast_agent else ()
    findings = (
        *header,
        check_contrast(*still, noise.sd_hu),
        _grain(volume, noise),
        check_metal(volume, mask),
        motion,
        *check_extent(volume, mask),
        check_air(volume, mask),
        check_child(volume, mask),
    )
    return MeasuredScan(tuple(finding for finding in findings if finding is not None), noise, shifts_mm)


def finite(volume: Volume) -> Volume:
    """The volume with air where it holds no number; the same one if it holds numbers only."""
    if np.isfinite(volume.hu).all():
        return volume
    hu = np.where(np.isfinite(volume.hu), volume.hu, np.float32(AIR_HU))
    return Volume(hu, volume.geometry, volume.source)


def _numbers(volume: Volume) -> tuple[InputFinding, ...]:
    without = int(np.count_nonzero(~np.isfinite(volume.hu)))
    if without:
        return (InputFinding(InputCode.NOT_FINITE, {"voxels": without}),)
    padded = int(np.count_nonzero(volume.hu < LOWEST_HU))
    return (InputFinding(InputCode.PADDING, {"share": padded / volume.hu.size}),) if padded else ()


def _stack(volume: Volume) -> InputFinding | None:
    slices = volume.geometry.shape[0]
    if slices == 1:
        return InputFinding(InputCode.ONE_SLICE, {"least": MIN_SLICES})
    if slices < MIN_SLICES:
        return InputFinding(InputCode.TOO_FEW_SLICES, {"slices": slices, "least": MIN_SLICES})
    step_mm = volume.geometry.slice_step_mm
    rows_mm, columns_mm = volume.geometry.pixel_spacing_mm
    is_usual = MIN_PIXEL_MM <= min(rows_mm, columns_mm) <= max(rows_mm, columns_mm) <= MAX_PIXEL_MM
    if is_usual and step_mm <= MAX_SLICE_STEP_MM:
        return None
    return InputFinding(InputCode.VOXEL_SIZE, {"rows_mm": rows_mm, "columns_mm": columns_mm, "step_mm": step_mm})


def _field_of_view(volume: Volume) -> InputFinding | None:
    slices, rows, columns = volume.geometry.shape
    between_rows, between_columns = volume.geometry.pixel_spacing_mm
    height_mm, width_mm = rows * between_rows, columns * between_columns
    size = {"width_mm": width_mm, "height_mm": height_mm}
    if max(height_mm, width_mm) > MAX_FIELD_OF_VIEW_MM:
        return InputFinding(InputCode.WIDE_FIELD_OF_VIEW, {**size, "limit_mm": MAX_FIELD_OF_VIEW_MM})
    if min(height_mm, width_mm) < MIN_FIELD_OF_VIEW_MM:
        return InputFinding(InputCode.NARROW_FIELD_OF_VIEW, {**size, "limit_mm": MIN_FIELD_OF_VIEW_MM})
    length_mm = float(volume.geometry.slice_extents_mm.sum())
    if length_mm > MAX_COVERAGE_MM:
        return InputFinding(InputCode.LONG_SCAN, {"length_mm": length_mm, "limit_mm": MAX_COVERAGE_MM})
    if length_mm < MIN_COVERAGE_MM:
        parameters = {"slices": slices, "length_mm": length_mm, "limit_mm": MIN_COVERAGE_MM}
        return InputFinding(InputCode.SHORT_SCAN, parameters)
    return None


def _hounsfield(volume: Volume) -> InputFinding | None:
    lowest, highest = float(volume.hu.min()), float(volume.hu.max())
    if lowest < HIGHEST_LOW_HU:
        return None
    if lowest == highest:
        return InputFinding(InputCode.BLANK, {"value": lowest})
    code = InputCode.CLIPPED
    if lowest >= 0:
        code = InputCode.WINDOWED if highest <= 255 else InputCode.NOT_RESCALED
    return InputFinding(code, {"lowest": lowest, "highest": highest})


def _tissue(volume: Volume) -> InputFinding | None:
    """The fullest slice must reach a head's area; the median one not exceed it (scans may include the shoulders)."""
    between_rows, between_columns = volume.geometry.pixel_spacing_mm
    pixels = np.array([np.count_nonzero(one > TISSUE_HU) for one in volume.hu])
    areas_cm2 = pixels * between_rows * between_columns / 100.0
    largest, usual = float(areas_cm2.max()), float(np.median(areas_cm2))
    if largest < MIN_HEAD_AREA_CM2:
        return InputFinding(InputCode.LITTLE_TISSUE, {"area_cm2": largest})
    return InputFinding(InputCode.MUCH_TISSUE, {"area_cm2": usual}) if usual > MAX_HEAD_AREA_CM2 else None


def _coverage(volume: Volume) -> InputFinding | None:
    length_mm = float(volume.geometry.slice_extents_mm.sum())
    if length_mm < USUAL_COVERAGE_MM:
        return InputFinding(InputCode.SMALL_COVERAGE, {"length_mm": length_mm})
    step_mm = volume.geometry.slice_step_mm
    return InputFinding(InputCode.THICK_SLICES, {"step_mm": step_mm}) if step_mm > USUAL_SLICE_STEP_MM else None


def _pixels(volume: Volume) -> InputFinding | None:
    pixel_mm = max(volume.geometry.pixel_spacing_mm)
    return InputFinding(InputCode.COARSE_PIXELS, {"pixel_mm": pixel_mm}) if pixel_mm > USUAL_PIXEL_MM else None


def _kernel(volume: Volume) -> InputFinding | None:
    if is_sharp_kernel(volume.source.kernel):
        return InputFinding(InputCode.KERNEL_NAME, {"kernel": volume.source.kernel})
    noise_hu = _quick_noise_hu(volume.hu)
    return InputFinding(InputCode.NOISE, {"noise_hu": noise_hu}) if noise_hu > MAX_NOISE_HU else None


def _grain(volume: Volume, noise: Noise) -> InputFinding | None:
    """A sharp kernel by its noise, unless its name or its noise alone was said already."""
    is_sharp = noise.length_mm < SHARP_LENGTH_MM and noise.sd_hu > SHARP_NOISE_HU
    if not is_sharp or _kernel(volume) is not None:
        return None
    return InputFinding(InputCode.SHARP_KERNEL, {"length_mm": noise.length_mm, "noise_hu": noise.sd_hu})


def _bone(volume: Volume) -> InputFinding | None:
    highest = float(volume.hu.max())
    return None if highest >= BONE_HU else InputFinding(InputCode.NO_BONE, {"highest": highest})


def _quick_noise_hu(hu: NDArray[np.float32]) -> float:
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
