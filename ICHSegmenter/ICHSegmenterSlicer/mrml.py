"""Nodes to arrays and back: a volume with its exact geometry out, segments with names, colors and codes in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterSlicer import edits, terminology

WARP_TOLERANCE_MM = 0.1
"""A transform may shift, tilt and shear slices; bending one by more than this has no place in a CT grid."""
CHUNK_BYTES = 8_000_000
"""Copied in one step: a few milliseconds."""
RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
MAX_INT16 = np.iinfo(np.int16).max

RESULT_ROLE = "ICHSegmenter.result"
"""Reference role: from a segmentation node to the text node that holds its result."""
KEY_TAG = "ICHSegmenter.key"
"""Segment tag: the label's short name."""
ATTRIBUTES = ("method", "version", "device", "precision", "created")
"""Of the provenance, kept as node attributes `ICHSegmenter.<name>`."""

Steps = Iterator[None]


# ---- out: volume node to worker ------------------------------------------------------------------------------------


def geometryOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> VolumeGeometry:
    """Where the voxels lie in the world, in LPS, with every parent transform applied slice by slice.

    Slicer hangs a tilted or unevenly spaced CT under a grid transform; evaluated at each slice it gives back what
    DICOM says.

    Raises:
        VolumeError: A transform bends or turns slices against each other.
    """
    columns, rows, slices = volumeNode.GetImageData().GetDimensions()
    ijkToRas = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijkToRas)
    matrix = slicer.util.arrayFromVTKMatrix(ijkToRas)
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
            f"{volumeNode.GetName()} is under a transform that bends its slices (by up to {deviation:.1f} mm). "
            "Harden the transform, or take the volume out of it, in the Transforms module."
        )
    try:
        return VolumeGeometry((slices, rows, columns), columnStep, rowStep, origins)
    except ValueError as error:
        raise VolumeError(f"{volumeNode.GetName()} has no usable geometry: {error}.") from error


def exportVolume(volumeNode: slicer.vtkMRMLScalarVolumeNode, folder: Path) -> Steps:
    """Write `hu.npy` in steps; returns the fields of the worker's request that describe the volume.

    Raises:
        VolumeError: No voxels, or no usable geometry.
    """
    if volumeNode.GetImageData() is None:
        raise VolumeError(f"{volumeNode.GetName()} holds no voxels. Load it again.")
    geometry = geometryOf(volumeNode)
    yield
    voxels = slicer.util.arrayFromVolume(volumeNode)
    integer = np.issubdtype(voxels.dtype, np.integer)
    target = np.lib.format.open_memmap(
        folder / "hu.npy", mode="w+", dtype=np.int16 if integer else np.float32, shape=voxels.shape
    )
    for chunk in _chunks(voxels):
        part = voxels[chunk]
        # Wider integers hold nothing but metal and padding beyond the range of int16.
        target[chunk] = np.clip(part, -MAX_INT16 - 1, MAX_INT16) if integer and part.itemsize > 1 else part
        yield
    del target
    return {"job": str(folder), "geometry": _geometryMessage(geometry), "source": _sourceMessage(volumeNode)}


def _toWorld(node: slicer.vtkMRMLTransformableNode, points: np.ndarray) -> np.ndarray:
    """RAS positions (n, 3) of a node's points after its parent transforms."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return points
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(parent, None, transform)
    return np.array([transform.TransformPoint(point) for point in points])


def _chunks(array: np.ndarray) -> Iterator[slice]:
    step = max(1, int(CHUNK_BYTES / max(1, array[0].nbytes)))
    return (slice(start, start + step) for start in range(0, len(array), step))


def _geometryMessage(geometry: VolumeGeometry) -> dict[str, Any]:
    return {
        "shape": list(geometry.shape),
        "column_step": geometry.column_step.tolist(),
        "row_step": geometry.row_step.tolist(),
        "slice_origins": geometry.slice_origins.tolist(),
    }


def _sourceMessage(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
    """Series UID and kernel, if Slicer's DICOM database knows them; never a patient's name or number."""
    uids = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    series = kernel = ""
    if uids and database is not None and database.isOpen:
        series = database.instanceValue(uids[0], "0020,000e")
        kernel = database.instanceValue(uids[0], "0018,1210")
    return {"format": "Slicer", "series_uid": series, "kernel": kernel, "warnings": []}


# ---- in: worker's answer to segmentation node ----------------------------------------------------------------------


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
        _takeBack(segmentationNode, isNew, added)
        raise
    return Imported(segmentationNode if regions else None, resultNode, tuple(added))


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
    for chunk in _chunks(labelmap):
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
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    volumeItem, item = hierarchy.GetItemByDataNode(volumeNode), hierarchy.GetItemByDataNode(node)
    if volumeItem:
        parent = hierarchy.GetItemParent(volumeItem)
        hierarchy.SetItemParent(item or hierarchy.CreateItem(parent, node), parent)
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


def _takeBack(segmentationNode: Any, isNew: bool, segmentIds: Sequence[str]) -> None:
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
