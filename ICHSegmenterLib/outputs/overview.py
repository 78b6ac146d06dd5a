"""`overview.png`: the slices that matter with outlines, and the value of every slice."""

from __future__ import annotations

import logging

from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.report.overview import write_overview

logger = logging.getLogger(__name__)

PICTURE = "overview.png"


def write(exam: ExamOutput) -> None:
    """Draw the picture; where Matplotlib is absent, as in Slicer, it is left out with a warning."""
    try:
        write_overview(exam.result, exam.volume, exam.folder / PICTURE)
    except ModuleNotFoundError as error:
        logger.warning("no overview picture: %s is not installed", error.name)
