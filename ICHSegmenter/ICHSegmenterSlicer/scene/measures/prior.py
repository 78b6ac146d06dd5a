"""A prior exam of the scene compared with the current one by the worker; its outline comes back on the current grid."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from ICHSegmenterLib.errors import Failure, ICHSegmenterError
from ICHSegmenterLib.labels import ICH, SEGMENT_LABELS
from ICHSegmenterLib.measuring.follow_up import FollowUp
from ICHSegmenterLib.protocol import Message, MessageType
from ICHSegmenterSlicer.client.steps import StepRunner, Steps
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.results import edits, runs
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.measured import maskOnGrid
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE
from ICHSegmenterSlicer.scene.volumes import exportVolume

LABELMAP_FILE = "labelmap.npy"


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
        self._client = client
        self._done = done
        self._failed = failed
        self._current: object | None = None
        self._reader: StepRunner[Message] | None = None

    @property
    def isRunning(self) -> bool:
        """True until it is done or has failed."""
        return self._current is not None

    def begin(self, current: slicer.vtkMRMLTextNode, prior: slicer.vtkMRMLTextNode) -> None:
        """Hand both exams with their segments over in steps, then ask."""
        self.stop()
        token = self._current = object()
        folder = Path(tempfile.mkdtemp(prefix="ICHSegmenter-prior-", dir=slicer.app.temporaryPath))

        def receive(answer: Message) -> None:
            outline = np.load(folder / "current" / answer["prior"])
            shutil.rmtree(folder, ignore_errors=True)
            if token is self._current:
                self._current = None
                self._done(ComparedPrior(FollowUp.from_json(answer["follow_up"]), outline))

        def fail(failure: Failure | Exception) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            if token is not self._current:
                return
            self._current = None
            if isinstance(failure, ICHSegmenterError):
                failure = Failure(failure.kind, str(failure))
            if not isinstance(failure, Failure):
                raise failure
            self._failed(failure)

        def submit(message: Message) -> None:
            self._client.submit(message, done=receive, failed=fail)

        self._reader = StepRunner(_export(current, prior, folder), submit, fail)

    def stop(self) -> None:
        """Want no answer any more."""
        self._current = None
        if self._reader is not None:
            self._reader.stop()
            self._reader = None


def _export(current: slicer.vtkMRMLTextNode, prior: slicer.vtkMRMLTextNode, folder: Path) -> Steps[Message]:
    """The request, with the files of both exams."""
    now = yield from _exportOutlined(current, folder / "current")
    then = yield from _exportOutlined(prior, folder / "prior")
    return {"type": MessageType.FOLLOW_UP, **now[0], "outline": now[1], "prior": then[0], "prior_outline": then[1]}


def _exportOutlined(resultNode: slicer.vtkMRMLTextNode, folder: Path) -> Steps[tuple[Message, Message]]:
    """The exam of a result and its segments as they are now, each in the worker's words."""
    folder.mkdir()
    volumeNode = resultNode.GetNodeReference(VOLUME_ROLE)
    segmentationNode = resultNode.GetNodeReference(SEGMENTATION_ROLE)
    exported = yield from exportVolume(volumeNode, folder)
    labelmap = np.lib.format.open_memmap(
        folder / LABELMAP_FILE, mode="w+", dtype=np.uint8, shape=exported.geometry.shape
    )
    keys: list[str] = []
    segmentation = segmentationNode.GetSegmentation()
    for segmentId in list(segmentation.GetSegmentIDs()):
        mask, start = maskOnGrid(segmentationNode, segmentId, volumeNode)
        key = edits.tagOf(segmentation.GetSegment(segmentId), edits.KEY_TAG)
        key = key if key in SEGMENT_LABELS else ICH.key
        if mask.size:
            keys += [key] if key not in keys else []
            box = tuple(slice(low, low + size) for low, size in zip(start, mask.shape, strict=True))
            labelmap[box][mask] = keys.index(key) + 1
        yield
    del labelmap
    return exported.message(), {"labelmap": LABELMAP_FILE, "labels": keys}
