"""Why files, weights or a request cannot be used, in the user's language: what is wrong, what to do, and the detail."""

from __future__ import annotations

from slicer.i18n import tr as _

from ICHSegmenterLib.notices.cause_notice import Cause, CauseNotice


def causeText(notice: CauseNotice) -> str:
    """What is wrong and what to do; below it the library's sentence, which is in English."""
    heading, advice = _texts()[notice.code]
    return f"{heading} {advice}\n" + notice.said(_("Detail: {sentence}"), {})


def _texts() -> dict[Cause, tuple[str, str]]:
    return {
        Cause.OUT_OF_REACH: (
            _("A file or folder is not there, or cannot be opened."),
            _("Check the path, the disk and your rights, then choose it again."),
        ),
        Cause.DISK: (
            _("A file or folder cannot be written, read or removed."),
            _("Make room on the disk, check your rights, close other programs that use it, or take another folder."),
        ),
        Cause.DAMAGED_FILE: (
            _("A file is damaged or incomplete."),
            _("Copy it again, or export it anew from where it came from."),
        ),
        Cause.READER_ENDED: (
            _("A file could not be read safely: its reader crashed, or took too long or too much memory."),
            _("Copy it again, or export it anew; do not open it if you do not know where it comes from."),
        ),
        Cause.UNKNOWN_FORMAT: (
            _("Files of this kind are not read."),
            _("Choose a DICOM folder, or a NIfTI, NRRD or MHA file."),
        ),
        Cause.UNKNOWN_COMPRESSION: (
            _("The pixels are compressed and cannot be decoded: the file is damaged, or a decoder is missing."),
            _(
                "Copy the file again, export the images without compression, or install pylibjpeg, pylibjpeg-libjpeg "
                "and pylibjpeg-openjpeg."
            ),
        ),
        Cause.NOT_ONE_VOLUME: (
            _("The file holds no single CT volume: it has colors, complex numbers, or several volumes."),
            _("Load the original CT, exported as one volume."),
        ),
        Cause.NOT_HOUNSFIELD: (
            _("The values are not Hounsfield units."),
            _("Choose the ordinary CT series, and load its original images."),
        ),
        Cause.NO_POSITION: (
            _("A file does not say correctly where its slices lie in the patient."),
            _("Load the original DICOM files of the axial images; screenshots cannot be used."),
        ),
        Cause.NO_CT: (
            _("No head CT was found there."),
            _("Export the original slices of the head CT, and choose their folder."),
        ),
        Cause.SINGLE_SLICE: (
            _("The series holds one slice; a head CT needs the whole stack."),
            _("Export all its images."),
        ),
        Cause.SEVERAL_SERIES: (_("Several series could be the head CT."), _("Choose one of them.")),
        Cause.WRONG_SERIES: (_("The chosen series is gone, or is no CT scan."), _("Choose another one.")),
        Cause.SEVERAL_SCANS: (
            _("The series holds more than one scan."),
            _("Export one of them as a series of its own, and load that."),
        ),
        Cause.MIXED_SLICES: (
            _("The series mixes slices of different directions, sizes or pixel spacings."),
            _("Remove localizer and reformatted images, or export the slices of one reconstruction."),
        ),
        Cause.OTHER_GRID: (
            _("The mask or label map does not fit this CT."),
            _("Draw it on this CT, or leave it out."),
        ),
        Cause.DATA_MISMATCH: (
            _("What was handed over to the analysis does not fit together."),
            _("Start again; if it happens again, load the CT again."),
        ),
        Cause.STORED_RESULT: (
            _("A stored result cannot be read: it is damaged, or of a newer version."),
            _("Analyze the exam again, or update ICHSegmenter."),
        ),
        Cause.OTHER_DICOM_FILES: (
            _("The volume no longer is what its DICOM files hold: it was moved or changed, or files are missing."),
            _("Take it out of its transform, or load the series again."),
        ),
        Cause.NO_DICOM_OBJECT: (
            _("No DICOM object can be made of this series: its headers do not allow it."),
            _("Use segmentation.seg.nrrd and report.pdf instead."),
        ),
        Cause.NO_IDENTITY: (
            _("Patient and study are read from DICOM files, which this exam was not."),
            _("Leave the identity out, or load the DICOM series."),
        ),
        Cause.WEIGHTS_MISSING: (
            _("The weights of the method are not on this computer."),
            _(
                "Press Download, or choose Import from file…; the lines under the method say how to get what cannot be "
                "downloaded."
            ),
        ),
        Cause.WEIGHTS_DAMAGED: (
            _("A weight file is damaged, or not the one that its name or card says."),
            _("Remove it, then download or import it again."),
        ),
        Cause.WEIGHTS_WITH_CODE: (
            _("The weight file holds more than plain numbers; such files can run code and are not opened."),
            _("Get it from its authors again, or have the network's state_dict saved alone."),
        ),
        Cause.NO_WEIGHTS: (
            _("The file holds no weights that can be used."),
            _("Choose the weight file that was published for the method."),
        ),
        Cause.OTHER_NETWORK: (
            _("The weights belong to another network, or to another variant or size of it."),
            _("Choose the method that they were made for, or the file of this method."),
        ),
        Cause.NOT_IMPORTED: (
            _("Not every file was imported: some are no known weights, or broken off downloads."),
            _("Choose the whole published file; one of your own needs its card beside it."),
        ),
        Cause.UNWANTED_WEIGHTS: (
            _("The method takes no weights, or fewer files of them."),
            _("Choose one weight file, of a method that has a network."),
        ),
        Cause.CARD: (
            _("The card of a weight file cannot be used."),
            _("Copy the file with its card again, correct the card, or update ICHSegmenter."),
        ),
        Cause.LICENSE: (
            _("What the weights were trained on has terms of its own."),
            _("Read and accept them when you press Download."),
        ),
        Cause.UNKNOWN_METHOD: (_("This version has no such method."), _("Choose another one, or update ICHSegmenter.")),
        Cause.NO_SUCH_DEVICE: (
            _("There is no such processor, or it does not compute in this precision."),
            _("Choose Automatic or CPU as processor."),
        ),
    }
