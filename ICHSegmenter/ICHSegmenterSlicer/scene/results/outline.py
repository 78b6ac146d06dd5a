"""An outline over the slice views that is no result: the finding that is looked at, or what a click would add."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer

from ICHSegmenterSlicer.scene import segments
from ICHSegmenterSlicer.scene.nodes import addHidden, isInScene
from ICHSegmenterSlicer.scene.volumes import matrixOf

THICKNESS_PX = 3
SEGMENT = "outline"


class Outline:
    """One outline, in a segmentation that is in no list and in no saved scene.

    Args:
        name: Of its node.
        color: RGB, 0 to 1.
    """

    def __init__(self, name: str, color: tuple[float, float, float]) -> None:
        self._name = name
        self._color = color
        self._node: slicer.vtkMRMLSegmentationNode | None = None

    @property
    def node(self) -> slicer.vtkMRMLSegmentationNode | None:
        """Its node while it is shown."""
        return self._node if isInScene(self._node) and self._node.GetSegmentation().GetNumberOfSegments() else None

    def show(self, mask: np.ndarray, start: Sequence[int], volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Outline voxels.

        Args:
            mask: bool (slices, rows, columns) of a box of the volume's grid.
            start: (slice, row, column) where the box begins.
            volumeNode: The exam.
        """
        node = self._ensured()
        segment = slicer.vtkSegment()
        segment.SetName(self._name)
        segment.SetColor(self._color)
        segment.AddRepresentation(
            slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(),
            segments.orientedImage(mask, start, matrixOf(volumeNode)),
        )
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        node.GetSegmentation().RemoveAllSegments()
        node.GetSegmentation().AddSegment(segment, SEGMENT)

    def clear(self) -> None:
        """Show none."""
        if self.node is not None:
            self._node.GetSegmentation().RemoveAllSegments()

    def _ensured(self) -> slicer.vtkMRMLSegmentationNode:
        if not isInScene(self._node):
            self._node = addHidden(slicer.vtkMRMLSegmentationNode(), self._name)
            display = self._node.GetDisplayNode()
            display.SetVisibility2DFill(False)
            display.SetVisibility3D(False)
            display.SetSliceIntersectionThickness(THICKNESS_PX)
        return self._node
