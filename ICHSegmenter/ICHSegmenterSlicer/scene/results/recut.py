"""A result that takes the place of the same one at another threshold."""

from __future__ import annotations

import slicer

from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene import maps, segments
from ICHSegmenterSlicer.scene.results import runs
from ICHSegmenterSlicer.scene.results.measured import measure
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult


def canBeReplaced(resultNode: slicer.vtkMRMLTextNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[bool]:
    """True if nobody edited the segments of a result, and no other result has segments in the same node."""
    segmentationNode = resultNode.GetNodeReference(runs.SEGMENTATION_ROLE)
    if segmentationNode is None:
        return not StoredResult.fromNode(resultNode).segmentIds
    owners = [node for node in runs.results() if node.GetNodeReference(runs.SEGMENTATION_ROLE) is segmentationNode]
    if len(owners) > 1:
        return False
    measured = yield from measure(segmentationNode, StoredResult.fromNode(resultNode), volumeNode)
    return not measured.isEdited


def replace(old: slicer.vtkMRMLTextNode, new: slicer.vtkMRMLTextNode, *, removesOld: bool) -> None:
    """Give the maps of a result to another one, and let the first one go with its segments if it may."""
    for kind in maps.KINDS:
        node = old.GetNodeReference(kind.field)
        if node is not None:
            new.SetNodeReferenceID(kind.field, node.GetID())
    if not removesOld:
        return
    name = old.GetNodeReference(runs.SEGMENTATION_ROLE) and old.GetNodeReference(runs.SEGMENTATION_ROLE).GetName()
    segments.takeBack(old.GetNodeReference(runs.SEGMENTATION_ROLE), True, ())
    slicer.mrmlScene.RemoveNode(old)
    segmentationNode = new.GetNodeReference(runs.SEGMENTATION_ROLE)
    if name and segmentationNode is not None:
        segmentationNode.SetName(name)
