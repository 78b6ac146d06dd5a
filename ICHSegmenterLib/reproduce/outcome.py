"""A reproduced table: the paper's row beside ours as JSON, CSV and Markdown, the same however it was reached."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ICHSegmenterLib import __version__
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.reproduce.deviations import Deviation, remaining
from ICHSegmenterLib.reproduce.published import FIGURES
from ICHSegmenterLib.results import RESEARCH_NOTICE

JSON_FILE, CSV_FILE, PAGE_FILE = "table.json", "table.csv", "table.md"
COLUMNS = ("figure", "paper", "paper_sd", "ours", "low", "high", "sd", "patients", "note", "source")

Figure = Mapping[str, Any]
"""value, low, high, patients, note, sd: of one figure of ours, as `Estimate.to_json` writes it."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a reproduction.

    Attributes:
        table: Its name.
        figures: Key of a published figure to ours.
        as_authors: Their quirks were on.
        data: What was evaluated, for people.
        weights: File name to SHA-256.
        has_trained: The weights were not given.
        further: Differences that this run has besides those of the table.
        settled: Topics of the table's in which this run does not differ.
        missing: Why there is no table yet; empty when it is complete.
    """

    table: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    as_authors: bool = False
    data: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    has_trained: bool = True
    further: Sequence[Deviation] = ()
    settled: Collection[str] = ()
    missing: str = ""

    def rows(self) -> list[dict[str, Any]]:
        """One row a figure of the paper."""
        rows = []
        for published in FIGURES[self.table]:
            ours = self.figures.get(published.key, {})
            rows.append(
                {
                    "figure": published.title,
                    "paper": published.value,
                    "paper_sd": published.sd,
                    "ours": ours.get("value"),
                    "low": ours.get("low"),
                    "high": ours.get("high"),
                    "sd": ours.get("sd"),
                    "patients": ours.get("patients"),
                    "note": ours.get("note", "" if ours else "not computed in this run"),
                    "source": published.source,
                }
            )
        return rows

    def deviations(self) -> list[Deviation]:
        """All that was done otherwise."""
        standing = remaining(self.table, as_authors=self.as_authors, has_trained=self.has_trained)
        return [*(each for each in standing if each.topic not in self.settled), *self.further]


def write_outcome(outcome: Outcome, folder: Path) -> Path:
    """Write the table; returns the page."""
    rows = outcome.rows()
    content = {
        "table": outcome.table,
        "notice": RESEARCH_NOTICE,
        "version": __version__,
        "as_authors": outcome.as_authors,
        "data": outcome.data,
        "weights": dict(outcome.weights),
        "rows": rows,
        "deviations": [asdict(each) for each in outcome.deviations()],
    }
    with replacing(folder / JSON_FILE) as draft:
        draft.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    with replacing(folder / CSV_FILE) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    with replacing(folder / PAGE_FILE) as draft:
        draft.write_text("\n".join(page_lines(outcome)) + "\n", encoding="utf-8")
    return folder / PAGE_FILE


def page_lines(outcome: Outcome) -> list[str]:
    """The table for people, as Markdown."""
    lines = [f"# {outcome.table}: the paper and this program", "", RESEARCH_NOTICE, "", outcome.data, ""]
    lines += ["| figure | paper | ours (95 % interval) | patients | note |", "|---|---|---|---|---|"]
    for row in outcome.rows():
        cells = (row["figure"], _paper(row), _ours(row), row["patients"] or "", row["note"] or "")
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", "## Sources of the paper's figures", ""]
    lines += [f"- {row['figure']}: {row['source']}" for row in outcome.rows()]
    lines += ["", "## Deviations" + (" (with --as-authors)" if outcome.as_authors else ""), ""]
    for each in outcome.deviations():
        how = " (`--as-authors` does it their way)" if each.switched else ""
        lines.append(f"- {each.topic}: the authors: {each.authors}; here: {each.ours}{how}")
    return lines


def summary_lines(outcome: Outcome) -> list[str]:
    """The rows as plain text."""
    width = max(len(row["figure"]) for row in outcome.rows())
    lines = [f"{'':{width}}  {'paper':>16}  ours (95 % interval)"]
    for row in outcome.rows():
        patients = f", {row['patients']} patients" if row["ours"] is not None and row["patients"] else ""
        note = f"  {row['note']}" if row["note"] else ""
        lines.append(f"{row['figure']:{width}}  {_paper(row):>16}  {_ours(row)}{patients}{note}")
    return lines


def _paper(row: Mapping[str, Any]) -> str:
    if row["paper"] is None:
        return "not readable"
    return f"{row['paper']:g}" + ("" if row["paper_sd"] is None else f" ± {row['paper_sd']:g}")


def _ours(row: Mapping[str, Any]) -> str:
    if row["ours"] is None:
        return "-"
    text = f"{row['ours']:.4f}" + ("" if row["sd"] is None else f" ± {row['sd']:.4f}")
    return text if row["low"] is None else f"{text} ({row['low']:.4f} to {row['high']:.4f})"
