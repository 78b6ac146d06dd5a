"""Several exams, one after the other; one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure, ICHSegmenterError
from ICHSegmenterSlicer.jobs import Job
from ICHSegmenterSlicer.running_job import Outcome, Progress, RunningJob
from ICHSegmenterSlicer.scene.exams.listed_exam import ListedExam
from ICHSegmenterSlicer.scene.exams.time_point import Borrowed


class QueueState(Enum):
    """What has become of an exam."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class QueueEntry:
    """An exam of a queue.

    Attributes:
        state: What has become of it.
        fraction: How far it is, 0 to 1; None while unknown.
        failure: Why it failed; else None.
        resultId: Identifier of its result node, empty without.
        version: The exam's version when it was analyzed; the result is that of no other.
    """

    state: QueueState
    fraction: float | None = None
    failure: Failure | None = None
    resultId: str = ""
    version: tuple[Any, ...] = ()


class ExamQueue:
    """Runs a job on one exam after the other.

    Example, in Slicer's Python console:
        queue = ExamQueue(ICHSegmenterLogic().start, lambda exam, entry: print(exam.title, entry.state.value))
        queue.start(exams(), AnalysisJob(AnalysisRequest("hu-threshold")))

    Args:
        run: `ICHSegmenterLogic.start`, or what has its arguments.
        changed: Called with an exam and its entry whenever that is another one; a result is in the scene by then.
        finished: Called when no exam is left.
    """

    def __init__(
        self,
        run: Callable[..., RunningJob],
        changed: Callable[[ListedExam, QueueEntry], None] = lambda exam, entry: None,
        finished: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._changed = changed
        self._finished = finished
        self._waiting: list[ListedExam] = []
        self._job: Job | None = None
        self._current: RunningJob | None = None
        self._borrowed: Borrowed | None = None
        self.isRunning = False

    def start(self, exams: Sequence[ListedExam], job: Job) -> None:
        """Begin; returns at once."""
        if self.isRunning:
            raise RuntimeError("The queue runs already; cancel it first.")
        self.isRunning, self._job, self._waiting = True, job, list(exams)
        for exam in exams:
            self._changed(exam, QueueEntry(QueueState.WAITING))
        self._next()

    def cancel(self) -> None:
        """Stop the running exam, and begin no other one; results so far stay."""
        waiting, self._waiting = self._waiting, []
        for exam in waiting:
            self._changed(exam, QueueEntry(QueueState.CANCELLED))
        if self._current is not None:
            self._current.cancel()

    def _next(self) -> None:
        if not self._waiting:
            self.isRunning = False
            self._finished()
            return
        exam = self._waiting.pop(0)
        try:
            if exam.volumeNode is None:
                raise ICHSegmenterError(_("It was deleted before its turn came."))
            version, self._borrowed = exam.version(), exam.open()
        except ICHSegmenterError as error:
            self._end(exam, QueueEntry(QueueState.FAILED, failure=Failure.of(error)))
            return
        self._changed(exam, QueueEntry(QueueState.RUNNING))
        self._current = self._run(
            self._borrowed.volumeNode,
            self._job,
            progress=lambda progress: self._onProgress(exam, progress),
            finished=lambda outcome: self._onFinished(exam, version, outcome),
        )

    def _onProgress(self, exam: ListedExam, progress: Progress) -> None:
        self._changed(exam, QueueEntry(QueueState.RUNNING, progress.fraction))

    def _onFinished(self, exam: ListedExam, version: tuple[Any, ...], outcome: Outcome) -> None:
        borrowed, self._borrowed, self._current = self._borrowed, None, None
        resultNode = outcome.imported.resultNode if outcome.imported is not None else None
        borrowed.giveBack(resultNode)
        if resultNode is not None:
            self._end(exam, QueueEntry(QueueState.DONE, resultId=resultNode.GetID(), version=version))
        elif outcome.failure.kind == "cancelled":
            self._end(exam, QueueEntry(QueueState.CANCELLED))
        else:
            self._end(exam, QueueEntry(QueueState.FAILED, failure=outcome.failure))

    def _end(self, exam: ListedExam, entry: QueueEntry) -> None:
        if slicer.mrmlScene.IsClosing():
            self._waiting = []
        self._changed(exam, entry)
        qt.QTimer.singleShot(0, self._next)  # the panel has its turn between two exams
