"""A worker of a cluster: the engine of one computer, fed with exams and heard over two queues."""

from __future__ import annotations

import os
import platform
import queue
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from ICHSegmenterLib.analysis.analyze import begin_analysis
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.batch.attempts import Attempts
from ICHSegmenterLib.batch.cluster.messages import Begun, Ended, Killed, Message, Ready, Reported, Task, Work
from ICHSegmenterLib.batch.done import DoneBefore
from ICHSegmenterLib.batch.engines.embedded import EmbeddedEngine
from ICHSegmenterLib.batch.engines.engine import RunOptions, Unjudged
from ICHSegmenterLib.batch.engines.steps import ExamSteps
from ICHSegmenterLib.batch.engines.time_limit import TimeLimit
from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.errors import ICHSegmenterError
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.input_files import InputDigest
from ICHSegmenterLib.volume.volume import Volume


class ExamWorker:
    """The worker; its methods are called by three threads: `messages` runs all the time, the others beside it.

    Args:
        work: What all exams of the run share.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._options = RunOptions(threading.Event(), TimeLimit(work.exam_timeout_s), work.readers, True)
        self._done = DoneBefore()
        self._attempts = _ToldAttempts(self._messages)

    def put(self, task: Task | None) -> None:
        """An exam to analyze; None: there are no more."""
        self._tasks.put(task)

    def stop(self) -> None:
        """Interrupt the analysis, finish what is being published, and end."""
        self._options.stop.set()

    def messages(self) -> Iterator[Message]:
        """What happens, from `Ready` to `Ended`."""
        threading.Thread(target=self._serve, name="engine", daemon=True).start()
        while True:
            message = self._messages.get()
            yield message
            if isinstance(message, Ended):
                return

    def _serve(self) -> None:
        session = Session()

        def analyzed(volume: Volume, **known: Any) -> Unjudged:
            context = RunContext(cancelled=self._options.is_interrupted)
            return begin_analysis(volume, self._work.request, context, session, **known)

        steps = ExamSteps(self._work.output, self._work.request, self._attempts, self._done)
        self._messages.put(Ready(platform.node(), os.getpid()))
        try:
            with (
                EmbeddedEngine(steps, analyzed, self._options) as engine,
                closing(engine.outcomes(self._exams())) as arriving,
            ):
                for outcome in arriving:
                    self._messages.put(Reported(outcome))
        except ICHSegmenterError as error:
            self._messages.put(Ended(error))
        except BaseException as error:
            self._messages.put(Ended(ICHSegmenterError(f"Unexpected {type(error).__name__} in a worker: {error}")))
        else:
            self._messages.put(Ended())

    def _exams(self) -> Iterator[Exam | None]:
        """Exams as they come; None when none is there at the moment."""
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                yield None
                continue
            if task is None:
                return
            name = task.exam.name
            if task.done is not None:
                self._done.exams[name] = task.done
            if task.is_newer:
                self._done.newer.add(name)
            if task.killer is not None:
                self._attempts.know(name, *task.killer)
            if task.is_suspect:
                self._attempts.suspects.add(name)
            yield task.exam


class _ToldAttempts(Attempts):
    """The record of exams that kill, kept by the leader of the run, who is told.

    Attributes:
        suspects: Names of exams that are analyzed alone.
    """

    def __init__(self, messages: queue.SimpleQueue[Message]) -> None:
        super().__init__(None)
        self._messages = messages
        self.suspects: set[str] = set()

    def is_suspect(self, name: str) -> bool:
        """The leader said so."""
        return name in self.suspects

    def know(self, name: str, times: str, message: str) -> None:
        """An exam that killed before."""
        self._killers[name] = {"times": times, "message": message}

    def begin(self, name: str, digest: InputDigest) -> None:
        """Tell."""
        self._messages.put(Begun(name, digest))

    def killed(self, name: str, digest: InputDigest, message: str) -> None:
        """Tell."""
        self._messages.put(Killed(name, digest, message))
