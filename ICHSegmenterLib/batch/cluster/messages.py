"""Messages between the process that leads a run on a cluster and its workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.batch.done import DoneExam
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.errors import ICHSegmenterError
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.input_files import InputDigest


@dataclass(frozen=True)
class Work:
    """What all exams of a run share.

    Attributes:
        output: Folder of the results, the same on all computers.
        request: What is asked of each exam.
        exam_timeout_s: Limit of an analysis; None: there is none.
        readers: Reader processes of a worker.
    """

    output: Path
    request: AnalysisRequest
    exam_timeout_s: float | None
    readers: int


@dataclass(frozen=True)
class Task:
    """An exam for a worker.

    Attributes:
        exam: With the name of its results.
        done: Its result of an earlier run, if there is one.
        is_newer: That result was written by a newer version.
        killer: Times of its files and message, if it killed before.
        is_suspect: It, or another exam beside it, ended a batch or a worker.
    """

    exam: Exam
    done: DoneExam | None = None
    is_newer: bool = False
    killer: tuple[str, str] | None = None
    is_suspect: bool = False


@dataclass(frozen=True)
class Ready:
    """A worker has started.

    Attributes:
        host, process: Where it runs.
    """

    host: str
    process: int


@dataclass(frozen=True)
class Begun:
    """An analysis begins."""

    name: str
    digest: InputDigest


@dataclass(frozen=True)
class Killed:
    """An exam killed the reader."""

    name: str
    digest: InputDigest
    message: str


@dataclass(frozen=True)
class Reported:
    """An exam has come to its end."""

    outcome: ExamOutcome


@dataclass(frozen=True)
class Ended:
    """A worker takes no more exams.

    Attributes:
        error: Why, unless it was asked to end.
    """

    error: ICHSegmenterError | None = None


Message = Ready | Begun | Killed | Reported | Ended
