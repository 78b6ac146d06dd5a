"""What to run, and how the worker's answer comes into the scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ICHSegmenterLib.protocol import MessageType
from ICHSegmenterLib.request import AnalysisRequest, CompareRequest
from ICHSegmenterSlicer.client.connection import Message
from ICHSegmenterSlicer.scene import compared_results, maps, segments
from ICHSegmenterSlicer.scene.volumes import Steps


class Job(Protocol):
    """One kind of run."""

    def message(self) -> Message:
        """The worker's request, without the exam."""

    def importSteps(self, folder: Path, message: Message, volumeNode: Any, segmentationNode: Any | None) -> Steps:
        """Bring the worker's answer into the scene; what the steps return is the outcome."""


@dataclass(frozen=True)
class AnalysisJob:
    """One method, or one that outlines and one that detects.

    Attributes:
        request: What is analyzed how.
        replaceUnedited: Remove unedited segments of earlier runs from the chosen node first.
    """

    request: AnalysisRequest
    replaceUnedited: bool = False

    def message(self) -> Message:
        return {"type": MessageType.ANALYZE, "request": self.request.to_json()}

    def importSteps(self, folder: Path, message: Message, volumeNode: Any, segmentationNode: Any | None) -> Steps:
        """Maps first: if anything fails after them they can be taken back, a replaced segment cannot."""
        nodes = yield from maps.importMaps(folder, message, volumeNode)
        try:
            replaced = yield from maps.findReplaced(nodes)
            imported = yield from segments.importResult(
                folder, message, volumeNode, segmentationNode, replace=self.replaceUnedited
            )
        except BaseException:
            maps.remove(nodes)
            raise
        maps.attach(imported.resultNode, nodes)
        maps.replace(replaced)
        return imported


@dataclass(frozen=True)
class ComparisonJob:
    """Several methods, one after the other; each makes a segmentation of its own."""

    request: CompareRequest

    def message(self) -> Message:
        return {"type": MessageType.COMPARE, "request": self.request.to_json()}

    def importSteps(self, folder: Path, message: Message, volumeNode: Any, segmentationNode: Any | None) -> Steps:
        return (yield from compared_results.importComparison(folder, message, volumeNode))
