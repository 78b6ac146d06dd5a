"""A prior exam of the scene compared with the current one by the worker; its outline comes back on the current grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import slicer

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.measuring.follow_up import FollowUp
from ICHSegmenterLib.protocol import Message, MessageType
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.measures import kept_prior
from ICHSegmenterSlicer.scene.measures.kept_prior import KeptPrior
from ICHSegmenterSlicer.scene.measures.outlined_request import OutlinedRequest, Question, exportOutlined
from ICHSegmenterSlicer.scene.results import runs, segment_voxels
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE


def candidates(volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> list[slicer.vtkMRMLTextNode]:
    """Results with segments on other volumes of the scene, the newest first."""
    nodes = [
        node
        for node in runs.results()
        if node.GetNodeReference(SEGMENTATION_ROLE) is not None
        and node.GetNodeReference(VOLUME_ROLE) not in (None, volumeNode)
    ]
    return nodes[::-1]


class PriorComparison(Question):
    """One comparison at a time.

    Args:
        client: The worker.
        done: Called when the result node keeps the answer.
        failed: Called if there is none.
    """

    def __init__(self, client: WorkerClient, done: Callable[[], None], failed: Callable[[Failure], None]) -> None:
        self._done = done
        self._nodes: tuple[slicer.vtkMRMLTextNode, slicer.vtkMRMLTextNode] | None = None
        self._name = self._state = ""
        self._request = OutlinedRequest(client, self._receive, failed)

    def begin(self, current: slicer.vtkMRMLTextNode, prior: slicer.vtkMRMLTextNode, name: str) -> None:
        """Hand both exams with their segments over in steps, then ask; `name` is that of the prior one."""
        self._nodes, self._name = (current, prior), name
        self._request.begin(self._export)

    def _export(self, folder: Path) -> Steps[Message]:
        """The request, with the files of both exams."""
        current, prior = self._nodes
        now, outline = yield from exportOutlined(current, folder / "current")
        then, priorOutline = yield from exportOutlined(prior, folder / "prior")
        self._state = yield from kept_prior.stateOf(prior)
        return {
            "type": MessageType.FOLLOW_UP,
            **now,
            "outline": outline,
            "prior": then,
            "prior_outline": priorOutline,
        }

    def _receive(self, answer: Message, folder: Path) -> None:
        outline = np.load(folder / "current" / answer["prior"])
        box = segment_voxels.filledBox(outline) or (slice(0, 0),) * 3
        start = (box[0].start, box[1].start, box[2].start)
        followUp = FollowUp.from_json(answer["follow_up"])
        kept_prior.keep(*self._nodes, KeptPrior(self._name, followUp, self._state, outline[box] > 0, start))
        self._done()
