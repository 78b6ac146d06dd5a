"""Segments of a worker's answer: names, colors and codes, on the grid of the volume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ICHSegmenterLib.agreement import Agreement
from ICHSegmenterLib.labels import SegmentLabel
from ICHSegmenterLib.results import AnalysisResult, Provenance, SegmentationResult
from ICHSegmenterSlicer.client.answer import Answer
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene import terminology
from ICHSegmenterSlicer.scene.nodes import isInScene
from ICHSegmenterSlicer.scene.results import edits, segment_voxels
from ICHSegmenterSlicer.scene.results.measured import median
from ICHSegmenterSlicer.scene.results.stored_result import SliceFocus, StoredResult, withImport
from ICHSegmenterSlicer.scene.volumes import chunks, matrixOf, putBeside, sourceOf

RESULT_ROLE = "ICHSegmenter.result"
"""Reference role: from a segmentation node to the text node that holds its result."""
ATTRIBUTES = ("method", "version", "device", "precision", "created")
"""Fields of the provenance that are kept as node attributes `ICHSegmenter.<name>`."""


@dataclass(frozen=True)
class Imported:
    """The nodes that an import made.

    Attributes:
        segmentationNode: None if there was nothing to outline.
        resultNode: Text node with the result as JSON; it survives saving the scene.
        segmentIds: The new segments.
        result: The content of the text node.
    """

    segmentationNode: slicer.vtkMRMLSegmentationNode | None
    resultNode: slicer.vtkMRMLTextNode
    segmentIds: tuple[str, ...]
    result: StoredResult


def importResult(
    answer: Answer,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode | None = None,
    *,
    replace: bool = False,
    agreement: Agreement | None = None,
) -> Steps[Imported]:
    """Make segments of a worker's answer, one a step.

    Args:
        answer: That of a method, or of a vote.
        volumeNode: The analyzed volume; segments get its grid, transform and position in the subject hierarchy.
        segmentationNode: Add to this node instead of making a new one; what is in it stays.
        replace: Remove segments of earlier runs from it first, except those that were edited since.
        agreement: Kept with the result, if this is a vote.

    Closing the generator half-way takes back what was made.
    """
    outlined, provenance = answer.result.segmentation, answer.result.provenance
    regions = (yield from _regions(outlined)) if outlined is not None else {}
    isNew = segmentationNode is None
    added: dict[str, str] = {}  # label key to identifier, in the order of values
    try:
        if regions and isNew:
            segmentationNode = _newSegmentation(volumeNode, provenance)
            segmentationNode.GetDisplayNode().SetVisibility(False)  # half of it, maybe over another exam, is no result
            yield
        if regions and replace and not isNew:
            yield from _removeUneditedSegments(segmentationNode)
        for value, region in regions.items():
            label = outlined.labels[value - 1]
            segment = yield from _segment(label, outlined.labelmap[region.box] == value, region, volumeNode, provenance)
            if not isNew:
                segment.SetName(_runName(segmentationNode, label.name, provenance.title))
            added[label.key] = _add(segmentationNode, segment)
            yield
        plain = withImport(
            answer.plain, _focuses(answer.result, regions), added, agreement, sourceOf(volumeNode).reader_warnings
        )
        resultNode = _resultNode(plain, volumeNode, segmentationNode if regions else None)
        if regions and isNew:
            segmentationNode.GetDisplayNode().SetVisibility(True)
    except BaseException:
        takeBack(segmentationNode, isNew, tuple(added.values()))
        raise
    shown = segmentationNode if regions else None
    return Imported(shown, resultNode, tuple(added.values()), StoredResult.fromJson(plain))


def addEmptySegmentation(
    resultNode: slicer.vtkMRMLTextNode, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode:
    """Give a result that outlined nothing a segmentation, so that a person can add to it."""
    node = _newSegmentation(volumeNode, StoredResult.fromNode(resultNode).analysis.provenance)
    resultNode.SetNodeReferenceID("segmentation", node.GetID())
    node.SetNodeReferenceID(RESULT_ROLE, resultNode.GetID())
    return node


def remove(imported: Imported) -> None:
    """Take a whole import, into a segmentation of its own, out of the scene."""
    takeBack(imported.segmentationNode, True, ())
    slicer.mrmlScene.RemoveNode(imported.resultNode)


@dataclass
class Region:
    """The voxels of one label in the array.

    Attributes:
        box: Slices of the three array axes that hold all its voxels.
        centers: Slice index to its median (column, row) there.
        counts: Slice index to voxels.
    """

    box: tuple[slice, slice, slice]
    centers: dict[int, tuple[int, int]]
    counts: dict[int, int]


def _regions(outlined: SegmentationResult) -> Steps[dict[int, Region]]:
    """Bounding box and centers of each label that has voxels, by its value; a chunk of slices a step."""
    labelmap, labels = outlined.labelmap, len(outlined.labels)
    rows: dict[int, np.ndarray] = {}
    columns: dict[int, np.ndarray] = {}
    centers: dict[int, dict[int, tuple[int, int]]] = {}
    counts: dict[int, dict[int, int]] = {}
    for chunk in chunks(labelmap):
        for index in range(*chunk.indices(len(labelmap))):
            plane = np.asarray(labelmap[index])
            if not plane.any():
                continue
            present = np.flatnonzero(np.bincount(plane.ravel(), minlength=labels + 1)[1 : labels + 1]) + 1
            for value in present.tolist():
                mask = plane == value
                perRow, perColumn = mask.sum(axis=1), mask.sum(axis=0)
                rows[value] = rows.get(value, 0) + perRow
                columns[value] = columns.get(value, 0) + perColumn
                centers.setdefault(value, {})[index] = (median(perColumn), median(perRow))
                counts.setdefault(value, {})[index] = int(perRow.sum())
        yield
    return {
        value: Region(
            (
                _extent(list(centers[value])),
                _extent(np.flatnonzero(rows[value])),
                _extent(np.flatnonzero(columns[value])),
            ),
            centers[value],
            counts[value],
        )
        for value in sorted(centers)
    }


def _extent(indices: Sequence[int] | np.ndarray) -> slice:
    return slice(int(min(indices)), int(max(indices)) + 1)


def _focuses(result: AnalysisResult, regions: dict[int, Region]) -> dict[int, SliceFocus]:
    """Slice index to the middle of its largest bleed and that one's type; blood goes before edema."""
    outlined = result.segmentation
    if outlined is None or outlined.geometry is not result.geometry:
        return {}  # detected on other slices than the acquired ones
    largest: dict[int, tuple[bool, int, int]] = {}
    for value, region in regions.items():
        isBlood = outlined.labels[value - 1].is_blood
        for index, count in region.counts.items():
            largest[index] = max(largest.get(index, (False, 0, 0)), (isBlood, count, value))
    return {
        index: SliceFocus(*regions[value].centers[index], outlined.labels[value - 1].key if isBlood else "")
        for index, (isBlood, _, value) in largest.items()
    }


