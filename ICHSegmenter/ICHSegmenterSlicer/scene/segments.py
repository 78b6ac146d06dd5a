"""The worker's answer to segments with names, colors and codes, on the grid of the volume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterSlicer.scene import edits, terminology
from ICHSegmenterSlicer.scene.volumes import Steps, chunks, putBeside

RESULT_ROLE = "ICHSegmenter.result"
"""Reference role: from a segmentation node to the text node that holds its result."""
KEY_TAG = "ICHSegmenter.key"
"""Segment tag: the label's short name."""
ATTRIBUTES = ("method", "version", "device", "precision", "created")
"""Of the provenance, kept as node attributes `ICHSegmenter.<name>`."""


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Attributes:
        segmentationNode: None if there was nothing to outline.
        resultNode: Text node with the result as JSON; it survives saving the scene.
        segmentIds: The new segments.
    """

    segmentationNode: slicer.vtkMRMLSegmentationNode | None
    resultNode: slicer.vtkMRMLTextNode
    segmentIds: tuple[str, ...]


def importResult(
    folder: Path,
    message: dict[str, Any],
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode | None = None,
    *,
    replace: bool = False,
) -> Steps:
    """Make segments of a worker's answer, one a step; returns `Imported`.

    Args:
        folder: Of the job; the message's labelmap lies there.
        message: The worker's "result" line.
        volumeNode: The analyzed volume; segments get its grid, transform and place in the subject hierarchy.
        segmentationNode: Add to this node instead of making a new one; what is in it stays.
        replace: Remove segments of earlier runs from it first, except those that were edited since.

    Closing the generator half-way takes back what was made.
    """
    result = message["result"]
    regions: dict[int, Region] = {}
    if message.get("labelmap"):
        labelmap = np.load(folder / message["labelmap"], mmap_mode="r")
        regions = yield from _findRegions(labelmap, len(result["labels"]))
    _addFocus(result, regions)
    isNew = segmentationNode is None
    added: list[str] = []  # in the order of values
    try:
        if regions and isNew:
            segmentationNode = _newSegmentation(volumeNode, result)
            yield
        if regions and replace and not isNew:
            _removeUneditedSegments(segmentationNode)
            yield
        for label in result["labels"]:
            if label["value"] in regions:
                mask = labelmap[regions[label["value"]].box] == label["value"]
                segment = _segment(label, mask, regions[label["value"]], volumeNode, result)
                if not isNew:
                    segment.SetName(_runName(segmentationNode, label["name"], result))
                added.append(_add(segmentationNode, segment))
                yield
        segments = {result["labels"][value - 1]["key"]: one for value, one in zip(sorted(regions), added, strict=True)}
        resultNode = _resultNode({**result, "segment_ids": segments}, volumeNode, segmentationNode if regions else None)
    except BaseException:
        takeBack(segmentationNode, isNew, added)
        raise
    return Imported(segmentationNode if regions else None, resultNode, tuple(added))


def remove(imported: Imported) -> None:
    """Take a whole import, into a segmentation of its own, out of the scene."""
    takeBack(imported.segmentationNode, True, ())
    slicer.mrmlScene.RemoveNode(imported.resultNode)


@dataclass
class Region:
    """Where one label lies in the array.

    Attributes:
        box: Slices of the three array axes that hold all its voxels.
        centers: Slice index to its median (column, row) there.
        counts: Slice index to voxels.
    """

    box: tuple[slice, slice, slice]
    centers: dict[int, tuple[int, int]]
    counts: dict[int, int]


def _findRegions(labelmap: np.ndarray, labels: int) -> Steps:
    """Bounding box and centers of each label, a chunk of slices a step; returns {value: Region}."""
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
                centers.setdefault(value, {})[index] = (_median(perColumn), _median(perRow))
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


def _median(histogram: np.ndarray) -> int:
    """Index at which half of the counts are reached."""
    cumulated = np.cumsum(histogram)
    return int(np.searchsorted(cumulated, cumulated[-1] / 2))


def _addFocus(result: dict[str, Any], regions: dict[int, Region]) -> None:
    """Tell for each slice the (column, row) at which to look, the middle of its largest bleed, and that one's type."""
    if len(result["slices"]) != result["geometry"]["shape"][0]:
        return  # found on other slices than the acquired ones
    keys = {label["value"]: label["key"] for label in result["labels"]}
    best: dict[int, tuple[bool, int, int]] = {}
    for value, region in regions.items():
        isBlood = SEGMENT_LABELS[keys[value]].is_blood
        for index, count in region.counts.items():
            best[index] = max(best.get(index, (False, 0, 0)), (isBlood, count, value))
    for one in result["slices"]:
        if one["index"] in best:
            isBlood, _, value = best[one["index"]]
            one["focus"] = list(regions[value].centers[one["index"]])
            one["type"] = keys[value] if isBlood else ""


