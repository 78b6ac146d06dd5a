"""Lines of the report: what was tried, what came out, and whether it is as it must be."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["passed", "failed", "not run"]


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        name: What was tried.
        values: Column to text.
        outcome: "not run" is for an absent package or lack of time, and no failure.
        reason: Why it is not "passed".
        seconds: How long the trial took.
    """

    name: str
    values: Mapping[str, str] = field(default_factory=dict)
    outcome: Outcome = "passed"
    reason: str = ""
    seconds: float = 0.0


Trial = Callable[[], tuple[Mapping[str, str], str]]
"""Gives the values, and what is wrong with them ("" if nothing)."""


def attempt(name: str, trial: Trial, *, is_late: bool = False) -> Row:
    """Run one trial; whatever it raises becomes part of its line, so that the others still run."""
    if is_late:
        return Row(name, outcome="not run", reason="the time was up")
    start = time.monotonic()
    try:
        values, problem = trial()
    except Exception as error:
        package = _missing_package(error)
        seconds = time.monotonic() - start
        if package:
            return Row(
                name, outcome="not run", reason=f"the Python package {package} is not installed", seconds=seconds
            )
        text = (str(error).strip() or "no message").splitlines()[0]
        return Row(name, outcome="failed", reason=f"{type(error).__name__}: {text}", seconds=seconds)
    return Row(name, values, "failed" if problem else "passed", problem, time.monotonic() - start)


def _missing_package(error: BaseException | None) -> str:
    """Name of the package whose absence is behind an error, "" if it is none."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            return error.name or "?"
        error = error.__cause__
    return ""
