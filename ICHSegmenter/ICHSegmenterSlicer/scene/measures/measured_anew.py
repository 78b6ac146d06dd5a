"""Midline and ventricles measured anew after an edit of the segments, kept with the result that they belong to."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import slicer

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.measuring.exam import ExamMeasures
from ICHSegmenterLib.measuring.midline import Midline, NoMidline
from ICHSegmenterLib.protocol import Message, MessageType
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.measures.outlined_request import OutlinedRequest, Question, exportOutlined
from ICHSegmenterSlicer.scene.results.findings import Finding

ATTRIBUTE = "ICHSegmenter.measuredAnew"
"""Of a result node: what was measured last, and of which pieces."""


@dataclass(frozen=True)
class MeasuredAnew:
    """What depends on the exam as a whole.

    Attributes:
        version: Of the pieces that were measured, as of `versionOf`.
        midline: The shift, or why there is none.
        reachesVentricles: Blood is in a lateral ventricle or touches one; None if that is not known.
    """

    version: str
    midline: Midline | NoMidline
    reachesVentricles: bool | None


def versionOf(listed: Iterable[Finding]) -> str:
    """Changes with the voxels and the type of any piece."""
    pieces = sorted(f"{finding.key} {finding.digest}" for finding in listed)
    return f"{zlib.crc32(' '.join(pieces).encode()):08x}"


def measuredAnew(resultNode: slicer.vtkMRMLTextNode) -> MeasuredAnew | None:
    """What was measured last after an edit, None if nothing was."""
    plain = json.loads(resultNode.GetAttribute(ATTRIBUTE) or "null")
    if plain is None:
        return None
    midline = NoMidline(plain["no_midline"]) if plain["midline"] is None else Midline.from_json(plain["midline"])
    return MeasuredAnew(plain["version"], midline, plain["reaches_ventricles"])


class MeasuringAnew(Question):
    """Asks the worker for the measures of a result with its segments as they are now.

    Args:
        client: The worker.
        done: Called when the result node holds the answer.
        failed: Called if there is none.
    """

    def __init__(self, client: WorkerClient, done: Callable[[], None], failed: Callable[[Failure], None]) -> None:
        self._done = done
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        self._version = ""
        self._request = OutlinedRequest(client, self._receive, failed)

    def begin(self, resultNode: slicer.vtkMRMLTextNode, listed: Iterable[Finding]) -> None:
        """Hand the exam with its segments over in steps, then ask; `listed` are its pieces."""
        self._resultNode, self._version = resultNode, versionOf(listed)
        self._request.begin(lambda folder: _export(resultNode, folder))

    def _receive(self, answer: Message, _folder: Path) -> None:
        measures = ExamMeasures.from_json(answer["measures"])
        known = isinstance(measures.midline, Midline)
        plain = {
            "version": self._version,
            "midline": measures.midline.to_json() if known else None,
            "no_midline": None if known else measures.midline.value,
            "reaches_ventricles": measures.reaches_ventricles,
        }
        self._resultNode.SetAttribute(ATTRIBUTE, json.dumps(plain))
        self._done()


def _export(resultNode: slicer.vtkMRMLTextNode, folder: Path) -> Steps[Message]:
    exam, outline = yield from exportOutlined(resultNode, folder / "exam")
    return {"type": MessageType.MEASURE, **exam, "outline": outline}