def _newSegmentation(volumeNode: slicer.vtkMRMLScalarVolumeNode, result: dict[str, Any]) -> Any:
    scene = slicer.mrmlScene
    title = result["provenance"]["title"]
    name = scene.GenerateUniqueName(f"{volumeNode.GetName()} hemorrhage ({title})")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    putBeside(volumeNode, node)
    for attribute in ATTRIBUTES:
        node.SetAttribute(f"ICHSegmenter.{attribute}", str(result["provenance"].get(attribute, "")))
    weights = result["provenance"].get("weights", {})
    node.SetAttribute("ICHSegmenter.weights", " ".join(f"{name}:{digest}" for name, digest in weights.items()))
    return node


def _segment(
    label: dict[str, Any],
    mask: np.ndarray,
    region: Region,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    result: dict[str, Any],
) -> vtk.vtkObject:
    """A segment with a labelmap of its own, cropped to its voxels, on the volume's grid."""
    provenance = result["provenance"]
    segment = slicer.vtkSegment()
    segment.SetName(label["name"])
    segment.SetNameAutoGenerated(False)
    segment.SetColor([channel / 255 for channel in label["color"]])
    segment.SetColorAutoGenerated(False)
    segment.AddRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(),
        _orientedImage(mask, region, volumeNode),
    )
    segment.SetTerminology(label["terminology"])
    segment.SetTag(KEY_TAG, label["key"])
    segment.SetTag(edits.ALGORITHM_TAG, "AUTOMATIC")
    segment.SetTag("DICOM.SegmentAlgorithmName", f"ICHSegmenter {provenance['version']} {provenance['method']}")
    segment.SetTag(edits.DIGEST_TAG, edits.digestOfMask(mask, [axis.start for axis in region.box]))
    return segment


def _orientedImage(
    mask: np.ndarray, region: Region, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkOrientedImageData:
    """bool (slices, rows, columns) of a box of the volume's grid as Slicer's labelmap."""
    image = slicer.vtkOrientedImageData()
    slices, rows, columns = region.box
    image.SetExtent(columns.start, columns.stop - 1, rows.start, rows.stop - 1, slices.start, slices.stop - 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    voxels = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    voxels[:] = mask.ravel()
    ijkToRas = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijkToRas)
    image.SetImageToWorldMatrix(ijkToRas)
    return image


def _runName(segmentationNode: Any, name: str, result: dict[str, Any]) -> str:
    """A name that is not taken yet: of the label, then with the method, then counted."""
    segmentation = segmentationNode.GetSegmentation()
    taken = {segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())}
    long = f"{name} ({result['provenance']['title']})"
    candidates = [name, long, *(f"{long} {count}" for count in range(2, len(taken) + 3))]
    return next(candidate for candidate in candidates if candidate not in taken)


def _add(segmentationNode: Any, segment: Any) -> str:
    """Add a segment; returns its identifier."""
    terminology.load()
    segmentation = segmentationNode.GetSegmentation()
    segmentId = segmentation.GenerateUniqueSegmentID(edits.tagOf(segment, KEY_TAG))
    if not segmentation.AddSegment(segment, segmentId):
        raise RuntimeError(f"Slicer refused the segment {segment.GetName()!r}.")
    return segmentId


def _removeUneditedSegments(segmentationNode: Any) -> None:
    segmentation = segmentationNode.GetSegmentation()
    for segmentId in list(segmentation.GetSegmentIDs()):
        segment = segmentation.GetSegment(segmentId)
        if edits.isOurs(segment) and not edits.isEdited(segmentationNode, segmentId):
            segmentation.RemoveSegment(segmentId)


def takeBack(segmentationNode: Any, isNew: bool, segmentIds: Sequence[str]) -> None:
    if segmentationNode is None or segmentationNode.GetScene() is None:
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


def _resultNode(result: dict[str, Any], volumeNode: Any, segmentationNode: Any | None) -> Any:
    """The result as a text node, kept inside the scene file, hidden from lists."""
    node = slicer.vtkMRMLTextNode()
    node.SetHideFromEditors(True)
    node.SetForceCreateStorageNode(slicer.vtkMRMLTextNode.CreateStorageNodeNever)
    node = slicer.mrmlScene.AddNode(node)
    node.SetName(slicer.mrmlScene.GenerateUniqueName(f"{volumeNode.GetName()} hemorrhage result"))
    node.SetText(json.dumps(result))
    node.SetNodeReferenceID("volume", volumeNode.GetID())
    if segmentationNode is not None:
        node.SetNodeReferenceID("segmentation", segmentationNode.GetID())
        segmentationNode.SetNodeReferenceID(RESULT_ROLE, node.GetID())
    return node
