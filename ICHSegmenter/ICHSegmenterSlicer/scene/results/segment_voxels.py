"""The voxels of a segment in Slicer's binary labelmap, which holds a box of the volume and may be shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk


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
