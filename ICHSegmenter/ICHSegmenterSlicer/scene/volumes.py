"""The voxels of a volume node on disk, with their exact geometry, as the worker reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.protocol import VOXEL_FILE, Message, exam_message, read_source
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import VolumeSource
from ICHSegmenterSlicer.client.steps import Steps

WARP_TOLERANCE_MM = 0.1
"""A transform may shift, tilt and shear slices; bending one by more than this does not belong into a CT grid."""
CHUNK_BYTES = 8_000_000
"""Copied in one step: a few milliseconds."""
RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
SOURCE_ATTRIBUTE = "ICHSegmenter.source"
"""Attribute of a node that the panel opened: the source of its exam as JSON."""
MAX_INT16 = np.iinfo(np.int16).max


@dataclass(frozen=True)
class ExportedExam:
    """A volume that the worker can read.

    Attributes:
        folder: Folder of the job; the voxels lie there as `VOXEL_FILE`.
        geometry: The acquired grid, in LPS.
        source: Series and kernel, as far as Slicer has them.
    """

    folder: Path
    geometry: VolumeGeometry
    source: VolumeSource

    def message(self) -> Message:
        """The fields of the worker's request that describe the exam."""
        return exam_message(self.folder, self.geometry, self.source)


def matrixOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> vtk.vtkMatrix4x4:
    """The grid of a volume, without its transforms."""
    ijkToRas = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijkToRas)
    return ijkToRas


def geometryOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> VolumeGeometry:
    """The grid of the voxels in the world, in LPS, with every parent transform applied slice by slice.

    Slicer hangs a tilted or unevenly spaced CT under a grid transform; evaluated at each slice it gives back what
    the DICOM files hold.

    Raises:
        VolumeError: A transform bends or turns slices against each other.
    """
    columns, rows, slices = volumeNode.GetImageData().GetDimensions()
    matrix = slicer.util.arrayFromVTKMatrix(matrixOf(volumeNode))
    corners = np.array([(i, j) for i in (0, max(columns - 1, 1)) for j in (0, max(rows - 1, 1))], float)  # (4, ij)
    indices = np.array([(i, j, k, 1.0) for k in range(slices) for i, j in corners])
    points = (indices @ matrix.T)[:, :3]
    world = _toWorld(volumeNode, points).reshape(slices, 4, 3) * RAS_TO_LPS
    spanI, spanJ = corners[3]
    columnStep = np.median((world[:, 2] - world[:, 0] + world[:, 3] - world[:, 1]) / (2 * spanI), axis=0)
    rowStep = np.median((world[:, 1] - world[:, 0] + world[:, 3] - world[:, 2]) / (2 * spanJ), axis=0)
    inPlane = corners[:, :1] * columnStep + corners[:, 1:] * rowStep  # (4, 3)
    origins = (world - inPlane).mean(axis=1)
    deviation = np.abs(world - inPlane - origins[:, None]).max()
    if deviation > WARP_TOLERANCE_MM:
        raise VolumeError(
            _(
                "{name} is under a transform that bends its slices (by up to {deviation:.1f} mm). Harden the "
                "transform, or take the volume out of it, in the Transforms module."
            ).format(name=volumeNode.GetName(), deviation=deviation)
        )
    try:
        return VolumeGeometry((slices, rows, columns), columnStep, rowStep, origins)
    except ValueError as error:
        text = _("{name} has no usable geometry: {error}.")
        raise VolumeError(text.format(name=volumeNode.GetName(), error=error)) from error


def exportVolume(volumeNode: slicer.vtkMRMLScalarVolumeNode, folder: Path) -> Steps[ExportedExam]:
    """Write `hu.npy` in steps.

    Raises:
        VolumeError: No voxels, or no usable geometry.
    """
    if volumeNode.GetImageData() is None:
        raise VolumeError(_("{name} holds no voxels. Load it again.").format(name=volumeNode.GetName()))
    geometry = geometryOf(volumeNode)
    yield
    voxels = slicer.util.arrayFromVolume(volumeNode)
    integer = np.issubdtype(voxels.dtype, np.integer)
    target = np.lib.format.open_memmap(
        folder / VOXEL_FILE, mode="w+", dtype=np.int16 if integer else np.float32, shape=voxels.shape
    )
    for chunk in chunks(voxels):
        part = voxels[chunk]
        # Wider integers hold nothing but metal and padding beyond the range of int16.
        target[chunk] = np.clip(part, -MAX_INT16 - 1, MAX_INT16) if integer and part.itemsize > 1 else part
        yield
    del target
    return ExportedExam(folder, geometry, sourceOf(volumeNode))


def putBeside(volumeNode: slicer.vtkMRMLScalarVolumeNode, node: Any) -> None:
    """Put what was made of a volume into the volume's folder of the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volumeItem, item = hierarchy.GetItemByDataNode(volumeNode), hierarchy.GetItemByDataNode(node)
    if volumeItem:
        parent = hierarchy.GetItemParent(volumeItem)
        hierarchy.SetItemParent(item or hierarchy.CreateItem(parent, node), parent)


def _toWorld(node: slicer.vtkMRMLTransformableNode, points: np.ndarray) -> np.ndarray:
    """RAS positions (n, 3) of a node's points after its parent transforms."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return points
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(parent, None, transform)
    return np.array([transform.TransformPoint(point) for point in points])


def chunks(array: np.ndarray) -> Iterator[slice]:
    """Slices of the first axis that are copied in one step each."""
    step = max(1, int(CHUNK_BYTES / max(1, array[0].nbytes)))
    return (slice(start, start + step) for start in range(0, len(array), step))


def sourceOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> VolumeSource:
    """Source of a volume that the panel opened; else series UID and kernel, if Slicer's DICOM database has them."""
    try:
        return read_source(json.loads(volumeNode.GetAttribute(SOURCE_ATTRIBUTE) or ""))
    except ValueError:
        return _sourceInDatabase(volumeNode)


def _sourceInDatabase(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> VolumeSource:
    """Series UID and kernel by the UIDs that Slicer left with a node; never a patient's name or number."""
    uids = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    series = kernel = ""
    if uids and database is not None and database.isOpen:
        series = database.instanceValue(uids[0], "0020,000e")
        kernel = database.instanceValue(uids[0], "0018,1210")
    return VolumeSource(format="Slicer", series_uid=series, kernel=kernel)
