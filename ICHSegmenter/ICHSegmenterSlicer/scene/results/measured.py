"""Numbers of the segments as they are now: made by a run, painted, added, removed or undone since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import slicer
import vtk

from ICHSegmenterLib.labels import ANY, HEMORRHAGE, SEGMENT_LABELS
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results import edits, segment_voxels
from ICHSegmenterSlicer.scene.results.stored_result import SliceFocus, StoredResult
from ICHSegmenterSlicer.scene.volumes import chunks, geometryOf

METHOD_ATTRIBUTE = "ICHSegmenter.method"
"""Attribute of a segmentation that a run made."""
GRID_TOLERANCE_MM = 1e-4
GENERIC_TISSUE = "SCT^85756007^Tissue~SCT^85756007^Tissue"
"""Category and type that Slicer gives to a new segment."""


@dataclass(frozen=True)
class MeasuredSegment:
    """A segment in numbers.

    Attributes:
        segmentId: Its identifier.
        key: Its label's short name, empty if no run made it.
        name, color: As Slicer shows them; RGB, 0 to 255.
        isBlood: It counts as hemorrhage.
        isEdited: It is not as the run made it.
        sliceMl: Slice index of the detection to mL, where it has voxels.
        meanHu: Mean density in HU, None without voxels.
        centers: Slice index to its middle (column, row).
    """

    segmentId: str
    key: str
    name: str
    color: tuple[int, int, int]
    isBlood: bool
    isEdited: bool
    sliceMl: Mapping[int, float]
    meanHu: float | None
    centers: Mapping[int, tuple[int, int]]

    @property
    def volumeMl(self) -> float:
        return sum(self.sliceMl.values())


@dataclass(frozen=True)
class MeasuredSegments:
    """All segments of a result, as they are now.

    Attributes:
        segments: Those that are left, and those that were added.
        removed: How many of those that the run made are gone.
    """

    segments: tuple[MeasuredSegment, ...] = ()
    removed: int = 0

    @property
    def isEdited(self) -> bool:
        """True if anything is not as the run made it."""
        return self.removed > 0 or any(segment.isEdited for segment in self.segments)

    @property
    def blood(self) -> tuple[MeasuredSegment, ...]:
        """Segments that count as hemorrhage and have voxels."""
        return tuple(segment for segment in self.segments if segment.isBlood and segment.sliceMl)

    @property
    def bloodMl(self) -> float:
        return sum(segment.volumeMl for segment in self.blood)

    @property
    def sliceMl(self) -> dict[int, float]:
        """Slice index to mL of blood."""
        total: dict[int, float] = {}
        for segment in self.blood:
            for index, volume in segment.sliceMl.items():
                total[index] = total.get(index, 0.0) + volume
        return total

    @property
    def focuses(self) -> dict[int, SliceFocus]:
        """Slice index to the middle of its largest bleed and that one's type; blood goes before edema."""
        largest: dict[int, tuple[bool, float, MeasuredSegment]] = {}
        for segment in self.segments:
            for index, volume in segment.sliceMl.items():
                entry = (segment.isBlood, volume, segment)
                if index not in largest or entry[:2] > largest[index][:2]:
                    largest[index] = entry
        return {
            index: SliceFocus(*segment.centers[index], (segment.key or ANY) if isBlood else "")
            for index, (isBlood, _volume, segment) in largest.items()
        }


def measure(
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    result: StoredResult,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
) -> Steps[MeasuredSegments]:
    """Measure all segments of a result, a part a step, and tag those that were edited."""
    made = set(result.segmentIds.values())
    if segmentationNode is None:
        return MeasuredSegments(removed=len(made))
    acquired = geometryOf(volumeNode)
    grid = _Grid(acquired, AxialView.at_border(acquired), slicer.util.arrayFromVolume(volumeNode))
    segmentation, measured = segmentationNode.GetSegmentation(), []
    for segmentId in list(segmentation.GetSegmentIDs()):
        segment = segmentation.GetSegment(segmentId)
        if segment is None or (edits.isOurs(segment) and segmentId not in made):
            continue  # removed meanwhile, or of another run in the same node
        mask, start = yield from maskOnGrid(segmentationNode, segmentId, volumeNode)
        yield
        isEdited = segmentId not in made or (yield from edits.isEdited(segment, mask, start))
        slices = yield from _slices(mask, start, grid)
        measured.append(_measured(segmentId, segment, isEdited, slices, segmentationNode))
    for entry in measured:
        segment = segmentation.GetSegment(entry.segmentId)
        if segment is not None:
            edits.updateTag(segment, isEdited=entry.isEdited)
    left = {segment.segmentId for segment in measured}
    return MeasuredSegments(tuple(measured), len(made - left))


