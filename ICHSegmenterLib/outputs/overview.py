"""`overview.png`: the slices that matter with outlines, and the value of every slice; `thumbnail.jpg` for lists."""

from __future__ import annotations

import logging

from ICHSegmenterLib.outputs.writer import ExamOutput

logger = logging.getLogger(__name__)

PICTURE, THUMBNAIL = "overview.png", "thumbnail.jpg"


def write(exam: ExamOutput) -> None:
    """Draw both; where Pillow is absent they are left out with a warning."""
    try:
        from ICHSegmenterLib.report.overview import write_overview, write_thumbnail
    except ModuleNotFoundError as error:
        logger.warning("no overview picture: %s is not installed", error.name)
        return
    write_overview(exam.result, exam.volume, exam.folder / PICTURE)
    write_thumbnail(exam.result, exam.volume, exam.folder / THUMBNAIL)
