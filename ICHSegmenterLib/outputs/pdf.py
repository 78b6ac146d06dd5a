"""`report.pdf`: the report for printing and for the archive of documents, by Matplotlib."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.outputs import identity
from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.volume.exam_name import exam_digest
from ICHSegmenterLib.volume.volume import Volume

FILE = "report.pdf"
PACKAGES = {"matplotlib": "matplotlib", "PIL": "Pillow"}


def write(exam: ExamOutput) -> None:
    """Write the pages."""
    check(exam.volume, exam.source)
    from ICHSegmenterLib.report.pdf import PdfContent, write_pdf  # draws, which needs packages that Slicer lacks

    uid = exam.result.provenance.series_uid
    name = exam_digest(uid, exam.source or Path()) if uid or exam.source is not None else ""
    content = PdfContent(exam.result, exam.volume, exam.findings, name, identity.lines(exam))
    write_pdf(content, exam.folder / FILE)


def check(volume: Volume, source: Path | None) -> None:
    """Say before an analysis whether the pages can be written.

    Raises:
        DependencyError: A package is missing.
    """
    for module, package in PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            raise DependencyError(ErrorNotice(ErrorCode.FILE_NEEDS_PACKAGE, {"file": FILE, "package": package}))
