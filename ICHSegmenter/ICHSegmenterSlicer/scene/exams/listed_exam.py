"""The exams of a scene, each of which can be analyzed without being on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.exams import time_point
from ICHSegmenterSlicer.scene.maps import MAP
from ICHSegmenterSlicer.scene.results import exam

VOLUME, SEQUENCE, BROWSER = "vtkMRMLScalarVolumeNode", "vtkMRMLSequenceNode", "vtkMRMLSequenceBrowserNode"


@dataclass(frozen=True)
class ListedExam:
    """An exam by the identifiers of its nodes, which may vanish.

    Attributes:
        nodeId: The volume, or the sequence of a time point.
        browserId, indexValue: Of a time point: its browser, and where its master sequence has it; else empty.
    """

    nodeId: str
    browserId: str = ""
    indexValue: str = ""

    @property
    def isTimePoint(self) -> bool:
        return bool(self.browserId)

    @property
    def title(self) -> str:
        """Name of the volume; of a time point the name of the sequence and the value of its index."""
        node = _node(self.nodeId)
        if node is None:
            return ""
        if not self.isTimePoint:
            return node.GetName()
        master = _node(self.browserId).GetMasterSequenceNode()
        unit = f" {master.GetIndexUnit()}" if master.GetIndexUnit() else ""
        return _("{name} · {index} {value}").format(
            name=node.GetName(), index=master.GetIndexName(), value=f"{self.indexValue}{unit}"
        )

    @property
    def volumeNode(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume that holds the exam, or that shows it when its browser is there; None if it was deleted."""
        if not self.isTimePoint:
            return _node(self.nodeId)
        browser, sequence = _node(self.browserId), _node(self.nodeId)
        return None if browser is None or sequence is None else time_point.proxyOf(browser, sequence)

    @property
    def isOnScreen(self) -> bool:
        """True if its volume holds it now: of a time point, if its browser is there."""
        volumeNode = self.volumeNode
        return volumeNode is not None and exam.timePoint(volumeNode) == self.indexValue

    def version(self) -> tuple[Any, ...]:
        """What changes whenever the exam may have changed; empty if it was deleted."""
        if self.volumeNode is None:
            return ()
        if not self.isTimePoint:
            return exam.versionOf(self.volumeNode)
        return time_point.versionOf(_node(self.browserId), _node(self.nodeId), self.indexValue)

    def checksum(self) -> Steps[str]:
        """Checksum of its voxels, in steps; of a time point as the sequence has them. Empty if it was deleted."""
        node = self.volumeNode
        if node is not None and self.isTimePoint:
            node = _node(self.nodeId).GetDataNodeAtValue(self.indexValue, False)
        return "" if node is None else (yield from exam.checksum(node))

    def bring(self) -> slicer.vtkMRMLScalarVolumeNode:
        """Let its browser go to a time point; returns the volume that holds the exam now."""
        if self.isTimePoint:
            time_point.goTo(_node(self.browserId), self.indexValue)
        return self.volumeNode

    def open(self) -> time_point.Borrowed:
        """The volume to analyze; of a time point a hidden copy, so that the views stay where they are."""
        if not self.isTimePoint:
            return time_point.Borrowed(self.volumeNode)
        return time_point.borrow(_node(self.browserId), _node(self.nodeId), self.indexValue)


def exams() -> list[ListedExam]:
    """All exams of the scene: its visible volumes that are no maps, then the time points of its browsers."""
    browsers = slicer.util.getNodesByClass(BROWSER)
    listed = [
        ListedExam(node.GetID())
        for node in slicer.util.getNodesByClass(VOLUME)
        if node.GetClassName() == VOLUME
        and not node.GetHideFromEditors()
        and not node.GetAttribute(MAP)
        and not any(browser.IsProxyNodeID(node.GetID()) for browser in browsers)
    ]
    for browser in browsers:
        sequences, master = vtk.vtkCollection(), browser.GetMasterSequenceNode()
        browser.GetSynchronizedSequenceNodes(sequences, True)
        for number in range(sequences.GetNumberOfItems()):
            sequence = sequences.GetItemAsObject(number)
            if sequence.GetDataNodeClassName() == VOLUME:
                listed += [
                    ListedExam(sequence.GetID(), browser.GetID(), master.GetNthIndexValue(item))
                    for item in range(master.GetNumberOfDataNodes())
                ]
    return listed


def examOf(volumeNode: slicer.vtkMRMLScalarVolumeNode, listed: list[ListedExam]) -> ListedExam | None:
    """The listed exam that a volume holds now, None if there is none."""
    return next((one for one in listed if one.volumeNode is volumeNode and one.isOnScreen), None)


def _node(nodeId: str) -> slicer.vtkMRMLNode | None:
    return slicer.mrmlScene.GetNodeByID(nodeId)
