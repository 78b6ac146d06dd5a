"""`report.html`: one page for people, with the overview in it if that is written too."""

from __future__ import annotations

from ICHSegmenterLib.outputs import identity
from ICHSegmenterLib.outputs.overview import PICTURE
from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.report.finding_rows import finding_rows
from ICHSegmenterLib.report.html import write_report


def write(exam: ExamOutput) -> None:
    """Write the page."""
    picture = exam.folder / PICTURE
    write_report(
        exam.result,
        exam.folder / "report.html",
        picture=picture if picture.is_file() else None,
        rows=finding_rows(exam.result, exam.findings),
        identity=identity.lines(exam),
    )
