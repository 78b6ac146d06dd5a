"""Edits of pieces of blood, as ordinary edits of segments, taken back and done again by Slicer's own history."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterSlicer.client.steps import StepRunner, Steps, raiseError
from ICHSegmenterSlicer.scene import segments, terminology
from ICHSegmenterSlicer.scene.nodes import isInScene
from ICHSegmenterSlicer.scene.results import edits, segment_voxels
from ICHSegmenterSlicer.scene.results.edit_history import EditHistory
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.findings import Finding
from ICHSegmenterSlicer.scene.results.measured import isOnGrid
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.scene.surfaces import SURFACE
from ICHSegmenterSlicer.scene.volumes import matrixOf


class FindingEditor:
    """Takes pieces away, adds them, changes their type, and undoes that by `vtkSegmentationHistory`.

    It is the history that Segment Editor uses too, but each has its own: an edit by somebody else ends ours. An edit of
    a segment that fills a thin scan takes several turns of the event loop; others are done at once.
    """

    def __init__(self) -> None:
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        self._history: EditHistory | None = None
        self._left: tuple[Any, ...] = ()
        self._running: StepRunner[None] | None = None

    @property
    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The segments of the result, None without."""
        if not isInScene(self._resultNode):
            return None
        return self._resultNode.GetNodeReference(SEGMENTATION_ROLE)

    def begin(self, resultNode: slicer.vtkMRMLTextNode | None) -> None:
        """Edit the segments of this result; what was done to another one cannot be undone any more."""
        self._finish()
        self._resultNode, self._history = resultNode, None

    def follow(self) -> None:
        """Look whether somebody else edited the segments: our steps do not fit any more then."""
        self._finish()
        if self._history is not None and self._left != self._version():
            self._history = None

    def reject(self, finding: Finding) -> None:
        """Take the voxels of a piece out of its segment."""
        self._run(self._edit((finding.segmentId,), finding.mask, finding.start))

    def add(
        self, mask: np.ndarray, start: tuple[int, int, int], key: str, volumeNode: slicer.vtkMRMLScalarVolumeNode
    ) -> None:
        """Add voxels to the segment of a type, which is made if there is none.

        Args:
            mask: bool (slices, rows, columns) of a box of the volume's grid.
            start: (slice, row, column) where the box begins.
            key: Of its label.
            volumeNode: The exam.
        """
        if self.segmentationNode is None:
            segments.addEmptySegmentation(self._resultNode, volumeNode)
        self._run(self._edit((), mask, start, key))

    def retype(self, finding: Finding, key: str) -> None:
        """Move a piece to the segment of another type."""
        self._run(self._edit((finding.segmentId,), finding.mask, finding.start, key))

    @property
    def canUndo(self) -> bool:
        """True if a step can be taken back."""
        return self._history is not None and self._history.canUndo

    @property
    def canRedo(self) -> bool:
        """True if a step was taken back."""
        return self._history is not None and self._history.canRedo

    def undo(self) -> None:
        """Take the last step back, if there is one."""
        self._finish()
        if self.canUndo:
            self._run(self._restore(self._history.undo()))

    def redo(self) -> None:
        """Do the step again that was taken back, if there is one."""
        self._finish()
        if self.canRedo:
            self._run(self._restore(self._history.redo()))

    @property
    def _segmentation(self) -> slicer.vtkSegmentation:
        return self.segmentationNode.GetSegmentation()

    def _run(self, steps: Steps[None]) -> None:
        """Take the steps of an edit, after those of the last one."""
        self._finish()
        self._running = StepRunner(steps, lambda _: None, raiseError, startNow=True)

    def _finish(self) -> None:
        """Take the steps of an edit that are left; none are if its segmentation is gone."""
        if self._running is not None and self.segmentationNode is not None:
            self._running.finish()
        elif self._running is not None:
            self._running.stop()
        self._running = None

    def _edit(
        self, cleared: tuple[str, ...], mask: np.ndarray, start: tuple[int, int, int], key: str = ""
    ) -> Steps[None]:
        """Take voxels out of segments, then add them to that of a type, if there is one; a segment a step."""
        if self._history is not None and self._left != self._version():
            self._history = None
        if self._history is None:
            self._history = EditHistory(self._segmentation)
        before = set(_names(self._segmentation))
        added = (self._segmentOf(key),) if key else ()
        yield from self._history.save((*cleared, *added), [name for name in added if name not in before])
        for names, isAdded in ((cleared, False), (added, True)):
            for name in names:
                self._write(name, mask, start, isAdded=isAdded)
                yield
        self._left = self._version()

    def _restore(self, steps: Steps[None]) -> Steps[None]:
        """Go to another state; Slicer would make surfaces anew at once, which takes long: who shows them makes them."""
        if self._segmentation.ContainsRepresentation(SURFACE):
            self._segmentation.RemoveRepresentation(SURFACE)
        yield from steps
        self._segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
        self._left = self._version()

    def _version(self) -> tuple[Any, ...]:
        """Changes with every edit of any segment."""
        if self.segmentationNode is None:
            return ()
        images = (
            (name, segment_voxels.labelmapOf(self._segmentation.GetSegment(name)))
            for name in _names(self._segmentation)
        )
        return tuple((name, image and image.GetMTime()) for name, image in images)

    def _segmentOf(self, key: str) -> str:
        """Identifier of the segment of a type that belongs to this result, or to a person."""
        made = set(StoredResult.fromNode(self._resultNode).segmentIds.values())
        for name in _names(self._segmentation):
            segment = self._segmentation.GetSegment(name)
            if edits.tagOf(segment, edits.KEY_TAG) == key and (name in made or not edits.isOurs(segment)):
                return name
        segment = segments.labeledSegment(SEGMENT_LABELS[key], "SEMIAUTOMATIC")
        terminology.load()
        name = self._segmentation.GenerateUniqueSegmentID(key)
        self._segmentation.AddSegment(segment, name)
        return name

    def _write(self, segmentId: str, mask: np.ndarray, start: tuple[int, int, int], *, isAdded: bool) -> None:
        """Set or clear voxels, by Segment Editor's function if others share the labelmap or it has another grid."""
        segment = self._segmentation.GetSegment(segmentId)
        if segment is None:
            return
        segment.RemoveRepresentation(SURFACE)
        volumeNode = self._resultNode.GetNodeReference(VOLUME_ROLE)
        isShared = isAdded and len(segment_voxels.sharing(self._segmentation, segmentId)) > 1
        isInPlace = not isShared and isOnGrid(self.segmentationNode, segmentId, volumeNode)
        if isInPlace and segment_voxels.write(segment, mask, start, isAdded=isAdded):
            self._segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
            return
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        mode = logic.MODE_MERGE_MAX if isAdded else logic.MODE_MERGE_MIN
        image = segments.orientedImage(mask if isAdded else ~mask, start, matrixOf(volumeNode))
        logic.SetBinaryLabelmapToSegment(image, self.segmentationNode, segmentId, mode, image.GetExtent())


def _names(segmentation: slicer.vtkSegmentation) -> list[str]:
    return list(segmentation.GetSegmentIDs())
