"""The kinds of runs: the worker's request of each, and the import of its answer into the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import slicer

from ICHSegmenterLib.protocol import Message, MessageType
from ICHSegmenterLib.request import AnalysisRequest, CompareRequest
from ICHSegmenterSlicer.client.answer import Answer, ComparisonAnswer
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene import maps, segments
from ICHSegmenterSlicer.scene.results import compared_results, recut
from ICHSegmenterSlicer.scene.volumes import ExportedExam


class Job(Protocol):
    """A kind of run.

    Attributes:
        method: Name of its only method, empty for several.
    """

    method: str

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

    @property
    def method(self) -> str:
        return self.request.method

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
class RecutJob:
    """The last result at another threshold: the worker kept what the method predicted, no network runs.

    Attributes:
        request: That of the last result with the new threshold; its maps stay those of the scene.
        resultNode: The last result. It goes, unless somebody edited its segments.
    """

    request: AnalysisRequest
    resultNode: slicer.vtkMRMLTextNode

    @property
    def method(self) -> str:
        return self.request.method

    def message(self) -> Message:
        return {"type": MessageType.ANALYZE, "request": self.request.to_json(), "only_kept": True}

    def importSteps(
        self,
        exam: ExportedExam,
        message: Message,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
    ) -> Steps[segments.Imported]:
        answer = Answer.fromMessage(message, exam.folder, exam.geometry)
        isReplaced = yield from recut.canBeReplaced(self.resultNode, volumeNode)
        imported = yield from segments.importResult(answer, volumeNode)
        recut.replace(self.resultNode, imported.resultNode, removesOld=isReplaced)
        return imported


@dataclass(frozen=True)
class ComparisonJob:
    """Several methods, one after the other; each makes a segmentation of its own."""

    request: CompareRequest
    method = ""

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
