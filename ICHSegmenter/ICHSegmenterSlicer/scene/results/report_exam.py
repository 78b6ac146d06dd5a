"""A result and its segments as they are now, as the worker reads them to write a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ICHSegmenterLib.labels import ICH, SEGMENT_LABELS
from ICHSegmenterLib.protocol import LABELMAP_FILE
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegment, MeasuredSegments, maskOnGrid, measure
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.scene.slice_files import sliceFilesOf
from ICHSegmenterSlicer.scene.volumes import chunks, exportVolume


@dataclass(frozen=True)
class ReportExam:
    """What the worker's request says of an exam and its result.

    Attributes:
        method: Name of the method.
        fields: Of the request.
    """

    method: str
    fields: dict[str, Any]


def exportReport(resultNode: slicer.vtkMRMLTextNode, folder: Path) -> Steps[ReportExam]:
    """Write voxels and segments into a job folder, in steps.

    Raises:
        VolumeError: The volume has no voxels, or no usable geometry.
        ResultError: The result cannot be read.
    """
    result = StoredResult.fromNode(resultNode)
    volumeNode = resultNode.GetNodeReference(VOLUME_ROLE)
    segmentationNode = resultNode.GetNodeReference(SEGMENTATION_ROLE)
    exam = yield from exportVolume(volumeNode, folder)
    measured = yield from measure(segmentationNode, result, volumeNode)
    keys = _keys(result, measured)
    if keys:
        yield from _writeLabelmap(segmentationNode, measured, volumeNode, keys, folder / LABELMAP_FILE)
    fields = {
        **exam.message(),
        **sliceFilesOf(volumeNode).fields(),
        "result": json.loads(resultNode.GetText()),
        "labels": keys,
        "edited": _editedKeys(result, measured),
    }
    return ReportExam(result.analysis.provenance.method, fields)


def _keyOf(segment: MeasuredSegment) -> str:
    """The label that a segment is reported as: its own, else hemorrhage of no subtype; empty for what is no blood."""
    if segment.key in SEGMENT_LABELS:
        return segment.key
    return ICH.key if segment.isBlood else ""


def _keys(result: StoredResult, measured: MeasuredSegments) -> list[str]:
    """Keys of the labels of the report: those of the method first."""
    made = [label.key for label in result.labels]
    added = [_keyOf(segment) for segment in measured.segments]
    return list(dict.fromkeys(key for key in (*made, *added) if key))


def _editedKeys(result: StoredResult, measured: MeasuredSegments) -> list[str]:
    """Keys of what is not as the run made it: painted, added, or gone."""
    left = {segment.segmentId for segment in measured.segments}
    gone = [key for key, segmentId in result.segmentIds.items() if segmentId not in left]
    changed = [_keyOf(segment) for segment in measured.segments if segment.isEdited]
    return list(dict.fromkeys(key for key in (*changed, *gone) if key))


def _writeLabelmap(
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    measured: MeasuredSegments,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    keys: list[str],
    path: Path,
) -> Steps[None]:
    """Write uint8 (slices, rows, columns); where segments overlap the later one is written."""
    shape = volumeNode.GetImageData().GetDimensions()[::-1]
    voxels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    yield
    for segment in measured.segments if segmentationNode is not None else ():
        key = _keyOf(segment)
        if not key or segmentationNode.GetSegmentation().GetSegment(segment.segmentId) is None:
            continue
        mask, start = yield from maskOnGrid(segmentationNode, segment.segmentId, volumeNode)
        if not mask.size:
            continue
        box = voxels[tuple(slice(first, first + size) for first, size in zip(start, mask.shape, strict=True))]
        for part in chunks(mask):
            box[part][mask[part]] = keys.index(key) + 1
            yield
    del voxels
