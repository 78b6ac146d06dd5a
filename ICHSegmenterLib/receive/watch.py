"""A folder that exams keep coming into, as a router writes it: each exam is analyzed once, when it is complete."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from ICHSegmenterLib.batch.attempts import Attempts
from ICHSegmenterLib.batch.discovery import exams_in
from ICHSegmenterLib.batch.done import DoneBefore, done_before
from ICHSegmenterLib.batch.engines.embedded import EmbeddedEngine
from ICHSegmenterLib.batch.engines.ends import InputLostError, OutputLostError
from ICHSegmenterLib.batch.engines.engine import Analyze, RunOptions
from ICHSegmenterLib.batch.engines.steps import ExamSteps
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.batch.names import named_exams
from ICHSegmenterLib.batch.owner import owned
from ICHSegmenterLib.batch.summary import SUMMARY_FILE, Summary
from ICHSegmenterLib.errors import CancelledError
from ICHSegmenterLib.files import DRAFT_PREFIX, SCRATCH_PREFIX, remove_leftovers
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.input_files import digest_of

logger = logging.getLogger(__name__)

POLL_S = 5.0
"""Between two looks at the folder: shares send no notice of new files."""
QUIET_S = 10.0
"""A folder whose files did not change for so long is complete."""


class WatchedFolder:
    """The folders below one, each searched when its files have come to rest, and again when they changed.

    Args:
        path: May be absent for a while, as a share that is away.
        passed_over: A folder below it that holds results.
        quiet_s: See `QUIET_S`.
    """

    def __init__(self, path: Path, passed_over: Path, quiet_s: float = QUIET_S) -> None:
        self._path, self._quiet_s = path, quiet_s
        self._passed_over = passed_over.resolve()
        self._searched: dict[Path, bytes] = {}

    def new_exams(self) -> Iterator[Exam]:
        """Exams of all folders that are complete and were not searched as they are now."""
        there = set()
        for folder, state, youngest in self._folders():
            there.add(folder)
            if self._searched.get(folder) == state or abs(time.time() - youngest) < self._quiet_s:
                continue
            try:
                exams = exams_in(folder)
            except OSError as error:  # gone, or the share is away: the next look will tell
                logger.info("a folder cannot be searched now (%s)", error.strerror or type(error).__name__)
                continue
            self._searched[folder] = state
            yield from exams
        for folder in self._searched.keys() - there:
            del self._searched[folder]

    def forget(self, folder: Path) -> None:
        """Search a folder again at the next look: its files changed under the analysis."""
        self._searched.pop(folder, None)

    def _folders(self) -> Iterator[tuple[Path, bytes, float]]:
        """Each folder with a digest of the names, sizes and times of its files, and the time of the last change."""
        for name, folders, files in os.walk(self._path):
            folder = Path(name)
            hidden = (SCRATCH_PREFIX, DRAFT_PREFIX)
            folders[:] = sorted(
                one for one in folders if not one.startswith(hidden) and (folder / one).resolve() != self._passed_over
            )
            if files and DONE_FILE not in files:
                try:
                    states = [((folder / file).stat(), file) for file in sorted(files) if not file.startswith(hidden)]
                except OSError:  # one of them has gone: they still change
                    continue
                digest = hashlib.sha256()
                for state, file in states:
                    digest.update(f"{state.st_size} {state.st_mtime_ns} ".encode() + os.fsencode(file) + b"\0")
                yield folder, digest.digest(), max((state.st_mtime for state, _ in states), default=0.0)


@dataclass
class Watch:
    """A batch without an end: `results.csv` has a row for each exam that is there or was analyzed before.

    Attributes:
        folder: Looked through every `poll_s`.
        output: As of a batch; another start goes on with it.
        analyze: Volume to result by `request`.
        announce: Called with the name of each exam that is begun.
        after: Called with each outcome that is not "skipped", and with the exam's files still there.
        between: Called after each look at the folder.
        options: Time limit of an analysis, and reader processes.
        is_waiting: In this look an exam was left to the next one, since results cannot be written.
    """

    folder: WatchedFolder
    output: Path
    analyze: Analyze
    request: AnalysisRequest
    poll_s: float = POLL_S
    announce: Callable[[str], None] = lambda name: None
    after: Callable[[ExamOutcome], None] = lambda outcome: None
    between: Callable[[], None] = lambda: None
    options: RunOptions = field(default_factory=RunOptions)
    is_waiting: bool = False
    _series: dict[str, Path] = field(default_factory=dict)
    _handled: dict[str, str] = field(default_factory=dict)
    _failures: dict[str, ExamOutcome] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> dict[str, int]:
        """Analyze what comes until `stop` is set; returns how many exams had which status.

        An analysis that `stop` interrupts (`analyze` raises `CancelledError`) leaves nothing, and is done by the next
        start.

        Raises:
            OutputError, DeviceLostError: As of `run_batch`.
        """
        counts = {"done": 0, "failed": 0}
        with owned(self.output):
            remove_leftovers(self.output)
            self._failures = _failures_in(self.output / SUMMARY_FILE)
            with Attempts(self.output) as attempts:
                is_outdated = True
                while is_outdated and not stop.is_set():
                    done = done_before(self.output, self.request)
                    steps = ExamSteps(self.output, self.request, attempts, done, self.announce)
                    with EmbeddedEngine(steps, self.analyze, replace(self.options, stop=stop)) as engine:
                        is_outdated = self._serve(engine, steps, counts, stop)
            if is_outdated:
                with Summary(self.output / SUMMARY_FILE, self.request) as summary:
                    self._write_rows(summary, done_before(self.output, self.request))
        return counts

    def _serve(self, engine: EmbeddedEngine, steps: ExamSteps, counts: dict[str, int], stop: threading.Event) -> bool:
        """Until `stop`, or until an exam that has a row was analyzed again: True, the rows are to be written anew."""
        with Summary(self.output / SUMMARY_FILE, self.request) as summary:
            rows, is_outdated = self._write_rows(summary, steps.done), False
            while not (is_outdated or stop.is_set()):
                for outcome in self._outcomes(engine, steps):
                    steps.attempts.end(outcome.exam.name)
                    counts[outcome.status] += 1
                    if outcome.exam.name in rows:
                        is_outdated = True
                    else:
                        summary.add(outcome)
                        rows.add(outcome.exam.name)
                    self.after(outcome)
                if not stop.is_set():
                    self.between()
                stop.wait(0 if is_outdated else self.poll_s)
        return is_outdated

    def _outcomes(self, engine: EmbeddedEngine, steps: ExamSteps) -> Iterator[ExamOutcome]:
        """Outcomes of the exams that are there to be analyzed now; those that cannot be are left to the next look."""
        self.is_waiting = False
        waiting: dict[str, tuple[Exam, str]] = {}
        try:
            with closing(engine.outcomes(self._unhandled(steps, waiting))) as arriving:
                for outcome in arriving:
                    _, self._handled[outcome.exam.name] = waiting.pop(outcome.exam.name)
                    self._failures.pop(outcome.exam.name, None)
                    if outcome.status == "failed":
                        self._failures[outcome.exam.name] = outcome
                    if outcome.status != "skipped":
                        yield outcome
        except CancelledError:
            pass
        except (OutputLostError, InputLostError) as error:
            self.is_waiting = True
            logger.error("%s Exams wait for it.", error)
        for exam, _ in waiting.values():
            self._leave(exam)

    def _leave(self, exam: Exam) -> None:
        """Leave an exam to the next look."""
        self.folder.forget(exam.path if exam.path.is_dir() else exam.path.parent)

    def _write_rows(self, summary: Summary, done: DoneBefore) -> set[str]:
        """A row for each exam that was done before or failed, its files there or not."""
        for name, exam in sorted(done.exams.items()):
            if name not in self._failures:  # its files changed since, and then it failed
                summary.add(ExamOutcome(Exam(name, self.output / name), "skipped", exam.numbers))
        for outcome in self._failures.values():
            summary.add(outcome)
        return {*done.exams, *self._failures}

    def _unhandled(self, steps: ExamSteps, waiting: dict[str, tuple[Exam, str]]) -> Iterator[Exam]:
        """Exams under the names of their results, without copies and those done before; with their times in `waiting`.

        An exam that failed, or was done, comes again when its files have changed.
        """
        for exam in self.folder.new_exams():
            if exam.series_uid is not None:
                first = self._series.setdefault(exam.series_uid, exam.path)
                if first != exam.path and first.exists():
                    logger.warning("a series lies in two folders; it is analyzed once")
                    continue
                self._series[exam.series_uid] = exam.path
            (named,) = named_exams([exam], self.output)
            times = _times(named)
            if self._handled.get(named.name) == times:
                continue
            before = steps.before(named) if named.name not in self._handled else None
            if before is not None and before.status == "skipped":
                self._failures.pop(named.name, None)
                continue
            waiting[named.name] = (named, times)
            yield named


def _failures_in(table: Path) -> dict[str, ExamOutcome]:
    """Exams that failed before, by their names; those whose files are still there are tried again."""
    try:
        with table.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = [row for row in csv.DictReader(file) if row.get("status") == "failed" and row.get("exam")]
    except (OSError, csv.Error):
        return {}
    return {
        row["exam"]: ExamOutcome(
            Exam(row["exam"], table.parent), "failed", error=row.get("error") or "", message=row.get("message") or ""
        )
        for row in rows
    }


def _times(exam: Exam) -> str:
    """Digest of sizes and times of an exam's files; empty if one has gone."""
    try:
        return digest_of(exam.input_files()).times
    except OSError:
        return ""
