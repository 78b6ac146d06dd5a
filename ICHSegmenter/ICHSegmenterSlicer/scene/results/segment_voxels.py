"""The voxels of a segment in Slicer's binary labelmap, which holds a box of the volume and may be shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.volumes import chunks


def labelmapOf(segment: slicer.vtkSegment) -> slicer.vtkOrientedImageData | None:
    """The voxels of a segment, maybe shared with others; None if there are none."""
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image = segment.GetRepresentation(name)
    return None if image is None or image.GetPointData().GetScalars() is None or image.IsEmpty() else image


def maskOf(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str
) -> Steps[tuple[np.ndarray, tuple[int, int, int]]]:
    """The voxels of a segment now: bool (slices, rows, columns) of the box that is filled, and where the box starts.

    After a stroke the labelmap may be as large as the volume, nearly all of it empty. Nothing is copied where it holds
    this segment alone in bytes: the mask cannot be written to, and shows later edits. Else some slices are compared a
    step.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    image = labelmapOf(segment)
    box = None if image is None else filledBox(_voxels(image))
    if box is None:
        return np.zeros((0, 0, 0), bool), (0, 0, 0)
    start = [first + axis.start for first, axis in zip(_startOf(image), box, strict=True)]
    mask = yield from _equal(_voxels(image)[box], segment.GetLabelValue())
    return mask, (start[0], start[1], start[2])


def sharing(segmentation: slicer.vtkSegmentation, segmentId: str) -> list[str]:
    """All segments in the labelmap of this one; Slicer's own IsSharedBinaryLabelmap says no to all (5.13)."""
    own = labelmapOf(segmentation.GetSegment(segmentId))
    others = [name for name in segmentation.GetSegmentIDs() if name != segmentId]
    shared = [name for name in others if own is not None and labelmapOf(segmentation.GetSegment(name)) is own]
    return [segmentId, *shared]


def write(segment: slicer.vtkSegment, mask: np.ndarray, start: Sequence[int], *, isAdded: bool) -> bool:
    """Set or clear voxels of a segment; its labelmap grows where it must. False without a labelmap.

    Args:
        segment: Its labelmap may be shared, if voxels are cleared.
        mask, start: bool (slices, rows, columns) of a box of the volume, and where that begins.
        isAdded: Set them; else clear those that are this segment's.
    """
    image = labelmapOf(segment)
    if image is None:
        return False
    if isAdded:
        _grow(image, start, mask.shape)
    voxels, first = _voxels(image), _startOf(image)
    low = [max(at, own) for at, own in zip(start, first, strict=True)]
    high = [min(at + n, own + m) for at, n, own, m in zip(start, mask.shape, first, voxels.shape, strict=True)]
    if all(begin < end for begin, end in zip(low, high, strict=True)):
        box, part = (
            tuple(slice(begin - at, end - at) for begin, end, at in zip(low, high, origin, strict=True))
            for origin in (first, start)
        )
        if isAdded:
            voxels[box][mask[part]] = segment.GetLabelValue()
        else:
            voxels[box][mask[part] & (voxels[box] == segment.GetLabelValue())] = 0
    for part in (image.GetPointData().GetScalars(), image, segment):
        part.Modified()
    return True


def filledBox(voxels: np.ndarray) -> tuple[slice, slice, slice] | None:
    """The smallest box of integers (slices, rows, columns) that holds all that are not 0, None if there are none."""
    first = next((n for n, plane in enumerate(voxels) if plane.any()), None)
    if first is None:
        return None
    last = next(n for n in reversed(range(len(voxels))) if voxels[n].any())
    slices, (rows, columns) = slice(first, last + 1), voxels.shape[1:]
    inside = voxels[slices]
    if all(face.any() for face in (inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1])):
        return slices, slice(0, rows), slice(0, columns)
    plane = np.bitwise_or.reduce(inside, axis=0)  # one pass, without a copy of all
    return slices, _extent(plane.any(axis=1)), _extent(plane.any(axis=0))


def crop(segment: slicer.vtkSegment) -> None:
    """Shrink the labelmap of a segment, and of those that share it, to what is filled: the history copies all of it."""
    image = labelmapOf(segment)
    voxels = None if image is None else _voxels(image)
    box = None if voxels is None else filledBox(voxels)
    if box is not None and voxels[box].size < voxels.size:
        _replace(image, voxels[box], [low + axis.start for low, axis in zip(_startOf(image), box, strict=True)])


def _grow(image: slicer.vtkOrientedImageData, start: Sequence[int], shape: Sequence[int]) -> None:
    """Make room in a labelmap for a box of the volume."""
    voxels, first = _voxels(image), _startOf(image)
    low = [min(at, own) for at, own in zip(start, first, strict=True)]
    high = [max(at + n, own + m) for at, n, own, m in zip(start, shape, first, voxels.shape, strict=True)]
    grown = np.zeros([end - begin for begin, end in zip(low, high, strict=True)], voxels.dtype)
    if grown.shape == voxels.shape:
        return
    grown[
        tuple(slice(own - begin, own - begin + m) for own, begin, m in zip(first, low, voxels.shape, strict=True))
    ] = voxels
    _replace(image, grown, low)


def _replace(image: slicer.vtkOrientedImageData, voxels: np.ndarray, start: Sequence[int]) -> None:
    """Give a labelmap other voxels in another box; it stays the same object, which segments may share."""
    other = slicer.vtkOrientedImageData()
    other.SetExtent(*(end for at, n in zip(start[::-1], voxels.shape[::-1], strict=True) for end in (at, at + n - 1)))
    other.AllocateScalars(image.GetScalarType(), 1)
    _voxels(other)[:] = voxels
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    other.SetImageToWorldMatrix(matrix)
    image.ShallowCopy(other)


def _voxels(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """(slices, rows, columns), values of all segments that share it."""
    columns, rows, slices = image.GetDimensions()
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(slices, rows, columns)


def _startOf(image: slicer.vtkOrientedImageData) -> tuple[int, int, int]:
    extent = image.GetExtent()
    return extent[4], extent[2], extent[0]


def _equal(voxels: np.ndarray, value: int) -> Steps[np.ndarray]:
    """bool, where voxels have a value; the same memory if they have no other one but 0."""
    if value == 1 and voxels.dtype == np.uint8 and np.bitwise_or.reduce(voxels, axis=0).max() == 1:
        mask = voxels.view(bool)
        mask.flags.writeable = False
        return mask
    mask = np.empty(voxels.shape, bool)
    for part in chunks(voxels):
        np.equal(voxels[part], value, out=mask[part])
        yield
    return mask


def _extent(isFilled: np.ndarray) -> slice:
    indices = np.flatnonzero(isFilled)
    return slice(int(indices[0]), int(indices[-1]) + 1)
