"""Slice and 3D views: their layers, their position, the surfaces."""

from __future__ import annotations

import numpy as np
import slicer

from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterSlicer.scene.results.stored_result import LPS_TO_RAS

EDITOR_TAG = "SegmentEditor"
SAME_PLANE_MM = 0.1
"""A point this near to the plane of a view lies on it."""


def displayedVolume() -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume behind the Red slice view, None if it is none."""
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "") if composite else None
    return node if node is not None and node.IsA("vtkMRMLScalarVolumeNode") else None


def foreground() -> slicer.vtkMRMLVolumeNode | None:
    """The volume in the foreground of the Red slice view, None without."""
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    return slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID() or "") if composite else None


def showForeground(volumeNode: slicer.vtkMRMLVolumeNode | None, opacity: float) -> None:
    """Lay a volume over what the slice views show, or take what lies there away."""
    slicer.util.setSliceViewerLayers(foreground=volumeNode, foregroundOpacity=opacity if volumeNode else 0.0)


def showBackground(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Put a volume behind all slice views, unless it is there already."""
    if displayedVolume() is not volumeNode:
        slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)


def jump(ras: np.ndarray) -> None:
    """Let every slice view show this point (RAS, mm) without moving what is in its center."""
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSliceByOffsetting(*(float(coordinate) for coordinate in ras))


def axialSliceNode() -> slicer.vtkMRMLSliceNode | None:
    """The node of the Red slice view."""
    return slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")


def shownSlice(geometry: VolumeGeometry, selected: tuple[int, np.ndarray] | None = None) -> int | None:
    """Array index of the slice that the Red view shows, None beside the exam.

    Args:
        geometry: Of the exam. The view crosses many slices of a tilted one: that in its middle counts.
        selected: Array index of a slice and the point of it, RAS mm (3,), to which the views were sent; it counts
            while the view goes through this point.
    """
    node = axialSliceNode()
    if node is None:
        return None
    center, normal = (np.array([node.GetSliceToRAS().GetElement(axis, n) for axis in range(3)]) for n in (3, 2))
    if selected is not None and abs(float((selected[1] - center) @ normal)) < SAME_PLANE_MM:
        return selected[0]
    index = round(float(geometry.lps_to_ijk(center * LPS_TO_RAS)[2]))
    return index if 0 <= index < geometry.shape[0] else None


def setOpacity(segmentationNode: slicer.vtkMRMLSegmentationNode, opacity: float) -> None:
    """Opacity 0 to 1 of the filling of all segments in slice views; outlines stay."""
    display = segmentationNode.GetDisplayNode()
    if display:
        display.SetOpacity2DFill(opacity)


def isShown3D(segmentationNode: slicer.vtkMRMLSegmentationNode) -> bool:
    """True if there are surfaces and they are shown."""
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    display = segmentationNode.GetDisplayNode()
    hasSurfaces = segmentationNode.GetSegmentation().ContainsRepresentation(name)
    return hasSurfaces and display is not None and bool(display.GetVisibility3D())


def setShow3D(segmentationNode: slicer.vtkMRMLSegmentationNode, visible: bool, *, focus: bool = True) -> None:
    """Show the surfaces of segments, or hide them; `focus` turns the 3D view to them."""
    segmentationNode.GetDisplayNode().SetVisibility3D(visible)
    layoutManager = slicer.app.layoutManager()
    if visible and focus and layoutManager is not None and layoutManager.threeDViewCount:
        layoutManager.threeDWidget(0).threeDView().resetFocalPoint()


def openSegmentEditor(
    segmentationNode: slicer.vtkMRMLSegmentationNode, volumeNode: slicer.vtkMRMLScalarVolumeNode | None
) -> None:
    """Switch to Segment Editor with this segmentation and volume chosen."""
    node = slicer.mrmlScene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(node)
    node.SetAndObserveSegmentationNode(segmentationNode)
    node.SetAndObserveSourceVolumeNode(volumeNode)
    slicer.util.selectModule("SegmentEditor")
