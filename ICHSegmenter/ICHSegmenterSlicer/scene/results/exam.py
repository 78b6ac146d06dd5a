"""The exam that a result belongs to: a volume, its voxels, its time point and its position in the world."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import slicer

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.scene.volumes import chunks, geometryOf, matrixOf

VOXELS, TIME_POINT = "ICHSegmenter.voxels", "ICHSegmenter.timePoint"
"""Attributes of a result node: checksum of the analyzed voxels, index value of a sequence's time point."""
VOLUME_ROLE = "volume"
"""Reference role: from a result node to the analyzed volume."""
POSITION_TOLERANCE_MM = 0.02
MAX_CHECKSUMS = 64

_checksums: dict[int, str] = {}
"""Modification time of an image to the checksum of its voxels; VTK gives out every time once."""


class Match(Enum):
    """Whether a result is that of an exam, and what has changed if not."""

    SAME = "same"
    OTHER_VOLUME = "other volume"
    OTHER_TIME_POINT = "other time point"
    OTHER_VOXELS = "other voxels"
    OTHER_POSITION = "other position"


@dataclass(frozen=True, eq=False)
class ExamState:
    """An exam as it is now.

    Attributes:
        volumeId: Identifier of the volume node.
        voxels: Checksum of its voxels.
        timePoint: Index value of the time point that a sequence shows in this node, empty without a sequence.
        geometry: Grid of the slices that a detection speaks of; None if a transform bends the volume.
    """

    volumeId: str
    voxels: str
    timePoint: str
    geometry: VolumeGeometry | None


def versionOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> tuple[Any, ...]:
    """What changes whenever an exam may have changed; quick to get, of no use beyond a session."""
    image, transformNode = volumeNode.GetImageData(), volumeNode.GetParentTransformNode()
    return (
        volumeNode.GetID(),
        image.GetMTime() if image is not None else 0,
        tuple(slicer.util.arrayFromVTKMatrix(matrixOf(volumeNode)).ravel()),
        (transformNode.GetID(), transformNode.GetTransformToWorldMTime()) if transformNode is not None else (),
        timePoint(volumeNode),
    )


def stateOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[ExamState]:
    """The exam that a volume holds now; reads all voxels, unless they are known."""
    voxels = yield from checksum(volumeNode)
    if not voxels:
        return ExamState(volumeNode.GetID(), voxels, timePoint(volumeNode), None)
    try:
        acquired = geometryOf(volumeNode)
        geometry = AxialView.at_border(acquired).geometry(acquired)
    except VolumeError:
        geometry = None
    return ExamState(volumeNode.GetID(), voxels, timePoint(volumeNode), geometry)


def checksum(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[str]:
    """Checksum of all voxels, a chunk a step."""
    image = volumeNode.GetImageData()
    if image is None or not image.GetNumberOfPoints():
        return ""
    version = image.GetMTime()
    if version not in _checksums:
        voxels, digest = slicer.util.arrayFromVolume(volumeNode), 0
        shape, kind = voxels.shape, voxels.dtype.str
        for chunk in chunks(voxels):
            digest = zlib.crc32(np.ascontiguousarray(voxels[chunk]), digest)
            yield
        remember(version, f"{'x'.join(map(str, shape))}{kind}{digest:08x}")
    return _checksums[version]


def remember(version: int, digest: str) -> None:
    """Keep a checksum; the oldest one goes when there are many."""
    while len(_checksums) >= MAX_CHECKSUMS:
        del _checksums[next(iter(_checksums))]
    _checksums[version] = digest


def mark(resultNode: slicer.vtkMRMLTextNode, exam: ExamState) -> None:
    """Keep with a result which voxels were analyzed."""
    resultNode.SetAttribute(VOXELS, exam.voxels)
    resultNode.SetAttribute(TIME_POINT, exam.timePoint)


def match(resultNode: slicer.vtkMRMLTextNode, exam: ExamState) -> Match:
    """Whether a result is that of an exam as it is now.

    A result of an older version, which does not hold the checksum, belongs to its volume at its position.

    Raises:
        ResultError: The result cannot be read.
    """
    if resultNode.GetNodeReferenceID(VOLUME_ROLE) != exam.volumeId:
        return Match.OTHER_VOLUME
    geometry = StoredResult.fromNode(resultNode).analysis.geometry
    if resultNode.GetAttribute(VOXELS) is not None:
        if (resultNode.GetAttribute(TIME_POINT) or exam.timePoint) != exam.timePoint:
            return Match.OTHER_TIME_POINT
        if resultNode.GetAttribute(VOXELS) != exam.voxels:
            return Match.OTHER_VOXELS
    if exam.geometry is None or not geometry.matches(exam.geometry, tolerance_mm=POSITION_TOLERANCE_MM):
        return Match.OTHER_POSITION
    return Match.SAME


def timePoint(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Index value of the time point that a sequence browser shows in this volume, empty without one."""
    browser = _browserOf(volumeNode)
    return "" if browser is None else browser.GetMasterSequenceNode().GetNthIndexValue(browser.GetSelectedItemNumber())


def timeUnit(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Unit of that value, empty without one."""
    browser = _browserOf(volumeNode)
    return "" if browser is None else browser.GetMasterSequenceNode().GetIndexUnit() or ""


def _browserOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSequenceBrowserNode | None:
    """The browser that shows a time point in this volume."""
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        isShown = browser.IsProxyNodeID(volumeNode.GetID()) and browser.GetMasterSequenceNode() is not None
        if isShown and browser.GetSelectedItemNumber() >= 0:
            return browser
    return None
