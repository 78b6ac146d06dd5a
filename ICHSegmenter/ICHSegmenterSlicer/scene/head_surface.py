"""The skin of the head as a translucent surface, so that bleeds in 3D are seen where they lie."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from scipy import ndimage
from vtk.util import numpy_support

from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.nodes import addHidden, isInScene
from ICHSegmenterSlicer.scene.volumes import geometryOf, matrixOf

SAMPLE_MM = 3.0
"""Distance of the voxels that are looked at: a head needs no more, and is made within a few steps."""
AIR_HU = -300.0
SMOOTHING_VOXELS = 1.0
OPACITY = 0.18
COLOR = (0.92, 0.78, 0.70)


class HeadSurface:
    """The head of one exam at a time, in no list and in no saved scene."""

    def __init__(self) -> None:
        self._node: slicer.vtkMRMLModelNode | None = None
        self._version: tuple[int, str] | None = None

    @property
    def node(self) -> slicer.vtkMRMLModelNode | None:
        """Its node, None while there is none."""
        return self._node if isInScene(self._node) else None

    def show(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[None]:
        """Make the surface of an exam, unless it is there, and show it."""
        version = (volumeNode.GetImageData().GetMTime(), volumeNode.GetID())
        if self.node is None or version != self._version:
            surface = yield from _skin(volumeNode)
            node = self._ensured()
            node.SetAndObservePolyData(surface)
            self._version = version
        self._node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        self._node.GetDisplayNode().SetVisibility(True)
        yield

    def hide(self) -> None:
        """Show the bleeds alone, or nothing."""
        if self.node is not None:
            self._node.GetDisplayNode().SetVisibility(False)

    def _ensured(self) -> slicer.vtkMRMLModelNode:
        if self.node is None:
            self._node = addHidden(slicer.vtkMRMLModelNode(), "ICHSegmenter head")
            display = self._node.GetDisplayNode()
            display.SetColor(COLOR)
            display.SetOpacity(OPACITY)
            display.SetVisibility2D(False)
            display.SetBackfaceCulling(False)
        return self._node


def _skin(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[vtk.vtkPolyData]:
    """The outside of the largest body in a volume, in its own coordinates (before its transform)."""
    hu, geometry = slicer.util.arrayFromVolume(volumeNode), geometryOf(volumeNode)
    sizes = (geometry.slice_step_mm, *geometry.pixel_spacing_mm)
    steps = [max(1, round(SAMPLE_MM / size)) for size in sizes]
    labels, count = ndimage.label(hu[:: steps[0], :: steps[1], :: steps[2]] > AIR_HU)
    if not count:
        return vtk.vtkPolyData()
    yield
    body = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    body = np.pad(np.stack([ndimage.binary_fill_holes(plane) for plane in body]), 2)
    yield
    soft = ndimage.gaussian_filter(body.astype(np.float32), SMOOTHING_VOXELS)
    yield
    image = vtk.vtkImageData()
    image.SetDimensions(*soft.shape[::-1])
    image.SetSpacing(*steps[::-1])
    image.SetOrigin(*(-2.0 * step for step in steps[::-1]))
    image.AllocateScalars(vtk.VTK_FLOAT, 1)
    numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())[:] = soft.ravel()
    contour, toRas, transform = vtk.vtkFlyingEdges3D(), vtk.vtkTransformPolyDataFilter(), vtk.vtkTransform()
    contour.SetInputData(image)
    contour.SetValue(0, 0.5)
    transform.SetMatrix(matrixOf(volumeNode))
    toRas.SetTransform(transform)
    toRas.SetInputConnection(contour.GetOutputPort())
    toRas.Update()
    return toRas.GetOutput()
