"""What to run: the fields of the worker's request, and how its answer comes into the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ICHSegmenterSlicer import comparison
from ICHSegmenterSlicer.client.connection import Message
from ICHSegmenterSlicer.scene import maps, segments
from ICHSegmenterSlicer.scene.volumes import Steps


class Job(Protocol):
    """One kind of run."""

    def request(self) -> Message:
        """The worker's request, without the exam."""

    def importSteps(self, folder: Path, message: Message, volumeNode: Any, segmentationNode: Any | None) -> Steps:
        """Bring the worker's answer into the scene; what the steps return is the outcome."""


@dataclass(frozen=True)
class Settings:
    """One method, or one that outlines and one that detects.

    Attributes:
        method, device, options, detector, detectorOptions, saveMaps: As in the worker's protocol.
        threshold: Of the maps, None for the method's own.
        replaceUnedited: Remove unedited segments of earlier runs from the chosen node first.
    """

    method: str
    device: str = "auto"
    threshold: float | None = None
    replaceUnedited: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    detector: str = ""
    detectorOptions: Mapping[str, Any] = field(default_factory=dict)
    saveMaps: bool = False

    def request(self) -> Message:
        return {
            "type": "analyze",
            "method": self.method,
            "device": self.device,
            "threshold": self.threshold,
            "options": dict(self.options),
            "detector": self.detector,
            "detector_options": dict(self.detectorOptions),
            "save_maps": self.saveMaps,
        }

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
class ComparisonSettings:
    """Several methods, one after the other; each makes a segmentation of its own."""

    methods: tuple[str, ...]
    device: str = "auto"

    def request(self) -> Message:
        return {"type": "compare", "methods": list(self.methods), "device": self.device}

    def importSteps(self, folder: Path, message: Message, volumeNode: Any, segmentationNode: Any | None) -> Steps:
        return (yield from comparison.importComparison(folder, message, volumeNode))
