"""Results of several methods for one exam: segmentations in one folder, the vote, and which is shown how."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import ICHSegmenterError
from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterSlicer.client.answer import ComparisonAnswer
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene import segments
from ICHSegmenterSlicer.scene.results import edits
from ICHSegmenterSlicer.words.failure_text import failureText

COMPARED_ROLE = "ICHSegmenter.compared"
"""Reference role: from the vote's result node to the result nodes of the methods."""
COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (0, 114, 178), (213, 94, 0))
"""One a method, distinct to color-blind people too (Okabe and Ito)."""


def importComparison(answer: ComparisonAnswer, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[segments.Imported]:
    """Make a segmentation of each method and of the vote; the outcome is that of the vote.

    The vote's result node holds the agreement, too, and references the results of the methods. Closing the generator
    half-way takes back what was made.

    Raises:
        ICHSegmenterError: No method gave a result; says why.
    """
    if answer.vote is None:
        reasons = [f"{failure.method}: {failureText(failure)}" for failure in answer.agreement.failures]
        raise ICHSegmenterError(_("No method gave a result.") + " " + " ".join(reasons))
    made: list[segments.Imported] = []
    try:
        # The vote first: what is added later is drawn over it, and the outlines of the methods stay visible.
        made.append((yield from segments.importResult(answer.vote, volumeNode, agreement=answer.agreement)))
        for result in answer.results:
            yield
            made.append((yield from segments.importResult(result, volumeNode)))
        yield
    except BaseException:
        for imported in made:
            segments.remove(imported)
        raise
    vote, *methods = made
    for imported in methods:
        vote.resultNode.AddNodeReferenceID(COMPARED_ROLE, imported.resultNode.GetID())
    _putInFolder(volumeNode, [imported.segmentationNode for imported in made if imported.segmentationNode is not None])
    for number, imported in enumerate(methods):
        if imported.segmentationNode is not None:
            _color(imported.segmentationNode, colorOf(number))
    return vote


def resultNodes(voted: slicer.vtkMRMLTextNode) -> list[slicer.vtkMRMLTextNode]:
    """The results of the methods that were compared; deleted ones are left out."""
    nodes = [voted.GetNthNodeReference(COMPARED_ROLE, n) for n in range(voted.GetNumberOfNodeReferences(COMPARED_ROLE))]
    return [node for node in nodes if node is not None]


def fill(voted: slicer.vtkMRMLTextNode, shown: slicer.vtkMRMLTextNode | None) -> None:
    """Fill the segments of the shown result only; of the others the outlines stay, the vote has none of its own."""
    for node in (*resultNodes(voted), voted):
        segmentationNode = node.GetNodeReference("segmentation")
        if segmentationNode is not None:
            segmentationNode.GetDisplayNode().SetVisibility2DFill(node is shown)
            segmentationNode.GetDisplayNode().SetVisibility2DOutline(node is not voted)


def _putInFolder(
    volumeNode: slicer.vtkMRMLScalarVolumeNode, segmentationNodes: list[slicer.vtkMRMLSegmentationNode]
) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volumeItem = hierarchy.GetItemByDataNode(volumeNode)
    parent = hierarchy.GetItemParent(volumeItem) if volumeItem else hierarchy.GetSceneItemID()
    name = _("{volume}: methods compared").format(volume=volumeNode.GetName())
    folder = hierarchy.CreateFolderItem(parent, hierarchy.GenerateUniqueItemName(name))
    for node in segmentationNodes:
        item = hierarchy.GetItemByDataNode(node)
        hierarchy.SetItemParent(item or hierarchy.CreateItem(folder, node), folder)


def _color(segmentationNode: slicer.vtkMRMLSegmentationNode, color: tuple[int, int, int]) -> None:
    """Show all segments in the color of their method; their own stays. What is no blood is not compared: hidden."""
    display, segmentation = segmentationNode.GetDisplayNode(), segmentationNode.GetSegmentation()
    for segmentId in segmentation.GetSegmentIDs():
        display.SetSegmentOverrideColor(segmentId, *(channel / 255 for channel in color))
        key = edits.tagOf(segmentation.GetSegment(segmentId), edits.KEY_TAG)
        display.SetSegmentVisibility(segmentId, SEGMENT_LABELS[key].is_blood)


def colorOf(index: int) -> tuple[int, int, int]:
    """RGB, 0 to 255, of the n-th method."""
    return COLORS[index % len(COLORS)]
