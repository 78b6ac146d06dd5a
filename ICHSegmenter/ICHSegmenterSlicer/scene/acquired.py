"""Volume nodes with the geometry of the acquisition: an upright grid, and a transform where slices lie elsewhere.

A node's matrix knows neither unequal steps nor, in most modules, shear. As Slicer's DICOM reader does, a grid transform
moves every slice to its place; the voxels stay as they were acquired.
"""

from __future__ import annotations

import json

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ICHSegmenterLib.protocol import source_fields
from ICHSegmenterLib.volume.geometry import REGULARITY_TOLERANCE_MM, VolumeGeometry
from ICHSegmenterSlicer.client.reading import ExamOnDisk
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results.stored_result import LPS_TO_RAS
from ICHSegmenterSlicer.scene.volumes import SOURCE_ATTRIBUTE, chunks, geometryOf

GREY = "vtkMRMLColorTableNodeGrey"
CORNERS = np.array([(row, column) for row in (0, 1) for column in (0, 1)])
"""Of the grid of a transform, in the order of its array."""


def addAcquired(exam: ExamOnDisk, name: str) -> Steps[slicer.vtkMRMLScalarVolumeNode]:
    """Add an exam to the scene, copied in steps; the scene is touched by the last one only."""
    hu = np.load(exam.voxels, mmap_mode="r")
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(hu.shape))
    image.AllocateScalars(vtk.VTK_SHORT if hu.dtype == np.int16 else vtk.VTK_FLOAT, 1)
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(hu.shape)
    yield
    for chunk in chunks(hu):
        voxels[chunk] = hu[chunk]
        yield
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    node.SetAndObserveImageData(image)
    node.SetAttribute(SOURCE_ATTRIBUTE, json.dumps(source_fields(exam.source)))
    if exam.instanceUids:
        node.SetAttribute("DICOM.instanceUIDs", " ".join(exam.instanceUids))
    node = slicer.mrmlScene.AddNode(node)
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)  # it would look at every voxel
    display.SetAndObserveColorNodeID(GREY)
    node.SetAndObserveDisplayNodeID(slicer.mrmlScene.AddNode(display).GetID())
    matrix = _uprightMatrix(exam.geometry)
    _place(node, matrix, _displacements(exam.geometry, matrix))
    return node


def straighten(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Give a node whose matrix has shear an upright one and a transform; its voxels stay where they are.

    Raises:
        VolumeError: It has no usable geometry.
    """
    geometry = geometryOf(volumeNode)
    matrix = _uprightMatrix(geometry)
    displacements = _displacements(geometry, matrix)
    if _isFar(displacements):
        _place(volumeNode, matrix, displacements)


def _place(volumeNode: slicer.vtkMRMLScalarVolumeNode, matrix: np.ndarray, displacements: np.ndarray) -> None:
    ijkToRas = vtk.vtkMatrix4x4()
    slicer.util.updateVTKMatrixFromArray(ijkToRas, matrix)
    volumeNode.SetIJKToRASMatrix(ijkToRas)
    if _isFar(displacements):
        _addTransform(volumeNode, displacements)


def _isFar(displacements: np.ndarray) -> bool:
    return bool(np.linalg.norm(displacements, axis=-1).max() > REGULARITY_TOLERANCE_MM)


def _uprightMatrix(geometry: VolumeGeometry) -> np.ndarray:
    """4x4 IJK to RAS of the grid without shear, at usual steps, that begins where the acquired one does."""
    column, row = geometry.column_step, geometry.row_step
    row = row - column * (row @ column) / (column @ column)
    row *= geometry.pixel_spacing_mm[0] / np.linalg.norm(row)
    positions = geometry.slice_positions_mm
    step = geometry.normal * geometry.slice_step_mm * (1 if positions[-1] >= positions[0] else -1)
    if geometry.is_regular and len(positions) > 1:
        step = geometry.normal * (positions[-1] - positions[0]) / (len(positions) - 1)
    matrix = np.eye(4)
    matrix[:3] = np.column_stack((column, row, step, geometry.slice_origins[0])) * LPS_TO_RAS[:, None]
    return matrix


def _displacements(geometry: VolumeGeometry, matrix: np.ndarray) -> np.ndarray:
    """(slices, 2, 2, 3) mm, RAS: how far the corners of each slice lie from where a matrix puts them."""
    slices, rows, columns = geometry.shape
    ijk = np.array([(j * columns, i * rows, k) for k in range(slices) for i, j in CORNERS], dtype=float)
    home = geometry.ijk_to_lps(ijk) * LPS_TO_RAS
    here = ijk @ matrix[:3, :3].T + matrix[:3, 3]
    return (home - here).reshape(slices, 2, 2, 3)


def _addTransform(volumeNode: slicer.vtkMRMLScalarVolumeNode, displacements: np.ndarray) -> None:
    """Put a node under a new grid transform, whose points are the corners of each slice."""
    slices = len(displacements)
    columns, rows, _slices = volumeNode.GetImageData().GetDimensions()
    grid = vtk.vtkImageData()
    grid.SetOrigin(*volumeNode.GetOrigin())
    grid.SetDimensions(2, 2, slices)
    betweenColumns, betweenRows, betweenSlices = volumeNode.GetSpacing()
    grid.SetSpacing(betweenColumns * columns, betweenRows * rows, betweenSlices)
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    vtk_to_numpy(grid.GetPointData().GetScalars())[:] = displacements.reshape(-1, 3)
    directions = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASDirectionMatrix(directions)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetGridDirectionMatrix(directions)
    transform.SetDisplacementGridData(grid)
    transformNode = slicer.vtkMRMLGridTransformNode()
    transformNode.SetName(slicer.mrmlScene.GenerateUniqueName(f"{volumeNode.GetName()} acquisition transform"))
    transformNode.SetAndObserveTransformToParent(transform)
    volumeNode.SetAndObserveTransformNodeID(slicer.mrmlScene.AddNode(transformNode).GetID())