def isBlood(segment: slicer.vtkSegment, key: str, segmentationNode: slicer.vtkMRMLSegmentationNode) -> bool:
    """A person's own segment is blood if its terminology says so, or says no more than Slicer gives to a new one."""
    if key in SEGMENT_LABELS:
        return SEGMENT_LABELS[key].is_blood
    if str(HEMORRHAGE) in segment.GetTerminology():
        return True
    isOfARun = bool(segmentationNode.GetAttribute(METHOD_ATTRIBUTE))
    return isOfARun and (not segment.GetTerminology() or GENERIC_TISSUE in segment.GetTerminology())


def maskOnGrid(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> Steps[tuple[np.ndarray, tuple[int, int, int]]]:
    """bool (slices, rows, columns) of a segment's box within the volume's grid, and where the box starts."""
    if not isOnGrid(segmentationNode, segmentId, volumeNode):
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
        return (np.zeros((0, 0, 0), bool) if voxels is None else voxels > 0), (0, 0, 0)
    mask, start = yield from segment_voxels.maskOf(segmentationNode, segmentId)
    shape = volumeNode.GetImageData().GetDimensions()[::-1]
    first = [max(0, -position) for position in start]
    last = [size - position for size, position in zip(shape, start, strict=True)]
    inside = mask[tuple(slice(low, max(low, high)) for low, high in zip(first, last, strict=True))]
    return inside, tuple(position + low for position, low in zip(start, first, strict=True))


def isOnGrid(
    segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> bool:
    """True if the voxels of a segment are voxels of the volume: nobody gave the segmentation another geometry."""
    image = segment_voxels.labelmapOf(segmentationNode.GetSegmentation().GetSegment(segmentId))
    if image is None:
        return True
    matrices = [vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()]
    image.GetImageToWorldMatrix(matrices[0])
    volumeNode.GetIJKToRASMatrix(matrices[1])
    own, ofVolume = (slicer.util.arrayFromVTKMatrix(matrix) for matrix in matrices)
    return bool(np.allclose(own, ofVolume, atol=GRID_TOLERANCE_MM))


@dataclass(frozen=True, eq=False)
class _Grid:
    """The acquired grid of an exam, the view of the detection on it, and the voxels (slices, rows, columns) in HU."""

    acquired: VolumeGeometry
    view: AxialView
    hu: np.ndarray


@dataclass
class _Slices:
    """Sums over the slices of the detection."""

    sliceMl: dict[int, float] = field(default_factory=dict)
    centers: dict[int, tuple[int, int]] = field(default_factory=dict)
    huSum: float = 0.0
    voxels: int = 0


def _slices(mask: np.ndarray, start: tuple[int, int, int], grid: _Grid) -> Steps[_Slices]:
    """Measure a mask slice by slice of the detection.

    Args:
        mask: bool (slices, rows, columns), a box of the acquired grid.
        start: (slice, row, column) of the box.
        grid: The exam.
    """
    sums = _Slices()
    if not mask.size:
        return sums
    box = tuple(slice(first, first + size) for first, size in zip(start, mask.shape, strict=True))
    shape, view = grid.acquired.shape, grid.view
    seen, hu = view.apply(mask), view.apply(grid.hu[box])
    first = [
        shape[axis] - start[axis] - mask.shape[axis] if isFlipped else start[axis]
        for axis, isFlipped in zip(view.axes, view.flips, strict=True)
    ]
    voxelsMl = view.geometry(grid.acquired).voxel_volumes_mm3 / 1000
    for part in chunks(seen):
        for n in range(*part.indices(len(seen))):
            plane = seen[n]
            perRow, perColumn = plane.sum(axis=1), plane.sum(axis=0)
            count = int(perRow.sum())
            if count:
                index = first[0] + n
                sums.sliceMl[index] = count * float(voxelsMl[index])
                sums.centers[index] = (first[2] + median(perColumn), first[1] + median(perRow))
                sums.huSum += float(hu[n][plane].sum(dtype=np.float64))
                sums.voxels += count
        yield
    return sums


def median(histogram: np.ndarray) -> int:
    """Index at which half of the counts are reached."""
    cumulated = np.cumsum(histogram)
    return int(np.searchsorted(cumulated, cumulated[-1] / 2))


def _measured(
    segmentId: str,
    segment: slicer.vtkSegment,
    isEdited: bool,
    slices: _Slices,
    segmentationNode: slicer.vtkMRMLSegmentationNode,
) -> MeasuredSegment:
    key = edits.tagOf(segment, edits.KEY_TAG)
    return MeasuredSegment(
        segmentId,
        key,
        segment.GetName(),
        tuple(round(channel * 255) for channel in segment.GetColor()),
        isBlood(segment, key, segmentationNode),
        isEdited,
        slices.sliceMl,
        slices.huSum / slices.voxels if slices.voxels else None,
        slices.centers,
    )
