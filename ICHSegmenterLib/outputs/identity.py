"""`identity`: no file, but patient and study on `report.html` and `report.pdf`, which hold neither unless asked."""

from __future__ import annotations

from pathlib import Path

from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.outputs.dicom.scan import is_one_slice_a_file
from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.volume.volume import Volume

NAME = "identity"
ELEMENTS = (
    ("Patient", ("PatientName",)),
    ("Patient ID", ("PatientID",)),
    ("Born", ("PatientBirthDate", "PatientSex")),
    ("Study", ("StudyDate", "StudyDescription")),
    ("Accession number", ("AccessionNumber",)),
)


def write(exam: ExamOutput) -> None:
    """Nothing: the reports ask `lines`."""


def check(volume: Volume, source: Path | None) -> None:
    """Say before an analysis whether the exam names a patient.

    Raises:
        OutputError: It does not.
    """
    if source is None or not is_one_slice_a_file(volume):
        raise OutputError(
            "Patient and study are read from DICOM files, which this exam is not. Leave identity out.",
            Cause.NO_IDENTITY,
        )


def lines(exam: ExamOutput) -> tuple[tuple[str, str], ...]:
    """(heading, text) of what the scan's header says; empty unless `identity` was asked for."""
    if NAME not in exam.names:
        return ()
    header = exam.scan_headers[0]
    texts = [
        (heading, ", ".join(filter(None, (str(header.get(keyword, "") or "") for keyword in keywords))))
        for heading, keywords in ELEMENTS
    ]
    return tuple((heading, text.replace("^", " ").strip()) for heading, text in texts if text)
