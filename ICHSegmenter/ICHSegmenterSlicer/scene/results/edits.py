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


def labelmapOf(segment: slicer.vtkSegment) -> slicer.vtkOrientedImageData | None:
    """The voxels of a segment, maybe shared with others; None if there are none."""
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(name)
    return None if image is None or image.GetPointData().GetScalars() is None or image.IsEmpty() else image


def maskOf(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The voxels of a segment now: bool (slices, rows, columns) of its box, and where the box starts."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    image = labelmapOf(segment)
    if image is None:
        return np.zeros((0, 0, 0), bool), (0, 0, 0)
    extent = image.GetExtent()
    shape = (extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1)
    voxels = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return voxels == segment.GetLabelValue(), (extent[4], extent[2], extent[0])


def write(segment: slicer.vtkSegment, mask: np.ndarray, start: Sequence[int], *, isAdded: bool) -> bool:
    """Set or clear voxels of a segment in place; False if they lie outside of its labelmap.

    Args:
        segment: Its labelmap may be shared, if voxels are cleared.
        mask, start: bool (slices, rows, columns) of a box of the volume, and where that begins.
        isAdded: Set them; else clear those that are this segment's.
    """
    image = labelmapOf(segment)
    if image is None:
        return False
    extent = image.GetExtent()
    shape = (extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1)
    first = [at - low for at, low in zip(start, (extent[4], extent[2], extent[0]), strict=True)]
    if any(low < 0 or low + n > size for low, n, size in zip(first, mask.shape, shape, strict=True)):
        return False
    scalars = image.GetPointData().GetScalars()
    voxels = vtk.util.numpy_support.vtk_to_numpy(scalars).reshape(shape)
    box = voxels[tuple(slice(low, low + n) for low, n in zip(first, mask.shape, strict=True))]
    if isAdded:
        box[mask] = segment.GetLabelValue()
    else:
        box[mask & (box == segment.GetLabelValue())] = 0
    for part in (scalars, image, segment):
        part.Modified()
    return True


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
        mask, start: Its voxels now, as of `maskOf`.
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
