"""A time point of a sequence: shown by its browser, or borrowed as a hidden copy to be analyzed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterSlicer.scene import maps
from ICHSegmenterSlicer.scene.nodes import isInScene
from ICHSegmenterSlicer.scene.results import compared_results, exam, runs
from ICHSegmenterSlicer.scene.volumes import matrixOf, putBeside


@dataclass
class Borrowed:
    """A volume to analyze, which is given back with the results.

    Attributes:
        volumeNode: The volume, or the copy of a time point.
        proxyNode: Of a copy: the volume in which the browser shows the time point; else None.
        indexValue: Of a copy: where the master sequence has it.
        transformNodes: Copies of what moves the time point.
    """

    volumeNode: slicer.vtkMRMLScalarVolumeNode
    proxyNode: slicer.vtkMRMLScalarVolumeNode | None = None
    indexValue: str = ""
    transformNodes: list[slicer.vtkMRMLTransformNode] = field(default_factory=list)

    def giveBack(self, resultNode: slicer.vtkMRMLTextNode | None = None) -> None:
        """Let what was made of a copy belong to the time point, and remove the copy."""
        if self.proxyNode is None:
            return
        if resultNode is not None and isInScene(self.proxyNode):
            for node in (resultNode, *compared_results.resultNodes(resultNode)):
                self._rehome(node)
        for node in (self.volumeNode, *self.transformNodes):
            if isInScene(node):
                slicer.mrmlScene.RemoveNode(node)

    def _rehome(self, resultNode: slicer.vtkMRMLTextNode) -> None:
        proxy = self.proxyNode
        resultNode.SetNodeReferenceID(exam.VOLUME_ROLE, proxy.GetID())
        resultNode.SetAttribute(exam.TIME_POINT, self.indexValue)
        segmentationNode = resultNode.GetNodeReference(runs.SEGMENTATION_ROLE)
        if segmentationNode is not None:
            segmentationNode.SetNodeReferenceID(
                segmentationNode.GetReferenceImageGeometryReferenceRole(), proxy.GetID()
            )
        mapNodes = [resultNode.GetNodeReference(kind.field) for kind in maps.KINDS]
        for node in filter(None, mapNodes):
            node.SetNodeReferenceID(maps.VOLUME_ROLE, proxy.GetID())
        for node in filter(None, (segmentationNode, *mapNodes)):
            node.SetAndObserveTransformNodeID(proxy.GetTransformNodeID())
            putBeside(proxy, node)


def proxyOf(
    browser: slicer.vtkMRMLSequenceBrowserNode, sequence: slicer.vtkMRMLSequenceNode
) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume in which a browser shows a sequence; made if nothing was shown yet."""
    if browser.GetProxyNode(sequence) is None:
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser.GetProxyNode(sequence)


def goTo(browser: slicer.vtkMRMLSequenceBrowserNode, indexValue: str) -> None:
    """Let a browser show a time point."""
    item = browser.GetMasterSequenceNode().GetItemNumberFromIndexValue(indexValue)
    if browser.GetSelectedItemNumber() != item:
        browser.SetSelectedItemNumber(item)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def versionOf(
    browser: slicer.vtkMRMLSequenceBrowserNode, sequence: slicer.vtkMRMLSequenceNode, indexValue: str
) -> tuple[Any, ...]:
    """What changes whenever a time point may have changed."""
    data = sequence.GetDataNodeAtValue(indexValue, False)
    if data is None or data.GetImageData() is None:
        return ()
    times = []
    for node in _parents(proxyOf(browser, sequence)):
        source = _sourceOf(browser, node, indexValue)
        transform = source.GetTransformToParent()
        times.append((node.GetID(), transform.GetMTime() if transform is not None else 0))
    matrix = slicer.util.arrayFromVTKMatrix(matrixOf(data))
    return (sequence.GetID(), indexValue, data.GetImageData().GetMTime(), tuple(matrix.ravel()), *times)


def borrow(
    browser: slicer.vtkMRMLSequenceBrowserNode, sequence: slicer.vtkMRMLSequenceNode, indexValue: str
) -> Borrowed:
    """A hidden volume with the voxels of a time point, which are shared, under the transforms of that time.

    Raises:
        VolumeError: The sequence has nothing there.
    """
    data, proxy = sequence.GetDataNodeAtValue(indexValue, False), proxyOf(browser, sequence)
    if data is None or data.GetImageData() is None:
        text = _("{name} holds no voxels at {time}. Load it again.")
        raise VolumeError(text.format(name=sequence.GetName(), time=indexValue))
    node = _addHidden("vtkMRMLScalarVolumeNode", f"{proxy.GetName()} ({indexValue})")
    node.SetIJKToRASMatrix(matrixOf(data))
    node.SetAndObserveImageData(data.GetImageData())
    node.SetAttribute("DICOM.instanceUIDs", data.GetAttribute("DICOM.instanceUIDs"))
    borrowed, child = Borrowed(node, proxy, indexValue), node
    for parent in _parents(proxy):
        source = _sourceOf(browser, parent, indexValue)
        if source is parent:
            child.SetAndObserveTransformNodeID(parent.GetID())
            break
        copy = _addHidden(source.GetClassName(), f"{parent.GetName()} ({indexValue})")
        copy.CopyContent(source)
        child.SetAndObserveTransformNodeID(copy.GetID())
        borrowed.transformNodes.append(copy)
        child = copy
    return borrowed


def _parents(node: slicer.vtkMRMLTransformableNode) -> list[slicer.vtkMRMLTransformNode]:
    """The transforms above a node, the nearest one first."""
    parents, parent = [], node.GetParentTransformNode()
    while parent is not None:
        parents.append(parent)
        parent = parent.GetParentTransformNode()
    return parents


def _sourceOf(
    browser: slicer.vtkMRMLSequenceBrowserNode, transformNode: slicer.vtkMRMLTransformNode, indexValue: str
) -> slicer.vtkMRMLTransformNode:
    """A transform as it is at a time point: from its own sequence, if the browser shows one in it."""
    sequence = browser.GetSequenceNode(transformNode) if browser.IsProxyNodeID(transformNode.GetID()) else None
    data = sequence.GetDataNodeAtValue(indexValue, False) if sequence is not None else None
    return data if data is not None else transformNode


def _addHidden(className: str, name: str) -> slicer.vtkMRMLNode:
    node = slicer.mrmlScene.CreateNodeByClass(className)
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    return slicer.mrmlScene.AddNode(node)
