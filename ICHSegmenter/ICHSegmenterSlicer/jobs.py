"""The kinds of runs: the worker's request of each, and the import of its answer into the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import slicer

from ICHSegmenterLib.protocol import Message, MessageType
from ICHSegmenterLib.request import AnalysisRequest, CompareRequest
from ICHSegmenterSlicer.client.answer import Answer, ComparisonAnswer
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene import compared_results, maps, segments
from ICHSegmenterSlicer.scene.volumes import ExportedExam


class Job(Protocol):
    """A kind of run."""

    def message(self) -> Message:
        """The worker's request, without the exam."""

    def importSteps(
        self,
        exam: ExportedExam,
        message: Message,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    ) -> Steps[segments.Imported]:
        """Bring the worker's answer into the scene."""


@dataclass(frozen=True)
class AnalysisJob:
    """One method, or one that outlines and one that detects.

    Attributes:
        request: Method, detector and all that changes their answer.
        replaceUnedited: Remove unedited segments of earlier runs from the output node first.
    """

    request: AnalysisRequest
    replaceUnedited: bool = False

    def message(self) -> Message:
        return {"type": MessageType.ANALYZE, "request": self.request.to_json()}

    def importSteps(
        self,
        exam: ExportedExam,
        message: Message,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    ) -> Steps[segments.Imported]:
        """Maps first: if anything fails after them they can be taken back, a replaced segment cannot."""
        answer = Answer.fromMessage(message, exam.folder, exam.geometry)
        nodes = yield from maps.importMaps(answer, volumeNode)
        try:
            replaced = yield from maps.findReplaced(nodes)
            imported = yield from segments.importResult(
                answer, volumeNode, segmentationNode, replace=self.replaceUnedited
            )
        except BaseException:
            maps.remove(nodes)
            raise
        maps.attach(imported.resultNode, nodes)
        maps.replace(replaced)
        maps.removeUnseen(volumeNode, nodes)
        return imported


@dataclass(frozen=True)
class ComparisonJob:
    """Several methods, one after the other; each makes a segmentation of its own."""

    request: CompareRequest

    def message(self) -> Message:
        return {"type": MessageType.COMPARE, "request": self.request.to_json()}

    def importSteps(
        self,
        exam: ExportedExam,
        message: Message,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    ) -> Steps[segments.Imported]:
        answer = ComparisonAnswer.fromMessage(message, exam.folder, exam.geometry)
        return (yield from compared_results.importComparison(answer, volumeNode))