def _newSegmentation(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, provenance: Provenance
) -> slicer.vtkMRMLSegmentationNode:
    scene = slicer.mrmlScene
    name = scene.GenerateUniqueName(f"{volumeNode.GetName()} hemorrhage ({provenance.title})")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    putBeside(volumeNode, node)
    for attribute in ATTRIBUTES:
        node.SetAttribute(f"ICHSegmenter.{attribute}", str(getattr(provenance, attribute)))
    weights = " ".join(f"{file}:{digest}" for file, digest in provenance.weights.items())
    node.SetAttribute("ICHSegmenter.weights", weights)
    return node


def _segment(
    label: SegmentLabel,
    mask: np.ndarray,
    region: Region,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    provenance: Provenance,
) -> Steps[slicer.vtkSegment]:
    """A segment with a labelmap of its own, cropped to its voxels, on the volume's grid."""
    segment = labeledSegment(label, "AUTOMATIC")
    segment.AddRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(),
        orientedImage(mask, tuple(axis.start for axis in region.box), matrixOf(volumeNode)),
    )
    segment.SetTag("DICOM.SegmentAlgorithmName", f"ICHSegmenter {provenance.version} {provenance.method}")
    digest = yield from edits.digestOfMask(mask, [axis.start for axis in region.box])
    segment.SetTag(edits.DIGEST_TAG, digest)
    return segment


