"""What was found about a scan, in the user's language: a text for each code of the input check."""

from __future__ import annotations

from slicer.i18n import tr as _

from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding


def findingText(finding: InputFinding) -> str:
    """One or two sentences for the reader, with what to do; of a code that has no text here, those of the library."""
    text = _texts().get(finding.code)
    return finding.text if text is None else text.format(**finding.parameters)


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
    }
