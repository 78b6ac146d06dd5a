"""What was found about a scan, in the user's language: a text for each code of the input check and of the readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from ICHSegmenterLib.notices.notice import Words
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning


def findingText(finding: InputFinding) -> str:
    """One or two sentences for the reader, with what to do; of a code that has no text here, those of the library."""
    text = _texts().get(finding.code)
    return finding.text if text is None else finding.said(text, {})


def readerWarningText(warning: ReaderWarning) -> str:
    """One or two sentences for the reader of the result."""
    return warning.said(_readerTexts()[warning.code], _words())


def seriesText(series: Mapping[str, Any]) -> str:
    """A series in a line: number, slices, kernel; nothing of the patient."""
    parts = [_("Series {number}: {slices} slices").format(number=series["number"], slices=series["slices"])]
    if series["step_mm"] > 0:
        parts.append(_("every {step:.3g} mm").format(step=series["step_mm"]))
    if series["thickness_mm"] > 0:
        parts.append(_("{thickness:.3g} mm thick").format(thickness=series["thickness_mm"]))
    if series["kernel"]:
        parts.append(_("kernel {kernel}").format(kernel=series["kernel"]))
    if series["has_contrast"]:
        parts.append(_("contrast agent"))
    return ", ".join(parts)


def _texts() -> dict[InputCode, str]:
    return {
        InputCode.ONE_SLICE: _(
            "The volume holds one slice; a head CT has at least {least:.0f}. Load the whole series."
        ),
        InputCode.TOO_FEW_SLICES: _(
            "The volume holds {slices:.0f} slices; a head CT has at least {least:.0f}. Load the whole series."
        ),
        InputCode.VOXEL_SIZE: _(
            "Voxels are {rows_mm:.3g} x {columns_mm:.3g} x {step_mm:.3g} mm, which no head CT has. The "
            "spacing was lost in a conversion: load the original DICOM files."
        ),
        InputCode.WIDE_FIELD_OF_VIEW: _(
            "The field of view is {width_mm:.0f} x {height_mm:.0f} mm, more than a head needs ({limit_mm:.0f}"
            " mm): this seems to be a body CT. Choose the series of the head, or crop the volume to it."
        ),
        InputCode.NARROW_FIELD_OF_VIEW: _(
            "The field of view is {width_mm:.0f} x {height_mm:.0f} mm, too small for a head ({limit_mm:.0f} "
            "mm at least). Choose a series that shows the whole head."
        ),
        InputCode.LONG_SCAN: _(
            "The scan is {length_mm:.0f} mm long, more than head and neck ({limit_mm:.0f} mm): this seems to "
            "be a body or spine CT. Choose the series of the head, or crop the volume to it."
        ),
        InputCode.SHORT_SCAN: _(
            "The {slices:.0f} slices cover {length_mm:.0f} mm, too little of a head ({limit_mm:.0f} mm at "
            "least). Load the whole series."
        ),
        InputCode.BLANK: _("Every voxel is {value:.4g}: the volume is blank. Load the original CT."),
        InputCode.WINDOWED: _(
            "Values span {lowest:.4g} to {highest:.4g}, not Hounsfield units (air is -1000): this is a "
            "picture with window and level applied. Load the original CT."
        ),
        InputCode.NOT_RESCALED: _(
            "Values span {lowest:.4g} to {highest:.4g}, not Hounsfield units (air is -1000): were rescale "
            "slope and intercept (usually -1024) applied? Load the original CT."
        ),
        InputCode.CLIPPED: _(
            "Values span {lowest:.4g} to {highest:.4g}, not Hounsfield units (air is -1000): the values were "
            "clipped or normalized. Load the original CT."
        ),
        InputCode.LITTLE_TISSUE: _(
            "This does not look like a head: slices show at most {area_cm2:.0f} cm² of tissue, a head 80 to "
            "300 cm². Choose the series of the head, or crop a larger scan to it."
        ),
        InputCode.MUCH_TISSUE: _(
            "This does not look like a head: slices show usually {area_cm2:.0f} cm² of tissue, a head 80 to "
            "300 cm². Choose the series of the head, or crop a larger scan to it."
        ),
        InputCode.NO_BRAIN: _(
            "No skull with brain inside was found; is this a head CT in Hounsfield units with bone and brain "
            "in view? A brain mask can be given instead."
        ),
        InputCode.SMALL_COVERAGE: _("The slices cover only {length_mm:.0f} mm; part of the brain may be missing."),
        InputCode.THICK_SLICES: _("Slices are {step_mm:.1f} mm apart; small bleeds may lie between them."),
        InputCode.COARSE_PIXELS: _(
            "Pixels are {pixel_mm:.2f} mm wide, a head CT's 0.4 to 1 mm: the rim of the skull spreads into the "
            "brain and may be taken for blood, thin blood may vanish. Prefer the scan as it was acquired."
        ),
        InputCode.KERNEL_NAME: _(
            "The images were reconstructed with the sharp kernel {kernel} (bone or lung): noise may be taken "
            "for blood and faint bleeds missed. Prefer the brain (soft tissue) series."
        ),
        InputCode.SHARP_KERNEL: _(
            "The grain of the noise ({length_mm:.2f} mm, {noise_hu:.0f} HU) is that of a sharp kernel: noise "
            "may be taken for blood and faint bleeds missed. Prefer the brain (soft tissue) series."
        ),
        InputCode.NOISE: _(
            "The images are noisy ({noise_hu:.0f} HU in soft tissue), as with a bone kernel or very thin "
            "slices: noise may be taken for blood. Prefer the brain (soft tissue) series."
        ),
        InputCode.NO_BONE: _(
            "No value lies above {highest:.0f} HU: the skull is missing or was clipped, so the brain may not be found."
        ),
        InputCode.CONTRAST_MEDIUM: _(
            "Contrast medium was recognized: {volume_ml:.1f} mL at {mean_hu:.0f} HU in vessels, at "
            "{places:.0f} places. Vessels and dura may be taken for blood, so the verdict cannot be "
            "confident. Prefer the scan without contrast."
        ),
        InputCode.CONTRAST_IN_HEADER: _(
            "The scan was made with contrast agent: vessels and dura are bright and may be taken for blood. "
            "Prefer the scan without contrast."
        ),
        InputCode.METAL: _(
            "There is metal ({volume_ml:.2f} mL, up to {highest_hu:.0f} HU): its streaks may hide blood or be"
            " taken for it."
        ),
        InputCode.MOTION: _(
            "The head may have moved: sideways jumps of {shift_mm:.1f} mm, doubled skin on {slices:.0f} of "
            "{total:.0f} slices. Blood may be blurred, and doubled contours taken for it."
        ),
        InputCode.NO_VERTEX: _(
            "The scan ends on {area_cm2:.0f} cm² of brain at its top: the vertex is missing, and blood there "
            "is not seen."
        ),
        InputCode.NO_SKULL_BASE: _(
            "The scan ends on {area_cm2:.0f} cm² of brain at its bottom: the skull base is missing, and blood"
            " there is not seen."
        ),
        InputCode.CUT_OFF: _(
            "The picture cuts the brain off at its border on {slices:.0f} slices; blood outside of it is not seen."
        ),
        InputCode.NOT_FINITE: _(
            "{voxels:.0f} voxels hold no number (NaN or infinity) and were taken as air; the file may be damaged."
        ),
        InputCode.AIR_INSIDE: _(
            "{volume_ml:.1f} mL inside the skull are air or have no measurement; values beside them are less reliable."
        ),
        InputCode.CHILD: _(
            "The head is small ({volume_ml:.0f} mL inside the skull, vault {skull_mm:.1f} mm thick), as a "
            "child's: the methods were made for adults."
        ),
        InputCode.PADDING: _("{share:.0%} of the voxels lie outside the reconstructed circle and were taken as air."),
        InputCode.SMOOTHED: _(
            "For the method the images were smoothed by {sigma_mm:.2f} mm: noise {noise_hu:.1f} HU before, "
            "{remaining_hu:.1f} HU after. Volumes and densities are those of the acquired voxels."
        ),
        InputCode.ALIGNED: _(
            "For the method the slices were put back beside each other, by up to {farthest_mm:.1f} mm. Outlines, "
            "volumes and densities are those of the acquired voxels."
        ),
    }


def _readerTexts() -> dict[ReaderCode, str]:
    return {
        ReaderCode.OTHER_SERIES: _("Read {series}; not read: {others}."),
        ReaderCode.REPEATED_SLICES: _(
            "Slices were repeated at {positions} mm along the slice normal; the latest acquisition was used."
        ),
        ReaderCode.TWO_PASSES: _(
            "The series was made in two passes, one between the slices of the other: {passes}. They were read as one "
            "scan, which is right if the head did not move between them; if the passes do not fit together, export "
            "one of them as its own series."
        ),
        ReaderCode.MISSING_SLICE: _(
            "1 slice seems to be missing ({gaps} along the slice normal). Volumes there are estimates; export the "
            "series again."
        ),
        ReaderCode.MISSING_SLICES: _(
            "{count} slices seem to be missing ({gaps} along the slice normal). Volumes there are estimates; export "
            "the series again."
        ),
        ReaderCode.UNEQUAL_STEPS: _(
            "Unequal slice spacing: steps of {least:.2f} to {most:.2f} mm. Positions and volumes take it into account."
        ),
        ReaderCode.NO_RESCALE: _(
            "The files lack RescaleSlope and RescaleIntercept; stored values were taken as Hounsfield units."
        ),
        ReaderCode.PADDING_IN_TISSUE: _("PixelPaddingValue lies among tissue values and was ignored."),
        ReaderCode.CONTRAST_AGENT: _(
            "The scan was made with contrast agent: vessels and dura are bright and may be taken for blood. "
            "Prefer the scan without contrast."
        ),
        ReaderCode.LOSSY: _("The images were compressed with loss; faint bleeds may be blurred."),
        ReaderCode.NO_NUMBER: _("Voxels without a number (NaN or infinite) were taken as air."),
        ReaderCode.NO_ORIENTATION: _("The NIfTI file does not say left from right; its axes were taken as RAS."),
        ReaderCode.INSERTED: _("Hemorrhage was inserted: not a real exam."),
        ReaderCode.AUGMENTED: _("The scan was augmented: not a real exam."),
        ReaderCode.SENTENCE: "{sentence}",
    }


def _words() -> Words:
    """How parameters that are lists are said."""
    return {
        "series": seriesText,
        "others": lambda others: "; ".join(map(seriesText, others)),
        "positions": lambda positions: ", ".join(f"{position:.1f}" for position in positions),
        "passes": lambda passes: _(" and ").join(map(_passText, passes)),
        "gaps": lambda gaps: ", ".join(
            _("between {low:.1f} and {high:.1f} mm").format(low=low, high=high) for low, high in gaps
        ),
    }


def _passText(one: Mapping[str, Any]) -> str:
    text = _("{slices} slices {step_mm:.1f} mm apart from {first_mm:.1f} to {last_mm:.1f} mm ({name})")
    kind, _space, number = one["name"].partition(" ")
    names = {"acquisition": _("acquisition {number}"), "pass": _("pass {number}")}
    name = names[kind].format(number=number) if kind in names else one["name"]
    return text.format(**{**one, "name": name})
