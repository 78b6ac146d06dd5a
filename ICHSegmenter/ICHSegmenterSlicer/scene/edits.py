"""Edits by hand: a segment that a person changed since it was made is SEMIAUTOMATIC, and no run may replace it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ICHSegmenterSlicer.scene.stored_result import StoredResult

DIGEST_TAG = "ICHSegmenter.digest"
"""Segment tag: checksum of the voxels as they came out of the worker."""
ALGORITHM_TAG = "DICOM.SegmentAlgorithmType"
SETTLE_MS = 300
"""Strokes come in bursts; voxels are compared when they have settled."""

EditedVoxels = dict[str, dict[int, int]]
"""Identifier of each edited segment to its voxels in each slice now: {slice index: count}."""


def digestOfMask(mask: np.ndarray, start: Sequence[int]) -> str:
    """Checksum of the voxel positions of a mask, whatever box it is cropped to.

    Args:
        mask: bool (slices, rows, columns), a box of the volume.
        start: (slice, row, column) of the box in the volume.
    """
    positions = np.argwhere(mask).astype(np.int32) + np.asarray(start, np.int32)
    return f"{len(positions)}-{zlib.crc32(np.ascontiguousarray(positions)):08x}"


def maskOf(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The voxels of a segment now: bool (slices, rows, columns) of its box, and where the box starts."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(name)
    if image is None or image.GetPointData().GetScalars() is None or image.IsEmpty():
        return np.zeros((0, 0, 0), bool), (0, 0, 0)
    extent = image.GetExtent()
    shape = (extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1)
    voxels = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return voxels == segment.GetLabelValue(), (extent[4], extent[2], extent[0])


def tagOf(segment: slicer.vtkSegment, name: str) -> str:
    """A tag's value, empty if it is not there."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def isOurs(segment: slicer.vtkSegment) -> bool:
    """True if a run made this segment."""
    return bool(tagOf(segment, DIGEST_TAG))


def isEdited(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> bool:
    """True if the voxels are not those that the run made."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    return isOurs(segment) and tagOf(segment, DIGEST_TAG) != digestOfMask(*maskOf(segmentationNode, segmentId))


def updateTags(segmentationNode: slicer.vtkMRMLSegmentationNode) -> EditedVoxels:
    """Write AUTOMATIC or SEMIAUTOMATIC on each of our segments, as DICOM SEG defines it; an undone edit counts as none.

    Returns:
        The edited segments.
    """
    edited: EditedVoxels = {}
    segmentation = segmentationNode.GetSegmentation()
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        if not isOurs(segment):
            continue
        mask, start = maskOf(segmentationNode, segmentId)
        changed = tagOf(segment, DIGEST_TAG) != digestOfMask(mask, start)
        if changed:
            counts = mask.sum(axis=(1, 2)).tolist()
            edited[segmentId] = {start[0] + n: count for n, count in enumerate(counts) if count}
        algorithm = "SEMIAUTOMATIC" if changed else "AUTOMATIC"
        if tagOf(segment, ALGORITHM_TAG) != algorithm:
            segment.SetTag(ALGORITHM_TAG, algorithm)
    return edited


def volumesMl(result: StoredResult, edited: EditedVoxels) -> dict[str, float]:
    """Volumes of edited segments now.

    Args:
        result: The result whose segments they are.
        edited: From `updateTags`.

    Returns:
        Segment key to mL.
    """
    # An exam stored as sagittal slices has the geometry of its axial view, whose voxels all have the same volume.
    voxelsMl = result.analysis.geometry.voxel_volumes_mm3 / 1000
    last = len(voxelsMl) - 1
    return {
        key: float(sum(count * voxelsMl[min(index, last)] for index, count in edited[segmentId].items()))
        for key, segmentId in result.segmentIds.items()
        if segmentId in edited
    }


class EditWatch(VTKObservationMixin):
    """Observers of the segmentations that runs made.

    Args:
        changed: Called a moment after a stroke, with the node and its edited segments.
    """

    def __init__(self, changed: Callable[[slicer.vtkMRMLSegmentationNode, EditedVoxels], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._changed = changed
        self._waiting: set[str] = set()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.connect("timeout()", self._compare)

    def watch(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        """Watch one node, once."""
        # Segment Editor invokes the first event, a script that sets voxels the second one.
        for event in (slicer.vtkSegmentation.SourceRepresentationModified, slicer.vtkSegmentation.SegmentModified):
            if not self.hasObserver(segmentationNode, event, self._onModified):
                self.addObserver(segmentationNode, event, self._onModified)

    def watchAll(self) -> None:
        """Watch every node of the scene that a run made, for example after loading one."""
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            if node.GetAttribute("ICHSegmenter.method"):
                self.watch(node)

    def stop(self) -> None:
        """Watch nothing any more."""
        self._timer.stop()
        self._waiting.clear()
        self.removeObservers()

    def _onModified(self, caller: slicer.vtkMRMLNode, _event: str) -> None:
        self._waiting.add(caller.GetID())
        self._timer.start()

    def _compare(self) -> None:
        for nodeId in self._waiting:
            node = slicer.mrmlScene.GetNodeByID(nodeId)
            if node is not None:
                self._changed(node, updateTags(node))
        self._waiting.clear()
