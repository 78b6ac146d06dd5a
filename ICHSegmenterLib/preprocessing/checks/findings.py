"""Findings about a scan before any method sees it: a code, how grave it is, its numbers, and one sentence in English.

The panel translates by code; `InputFinding.text` is the one place with English words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from ICHSegmenterLib.notices.notice import Notice
from ICHSegmenterLib.volume.reader.reader_warning import SENTENCES as READER_SENTENCES
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode

Parameter = float | str


class Severity(str, Enum):
    """How grave a finding is."""

    INFO = "info"
    WARNING = "warning"
    BLOCKS = "blocks"


class InputCode(str, Enum):
    """Codes of findings; the value travels and stays."""

    ONE_SLICE = "one_slice"
    TOO_FEW_SLICES = "too_few_slices"
    VOXEL_SIZE = "voxel_size"
    WIDE_FIELD_OF_VIEW = "wide_field_of_view"
    NARROW_FIELD_OF_VIEW = "narrow_field_of_view"
    LONG_SCAN = "long_scan"
    SHORT_SCAN = "short_scan"
    BLANK = "blank"
    WINDOWED = "windowed"
    NOT_RESCALED = "not_rescaled"
    CLIPPED = "clipped"
    LITTLE_TISSUE = "little_tissue"
    MUCH_TISSUE = "much_tissue"
    NO_BRAIN = "no_brain"

    SMALL_COVERAGE = "small_coverage"
    THICK_SLICES = "thick_slices"
    COARSE_PIXELS = "coarse_pixels"
    KERNEL_NAME = "kernel_name"
    SHARP_KERNEL = "sharp_kernel"
    NOISE = "noise"
    NO_BONE = "no_bone"
    CONTRAST_MEDIUM = "contrast_medium"
    CONTRAST_IN_HEADER = "contrast_in_header"
    METAL = "metal"
    MOTION = "motion"
    NO_VERTEX = "no_vertex"
    NO_SKULL_BASE = "no_skull_base"
    CUT_OFF = "cut_off"
    NOT_FINITE = "not_finite"
    AIR_INSIDE = "air_inside"
    CHILD = "child"

    PADDING = "padding"
    SMOOTHED = "smoothed"
    ALIGNED = "aligned"


_LOAD_ORIGINAL = "Load the original CT."
_CHOOSE_HEAD = "Choose the series of the head, or crop the volume to it."
_NO_HEAD = (
    "This does not look like a head: slices show {how} {area_cm2:.0f} cm² of tissue, a head 80 to 300 cm². "
    "Choose the series of the head, or crop a larger scan to it."
)
_NO_HU = "Values span {lowest:.4g} to {highest:.4g}, not Hounsfield units (air is -1000): "
_PREFER_SOFT = "noise may be taken for blood{more}. Prefer the brain (soft tissue) series."

_BLOCKS: Mapping[InputCode, str] = {
    InputCode.ONE_SLICE: "The volume holds one slice; a head CT has at least {least:.0f}. Load the whole series.",
    InputCode.TOO_FEW_SLICES: (
        "The volume holds {slices:.0f} slices; a head CT has at least {least:.0f}. Load the whole series."
    ),
    InputCode.VOXEL_SIZE: (
        "Voxels are {rows_mm:.3g} x {columns_mm:.3g} x {step_mm:.3g} mm, which no head CT has. "
        "The spacing was lost in a conversion: load the original DICOM files."
    ),
    InputCode.WIDE_FIELD_OF_VIEW: (
        "The field of view is {width_mm:.0f} x {height_mm:.0f} mm, more than a head needs ({limit_mm:.0f} mm): "
        "this seems to be a body CT. " + _CHOOSE_HEAD
    ),
    InputCode.NARROW_FIELD_OF_VIEW: (
        "The field of view is {width_mm:.0f} x {height_mm:.0f} mm, too small for a head ({limit_mm:.0f} mm at least). "
        "Choose a series that shows the whole head."
    ),
    InputCode.LONG_SCAN: (
        "The scan is {length_mm:.0f} mm long, more than head and neck ({limit_mm:.0f} mm): this seems to be a body or "
        "spine CT. " + _CHOOSE_HEAD
    ),
    InputCode.SHORT_SCAN: (
        "The {slices:.0f} slices cover {length_mm:.0f} mm, too little of a head ({limit_mm:.0f} mm at least). "
        "Load the whole series."
    ),
    InputCode.BLANK: "Every voxel is {value:.4g}: the volume is blank. " + _LOAD_ORIGINAL,
    InputCode.WINDOWED: _NO_HU + "this is a picture with window and level applied. " + _LOAD_ORIGINAL,
    InputCode.NOT_RESCALED: (_NO_HU + "were rescale slope and intercept (usually -1024) applied? " + _LOAD_ORIGINAL),
    InputCode.CLIPPED: _NO_HU + "the values were clipped or normalized. " + _LOAD_ORIGINAL,
    InputCode.LITTLE_TISSUE: _NO_HEAD.replace("{how}", "at most"),
    InputCode.MUCH_TISSUE: _NO_HEAD.replace("{how}", "usually"),
    InputCode.NO_BRAIN: (
        "No skull with brain inside was found; is this a head CT in Hounsfield units with bone and brain in view? "
        "A brain mask can be given instead."
    ),
}
_WARNINGS: Mapping[InputCode, str] = {
    InputCode.SMALL_COVERAGE: "The slices cover only {length_mm:.0f} mm; part of the brain may be missing.",
    InputCode.THICK_SLICES: "Slices are {step_mm:.1f} mm apart; small bleeds may lie between them.",
    InputCode.COARSE_PIXELS: (
        "Pixels are {pixel_mm:.2f} mm wide, a head CT's 0.4 to 1 mm: the rim of the skull spreads into the brain and "
        "may be taken for blood, thin blood may vanish. Prefer the scan as it was acquired."
    ),
    InputCode.KERNEL_NAME: (
        "The images were reconstructed with the sharp kernel {kernel} (bone or lung): "
        + _PREFER_SOFT.replace("{more}", " and faint bleeds missed")
    ),
    InputCode.SHARP_KERNEL: (
        "The grain of the noise ({length_mm:.2f} mm, {noise_hu:.0f} HU) is that of a sharp kernel: "
        + _PREFER_SOFT.replace("{more}", " and faint bleeds missed")
    ),
    InputCode.NOISE: (
        "The images are noisy ({noise_hu:.0f} HU in soft tissue), as with a bone kernel or very thin slices: "
        + _PREFER_SOFT.replace("{more}", "")
    ),
    InputCode.NO_BONE: (
        "No value lies above {highest:.0f} HU: the skull is missing or was clipped, so the brain may not be found."
    ),
    InputCode.CONTRAST_MEDIUM: (
        "Contrast medium was recognized: {volume_ml:.1f} mL at {mean_hu:.0f} HU in vessels, at {places:.0f} places. "
        "Vessels and dura may be taken for blood, so the verdict cannot be confident. Prefer the scan without contrast."
    ),
    InputCode.CONTRAST_IN_HEADER: READER_SENTENCES[ReaderCode.CONTRAST_AGENT],
    InputCode.METAL: (
        "There is metal ({volume_ml:.2f} mL, up to {highest_hu:.0f} HU): its streaks may hide blood or be taken for it."
    ),
    InputCode.MOTION: (
        "The head may have moved: sideways jumps of {shift_mm:.1f} mm, doubled skin on {slices:.0f} of {total:.0f} "
        "slices. Blood may be blurred, and doubled contours taken for it."
    ),
    InputCode.NO_VERTEX: (
        "The scan ends on {area_cm2:.0f} cm² of brain at its top: the vertex is missing, and blood there is not seen."
    ),
    InputCode.NO_SKULL_BASE: (
        "The scan ends on {area_cm2:.0f} cm² of brain at its bottom: the skull base is missing, and blood there is not "
        "seen."
    ),
    InputCode.CUT_OFF: (
        "The picture cuts the brain off at its border on {slices:.0f} slices; blood outside of it is not seen."
    ),
    InputCode.NOT_FINITE: (
        "{voxels:.0f} voxels hold no number (NaN or infinity) and were taken as air; the file may be damaged."
    ),
    InputCode.AIR_INSIDE: (
        "{volume_ml:.1f} mL inside the skull are air or have no measurement; values beside them are less reliable."
    ),
    InputCode.CHILD: (
        "The head is small ({volume_ml:.0f} mL inside the skull, vault {skull_mm:.1f} mm thick), as a child's: "
        "the methods were made for adults."
    ),
}
_INFOS: Mapping[InputCode, str] = {
    InputCode.PADDING: "{share:.0%} of the voxels lie outside the reconstructed circle and were taken as air.",
    InputCode.SMOOTHED: (
        "For the method the images were smoothed by {sigma_mm:.2f} mm: noise {noise_hu:.1f} HU before, "
        "{remaining_hu:.1f} HU after. Volumes and densities are those of the acquired voxels."
    ),
    InputCode.ALIGNED: (
        "For the method the slices were put back beside each other, by up to {farthest_mm:.1f} mm. Outlines, volumes "
        "and densities are those of the acquired voxels."
    ),
}
SENTENCES: Mapping[InputCode, str] = {**_BLOCKS, **_WARNINGS, **_INFOS}
"""English sentence of each code, with the names of its parameters."""
CONTRAST_CODES = (InputCode.CONTRAST_MEDIUM, InputCode.CONTRAST_IN_HEADER)


@dataclass(frozen=True)
class InputFinding(Notice):
    """One finding about a scan; its parameters are numbers, and names from the header."""

    code: InputCode

    codes: ClassVar[type[Enum]] = InputCode
    sentences: ClassVar[Mapping[InputCode, str]] = SENTENCES

    @property
    def severity(self) -> Severity:
        """How grave it is, by its code."""
        if self.code in _BLOCKS:
            return Severity.BLOCKS
        return Severity.WARNING if self.code in _WARNINGS else Severity.INFO

    def to_json(self) -> dict[str, Any]:
        """Plain data for `result.json` and the worker."""
        parameters = {
            name: value if isinstance(value, str) else round(float(value), 4) for name, value in self.parameters.items()
        }
        return {"code": self.code.value, "severity": self.severity.value, "parameters": parameters, "text": self.text}


def caps_verdict(findings: Iterable[InputFinding]) -> tuple[str, ...]:
    """Codes of the findings after which no verdict is confident, whatever a method says."""
    return tuple(finding.code.value for finding in findings if finding.code in CONTRAST_CODES)
