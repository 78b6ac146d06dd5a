"""Edits by hand: a segment that a person changed since it was made is SEMIAUTOMATIC, and no run may replace it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.volumes import chunks

KEY_TAG = "ICHSegmenter.key"
"""Segment tag: the label's short name."""
DIGEST_TAG = "ICHSegmenter.digest"
"""Segment tag: checksum of the voxels as they came out of the worker."""
ALGORITHM_TAG = "DICOM.SegmentAlgorithmType"
SETTLE_MS = 300
"""Strokes come in bursts; voxels are compared when they have settled."""


def digestOfMask(mask: np.ndarray, start: Sequence[int]) -> Steps[str]:
    """Checksum of the voxel positions of a mask, whatever box it is cropped to; a part of the mask a step.

    Args:
        mask: bool (slices, rows, columns), a box of the volume.
        start: (slice, row, column) of the box in the volume.
    """
    digest = count = 0
    for part in chunks(mask) if mask.size else ():
        positions = np.argwhere(mask[part]).astype(np.int32) + np.asarray(start, np.int32)
        positions[:, 0] += part.start
        digest = zlib.crc32(np.ascontiguousarray(positions), digest)
        count += len(positions)
        yield
    return f"{count}-{digest:08x}"


def tagOf(segment: slicer.vtkSegment, name: str) -> str:
    """A tag's value, empty if it is not there."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def isOurs(segment: slicer.vtkSegment) -> bool:
    """True if a run made this segment."""
    return bool(tagOf(segment, DIGEST_TAG))


def isEdited(segment: slicer.vtkSegment, mask: np.ndarray, start: Sequence[int]) -> Steps[bool]:
    """True if the voxels are not those that the run made; an undone edit counts as none.

    Args:
        segment: A segment that a run made.
        mask, start: Its voxels now, as of `segment_voxels.maskOf`.
    """
    return tagOf(segment, DIGEST_TAG) != (yield from digestOfMask(mask, start))


def updateTag(segment: slicer.vtkSegment, *, isEdited: bool) -> None:
    """Write AUTOMATIC or SEMIAUTOMATIC on a segment that a run made, as DICOM SEG defines it."""
    algorithm = "SEMIAUTOMATIC" if isEdited else "AUTOMATIC"
    if isOurs(segment) and tagOf(segment, ALGORITHM_TAG) != algorithm:
        segment.SetTag(ALGORITHM_TAG, algorithm)


class SegmentsWatch(VTKObservationMixin):
    """Observers of the segmentations that runs made.

    Args:
        changed: Called with the node, a moment after segments were painted, added, removed, or that was undone.
    """

    def __init__(self, changed: Callable[[slicer.vtkMRMLSegmentationNode], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._changed = changed
        self._waiting: set[str] = set()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.connect("timeout()", self._report)

    def watch(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """Watch one node, once."""
        for event in (
            slicer.vtkSegmentation.SourceRepresentationModified,  # invoked by Segment Editor
            slicer.vtkSegmentation.SegmentModified,  # by a script that sets voxels, and by renaming
            slicer.vtkSegmentation.SegmentAdded,
            slicer.vtkSegmentation.SegmentRemoved,
        ):
            if not self.hasObserver(segmentationNode, event, self._onModified):
                self.addObserver(segmentationNode, event, self._onModified)

    def stop(self) -> None:
        """Watch nothing any more."""
        self._timer.stop()
        self._waiting.clear()
        self.removeObservers()

    def _onModified(self, caller: slicer.vtkMRMLNode, _event: str) -> None:
        self._waiting.add(caller.GetID())
        self._timer.start()

    def _report(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for nodeId in waiting:
            node = slicer.mrmlScene.GetNodeByID(nodeId)
            if node is not None:
                self._changed(node)
