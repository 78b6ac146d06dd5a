"""The contract of an engine, and the options that all of them share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ICHSegmenterLib.batch.engines.steps import ExamSteps
from ICHSegmenterLib.batch.engines.time_limit import TimeLimit
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.results import AnalysisResult

Unjudged = Callable[[], AnalysisResult]
"""The rest of an analysis behind its network: called once, by any thread."""
Analyze = Callable[..., AnalysisResult | Unjudged]
"""Volume to result, or to what makes it; with `brain_mask` where an exam brings one, else with `checked` where
`RunOptions.checks_ahead` asks for it."""

MAX_READERS = 4


def _readers() -> int:
    return max(1, min(MAX_READERS, (os.cpu_count() or 1) // 2))


class Engine(Protocol):
    """Makes outcomes of exams."""

    def outcomes(self, exams: Iterable[Exam | None]) -> Generator[ExamOutcome, None, None]:
        """The outcome of each exam, once, as soon as it is there; exams are taken a few ahead of the analysis.

        Args:
            exams: None among them: there is none at the moment.

        Raises:
            CancelledError: The run was stopped; what was published has been reported.
            OutputError, VolumeError, DeviceLostError: The run cannot go on; see `engines.ends`.
        """
        ...


OpenEngine = Callable[[ExamSteps], AbstractContextManager[Engine]]


Announce = Callable[[int, int, int, str], None]
"""Called with (exams begun before, all of them, failed, name) when an exam is begun; without a name at the end."""


def _silent(begun: int, total: int, failed: int, name: str) -> None:
    """Announce nothing."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run.

    Attributes:
        stop: Ends the run when set, between two steps of an exam; what is being published is finished.
        limit: Of the time that the analysis of one exam may take.
        readers: Reader processes, which read ahead of the analysis.
        checks_ahead: The readers also find the brain and check the scan, which `analyze` gets as `checked`.
        announce: See `Announce`.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    limit: TimeLimit = field(default_factory=TimeLimit)
    readers: int = field(default_factory=_readers)
    checks_ahead: bool = False
    announce: Announce = _silent

    def __post_init__(self) -> None:
        if self.readers < 1:
            raise ValueError(f"at least one process must read, got {self.readers}")

    def is_interrupted(self) -> bool:
        """True if the analysis that runs shall stop."""
        return self.stop.is_set() or self.limit.is_over()
