"""The check of an exam by the worker as soon as it is chosen: its warnings come before the click."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import slicer

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterSlicer.client.check import submitCheck
from ICHSegmenterSlicer.client.steps import StepRunner, Steps
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.volumes import ExportedExam, chunks, exportVolume


class ExamCheck:
    """One check at a time; the answer for an exam that is not chosen any more is dropped.

    Args:
        client: The worker.
        checked: Called with what was found.
    """

    def __init__(self, client: WorkerClient, checked: Callable[[Sequence[InputFinding]], None]) -> None:
        self._client = client
        self._checked = checked
        self._current: object | None = None
        self._reader: StepRunner[ExportedExam] | None = None

    def begin(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Hand the voxels over in steps, then ask; not while an analysis is on, which says the same."""
        self.stop()
        if self._client.state.isBusy:
            return
        token = self._current = object()
        folder = Path(tempfile.mkdtemp(prefix="ICHSegmenter-check-", dir=slicer.app.temporaryPath))

        without: list[InputFinding] = []

        def read() -> Steps[ExportedExam]:
            exported = yield from exportVolume(volumeNode, folder)
            count = yield from _notFinite(slicer.util.arrayFromVolume(volumeNode))
            if count:  # the worker takes them as air before it looks
                without.append(InputFinding(InputCode.NOT_FINITE, {"voxels": count}))
            return exported

        def done(findings: Sequence[InputFinding]) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            if token is self._current:
                self._checked([*without, *findings])

        def failed(_failure: Failure | Exception) -> None:
            shutil.rmtree(folder, ignore_errors=True)  # the run itself will say what is wrong

        def submit(exam: ExportedExam) -> None:
            submitCheck(self._client, exam.message(), done, failed)

        self._reader = StepRunner(read(), submit, failed)

    def stop(self) -> None:
        """Want no answer any more."""
        self._current = None
        if self._reader is not None:
            self._reader.stop()
            self._reader = None


def _notFinite(voxels: np.ndarray) -> Steps[int]:
    """How many voxels hold no number, counted in steps."""
    count = 0
    if np.issubdtype(voxels.dtype, np.floating):
        for chunk in chunks(voxels):
            count += int(np.count_nonzero(~np.isfinite(voxels[chunk])))
            yield
    return count
