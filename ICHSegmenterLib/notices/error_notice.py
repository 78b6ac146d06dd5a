"""Why something gave no result, where the files are not to blame: codes of errors that come up in a run.

The panel translates by code; `ErrorNotice.text` is the one place with English words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from ICHSegmenterLib.notices.notice import Notice


class ErrorCode(str, Enum):
    """Codes of errors; the value travels and stays."""

    CANCELLED = "cancelled"
    CANCELLED_BEFORE = "cancelled_before"
    READING_CANCELLED = "reading_cancelled"
    NOT_KEPT = "not_kept"
    TOO_MANY_SLICES = "too_many_slices"
    NO_MEMORY_FOR_A_SLICE = "no_memory_for_a_slice"
    NO_MEMORY = "no_memory"
    NO_GPU_MEMORY = "no_gpu_memory"
    GPU_STOPPED = "gpu_stopped"
    DEVICE_UNUSABLE = "device_unusable"
    WRONG_NUMBERS = "wrong_numbers"
    NO_TORCH = "no_torch"
    BROKEN_TORCH = "broken_torch"
    UNLOADABLE_TORCH = "unloadable_torch"
    PACKAGE_MISSING = "package_missing"
    METHOD_NEEDS_PACKAGES = "method_needs_packages"
    FILE_NEEDS_PACKAGE = "file_needs_package"
    MISTAKE = "mistake"
    LITTLE_COMMON_SKULL = "little_common_skull"
    SKULLS_DIFFER = "skulls_differ"
    CURRENT_WITHOUT_SKULL = "current_without_skull"
    PRIOR_WITHOUT_SKULL = "prior_without_skull"
    WEIGHTS_ALTERED = "weights_altered"
    BUNDLED_WEIGHTS_ALTERED = "bundled_weights_altered"
    DOWNLOAD_FAILED = "download_failed"
    DOWNLOAD_CANCELLED = "download_cancelled"
    NOT_FROM_DICOM = "not_from_dicom"
    NO_HIGHDICOM = "no_highdicom"
    CANNOT_WRITE = "cannot_write"
    STOPPED_BY_USER = "stopped_by_user"
    WORKER_NOT_STARTED = "worker_not_started"
    WORKER_SILENT = "worker_silent"
    WORKER_INCOMPLETE = "worker_incomplete"
    WORKER_OUT_OF_MEMORY = "worker_out_of_memory"
    WORKER_CRASHED = "worker_crashed"
    WORKER_ENDED = "worker_ended"
    TWO_VERSIONS = "two_versions"


_ALTERED = "{path} was altered or is incomplete ({stored} of {published}). "
SENTENCES: Mapping[ErrorCode, str] = {
    ErrorCode.CANCELLED: "The run was cancelled; nothing was changed.",
    ErrorCode.CANCELLED_BEFORE: "The run was cancelled before it began.",
    ErrorCode.READING_CANCELLED: "The reading was cancelled; nothing was changed.",
    ErrorCode.NOT_KEPT: "What the method predicted is no longer kept. Analyze the exam again.",
    ErrorCode.TOO_MANY_SLICES: (
        "The brain spans {slices} slices of {step_mm:.1f} mm, more than the {limit} that this method can order. Choose "
        "the 5 mm series of this exam, or another method."
    ),
    ErrorCode.NO_MEMORY_FOR_A_SLICE: (
        "This computer ran out of memory even for one slice at a time. Close other programs or volumes and run again, "
        "or choose the method hu-threshold."
    ),
    ErrorCode.NO_MEMORY: "This computer has too little memory. Close other programs or volumes and run again.",
    ErrorCode.NO_GPU_MEMORY: (
        "The graphics card has too little memory. Close other programs that use the graphics card, or choose the "
        "device cpu."
    ),
    ErrorCode.GPU_STOPPED: (
        "The graphics card stopped ({reason}). Run again: a new worker is started. If it happens again, choose the "
        "device cpu."
    ),
    ErrorCode.DEVICE_UNUSABLE: "The device {device!r} cannot be used: {problem} Choose 'auto' or 'cpu'.",
    ErrorCode.WRONG_NUMBERS: (
        "The processor {device!r} computes wrong numbers: off by up to {error:.1%}, where rounding explains "
        "{tolerance:.1%}. Choose 'cpu', and update the driver of the graphics card."
    ),
    ErrorCode.NO_TORCH: (
        "This method needs PyTorch, which is not installed. In Slicer: install the extension 'PyTorch' and let it "
        "install PyTorch; elsewhere: pip install 'ichsegmenter[torch]'. The method hu-threshold works without it."
    ),
    ErrorCode.BROKEN_TORCH: "PyTorch is broken ({reason}); install it again.",
    ErrorCode.UNLOADABLE_TORCH: "PyTorch is installed but cannot be loaded ({reason}); install it again.",
    ErrorCode.PACKAGE_MISSING: (
        "The Python package {package!r} is missing. In Slicer let the extension 'PyTorch' install PyTorch; elsewhere: "
        "pip install 'ichsegmenter[torch]'."
    ),
    ErrorCode.METHOD_NEEDS_PACKAGES: (
        "{title} needs Python packages that are not installed here ({names}): pip install {extras} (or only "
        "{packages})."
    ),
    ErrorCode.FILE_NEEDS_PACKAGE: "{file}: this format needs the Python package {package}: pip install {package}",
    ErrorCode.MISTAKE: "{error}. This is a mistake in the program: please report it with the log.",
    ErrorCode.LITTLE_COMMON_SKULL: (
        "The two exams show too little of the same skull ({share:.0%} of the current one). Choose an exam that shows "
        "the head from the skull base to the vertex."
    ),
    ErrorCode.SKULLS_DIFFER: (
        "The skulls of the two exams do not fit: they differ by {residual_mm:.1f} mm on average, allowed are "
        "{limit_mm:.1f}. Check that both are of the same patient and that neither is cut off."
    ),
    ErrorCode.CURRENT_WITHOUT_SKULL: "The current exam shows no skull, by which two exams are laid over each other.",
    ErrorCode.PRIOR_WITHOUT_SKULL: "The prior exam shows no skull, by which two exams are laid over each other.",
    ErrorCode.WEIGHTS_ALTERED: (
        _ALTERED + "Run `ichsegmenter models remove {name}`, then download or import it again."
    ),
    ErrorCode.BUNDLED_WEIGHTS_ALTERED: (
        _ALTERED + "It ships with the program: install ICHSegmenter again, or import your own file for the method."
    ),
    ErrorCode.DOWNLOAD_FAILED: (
        "{name} ({size}) could not be downloaded: {reasons}. Try again later, or get it on another computer "
        "(SHA-256 {sha256}) and use Import from file… in the panel or `ichsegmenter models import FILE`."
    ),
    ErrorCode.DOWNLOAD_CANCELLED: "The download of {name} was cancelled; the next one takes it up.",
    ErrorCode.NOT_FROM_DICOM: (
        "DICOM objects refer to the scan's own DICOM files of one slice each, and this volume was not read from such. "
        "Load the DICOM series, or use segmentation.seg.nrrd and report.pdf."
    ),
    ErrorCode.NO_HIGHDICOM: (
        "Writing DICOM SEG and structured reports needs the package highdicom: pip install highdicom"
    ),
    ErrorCode.CANNOT_WRITE: "{name} cannot be written ({reason}). Choose another output folder.",
    ErrorCode.STOPPED_BY_USER: ("Cancelled; the scene is as it was."),
    ErrorCode.WORKER_NOT_STARTED: (
        "The analysis process could not be started ({reason}). Check that Slicer is installed completely and that "
        "security software does not block PythonSlicer."
    ),
    ErrorCode.WORKER_SILENT: (
        "The analysis process did not answer within {seconds:.0f} s. Try again; if it happens again, security software "
        "may be holding PythonSlicer back."
    ),
    ErrorCode.WORKER_INCOMPLETE: (
        "The worker did not find ICHSegmenterLib: the extension is incomplete. Reinstall it, restart Slicer."
    ),
    ErrorCode.WORKER_OUT_OF_MEMORY: (
        "The analysis ran out of memory and ended. Close other programs, or choose a smaller method."
    ),
    ErrorCode.WORKER_CRASHED: (
        "The analysis process was killed or crashed unexpectedly; the scene is as it was. Click again: a new one "
        "starts. If it happens again, memory is probably short (close other programs), or choose CPU as processor; the "
        "log below has more."
    ),
    ErrorCode.WORKER_ENDED: (
        "The analysis process ended with exit code {code} unexpectedly; the scene is as it was. Click again: a new one "
        "starts. If it happens again, memory is probably short (close other programs), or choose CPU as processor; the "
        "log below has more."
    ),
    ErrorCode.TWO_VERSIONS: (
        "The worker speaks protocol {theirs}, this panel {ours}: two versions of ICHSegmenter are mixed. Reinstall the "
        "extension and restart Slicer."
    ),
}
"""English sentence of each code; `reason`, `reasons`, `problem` and `error` are in the words of system or driver."""


@dataclass(frozen=True)
class ErrorNotice(Notice):
    """Why something gave no result."""

    code: ErrorCode

    codes: ClassVar[type[Enum]] = ErrorCode
    sentences: ClassVar[Mapping[ErrorCode, str]] = SENTENCES