def labeledSegment(label: SegmentLabel, algorithmType: str) -> slicer.vtkSegment:
    """An empty segment with name, color and terminology of a label; algorithmType as in DICOM."""
    segment = slicer.vtkSegment()
    segment.SetName(label.name)
    segment.SetNameAutoGenerated(False)
    segment.SetColor([channel / 255 for channel in label.color])
    segment.SetColorAutoGenerated(False)
    segment.SetTerminology(label.terminology)
    segment.SetTag(edits.KEY_TAG, label.key)
    segment.SetTag(edits.ALGORITHM_TAG, algorithmType)
    return segment


def orientedImage(mask: np.ndarray, start: Sequence[int], ijkToRas: vtk.vtkMatrix4x4) -> slicer.vtkOrientedImageData:
    """bool (slices, rows, columns) of a box of a grid, which begins at (slice, row, column), as Slicer's labelmap."""
    image = slicer.vtkOrientedImageData()
    (k, j, i), (slices, rows, columns) = start, mask.shape
    image.SetExtent(i, i + columns - 1, j, j + rows - 1, k, k + slices - 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    voxels[:] = mask.ravel()
    image.SetImageToWorldMatrix(ijkToRas)
    return image


def _runName(segmentationNode: slicer.vtkMRMLSegmentationNode, name: str, title: str) -> str:
    """A name that is not taken yet: the label's, then with the title of the method, then counted."""
    segmentation = segmentationNode.GetSegmentation()
    taken = {segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())}
    long = f"{name} ({title})"
    candidates = [name, long, *(f"{long} {count}" for count in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def _add(segmentationNode: slicer.vtkMRMLSegmentationNode, segment: slicer.vtkSegment) -> str:
    """Add a segment; returns its identifier."""
    terminology.load()
    segmentation = segmentationNode.GetSegmentation()
    segmentId = segmentation.GenerateUniqueSegmentID(edits.tagOf(segment, edits.KEY_TAG))
    if not segmentation.AddSegment(segment, segmentId):
        raise RuntimeError(f"Slicer refused the segment {segment.GetName()!r}.")
    return segmentId


def _removeUneditedSegments(segmentationNode: slicer.vtkMRMLSegmentationNode) -> Steps[None]:
    segmentation = segmentationNode.GetSegmentation()
    unedited = []
    for segmentId in list(segmentation.GetSegmentIDs()):
        segment = segmentation.GetSegment(segmentId)
        voxels = yield from segment_voxels.maskOf(segmentationNode, segmentId)
        if edits.isOurs(segment) and not (yield from edits.isEdited(segment, *voxels)):
            unedited.append(segmentId)
    for segmentId in unedited:
        segmentation.RemoveSegment(segmentId)


def takeBack(segmentationNode: slicer.vtkMRMLSegmentationNode | None, isNew: bool, segmentIds: Sequence[str]) -> None:
    """Remove what an import made: the new node with its displays, or segments from the node that was there."""
    if not isInScene(segmentationNode):
        return
    if isNew:
        for display in [
            segmentationNode.GetNthDisplayNode(n) for n in range(segmentationNode.GetNumberOfDisplayNodes())
        ]:
            slicer.mrmlScene.RemoveNode(display)
        slicer.mrmlScene.RemoveNode(segmentationNode)
        return
    for segmentId in segmentIds:
        segmentationNode.GetSegmentation().RemoveSegment(segmentId)


def _resultNode(
    plain: dict[str, Any],
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
) -> slicer.vtkMRMLTextNode:
    """The result as a text node, kept inside the scene file, hidden from lists."""
    node = slicer.vtkMRMLTextNode()
    node.SetHideFromEditors(True)
    node.SetForceCreateStorageNode(slicer.vtkMRMLTextNode.CreateStorageNodeNever)
    node = slicer.mrmlScene.AddNode(node)
    node.SetName(slicer.mrmlScene.GenerateUniqueName(f"{volumeNode.GetName()} hemorrhage result"))
    node.SetText(json.dumps(plain))
    node.SetNodeReferenceID("volume", volumeNode.GetID())
    if segmentationNode is not None:
        node.SetNodeReferenceID("segmentation", segmentationNode.GetID())
        segmentationNode.SetNodeReferenceID(RESULT_ROLE, node.GetID())
    return node
