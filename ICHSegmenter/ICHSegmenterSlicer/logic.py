"""The module's logic: analyses without the panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from ICHSegmenterLib.request import AnalysisRequest, CompareRequest
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.client.worker_process import QtTimer, WorkerProcess
from ICHSegmenterSlicer.jobs import AnalysisJob, ComparisonJob, Job
from ICHSegmenterSlicer.parameters import ICHSegmenterParameters
from ICHSegmenterSlicer.paths import rootPath
from ICHSegmenterSlicer.running_job import Outcome, Progress, RunningJob
from ICHSegmenterSlicer.scene.segments import Imported
from ICHSegmenterSlicer.words.failure_text import failureText


class ICHSegmenterLogic(ScriptedLoadableModuleLogic):
    """Runs analyses; needs no panel.

    Example, in Slicer's Python console:
        from ICHSegmenter import ICHSegmenterLogic
        imported = ICHSegmenterLogic().process(slicer.util.getNode("HeadCT"), "hu-threshold")
        imported.segmentationNode

    Args:
        log: Called with each line of the worker's log.
    """

    def __init__(self, log: Callable[[str], None] = lambda line: None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        root = rootPath()
        self.client = WorkerClient(lambda events: WorkerProcess(events, root), QtTimer, log=log)

    def getParameterNode(self) -> ICHSegmenterParameters:
        return ICHSegmenterParameters(super().getParameterNode())

    def start(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        job: Job,
        *,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None = None,
        progress: Callable[[Progress], None] = lambda progress: None,
        finished: Callable[[Outcome], None] = lambda outcome: None,
    ) -> RunningJob:
        """Analyze in the background; returns at once."""
        return RunningJob(self.client, volumeNode, segmentationNode, job, progress=progress, finished=finished)

    def process(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, method: str, **options: Any) -> Imported:
        """Analyze and wait, with Slicer alive meanwhile; options are fields of `AnalysisRequest`.

        Raises:
            RuntimeError: It failed; the text says why and what to do.
        """
        return self._wait(volumeNode, AnalysisJob(AnalysisRequest(method, **options)))

    def compare(
        self, volumeNode: slicer.vtkMRMLScalarVolumeNode, methods: Sequence[str], device: str = "auto"
    ) -> Imported:
        """Let several methods analyze, and wait; returns the vote, whose result node references the others.

        Raises:
            RuntimeError: No method gave a result; the text says why.
        """
        return self._wait(volumeNode, ComparisonJob(CompareRequest(tuple(methods), device=device)))

    def _wait(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, job: Job) -> Imported:
        outcomes: list[Outcome] = []
        loop = qt.QEventLoop()

        def finished(outcome: Outcome) -> None:
            outcomes.append(outcome)
            loop.quit()

        self.start(volumeNode, job, finished=finished)
        if not outcomes:
            loop.exec_()
        if outcomes[0].failure is not None:
            raise RuntimeError(failureText(outcomes[0].failure))
        return outcomes[0].imported
