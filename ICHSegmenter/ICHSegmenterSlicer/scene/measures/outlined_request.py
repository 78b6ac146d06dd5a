"""Questions to the worker about exams of the scene with their segments as they are now."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import slicer

from ICHSegmenterLib.errors import Failure, ICHSegmenterError
from ICHSegmenterLib.labels import ICH, SEGMENT_LABELS
from ICHSegmenterLib.protocol import Message
from ICHSegmenterSlicer.client.steps import StepRunner, Steps
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.results import edits
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.measured import isBlood, maskOnGrid
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE
from ICHSegmenterSlicer.scene.volumes import exportVolume

LABELMAP_FILE = "labelmap.npy"


class OutlinedRequest:
    """One question at a time.

    Args:
        client: The worker.
        done: Called with the answer and the folder of the job, which is gone afterwards.
        failed: Called if there is no answer.
    """

    def __init__(
        self, client: WorkerClient, done: Callable[[Message, Path], None], failed: Callable[[Failure], None]
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

    def begin(self, export: Callable[[Path], Steps[Message]]) -> None:
        """Ask what `export` makes, in steps, in the folder that it is given."""
        self.stop()
        token = self._current = object()
        folder = Path(tempfile.mkdtemp(prefix="ICHSegmenter-measures-", dir=slicer.app.temporaryPath))

        def receive(answer: Message) -> None:
            try:
                if token is self._current:
                    self._current = None
                    self._done(answer, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        def fail(failure: Failure | Exception) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            if token is not self._current:
                return
            self._current = None
            if isinstance(failure, ICHSegmenterError):
                failure = Failure.of(failure)
            if not isinstance(failure, Failure):
                raise failure
            self._failed(failure)

        def submit(message: Message) -> None:
            self._client.submit(message, done=receive, failed=fail)

        self._reader = StepRunner(export(folder), submit, fail)

    def stop(self) -> None:
        """Want no answer any more."""
        self._current = None
        if self._reader is not None:
            self._reader.stop()
            self._reader = None


class Question:
    """What asks the worker by way of one request at a time."""

    _request: OutlinedRequest

    @property
    def isRunning(self) -> bool:
        """True until it is done or has failed."""
        return self._request.isRunning

    def stop(self) -> None:
        """Want no answer any more."""
        self._request.stop()


def exportOutlined(resultNode: slicer.vtkMRMLTextNode, folder: Path) -> Steps[tuple[Message, Message]]:
    """The exam of a result and its segments as they are now, each in the worker's words."""
    folder.mkdir()
    volumeNode = resultNode.GetNodeReference(VOLUME_ROLE)
    segmentationNode = resultNode.GetNodeReference(SEGMENTATION_ROLE)
    exported = yield from exportVolume(volumeNode, folder)
    labelmap = np.lib.format.open_memmap(
        folder / LABELMAP_FILE, mode="w+", dtype=np.uint8, shape=exported.geometry.shape
    )
    keys: list[str] = []
    for segmentId in list(segmentationNode.GetSegmentation().GetSegmentIDs()) if segmentationNode is not None else ():
        segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
        mask, start = yield from maskOnGrid(segmentationNode, segmentId, volumeNode)
        key = edits.tagOf(segment, edits.KEY_TAG)
        if mask.size and isBlood(segment, key, segmentationNode):
            key = key if key in SEGMENT_LABELS else ICH.key
            keys += [key] if key not in keys else []
            box = tuple(slice(low, low + size) for low, size in zip(start, mask.shape, strict=True))
            labelmap[box][mask] = keys.index(key) + 1
        yield
    del labelmap
    return exported.message(), {"labelmap": LABELMAP_FILE, "labels": keys}
