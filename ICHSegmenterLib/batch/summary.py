"""The tables of a batch, `results.csv`, `slices.csv` and `findings.csv`: appended as exams are done."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any

from ICHSegmenterLib.batch.exam import ExamOutcome
from ICHSegmenterLib.batch.pages import WorklistClock
from ICHSegmenterLib.batch.tables.columns import (
    EXAM_COLUMNS,
    FINDING_COLUMNS,
    FINDINGS_FILE,
    SLICE_COLUMNS,
    SLICES_FILE,
    SUMMARY_FILE,
)
from ICHSegmenterLib.batch.tables.csv_table import CsvTable, as_cell
from ICHSegmenterLib.batch.tables.rows import finding_rows, numbers_of, slice_rows
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.request import AnalysisRequest

__all__ = ["FINDINGS_FILE", "SLICES_FILE", "SUMMARY_FILE", "Summary", "as_cell", "numbers_of"]

logger = logging.getLogger(__name__)


class Summary:
    """The tables of one run, and the worklist made of them; begun anew, since each run lists what was done before too.

    Slices and findings are read from the `result.json` of their exam, so that no result stays in memory.

    Args:
        path: Where `results.csv` lies, in the folder of the results; the others lie beside it.
        request: Names method and detector.

    Raises:
        OutputError: A table cannot be written.
    """

    def __init__(self, path: Path, request: AnalysisRequest) -> None:
        self._output, self._request = path.parent, request
        self._worklist = WorklistClock(path.parent)
        with ExitStack() as opened:
            self._exams = opened.enter_context(closing(CsvTable(path, EXAM_COLUMNS)))
            self._slices = opened.enter_context(closing(CsvTable(path.with_name(SLICES_FILE), SLICE_COLUMNS)))
            self._findings = opened.enter_context(closing(CsvTable(path.with_name(FINDINGS_FILE), FINDING_COLUMNS)))
            self._opened = opened.pop_all()

    def __enter__(self) -> Summary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def add(self, outcome: ExamOutcome) -> None:
        """Append one exam; its own row comes last.

        Raises:
            OutputError: The disk is full, or has gone.
        """
        name, result = outcome.exam.name, self._result_of(outcome)
        if result is not None:
            try:
                slices, findings = list(slice_rows(name, result)), list(finding_rows(name, result))
            except (KeyError, TypeError, AttributeError) as error:
                logger.warning("%s: no rows of slices and findings, its result is incomplete (%r)", name, error)
                slices = findings = []
            self._slices.add(slices)
            self._findings.add(findings)
        self._exams.add(
            [
                {
                    "exam": name,
                    "status": outcome.status,
                    "method": self._request.method,
                    "detector": self._request.detector,
                    "error": outcome.error,
                    "message": outcome.message,
                    **outcome.numbers,
                }
            ]
        )
        self._worklist.tick()

    def _result_of(self, outcome: ExamOutcome) -> Mapping[str, Any] | None:
        """The content of its `result.json`, None of a failed exam, or if it has just gone."""
        if outcome.status == "failed":
            return None
        try:
            content = json.loads((self._output / outcome.exam.name / DONE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("%s: no rows of slices and findings (%s)", outcome.exam.name, type(error).__name__)
            return None
        return content if isinstance(content, dict) else None
