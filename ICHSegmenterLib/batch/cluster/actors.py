"""Actors of Ray, each a worker in a process of its own, and how many of them a cluster holds."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

from ICHSegmenterLib.batch.cluster.messages import Message, Task, Work
from ICHSegmenterLib.batch.cluster.worker import ExamWorker
from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.errors import ClusterError
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.input_files import InputDigest

CORES_A_WORKER = 4
"""Of a computer without graphics card: for the network, beside reading and writing."""
CALLS = 4
"""At the same time: the stream of messages, and those that put and stop."""


class WorkerDied(Exception):  # noqa: N818 (an event, which the engine deals with)
    """The process of a worker has gone, or takes no more exams."""


class Started(NamedTuple):
    """When an analysis began, by the clock of the leader in seconds, and of which files."""

    time_s: float
    digest: InputDigest


class Actor:
    """One worker, as the leader of the run sees it.

    Attributes:
        stream: Generator of references to its messages.
        exams: Those that it was given and has not reported, by name.
        begun: Those of them whose analysis began.
        is_ready: It has started.
        reason: Why it died.
    """

    def __init__(self, ray: ModuleType, work: Work, count: int) -> None:
        self._ray = ray
        uses_card = bool(_cards(ray, work.request))
        cores = int(ray.cluster_resources().get("CPU", 1))
        resources = {"num_gpus": 1} if uses_card else {"num_cpus": max(1, min(CORES_A_WORKER, cores // count))}
        actor_class = ray.remote(max_concurrency=CALLS, max_restarts=0, **resources)(ExamWorker)
        self._handle: Any = actor_class.remote(work)
        self.stream: Any = self._handle.messages.options(num_returns="streaming").remote()
        self.exams: dict[str, Exam] = {}
        self.begun: dict[str, Started] = {}
        self.is_ready = False
        self.reason = ""

    def put(self, task: Task | None) -> None:
        """Give it an exam; None: there are no more."""
        if task is not None:
            self.exams[task.exam.name] = task.exam
        self._handle.put.remote(task)

    def end(self, name: str) -> None:
        """An exam was reported."""
        self.exams.pop(name, None)
        self.begun.pop(name, None)

    def message(self) -> Message:
        """The next message; waits for it.

        Raises:
            WorkerDied: There is none.
        """
        try:
            message: Message = self._ray.get(next(self.stream))
            return message
        except (StopIteration, self._ray.exceptions.RayError) as error:
            self.reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise WorkerDied(self.reason) from error

    def stop(self) -> None:
        """Ask it to end."""
        self._handle.stop.remote()

    def kill(self) -> None:
        """End its process."""
        self._ray.kill(self._handle)


def actor_count(ray: ModuleType, request: AnalysisRequest, asked: int | None) -> int:
    """How many workers a cluster gets.

    Args:
        ray: Connected.
        request: A method that needs no network has no use for graphics cards.
        asked: So many, if not None.

    Raises:
        ClusterError: More were asked for than the cluster has graphics cards, or cores.
    """
    cores, cards = int(ray.cluster_resources().get("CPU", 0)), _cards(ray, request)
    places = cards or cores
    if asked is not None and asked > places:
        kind = "graphics cards" if cards else "cores"
        raise ClusterError(f"The cluster has {places} {kind}, too few for {asked} workers. Give fewer --workers.")
    return asked or cards or max(1, cores // CORES_A_WORKER)


def _cards(ray: ModuleType, request: AnalysisRequest) -> int:
    """Graphics cards of the cluster, 0 if the request runs on the CPU."""
    if request.device == "cpu" or not request.card.needs_weights:
        return 0
    return int(ray.cluster_resources().get("GPU", 0))
