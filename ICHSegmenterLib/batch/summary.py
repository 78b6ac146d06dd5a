"""`results.csv`: one row an exam, appended as exams are done."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ICHSegmenterLib.batch.exam import ExamOutcome
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.verdict import VerdictCode

SUMMARY_FILE = "results.csv"
SUMMARY_COLUMNS = (
    "exam",
    "status",
    "positive",
    "verdict",
    "any",
    "blood_ml",
    "pieces",
    "below_threshold",
    "positive_slices",
    "slices",
    "key_slice",
    "seconds",
    "method",
    "detector",
    "error",
    "message",
    "statement",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would run a cell that begins so; an apostrophe before it makes it text."""


class Summary:
    """The table of one run; begun anew, since each run lists what was done before too.

    Args:
        path: Where it lies.
        request: Names method and detector.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, request: AnalysisRequest) -> None:
        self._path, self._request = path, request
        with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, SUMMARY_COLUMNS).writeheader()
        try:
            # Names of files may be no UTF-8.
            self._file: TextIO = path.open("a", newline="", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> Summary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, outcome: ExamOutcome) -> None:
        """Append one exam.

        Raises:
            OutputError: The disk is full, or has gone.
        """
        row = {
            "exam": outcome.exam.name,
            "status": outcome.status,
            "method": self._request.method,
            "detector": self._request.detector,
            "error": outcome.error,
            "message": outcome.message,
            **outcome.numbers,
        }
        try:
            csv.DictWriter(self._file, SUMMARY_COLUMNS).writerow({key: as_cell(value) for key, value in row.items()})
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> OutputError:
        reason = error.strerror or str(error)
        return OutputError(f"{self._path.name} cannot be written ({reason}). Choose another output folder.")


def as_cell(value: object) -> object:
    """A value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def numbers_of(result: Mapping[str, object]) -> dict[str, object]:
    """The columns that come from the content of a `result.json`.

    Raises:
        KeyError, TypeError, StopIteration: It is incomplete, or of another version.
    """
    slices, provenance, probabilities = result["slices"], result["provenance"], result["probabilities"]
    key = result["key_slice"]
    if not (isinstance(slices, list) and isinstance(provenance, dict) and isinstance(probabilities, dict)):
        raise TypeError("slices, provenance and probabilities are a list and two objects")
    positive, assessment = bool(result["positive"]), result.get("assessment")
    judged: dict[str, object] = {"verdict": (VerdictCode.SUSPECTED if positive else VerdictCode.NONE_FOUND).value}
    if isinstance(assessment, dict):  # absent of results of before there was one
        pieces, below = len(assessment["pieces"]), len(assessment["below_threshold"])
        judged = {"verdict": assessment["code"], "pieces": pieces, "below_threshold": below}
    return {
        "positive": int(positive),
        **judged,
        "statement": result["verdict"],
        "any": probabilities["any"],
        "blood_ml": result["blood_ml"],
        "positive_slices": sum(bool(item["positive"]) for item in slices),
        "slices": len(slices),
        "key_slice": next(item["number"] for item in slices if item["index"] == key),
        "seconds": round(sum(provenance["seconds"].values()), 2),
    }
