"""The engine on a cluster: exams go to workers as these have room; a worker that dies is replaced."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from types import ModuleType, TracebackType

from ICHSegmenterLib.batch.cluster.actors import Actor, Started, WorkerDied, actor_count
from ICHSegmenterLib.batch.cluster.messages import Begun, Ended, Killed, Message, Ready, Reported, Task, Work
from ICHSegmenterLib.batch.engines.embedded import AHEAD, WRITERS
from ICHSegmenterLib.batch.engines.ends import GO_ON, InputLostError, OutputLostError
from ICHSegmenterLib.batch.engines.engine import RunOptions
from ICHSegmenterLib.batch.engines.steps import ExamSteps, failed_outcome
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.errors import CancelledError, ClusterError, ICHSegmenterError, TimeLimitError, WorkerError

logger = logging.getLogger(__name__)

MAX_DEATHS = 3
"""Workers that died in the middle of an exam before it is recorded and passed; and that died one after the other
without an outcome between them before the run ends."""
POLL_S = 0.2
END_S = 60.0
"""For workers to publish what is complete when the run is stopped."""


class ClusterEngine:
    """Workers on a cluster; a context manager.

    Args:
        ray: Connected.
        steps: Of each exam.
        options: Of the run; readers are those of each worker.
        workers: How many; None: one for each graphics card of the cluster, or one for four cores where there is none.
    """

    def __init__(self, ray: ModuleType, steps: ExamSteps, options: RunOptions, workers: int | None = None) -> None:
        self._ray, self._steps, self._options = ray, steps, options
        self._work = Work(steps.output.resolve(), steps.request, options.limit.seconds, options.readers)
        self._count = actor_count(ray, steps.request, workers)
        self._actors: list[Actor] = []
        self._room = options.readers + AHEAD + WRITERS + 1
        self._deaths = 0
        self._deaths_of: dict[str, int] = {}

    def __enter__(self) -> ClusterEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:  # they remove what they have in temporary folders
            for actor in self._actors:
                actor.put(None)
            for _ in self._last_outcomes():
                pass
        for actor in self._actors:
            actor.kill()

    def outcomes(self, exams: Iterable[Exam | None]) -> Generator[ExamOutcome, None, None]:
        """As of `Engine`.

        Raises:
            ClusterError: Workers end as soon as they start.
        """
        source, is_exhausted = iter(exams), False
        again, suspects = deque[Exam](), deque[Exam]()  # suspects are tried after the rest
        while True:
            if self._options.stop.is_set():
                for actor in self._actors:
                    actor.stop()
                yield from self._last_outcomes()
                raise CancelledError("The run was stopped. Run the same command again to go on.")
            while len(self._actors) < self._count:
                self._actors.append(Actor(self._ray, self._work, self._count))
            for actor in self._with_room():
                exam = again.popleft() if again else next(source, _END)
                if exam is _END:
                    is_exhausted = True
                    exam = suspects.popleft() if suspects else None
                if not isinstance(exam, Exam):
                    break
                self._send(actor, exam)
            if is_exhausted and not (again or suspects or any(actor.exams for actor in self._actors)):
                return
            for actor in self._heard():
                try:
                    yield from self._outcomes_of(actor, actor.message())
                except WorkerDied:
                    tried = []
                    for exam in self._bury(actor):
                        if isinstance(exam, ExamOutcome):
                            yield exam
                        elif exam.name in self._deaths_of:
                            tried.append(exam)
                        else:
                            again.append(exam)
                    suspects.extendleft(reversed(tried))

    def _with_room(self) -> Iterator[Actor]:
        """The worker with the fewest exams, as long as one has room for another."""
        while True:
            ready = [actor for actor in self._actors if actor.is_ready and len(actor.exams) < self._room]
            if not ready:
                return
            yield min(ready, key=lambda actor: len(actor.exams))

    def _send(self, actor: Actor, exam: Exam) -> None:
        done, name = self._steps.done, exam.name
        if name not in self._deaths_of:
            self._steps.begun(name)
        attempts = self._steps.attempts
        is_suspect = name in self._deaths_of or attempts.is_suspect(name)
        actor.put(Task(exam, done.exams.get(name), name in done.newer, attempts.killer(name), is_suspect))

    def _heard(self) -> list[Actor]:
        """Workers that have a message, or have died."""
        streams = {actor.stream: actor for actor in self._actors}
        ready, _ = self._ray.wait(list(streams), num_returns=1, timeout=POLL_S, fetch_local=False)
        more, _ = self._ray.wait(list(streams), num_returns=len(streams), timeout=0, fetch_local=False)
        return [streams[stream] for stream in dict.fromkeys([*ready, *more])]

    def _outcomes_of(self, actor: Actor, message: Message) -> Iterator[ExamOutcome]:
        if isinstance(message, Ready):
            actor.is_ready = True
            logger.info("a worker is ready: process %d on %s", message.process, message.host)
        elif isinstance(message, Begun):
            actor.begun[message.name] = Started(time.monotonic(), message.digest)
        elif isinstance(message, Killed):
            self._steps.attempts.killed(message.name, message.digest, message.message)
        elif isinstance(message, Reported):
            self._deaths = 0
            actor.end(message.outcome.exam.name)
            yield message.outcome
        elif isinstance(message.error, OutputLostError | InputLostError):
            raise message.error
        else:  # its graphics card stopped, or an error of ours: another worker tries
            raise WorkerDied(str(message.error or "it ended"))

    def _bury(self, actor: Actor) -> Iterator[Exam | ExamOutcome]:
        """The exams of a worker that died: those to be tried again, and the outcome of one that killed several."""
        self._actors.remove(actor)
        actor.kill()
        self._deaths += 1
        logger.warning("a worker died (%s); its exams go to another one", actor.reason)
        for name, exam in actor.exams.items():
            started = actor.begun.get(name)
            error = None if started is None else self._verdict(name, started)
            if started is None or error is None:
                yield exam
            else:
                self._deaths = 0  # the exam was the reason
                self._steps.attempts.killed(name, started.digest, str(error))
                yield failed_outcome(exam, error)
        if self._deaths >= MAX_DEATHS:
            raise ClusterError(
                f"{MAX_DEATHS} workers died one after the other ({actor.reason}). Look into the log of Ray. {GO_ON}"
            )

    def _verdict(self, name: str, started: Started) -> ICHSegmenterError | None:
        """Why an exam that had been begun when its worker died is not tried again; None if it is."""
        self._deaths_of[name] = self._deaths_of.get(name, 0) + 1
        limit_s = self._options.limit.seconds
        if limit_s is not None and time.monotonic() - started.time_s > limit_s:
            return TimeLimitError.after(limit_s)
        if self._deaths_of[name] >= MAX_DEATHS:
            return WorkerError(f"{MAX_DEATHS} workers died in the middle of this exam.")
        return None

    def _last_outcomes(self) -> Iterator[ExamOutcome]:
        """What workers publish after they were asked to end."""
        until = time.monotonic() + END_S
        while self._actors and time.monotonic() < until:
            for actor in self._heard():
                try:
                    message = actor.message()
                except WorkerDied:
                    message = Ended()
                if isinstance(message, Ended):
                    self._actors.remove(actor)
                    actor.kill()
                elif isinstance(message, Reported):
                    yield message.outcome


_END = object()
