"""Head CTs in a Slicer scene, placed as Slicer's DICOM reader places them. Import after the stand-in has started."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from ICHSegmenterLib.volume.geometry import VolumeGeometry

RAS = np.array([-1.0, -1.0, 1.0])


def addAsFromDicom(voxels: np.ndarray, geometry: VolumeGeometry, name: str = "CT"):
    """A volume node on an untilted regular grid, under a grid transform that moves each slice's corners home.

    So does Slicer's "acquisition geometry regularization" with tilted or unevenly spaced series: one displacement at
    each corner of each slice, in a grid of 2 x 2 x slices, whose spacing is columns (not columns - 1) wide.
    """
    slices, rows, columns = geometry.shape
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = geometry.column_step * RAS, geometry.row_step * RAS
    direction = np.sign(np.diff(geometry.slice_positions_mm)[0])
    matrix[:3, 2] = geometry.normal * geometry.slice_step_mm * direction * RAS
    matrix[:3, 3] = geometry.slice_origins[0] * RAS
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    ijkToRas = vtk.vtkMatrix4x4()
    slicer.util.updateVTKMatrixFromArray(ijkToRas, matrix)
    node.SetIJKToRASMatrix(ijkToRas)
    slicer.util.updateVolumeFromArray(node, voxels)
    node.CreateDefaultDisplayNodes()

    grid = vtk.vtkImageData()
    grid.SetOrigin(*node.GetOrigin())
    grid.SetDimensions(2, 2, slices)
    spacing = node.GetSpacing()
    grid.SetSpacing(spacing[0] * columns, spacing[1] * rows, spacing[2])
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    transform = slicer.vtkOrientedGridTransform()
    directions = vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(directions)
    transform.SetGridDirectionMatrix(directions)
    transform.SetDisplacementGridData(grid)
    transformNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", f"{name} acquisition transform")
    transformNode.SetAndObserveTransformToParent(transform)
    node.SetAndObserveTransformNodeID(transformNode.GetID())
    displacements = slicer.util.arrayFromGridTransform(transformNode)
    for k in range(slices):
        for row in range(2):
            for column in range(2):
                home = geometry.ijk_to_lps((column * columns, row * rows, k)) * RAS
                here = (matrix @ (column * columns, row * rows, k, 1))[:3]
                displacements[k, row, column] = home - here
    slicer.util.arrayFromGridTransformModified(transformNode)
    return node


def addLinear(voxels: np.ndarray, matrix: np.ndarray, name: str = "CT"):
    """A volume node with any IJK to RAS matrix."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    ijkToRas = vtk.vtkMatrix4x4()
    slicer.util.updateVTKMatrixFromArray(ijkToRas, matrix)
    node.SetIJKToRASMatrix(ijkToRas)
    slicer.util.updateVolumeFromArray(node, voxels)
    node.CreateDefaultDisplayNodes()
    return node


def underTransform(node, matrix: np.ndarray):
    """Put a node under a linear transform."""
    transformNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    toParent = vtk.vtkMatrix4x4()
    slicer.util.updateVTKMatrixFromArray(toParent, matrix)
    transformNode.SetMatrixTransformToParent(toParent)
    node.SetAndObserveTransformNodeID(transformNode.GetID())
    return transformNode


def drain(steps):
    """Run a generator of steps to its end; returns its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
