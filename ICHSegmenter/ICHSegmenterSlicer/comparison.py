"""What several methods say of one exam: their segmentations in one folder, their vote, and which is shown how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.agreement import Agreement
from ICHSegmenterLib.errors import ICHSegmenterError
from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterSlicer.scene import edits, segments
from ICHSegmenterSlicer.scene.volumes import Steps

COMPARED_ROLE = "ICHSegmenter.compared"
"""Reference role: from the vote's result node to the result nodes of the methods."""
COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (0, 114, 178), (213, 94, 0))
"""One a method, told apart by color-blind people too (Okabe and Ito)."""


def importComparison(folder: Path, message: dict[str, Any], volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps:
    """Make a segmentation of each method and of the vote; returns the `Imported` of the vote.

    The vote's result node holds the agreement, too, and knows the results of the methods. Closing the generator
    half-way takes back what was made.

    Raises:
        ICHSegmenterError: No method gave a result; says why.
    """
    if not message["results"]:
        failures = Agreement.from_json(message["agreement"]).failures
        reasons = [f"{failure.method}: {failure.message}" for failure in failures]
        raise ICHSegmenterError("No method gave a result. " + " ".join(reasons))
    made: list[segments.Imported] = []
    try:
        # The vote first: what is added later is drawn over it, and the outlines of the methods stay visible.
        vote = {**message["vote"], "result": {**message["vote"]["result"], "agreement": message["agreement"]}}
        for answer in (vote, *message["results"]):
            made.append((yield from segments.importResult(folder, answer, volumeNode)))
            yield
    except BaseException:
        for imported in made:
            segments.remove(imported)
        raise
    voted = made[0].resultNode
    for imported in made[1:]:
        voted.AddNodeReferenceID(COMPARED_ROLE, imported.resultNode.GetID())
    _putInFolder(volumeNode, [one.segmentationNode for one in made if one.segmentationNode is not None])
    _color(voted)
    return made[0]


def resultNodes(voted: slicer.vtkMRMLTextNode) -> list[slicer.vtkMRMLTextNode]:
    """The results of the methods that were compared; deleted ones are left out."""
    nodes = [voted.GetNthNodeReference(COMPARED_ROLE, n) for n in range(voted.GetNumberOfNodeReferences(COMPARED_ROLE))]
    return [node for node in nodes if node is not None]


def agreementOf(voted: slicer.vtkMRMLTextNode) -> Agreement:
    """How far the methods agree, from the result node of their vote."""
    return Agreement.from_json(json.loads(voted.GetText())["agreement"])


def methodOf(resultNode: slicer.vtkMRMLTextNode) -> str:
    """Name of the method that a result is of."""
    return json.loads(resultNode.GetText())["provenance"]["method"]


def fill(voted: slicer.vtkMRMLTextNode, shown: slicer.vtkMRMLTextNode | None) -> None:
    """Fill the segments of the shown result only; of the others the outlines stay, the vote has none of its own."""
    for node in (*resultNodes(voted), voted):
        segmentationNode = node.GetNodeReference("segmentation")
        if segmentationNode is not None:
            segmentationNode.GetDisplayNode().SetVisibility2DFill(node is shown)
            segmentationNode.GetDisplayNode().SetVisibility2DOutline(node is not voted)


def _putInFolder(volumeNode: Any, segmentationNodes: list[Any]) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volumeItem = hierarchy.GetItemByDataNode(volumeNode)
    parent = hierarchy.GetItemParent(volumeItem) if volumeItem else hierarchy.GetSceneItemID()
    name = _("{volume}: methods compared").format(volume=volumeNode.GetName())
    folder = hierarchy.CreateFolderItem(parent, hierarchy.GenerateUniqueItemName(name))
    for node in segmentationNodes:
        item = hierarchy.GetItemByDataNode(node)
        hierarchy.SetItemParent(item or hierarchy.CreateItem(folder, node), folder)


def _color(voted: slicer.vtkMRMLTextNode) -> None:
    """A color of display for each method; the segments keep their own. What is no blood is not compared: hidden."""
    methods = list(agreementOf(voted).methods)
    for node in resultNodes(voted):
        segmentationNode = node.GetNodeReference("segmentation")
        if segmentationNode is None:
            continue
        color = [channel / 255 for channel in colorOf(methods.index(methodOf(node)))]
        display, segmentation = segmentationNode.GetDisplayNode(), segmentationNode.GetSegmentation()
        for segmentId in segmentation.GetSegmentIDs():
            display.SetSegmentOverrideColor(segmentId, *color)
            key = edits.tagOf(segmentation.GetSegment(segmentId), segments.KEY_TAG)
            display.SetSegmentVisibility(segmentId, SEGMENT_LABELS[key].is_blood)


def colorOf(index: int) -> tuple[int, int, int]:
    """RGB, 0 to 255, of the n-th method."""
    return COLORS[index % len(COLORS)]
