"""The check of an exam before any method runs, by the worker: 300 slices are too many for Slicer's own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.preprocessing.checks.findings import InputFinding
from ICHSegmenterLib.protocol import Message, MessageType
from ICHSegmenterSlicer.client.worker_client import WorkerClient


def submitCheck(
    client: WorkerClient,
    exam: Message,
    done: Callable[[Sequence[InputFinding]], None],
    failed: Callable[[Failure], None],
) -> str:
    """Ask the worker what is found about an exam; returns the id of the request.

    Args:
        client: Starts the worker if none runs; no analysis is begun.
        exam: As of `protocol.exam_message`; its voxels lie in its job folder until an answer comes.
        done: Called with the findings.
        failed: Called if there is no answer.
    """

    def receive(answer: Message) -> None:
        done([InputFinding.from_json(finding) for finding in answer["findings"]])

    return client.submit({"type": MessageType.CHECK, **exam}, done=receive, failed=failed)
