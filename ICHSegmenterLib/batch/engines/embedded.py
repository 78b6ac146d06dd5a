"""The engine on one computer: processes read and check ahead, one network predicts, threads judge, measure and publish.

Each queue is bounded. An exam in whose middle a batch ended is analyzed alone, so that another end is its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType

from ICHSegmenterLib.batch.engines.ends import Ends
from ICHSegmenterLib.batch.engines.engine import Analyze, RunOptions, Unjudged
from ICHSegmenterLib.batch.engines.steps import ExamSteps, ReadExam, failed_outcome
from ICHSegmenterLib.batch.engines.time_limit import TimeLimit
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.batch.reading.checking_reader import CheckingReader
from ICHSegmenterLib.batch.settled import InputChangedError
from ICHSegmenterLib.errors import CancelledError, TimeLimitError
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.reader.process import ReaderProcess

MAX_TRIES = 3
"""For an exam whose files change while it is analyzed."""
AHEAD = 1
"""So many exams wait for the analysis beside those that are being read."""
WRITERS = 2
POLL_S = 0.2
"""Between two looks whether the run shall stop, while an exam is waited for."""
IDLE_S = 0.02
"""Between two looks for exams where none is there."""


@dataclass(frozen=True, eq=False)
class _Unread:
    """An exam that could not be read."""

    exam: Exam
    error: Exception


class _Source:
    """Exams to come; an iterator whose None says that none is there at the moment."""

    def __init__(self, exams: Iterable[Exam | None]) -> None:
        self._exams = iter(exams)
        self.is_exhausted = False

    def next(self) -> Exam | None:
        for exam in self._exams:
            return exam
        self.is_exhausted = True
        return None


_Reading = ReadExam | ExamOutcome | _Unread


class EmbeddedEngine:
    """One network in the thread that asks for outcomes; a context manager, which ends its processes.

    Args:
        steps: Of each exam.
        analyze: Volume to result, or to what makes it behind the network, which stays loaded between exams. It should
            raise `CancelledError` soon after `options.is_interrupted()`; the rest is finished and published.
        options: Of the run.
    """

    def __init__(self, steps: ExamSteps, analyze: Analyze, options: RunOptions | None = None) -> None:
        self._steps, self._analyze, self._options = steps, analyze, options or RunOptions()
        self._ends = Ends(steps.output)
        self._tries: dict[str, int] = {}
        kind = CheckingReader if self._options.checks_ahead else ReaderProcess
        self._readers = [kind() for _ in range(self._options.readers)]
        self._idle: SimpleQueue[ReaderProcess] = SimpleQueue()
        for reader in self._readers:
            self._idle.put(reader)
        self._reading_pool = ThreadPoolExecutor(self._options.readers, thread_name_prefix="reading")
        self._writing_pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="writing")
        self._is_closed = False

    def __enter__(self) -> EmbeddedEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._reading_pool.shutdown(wait=False, cancel_futures=True)
        for reader in self._readers:  # what is being read is not waited for
            reader.close()
        self._reading_pool.shutdown()
        self._writing_pool.shutdown()

    def outcomes(self, exams: Iterable[Exam | None]) -> Generator[ExamOutcome, None, None]:
        """As of `Engine`."""
        source = _Source(exams)
        reading: deque[Future[_Reading]] = deque()
        writing: deque[tuple[ReadExam, Future[ExamOutcome]]] = deque()
        try:
            while True:
                self._check_stop()
                while len(reading) < self._options.readers + AHEAD and (exam := source.next()) is not None:
                    reading.append(self._reading_pool.submit(self._read, exam))
                while writing and (writing[0][1].done() or len(writing) > WRITERS or not reading):
                    yield from self._first_written(writing, reading)
                if not (reading or writing):
                    if source.is_exhausted:
                        return
                    self._options.stop.wait(IDLE_S)
                if not reading:
                    continue
                if (next_read := self._next(reading)) is None:
                    continue
                is_alone = isinstance(next_read, ReadExam) and self._steps.attempts.is_suspect(next_read.exam.name)
                while is_alone and writing:
                    yield from self._first_written(writing, reading)
                outcome = self._outcome_of(next_read, writing)
                if outcome is not None:
                    yield outcome
                while is_alone and writing:
                    yield from self._first_written(writing, reading)
        except GeneratorExit:
            raise
        except BaseException:  # what is being published is finished and reported, whatever ends the run
            wait([written for _, written in writing])
            yield from (written.result() for _, written in writing if written.exception() is None)
            raise
        finally:
            for future in reading:
                future.cancel()

    def _read(self, exam: Exam) -> _Reading:
        """In a thread."""
        try:
            if (outcome := self._steps.before(exam)) is not None:
                return outcome
            reader = self._idle.get()
            try:
                return self._steps.read(exam, reader, self._wait)
            finally:
                self._idle.put(reader)
        except Exception as error:
            return _Unread(exam, error)

    def _wait(self, seconds: float) -> None:
        if self._is_closed or self._options.stop.wait(seconds):
            raise _stopped()

    def _next(self, reading: deque[Future[_Reading]]) -> _Reading | None:
        """The first of the exams that have been read; None if none has for a moment."""
        wait(reading, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for number, future in enumerate(reading):
            if future.done():
                del reading[number]
                return future.result()
        return None

    def _outcome_of(self, read: _Reading, writing: deque[tuple[ReadExam, Future[ExamOutcome]]]) -> ExamOutcome | None:
        """The outcome of an exam that needs no analysis or fails in it; else None, and it is being published."""
        if not (isinstance(read, ReadExam) and read.exam.name in self._tries):
            self._steps.begun(read.exam.name)
        if isinstance(read, ExamOutcome):
            return read
        if isinstance(read, _Unread):
            return self._failed(read.exam, read.error)
        self._ends.succeeded()
        try:
            result = self._analyzed(read)
        except Exception as error:
            return self._failed(read.exam, error)
        writing.append((read, self._writing_pool.submit(self._publish, read, result)))
        return None

    def _first_written(
        self, writing: deque[tuple[ReadExam, Future[ExamOutcome]]], reading: deque[Future[_Reading]]
    ) -> Iterator[ExamOutcome]:
        """The outcome of the exam that is published first; none if it has to be read again."""
        read, written = writing.popleft()
        outcome = self._written(read, written)
        if outcome is None:
            reading.appendleft(self._reading_pool.submit(self._read, read.exam))
        else:
            yield outcome

    def _publish(self, read: ReadExam, result: AnalysisResult | Unjudged) -> ExamOutcome:
        """In a thread."""
        if callable(result):
            limit = TimeLimit(self._options.limit.seconds)  # its own: the other one is that of the next exam's network
            with limit.applied(lambda: self._stuck(read)):
                result = result()
        return self._steps.publish(read, result)

    def _stuck(self, read: ReadExam) -> None:
        message = str(TimeLimitError.after(self._options.limit.seconds))
        self._steps.attempts.killed(read.exam.name, read.digest, message)

    def _analyzed(self, read: ReadExam) -> AnalysisResult | Unjudged:
        exam, limit, attempts = read.exam, self._options.limit, self._steps.attempts
        attempts.begin(exam.name, read.digest)
        try:
            with limit.applied(lambda: self._stuck(read)):
                try:
                    return self._analyze(read.volume, **read.known)
                except CancelledError as error:
                    if limit.is_over() and not self._options.stop.is_set():
                        raise TimeLimitError.after(limit.seconds) from error
                    raise
        except BaseException:  # the exam did not end the process
            attempts.end(exam.name)
            raise

    def _written(self, read: ReadExam, written: Future[ExamOutcome]) -> ExamOutcome | None:
        """The outcome of a published exam; None if it has to be read again, since its files changed meanwhile."""
        try:
            return written.result()
        except InputChangedError as error:
            self._steps.attempts.end(read.exam.name)
            tries = self._tries.get(read.exam.name, 1)
            if tries < MAX_TRIES:
                self._tries[read.exam.name] = tries + 1
                return None
            del self._tries[read.exam.name]
            return self._failed(read.exam, error)
        except Exception as error:
            return self._failed(read.exam, error)

    def _failed(self, exam: Exam, error: Exception) -> ExamOutcome:
        """The outcome of an exam that failed alone.

        Raises:
            ICHSegmenterError: No further exam could succeed, or the run was stopped.
        """
        if isinstance(error, CancelledError):
            raise error
        self._check_stop()
        if (end := self._ends.end_by(exam, error)) is not None:
            self._steps.attempts.end(exam.name)  # of which it was not the fault
            raise end from error
        return failed_outcome(exam, error)

    def _check_stop(self) -> None:
        if self._options.stop.is_set():
            raise _stopped()


def _stopped() -> CancelledError:
    return CancelledError("The run was stopped. Run the same command again to go on.")
