"""Why something gave no result, in the user's language; the panel's own sentences are in it already."""

from __future__ import annotations

from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.notices.cause_notice import CauseNotice
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.preprocessing.checks.findings import InputFinding
from ICHSegmenterSlicer.words.cause_text import causeText
from ICHSegmenterSlicer.words.finding_text import findingText


def failureText(failure: Failure) -> str:
    """What is wrong and what to do; below it the detail, if there is one."""
    if isinstance(failure.notice, ErrorNotice):
        return failure.notice.said(_texts()[failure.notice.code], {})
    if isinstance(failure.notice, CauseNotice):
        return causeText(failure.notice)
    return findingText(failure.notice) if isinstance(failure.notice, InputFinding) else failure.message


def _texts() -> dict[ErrorCode, str]:
    return {
        ErrorCode.CANCELLED: _("The run was cancelled; nothing was changed."),
        ErrorCode.CANCELLED_BEFORE: _("The run was cancelled before it began."),
        ErrorCode.READING_CANCELLED: _("The reading was cancelled; nothing was changed."),
        ErrorCode.NOT_KEPT: _("What the method predicted is no longer kept. Analyze the exam again."),
        ErrorCode.TOO_MANY_SLICES: _(
            "The brain spans {slices} slices of {step_mm:.1f} mm, more than the {limit} that this method can order. "
            "Choose the 5 mm series of this exam, or another method."
        ),
        ErrorCode.NO_MEMORY_FOR_A_SLICE: _(
            "This computer ran out of memory even for one slice at a time. Close other programs or volumes and run "
            "again, or choose the method hu-threshold."
        ),
        ErrorCode.NO_MEMORY: _("This computer has too little memory. Close other programs or volumes and run again."),
        ErrorCode.NO_GPU_MEMORY: _(
            "The graphics card has too little memory. Close other programs that use the graphics card, or choose the "
            "device cpu."
        ),
        ErrorCode.GPU_STOPPED: _(
            "The graphics card stopped ({reason}). Run again: a new worker is started. If it happens again, choose "
            "the device cpu."
        ),
        ErrorCode.DEVICE_UNUSABLE: _("The device {device!r} cannot be used: {problem} Choose 'auto' or 'cpu'."),
        ErrorCode.WRONG_NUMBERS: _(
            "The processor {device!r} computes wrong numbers: off by up to {error:.1%}, where rounding explains "
            "{tolerance:.1%}. Choose 'cpu', and update the driver of the graphics card."
        ),
        ErrorCode.NO_TORCH: _(
            "This method needs PyTorch, which is not installed. In Slicer: install the extension 'PyTorch' and let it "
            "install PyTorch; elsewhere: pip install 'ichsegmenter[torch]'. The method hu-threshold works without it."
        ),
        ErrorCode.BROKEN_TORCH: _("PyTorch is broken ({reason}); install it again."),
        ErrorCode.UNLOADABLE_TORCH: _("PyTorch is installed but cannot be loaded ({reason}); install it again."),
        ErrorCode.PACKAGE_MISSING: _(
            "The Python package {package!r} is missing. In Slicer let the extension 'PyTorch' install PyTorch; "
            "elsewhere: pip install 'ichsegmenter[torch]'."
        ),
        ErrorCode.METHOD_NEEDS_PACKAGES: _(
            "{title} needs Python packages that are not installed here ({names}): pip install {extras} (or only "
            "{packages})."
        ),
        ErrorCode.FILE_NEEDS_PACKAGE: _(
            "{file}: this format needs the Python package {package}: pip install {package}"
        ),
        ErrorCode.MISTAKE: _("{error}. This is a mistake in the program: please report it with the log."),
        ErrorCode.LITTLE_COMMON_SKULL: _(
            "The two exams show too little of the same skull ({share:.0%} of the current one). Choose an exam that "
            "shows the head from the skull base to the vertex."
        ),
        ErrorCode.SKULLS_DIFFER: _(
            "The skulls of the two exams do not fit: they differ by {residual_mm:.1f} mm on average, allowed are "
            "{limit_mm:.1f}. Check that both are of the same patient and that neither is cut off."
        ),
        ErrorCode.CURRENT_WITHOUT_SKULL: _(
            "The current exam shows no skull, by which two exams are laid over each other."
        ),
        ErrorCode.PRIOR_WITHOUT_SKULL: _("The prior exam shows no skull, by which two exams are laid over each other."),
        ErrorCode.WEIGHTS_ALTERED: _(
            "{path} was altered or is incomplete ({stored} of {published}). Run `ichsegmenter models remove {name}`, "
            "then download or import it again."
        ),
        ErrorCode.BUNDLED_WEIGHTS_ALTERED: _(
            "{path} was altered or is incomplete ({stored} of {published}). It ships with the program: install "
            "ICHSegmenter again, or import your own file for the method."
        ),
        ErrorCode.DOWNLOAD_FAILED: _(
            "{name} ({size}) could not be downloaded: {reasons}. Try again later, or get it on another computer "
            "(SHA-256 {sha256}) and use Import from file… in the panel or `ichsegmenter models import FILE`."
        ),
        ErrorCode.DOWNLOAD_CANCELLED: _("The download of {name} was cancelled; the next one takes it up."),
        ErrorCode.NOT_FROM_DICOM: _(
            "DICOM objects refer to the scan's own DICOM files of one slice each, and this volume was not read from "
            "such. Load the DICOM series, or use segmentation.seg.nrrd and report.pdf."
        ),
        ErrorCode.NO_HIGHDICOM: _(
            "Writing DICOM SEG and structured reports needs the package highdicom: pip install highdicom"
        ),
        ErrorCode.CANNOT_WRITE: _("{name} cannot be written ({reason}). Choose another output folder."),
        ErrorCode.STOPPED_BY_USER: _("Cancelled; the scene is as it was."),
        ErrorCode.WORKER_NOT_STARTED: _(
            "The analysis process could not be started ({reason}). Check that Slicer is installed completely and that "
            "security software does not block PythonSlicer."
        ),
        ErrorCode.WORKER_SILENT: _(
            "The analysis process did not answer within {seconds:.0f} s. Try again; if it happens again, security "
            "software may be holding PythonSlicer back."
        ),
        ErrorCode.WORKER_INCOMPLETE: _(
            "The worker did not find ICHSegmenterLib: the extension is incomplete. Reinstall it, restart Slicer."
        ),
        ErrorCode.WORKER_OUT_OF_MEMORY: _(
            "The analysis ran out of memory and ended. Close other programs, or choose a smaller method."
        ),
        ErrorCode.WORKER_CRASHED: _(
            "The analysis process was killed or crashed unexpectedly; the scene is as it was. Click again: a new one "
            "starts. If it happens again, memory is probably short (close other programs), or choose CPU as processor; "
            "the log below has more."
        ),
        ErrorCode.WORKER_ENDED: _(
            "The analysis process ended with exit code {code} unexpectedly; the scene is as it was. Click again: a new "
            "one starts. If it happens again, memory is probably short (close other programs), or choose CPU as "
            "processor; the log below has more."
        ),
        ErrorCode.TWO_VERSIONS: _(
            "The worker speaks protocol {theirs}, this panel {ours}: two versions of ICHSegmenter are mixed. Reinstall "
            "the extension and restart Slicer."
        ),
    }
