"""Many exams in one go: each in its own folder, resumable, one failure never stops the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ICHSegmenterLib.batch.attempts import Attempts
from ICHSegmenterLib.batch.discovery import find_exams
from ICHSegmenterLib.batch.done import DoneBefore, done_before
from ICHSegmenterLib.batch.engines.embedded import EmbeddedEngine
from ICHSegmenterLib.batch.engines.engine import Analyze, Announce, OpenEngine, RunOptions
from ICHSegmenterLib.batch.engines.steps import ExamSteps
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.batch.names import named_exams, write_map
from ICHSegmenterLib.batch.owner import owned
from ICHSegmenterLib.batch.summary import SUMMARY_FILE, Summary
from ICHSegmenterLib.files import remove_leftovers
from ICHSegmenterLib.request import AnalysisRequest

__all__ = ["SUMMARY_FILE", "Analyze", "Exam", "ExamOutcome", "RunOptions", "find_exams", "run_batch", "run_exams"]


def run_batch(
    exams: Sequence[Exam],
    output: Path,
    analyze: Analyze,
    *,
    request: AnalysisRequest,
    overwrite: bool = False,
    map_file: Path | None = None,
    options: RunOptions | None = None,
) -> list[ExamOutcome]:
    """Analyze exams on this computer, one after the other; others are read and written meanwhile.

    Args:
        exams: From `find_exams`.
        output: One folder an exam is made in it, under a name that says nothing of the exam; see `batch.names`.
        analyze: Volume to result by this request; its network stays loaded between exams. It should raise
            `CancelledError` soon after `options.is_interrupted()`.
        request: Exams done before by an equal one are skipped, unless their input changed or an output that it asks for
            is missing.
        overwrite: Do them again instead.
        map_file: Where to write which name belongs to which exam; nowhere if None.
        options: Of the run.

    Returns:
        An outcome for each exam, without its numbers.

    Raises:
        CancelledError: Stopped; finished exams stay, and the next call goes on behind them.
        OutputError: The output folder cannot be written, belongs to another batch that runs, or holds results of
            another request.
        InputLostError, DeviceLostError: The run cannot go on; the next call does.
    """
    chosen = options or RunOptions()
    return run_exams(
        exams,
        output,
        lambda steps: EmbeddedEngine(steps, analyze, chosen),
        request=request,
        overwrite=overwrite,
        map_file=map_file,
        announce=chosen.announce,
    )


def run_exams(
    exams: Sequence[Exam],
    output: Path,
    open_engine: OpenEngine,
    *,
    request: AnalysisRequest,
    overwrite: bool = False,
    map_file: Path | None = None,
    announce: Announce = lambda begun, total, failed, name: None,
) -> list[ExamOutcome]:
    """Analyze exams by an engine; `results.csv` has a row as soon as an exam is done.

    Args:
        open_engine: Opens the engine for the steps of the exams.
        exams, output, request, overwrite, map_file: As of `run_batch`.
        announce: See `Announce`.

    Returns, raises:
        As `run_batch`, and what the engine raises.
    """
    outcomes: list[ExamOutcome] = []
    with owned(output):
        done = DoneBefore() if overwrite else done_before(output, request)
        remove_leftovers(output)
        with Attempts(output, forget=overwrite) as attempts, Summary(output / SUMMARY_FILE, request) as summary:
            exams = sorted(named_exams(exams, output), key=lambda exam: attempts.unfinished(exam.name))
            if map_file is not None:
                write_map(exams, map_file, output)
            counts = _Counts(len(exams), announce)
            with (
                open_engine(ExamSteps(output, request, attempts, done, counts.begin)) as engine,
                closing(engine.outcomes(exams)) as arriving,
            ):
                for outcome in arriving:
                    summary.add(outcome)
                    counts.failed += outcome.status == "failed"
                    attempts.end(outcome.exam.name)  # also of what was published just before a kill
                    outcomes.append(replace(outcome, numbers={}))
        announce(len(exams), len(exams), counts.failed, "")
    return outcomes


class _Counts:
    """How far a run is."""

    def __init__(self, total: int, announce: Callable[[int, int, int, str], None]) -> None:
        self._total, self._announce = total, announce
        self._begun = self.failed = 0

    def begin(self, name: str) -> None:
        self._announce(self._begun, self._total, self.failed, name)
        self._begun += 1
