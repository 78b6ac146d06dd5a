"""The report of a result that Slicer's scene holds: its files, from the segments as they are now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ICHSegmenterLib.analysis.edited import with_segments
from ICHSegmenterLib.errors import ICHSegmenterError, OutputError, ResultError, VolumeError
from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.outputs import identity
from ICHSegmenterLib.outputs.dicom.scan import files_of, scan_headers
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.protocol import LABELMAP_FILE, Message, MessageType, read_object, read_text, read_texts
from ICHSegmenterLib.results import AnalysisResult, SegmentationResult
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.worker.exam import Exam

FROM_HEADERS = frozenset({"dicom_seg", "dicom_sr", identity.NAME})
"""Outputs that read the scan's DICOM headers."""


@dataclass(frozen=True, eq=False)
class ReportRequest:
    """The request of a report.

    Attributes:
        volume: The exam.
        result: With the segments as they are now.
        folder: To write; outputs: their names.
    """

    volume: Volume
    result: AnalysisResult
    folder: Path
    outputs: tuple[str, ...]

    @classmethod
    def from_message(cls, message: Message) -> ReportRequest:
        """The request that a message holds.

        Raises:
            ValueError: A field is absent or of the wrong type.
            ResultError: The result is incomplete, or its labelmap does not fit.
            VolumeError: The exam cannot be read.
        """
        exam = Exam.from_message(message)
        volume = exam.volume()
        axial = AxialView.at_border(volume.geometry).geometry(volume.geometry)
        made = AnalysisResult.from_json(read_object(message, "result"), axial)
        keys = read_texts(message, "labels")
        if unknown := set(keys) - set(SEGMENT_LABELS):
            raise ValueError(f"unknown labels {', '.join(sorted(unknown))}")
        if keys:
            labels = tuple(SEGMENT_LABELS[key] for key in keys)
            segmentation = SegmentationResult(_labelmap(exam, len(labels)), volume.geometry, labels)
            made = with_segments(made, segmentation, volume, read_texts(message, "edited"))
        return cls(
            volume,
            made,
            Path(read_text(message, "folder")),
            tuple(read_texts(message, "outputs")),
        )


def write_report(message: Message) -> Message:
    """Write the files.

    Returns:
        The answer: "files" with their names, "left_out" with the reason why there are no DICOM objects, if they were
        asked for and the exam does not lie on DICOM files of its own, else empty; "left_out_notice" is its code.

    Raises:
        OutputError: The folder cannot be written.
        DependencyError: A package is missing.
    """
    request = ReportRequest.from_message(message)
    outputs, left_out, notice = request.outputs, "", None
    files: tuple[Path, ...] = ()
    if FROM_HEADERS.intersection(outputs):
        try:
            files = _slice_files(message)
            scan_headers(request.volume, None, files)
        except (OutputError, VolumeError, OSError) as error:
            outputs, left_out = tuple(name for name in outputs if name not in FROM_HEADERS), str(error)
            notice = error.notice if isinstance(error, ICHSegmenterError) else None
    written = write_outputs(request.result, request.volume, request.folder, outputs=outputs, slice_files=files)
    said = None if notice is None else notice.to_json()
    return {"type": MessageType.DONE, "files": sorted(written), "left_out": left_out, "left_out_notice": said}


def _slice_files(message: Message) -> tuple[Path, ...]:
    """The DICOM files that the request names, else those of a folder with its identifiers; empty if it names none.

    Raises:
        OutputError, VolumeError: They are not all in the folder, or it is gone.
    """
    files, uids = (read_texts(message, name) for name in ("slice_files", "instance_uids"))
    if files or not uids:
        return tuple(Path(name) for name in files)
    return tuple(files_of(uids, Path(read_text(message, "slice_folder"))))


def _labelmap(exam: Exam, labels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        voxels = np.load(exam.job / LABELMAP_FILE, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ResultError(
            f"The segments cannot be read ({error}); ask for the report again.", Cause.STORED_RESULT
        ) from error
    if voxels.dtype != np.uint8 or voxels.shape != exam.geometry.shape or int(voxels.max(initial=0)) > labels:
        raise ResultError(
            f"The segments are {voxels.dtype} {voxels.shape} for {labels} labels, not uint8 {exam.geometry.shape}; ask "
            "for the report again.",
            Cause.STORED_RESULT,
        )
    return voxels
