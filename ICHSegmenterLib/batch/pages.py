"""The pages of a batch, made of its `results.csv`: the worklist, and the summary with plots."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from ICHSegmenterLib.batch.tables.columns import EXAM_COLUMNS, SUMMARY_FILE
from ICHSegmenterLib.batch.tables.csv_table import as_text
from ICHSegmenterLib.batch.tables.parquet import write_parquet
from ICHSegmenterLib.report.worklist.figures import BatchFigures
from ICHSegmenterLib.report.worklist.page import SUMMARY_PAGE, WORKLIST_FILE, write_worklist

__all__ = ["SUMMARY_PAGE", "WORKLIST_FILE", "WorklistClock", "complete_batch", "exam_rows", "write_pages"]

logger = logging.getLogger(__name__)

REFRESH_S = 60.0
"""Between two worklists of a batch that runs."""
REFRESH_SHARE = 0.02
"""Of the time of a batch that its worklists may take at most."""


class WorklistClock:
    """Writes the worklist of a batch that runs, from time to time.

    Args:
        output: The folder of the batch.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._due = time.monotonic() + REFRESH_S

    def tick(self) -> None:
        """Write it if it is due; to be called when the table of exams has a new row.

        Raises:
            OutputError: It cannot be written.
        """
        begun = time.monotonic()
        if begun < self._due:
            return
        write_worklist(exam_rows(self._output), self._output)
        ended = time.monotonic()
        self._due = ended + max(REFRESH_S, (ended - begun) / REFRESH_SHARE)


def complete_batch(output: Path, *, parquet: bool) -> list[Path]:
    """Write what is made of the tables when a batch ends or is stopped: the pages, and Parquet files if asked for.

    Args:
        output: The folder of a batch, or what there is of it.
        parquet: Write them too.

    Returns:
        The files.

    Raises:
        DependencyError: pyarrow is not installed.
        OutputError: A file cannot be written.
    """
    return [*write_pages(output), *(write_parquet(output) if parquet else ())]


def write_pages(output: Path) -> list[Path]:
    """Write `worklist.html`, and where Matplotlib is installed `summary.html`; nothing without a table.

    Args:
        output: The folder of a batch, or what there is of it.

    Returns:
        The pages.

    Raises:
        OutputError: One cannot be written.
    """
    if not (output / SUMMARY_FILE).is_file():
        return []
    pages = [write_worklist(exam_rows(output), output)]
    try:
        from ICHSegmenterLib.report.worklist.summary_page import write_summary_page

        pages.append(write_summary_page(BatchFigures.of(exam_rows(output)), output))
    except ModuleNotFoundError as error:
        logger.warning("no summary page: %s is not installed", error.name)
    return pages


def exam_rows(output: Path) -> Iterator[dict[str, str]]:
    """The rows of the table of exams, one by one; a row that was cut off has empty cells."""
    names = [column.name for column in EXAM_COLUMNS]
    with (output / SUMMARY_FILE).open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file, restval=""):
            yield {name: as_text(row.get(name) or "") for name in names}
