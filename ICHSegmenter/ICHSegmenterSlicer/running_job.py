"""A run from the click to segments in the scene: voxels out in steps, the worker, segments in by steps."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure, ICHSegmenterError, VolumeError
from ICHSegmenterLib.protocol import Message, Phase, Stage
from ICHSegmenterSlicer.client.steps import StepRunner, Steps
from ICHSegmenterSlicer.client.worker_client import State, WorkerClient
from ICHSegmenterSlicer.jobs import Job
from ICHSegmenterSlicer.scene.results import compared_results
from ICHSegmenterSlicer.scene.results.exam import ExamState, mark, stateOf, versionOf
from ICHSegmenterSlicer.scene.segments import Imported
from ICHSegmenterSlicer.scene.volumes import ExportedExam, exportVolume
from ICHSegmenterSlicer.words.stage_text import stageText

MIN_SLICES_FOR_ESTIMATE = 3

logger = logging.getLogger(__name__)

_leftFolders: list[Path] = []


@dataclass(frozen=True)
class Progress:
    """Progress of a run. fraction is 0 to 1, None while unknown; secondsLeft None while unknown."""

    fraction: float | None
    text: str
    secondsLeft: float | None = None


@dataclass(frozen=True)
class Outcome:
    """The end of a run: with `imported`, or with `failure`."""

    imported: Imported | None
    failure: Failure | None
    seconds: float


class RunningJob:
    """A run in progress; nodes are kept by ID, because they may vanish meanwhile.

    Args:
        client: The worker.
        volumeNode: The head CT.
        segmentationNode: Segments are added to it; None makes a new node.
        job: One method, or several to compare.
        progress: Called with `Progress`.
        finished: Called once with `Outcome`.
    """

    def __init__(
        self,
        client: WorkerClient,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
        job: Job,
        *,
        progress: Callable[[Progress], None],
        finished: Callable[[Outcome], None],
    ) -> None:
        self._client = client
        self._volumeId = volumeNode.GetID()
        self._segmentationId = segmentationNode.GetID() if segmentationNode else None
        self.job = job
        self._progress = progress
        self._finished = finished
        self._exam: ExportedExam | None = None
        self._state: ExamState | None = None
        self._requestId: str | None = None
        self._reason: Failure | None = None
        self._predictingSince: tuple[float, int] | None = None
        self._started = time.monotonic()
        client.begin()
        self._folder = Path(tempfile.mkdtemp(prefix="ICHSegmenter-", dir=slicer.app.temporaryPath))
        self._progress(Progress(None, _("Reading the volume")))
        self._runner: StepRunner = StepRunner(self._export(volumeNode), self._submit, self._onError)

    def cancel(self) -> None:
        """Stop as soon as possible; nothing stays in the scene."""
        self.abort(Failure("cancelled", _("Cancelled; the scene is as it was.")))

    def abort(self, failure: Failure) -> None:
        """Stop for a reason of ours."""
        if self._requestId is not None:
            self._reason = failure
            self._client.cancel(self._requestId)
        else:
            self._runner.stop()
            self._end(failure=failure)

    # ---- stations

    def _export(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[ExportedExam]:
        version = versionOf(volumeNode)
        self._state = yield from stateOf(volumeNode)
        exported = yield from exportVolume(volumeNode, self._folder)
        if self._node(self._volumeId) is None or versionOf(volumeNode) != version:
            raise VolumeError(_("The volume changed while it was read. Click again when it stays as it is."))
        return exported

    def _submit(self, exam: ExportedExam) -> None:
        self._exam = exam
        self._progress(Progress(None, _("Starting the analysis")))
        request = {**self.job.message(), **exam.message()}
        requestId = self._client.submit(request, progress=self._onProgress, done=self._onResult, failed=self._onFailed)
        if self._client.state.isBusy:  # else it has failed already
            self._requestId = requestId

    def _onProgress(self, done: int, total: int, stage: Stage) -> None:
        if self._node(self._volumeId) is None:
            self.abort(self._volumeIsGone())
            return
        # Of several methods the worker reports how far all of them are, in every phase of one of them.
        fraction = done / total if total and (stage.phase is Phase.PREDICTING or stage.method) else None
        self._progress(
            Progress(fraction, stageText(done, total, stage, self.job.method), self._secondsLeft(done, total, stage))
        )

    def _secondsLeft(self, done: int, total: int, stage: Stage) -> float | None:
        """Time left by the pace since prediction began; loading the network is not counted."""
        if stage != Stage(Phase.PREDICTING):
            return None
        now = time.monotonic()
        if self._predictingSince is None:
            self._predictingSince = (now, done)
        since, first = self._predictingSince
        if done - first < min(MIN_SLICES_FOR_ESTIMATE, total):
            return None
        return (now - since) / (done - first) * (total - done)

    def _onResult(self, message: Message) -> None:
        self._requestId = None
        volumeNode = self._node(self._volumeId)
        if volumeNode is None:
            self._end(failure=self._volumeIsGone())
            return
        self._progress(Progress(1.0, _("Making segments")))
        segmentationNode = self._node(self._segmentationId)  # a new node if that one was deleted
        steps = self.job.importSteps(self._exam, message, volumeNode, segmentationNode)
        self._runner = StepRunner(steps, self._onImported, self._onError)

    def _onImported(self, imported: Imported) -> None:
        for resultNode in (imported.resultNode, *compared_results.resultNodes(imported.resultNode)):
            mark(resultNode, self._state)
        self._end(imported=imported)

    def _onFailed(self, failure: Failure) -> None:
        self._requestId = None
        self._end(failure=self._reason or failure)

    def _onError(self, error: Exception) -> None:
        if isinstance(error, ICHSegmenterError):
            self._end(failure=Failure.of(error))
            return
        logger.error("The analysis failed", exc_info=error)
        text = _("Something unexpected happened in Slicer ({error}). The scene is as it was; please report it.")
        self._end(failure=Failure("failed", text.format(error=f"{type(error).__name__}: {error}")))

    def _end(self, *, imported: Imported | None = None, failure: Failure | None = None) -> None:
        _removeFolder(self._folder)
        if failure is None:
            self._client.finish(State.DONE)
        else:
            self._client.finish(State.CANCELLED if failure.kind == "cancelled" else State.FAILED)
        logger.debug("longest import step %.0f ms", self._runner.longestStepS * 1000)
        self._finished(Outcome(imported, failure, time.monotonic() - self._started))

    def _volumeIsGone(self) -> Failure:
        return Failure(
            "bad_input",
            _("The volume was deleted while it was analyzed, so there is nothing to show. Load it and click again."),
        )

    @staticmethod
    def _node(nodeId: str | None) -> slicer.vtkMRMLNode | None:
        return slicer.mrmlScene.GetNodeByID(nodeId) if nodeId else None


def _removeFolder(folder: Path) -> None:
    """Delete a job's folder; a worker that is still stopping may hold files on Windows: then at the next run."""
    _leftFolders.append(folder)
    for left in list(_leftFolders):
        shutil.rmtree(left, ignore_errors=True)
        if not left.exists():
            _leftFolders.remove(left)
