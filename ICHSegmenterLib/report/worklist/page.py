"""`worklist.html`: the exams of a batch by urgency; one static page without a network that sorts and filters itself."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path

from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.results import RESEARCH_NOTICE
from ICHSegmenterLib.verdict import VerdictCode

WORKLIST_FILE, SUMMARY_PAGE = "worklist.html", "summary.html"
FAILED = "failed"
URGENCY = (VerdictCode.SUSPECTED.value, VerdictCode.POSSIBLE.value, VerdictCode.NONE_FOUND.value, FAILED)
"""Most urgent first."""
MAX_ROWS = 20_000
"""The page holds the most urgent ones, about 5 MB of them; results.csv holds all."""
COLUMNS = (
    "exam",
    "verdict",
    "any",
    "blood_ml",
    "segments",
    "positive_slices",
    "slices",
    "key_slice",
    "created",
    "error",
    "text",
    "files",
)
FILES = {"report": 1, "thumbnail": 2}
"""Bits of the column `files`: what lies in the folder of the exam."""

Row = Mapping[str, str]


def write_worklist(rows: Iterable[Row], folder: Path) -> Path:
    """Write the page into the folder of the results.

    Args:
        rows: Of the table of exams, as texts; they are taken one by one.
        folder: Where the exams' folders lie, too.

    Returns:
        The page.

    Raises:
        OutputError: It cannot be written.
    """
    totals: Counter[str] = Counter(dict.fromkeys(URGENCY, 0))
    methods: Counter[str] = Counter()
    counted = _counted(rows, totals, methods)
    urgent = heapq.nsmallest(MAX_ROWS, counted, key=_urgency)
    data = {
        "columns": COLUMNS,
        "rows": [_cells(row, folder) for row in urgent],
        "totals": totals,
        "files": FILES,
        "about": _about(totals.total(), len(urgent), methods),
    }
    plain = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    page = _template().replace("@NOTICE@", escape(RESEARCH_NOTICE)).replace("@DATA@", plain)
    path = folder / WORKLIST_FILE
    with replacing(path) as draft:
        draft.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def verdict_of(row: Row) -> str:
    """One of `URGENCY`: the verdict of the exam, or that it failed."""
    return row["verdict"] if row["verdict"] in URGENCY else FAILED


def _counted(rows: Iterable[Row], totals: Counter[str], methods: Counter[str]) -> Iterator[Row]:
    for row in rows:
        totals[verdict_of(row)] += 1
        methods[" and ".join(filter(None, (row["method"], row["detector"])))] += 1
        yield row


def _urgency(row: Row) -> tuple[int, float, float, str]:
    """Sorts by verdict, then the higher value, then more blood, then name."""
    return URGENCY.index(verdict_of(row)), -float(row["any"] or 0), -float(row["blood_ml"] or 0), row["exam"]


def _cells(row: Row, folder: Path) -> list[str | float | int]:
    here = folder / row["exam"]
    cells: dict[str, str | float | int] = {
        **{name: row.get(name, "") for name in ("exam", "segments", "created", "error")},
        **{name: _number(row[name]) for name in ("any", "blood_ml", "positive_slices", "slices", "key_slice")},
        "verdict": verdict_of(row),
        "text": row["statement"] or row["message"],
        "files": FILES["report"] * (here / "report.html").is_file()
        + FILES["thumbnail"] * (here / "thumbnail.jpg").is_file(),
    }
    return [cells[name] for name in COLUMNS]


def _number(text: str) -> float | str:
    return float(text) if text else ""


def _about(exams: int, shown: int, methods: Counter[str]) -> str:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    left_out = f" The {shown} most urgent are listed; results.csv holds all." if shown < exams else ""
    noun = "exam" if exams == 1 else "exams"
    return f"{exams} {noun} by {', '.join(methods)}; written {now}.{left_out}"


@cache
def _template() -> str:
    return files(__package__).joinpath("worklist.html").read_text(encoding="utf-8")
