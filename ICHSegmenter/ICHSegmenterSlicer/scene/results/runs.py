"""Runs that the scene keeps: which belong to an exam, which lie over its CT, and which are hidden meanwhile."""

from __future__ import annotations

from collections import Counter

import slicer

from ICHSegmenterLib.errors import ResultError
from ICHSegmenterSlicer.scene import maps
from ICHSegmenterSlicer.scene.results import exam
from ICHSegmenterSlicer.scene.results.compared_results import resultNodes as comparedNodes
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult

SEGMENTATION_ROLE = "segmentation"
"""Reference role: from a result node to its segments."""
EDITED_ML = "ICHSegmenter.editedMl"
"""Attribute of a result node: mL of blood that are outlined now; absent while segments are as the run made them."""


def results() -> list[slicer.vtkMRMLTextNode]:
    """Every result of the scene, the oldest first."""
    nodes = slicer.util.getNodesByClass("vtkMRMLTextNode")
    return [node for node in nodes if node.GetNodeReferenceID(exam.VOLUME_ROLE) and node.GetHideFromEditors()]


def voteOf(resultNode: slicer.vtkMRMLTextNode | None) -> slicer.vtkMRMLTextNode | None:
    """The vote of the comparison that a result is part of, None if it is of no comparison."""
    if resultNode is None:
        return None
    candidates = [node for node in results() if node is resultNode or resultNode in comparedNodes(node)]
    return next((node for node in candidates if comparedNodes(node)), None)


def of(state: exam.ExamState) -> tuple[list[slicer.vtkMRMLTextNode], list[exam.Match]]:
    """The results of an exam as it is now, the oldest first, and why others of its volume are none.

    Of methods that were compared only their vote is listed. What cannot be read belongs to no exam.
    """
    current, reasons = [], []
    for node in results():
        vote = voteOf(node)
        if vote is not None and vote is not node:
            continue
        try:
            match = exam.match(node, state)
        except ResultError:
            continue
        if match is exam.Match.SAME:
            current.append(node)
        elif match is not exam.Match.OTHER_VOLUME:
            reasons.append(match)
    return current, reasons


def show(resultNode: slicer.vtkMRMLTextNode | None) -> None:
    """Show the segments of a result, with those it was compared with, and hide those of every other run.

    Segments that nobody's run made stay as they are.
    """
    vote = voteOf(resultNode)
    visible = [resultNode] if vote is None else [vote, *comparedNodes(vote)]
    everything = results()
    owners = Counter(node.GetNodeReferenceID(SEGMENTATION_ROLE) for node in everything)
    shown = {node.GetNodeReferenceID(SEGMENTATION_ROLE) for node in visible if node is not None}
    for node in everything:
        segmentationNode = node.GetNodeReference(SEGMENTATION_ROLE)
        if segmentationNode is None or segmentationNode.GetDisplayNode() is None:
            continue
        display = segmentationNode.GetDisplayNode()
        isShown = segmentationNode.GetID() in shown
        if bool(display.GetVisibility()) != isShown:
            display.SetVisibility(isShown)
        if isShown and owners[segmentationNode.GetID()] > 1:
            _showSegments(node, isShown=node in visible)


def noteEdits(resultNode: slicer.vtkMRMLTextNode, measured: MeasuredSegments) -> bool:
    """Keep with a result how much is outlined now, for lists of results; True if it is not what was kept."""
    value = f"{measured.bloodMl:.6g}" if measured.isEdited else None
    if resultNode.GetAttribute(EDITED_ML) == value:
        return False
    resultNode.SetAttribute(EDITED_ML, value)
    return True


def editedMl(resultNode: slicer.vtkMRMLTextNode) -> float | None:
    """Milliliters of blood that a person left or drew; None if the segments are as the run made them."""
    value = resultNode.GetAttribute(EDITED_ML)
    return None if value is None else float(value)


def isMapOf(node: slicer.vtkMRMLNode | None, resultNode: slicer.vtkMRMLTextNode | None) -> bool:
    """True if a volume is a map of a result."""
    return resultNode is not None and any(resultNode.GetNodeReference(kind.field) is node for kind in maps.KINDS)


def _showSegments(resultNode: slicer.vtkMRMLTextNode, *, isShown: bool) -> None:
    """Show or hide the segments of one of several results in a segmentation."""
    segmentationNode = resultNode.GetNodeReference(SEGMENTATION_ROLE)
    segmentation, display = segmentationNode.GetSegmentation(), segmentationNode.GetDisplayNode()
    try:
        identifiers = StoredResult.fromNode(resultNode).segmentIds.values()
    except ResultError:
        return
    for segmentId in identifiers:
        if segmentation.GetSegment(segmentId) is not None and display.GetSegmentVisibility(segmentId) != isShown:
            display.SetSegmentVisibility(segmentId, isShown)
