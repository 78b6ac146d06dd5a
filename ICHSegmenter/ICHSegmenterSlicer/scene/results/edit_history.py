"""Steps of edits that can be taken back: Slicer's segmentation history, one for each segment that was edited.

A history of the whole segmentation copies every segment with every step that is taken back, which holds the window
where several of them fill a thin scan. Here a step copies what it changed, a segment at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import slicer

from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results import segment_voxels
from ICHSegmenterSlicer.scene.surfaces import SURFACE

MAX_STATES = 20
"""Steps that can be taken back; each keeps a copy of the segments that it changed."""


class EditHistory:
    """The steps of one segmentation.

    Args:
        segmentation: Nobody else may edit it meanwhile.
    """

    def __init__(self, segmentation: slicer.vtkSegmentation) -> None:
        self._segmentation = segmentation
        self._groups: list[_Group] = []
        self._done: list[_Step] = []
        self._undone: list[_Step] = []

    @property
    def canUndo(self) -> bool:
        """True if a step can be taken back."""
        return bool(self._done)

    @property
    def canRedo(self) -> bool:
        """True if a step was taken back."""
        return bool(self._undone)

    def save(self, segmentIds: Sequence[str], added: Sequence[str] = ()) -> Steps[None]:
        """Begin a step: keep these segments as they are, one a turn; `added` are those that were made for it."""
        self._undone.clear()
        step = _Step(added={name: self._segmentation.GetSegment(name) for name in added})
        for name in segmentIds:
            segment_voxels.crop(self._segmentation.GetSegment(name))
            yield
            group = self._groupOf(name)
            if group not in step.groups:
                group.save()
                step.groups.append(group)
                yield
        self._done = [*self._done, step][-MAX_STATES:]

    def undo(self) -> Steps[None]:
        """Take the last step back, a segment a turn."""
        step = self._done.pop()
        self._undone.append(step)
        for group in step.groups:
            group.history.RestorePreviousState()
            yield
        for name in step.added:
            self._segmentation.RemoveSegment(name)

    def redo(self) -> Steps[None]:
        """Do the step again that was taken back last, a segment a turn."""
        step = self._undone.pop()
        self._done.append(step)
        for name, segment in step.added.items():
            self._segmentation.AddSegment(segment, name)
        for group in step.groups:
            group.history.RestoreNextState()
            yield

    def _groupOf(self, segmentId: str) -> _Group:
        """The history of a segment, with those that lie in the same labelmap."""
        group = next((group for group in self._groups if segmentId in group.segmentIds), None)
        if group is None:
            names = segment_voxels.sharing(self._segmentation, segmentId)
            group = _Group(names, [self._segmentation.GetSegment(name) for name in names])
            self._groups.append(group)
        return group


class _Group:
    """A history of segments that are copied together."""

    def __init__(self, segmentIds: Sequence[str], segments: Sequence[slicer.vtkSegment]) -> None:
        self.segmentIds = segmentIds
        self._segments = slicer.vtkSegmentation()
        self._segments.SetSourceRepresentationName(
            slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        )
        for name, segment in zip(segmentIds, segments, strict=True):
            segment.RemoveRepresentation(SURFACE)  # else one would be made for every other segment
            self._segments.AddSegment(segment, name)
        self.history = slicer.vtkSegmentationHistory()
        self.history.SetMaximumNumberOfStates(MAX_STATES + 1)  # and what is there before the first one is taken back
        self.history.SetSegmentation(self._segments)

    def save(self) -> None:
        """Keep the segments as they are, unless that is the state that was restored last."""
        if not self.history.IsRestoreNextStateAvailable():
            self.history.SaveState()


@dataclass(frozen=True)
class _Step:
    """The histories that a step has a state in, and segments that it made."""

    groups: list[_Group] = field(default_factory=list)
    added: dict[str, slicer.vtkSegment] = field(default_factory=dict)
