"""Figures of a batch, counted from its table of exams, row by row."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.report.worklist.page import URGENCY, verdict_of

MAX_BARS = 48
"""Of the plot of exams an hour."""
MIN_BAR_S = 60.0


@dataclass
class BatchFigures:
    """What a batch did.

    Attributes:
        status: Exams by "done", "skipped" and "failed".
        verdicts: Exams by verdict.
        failures: Failed exams by kind.
        values: Of each analyzed exam by verdict, 0 to 1.
        blood_ml: Of each exam with an outline of blood.
        seconds: Of each analysis.
        times: When each was written, in seconds since 1970.
    """

    status: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(URGENCY, 0)))
    failures: Counter[str] = field(default_factory=Counter)
    values: dict[str, array[float]] = field(default_factory=lambda: {verdict: array("d") for verdict in URGENCY[:-1]})
    blood_ml: array[float] = field(default_factory=lambda: array("d"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    times: array[float] = field(default_factory=lambda: array("d"))

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]]) -> BatchFigures:
        """The figures of the rows of `results.csv`; of a row its numbers stay, a few bytes."""
        figures = cls()
        for row in rows:
            figures._add(row)
        return figures

    @property
    def exams(self) -> int:
        """Number of rows."""
        return self.status.total()

    def exams_an_hour(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Edges of equal times in hours since the first exam (n + 1), and exams an hour between them (n)."""
        if not self.times:
            return np.zeros(1), np.zeros(0)
        since = np.sort(np.frombuffer(self.times)) - min(self.times)
        bars = int(np.clip(since[-1] // MIN_BAR_S, 1, MAX_BARS))
        counts, edges = np.histogram(since, bins=bars, range=(0.0, max(float(since[-1]), MIN_BAR_S)))
        hours = edges / 3600
        return hours, counts / np.diff(hours)

    def _add(self, row: Mapping[str, str]) -> None:
        verdict = verdict_of(row)
        self.status[row["status"]] += 1
        self.verdicts[verdict] += 1
        if verdict not in self.values:
            self.failures[row["error"] or "failed"] += 1
            return
        self.values[verdict].append(float(row["any"] or 0))
        self.seconds.append(float(row["seconds"] or 0))
        if float(row["blood_ml"] or 0) > 0:
            self.blood_ml.append(float(row["blood_ml"]))
        if row["created"]:
            self.times.append(datetime.fromisoformat(row["created"]).timestamp())
