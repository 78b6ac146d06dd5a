"""A prior exam of the scene compared with the current one by the worker; its outline comes back on the current grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.measuring.follow_up import FollowUp
from ICHSegmenterLib.protocol import Message, MessageType
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.measures.outlined_request import OutlinedRequest, exportOutlined
from ICHSegmenterSlicer.scene.results import runs
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE


@dataclass(frozen=True, eq=False)
class ComparedPrior:
    """The answer.

    Attributes:
        followUp: Volumes then and now, and how well the skulls fit.
        outline: uint8 (slices, rows, columns) of the current volume: the prior labelmap.
    """

    followUp: FollowUp
    outline: np.ndarray


def candidates(volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> list[slicer.vtkMRMLTextNode]:
    """Results with segments on other volumes of the scene, the newest first."""
    nodes = [
        node
        for node in runs.results()
        if node.GetNodeReference(SEGMENTATION_ROLE) is not None
        and node.GetNodeReference(VOLUME_ROLE) not in (None, volumeNode)
    ]
    return nodes[::-1]


class PriorComparison:
    """One comparison at a time.

    Args:
        client: The worker.
        done: Called with the answer.
        failed: Called if there is none.
    """

    def __init__(
        self, client: WorkerClient, done: Callable[[ComparedPrior], None], failed: Callable[[Failure], None]
    ) -> None:
        self._done = done
        self._request = OutlinedRequest(client, self._receive, failed)

    @property
    def isRunning(self) -> bool:
        """True until it is done or has failed."""
        return self._request.isRunning

    def begin(self, current: slicer.vtkMRMLTextNode, prior: slicer.vtkMRMLTextNode) -> None:
        """Hand both exams with their segments over in steps, then ask."""
        self._request.begin(lambda folder: _export(current, prior, folder))

    def stop(self) -> None:
        """Want no answer any more."""
        self._request.stop()

    def _receive(self, answer: Message, folder: Path) -> None:
        outline = np.load(folder / "current" / answer["prior"])
        self._done(ComparedPrior(FollowUp.from_json(answer["follow_up"]), outline))


def _export(current: slicer.vtkMRMLTextNode, prior: slicer.vtkMRMLTextNode, folder: Path) -> Steps[Message]:
    """The request, with the files of both exams."""
    now = yield from exportOutlined(current, folder / "current")
    then = yield from exportOutlined(prior, folder / "prior")
    return {"type": MessageType.FOLLOW_UP, **now[0], "outline": now[1], "prior": then[0], "prior_outline": then[1]}
