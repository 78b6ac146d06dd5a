"""The report of the shown result: one click writes page, PDF, tables and DICOM objects into a folder."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import DependencyError, Failure, ICHSegmenterError
from ICHSegmenterLib.protocol import Message, MessageType, read_notice
from ICHSegmenterSlicer.client import dependencies
from ICHSegmenterSlicer.client.steps import StepRunner
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.results.report_exam import ReportExam, exportReport
from ICHSegmenterSlicer.scene.slice_files import sliceFilesOf
from ICHSegmenterSlicer.views.results.shown_result import ShownResult
from ICHSegmenterSlicer.views.status import StatusView
from ICHSegmenterSlicer.words.failure_text import failureText

FOLDER_KEY = "ICHSegmenter/reportFolder"
OUTPUTS = ("overview", "report", "pdf", "csv")
DICOM_OUTPUTS = ("dicom_seg", "dicom_sr")
IDENTITY = "identity"


class ReportView:
    """The button, and the box that puts the patient's name on the pages.

    Args:
        ui: The panel's widgets by name.
        client: The worker, which writes the files.
        shown: The result that is reported.
        status: Says where the report is, or why there is none.
    """

    def __init__(self, ui: Any, client: WorkerClient, shown: ShownResult, status: StatusView) -> None:
        self._ui = ui
        self._client = client
        self._shown = shown
        self._status = status
        self._job: Path | None = None
        self._runner: StepRunner[ReportExam] | None = None
        ui.reportButton.connect("clicked()", self._onReport)

    @property
    def isWriting(self) -> bool:
        """True from the click until the files are there."""
        return self._job is not None

    def write(self, parent: Path) -> None:
        """Write the report of the shown result into a new folder of `parent`."""
        resultNode, volumeNode = self._shown.resultNode, self._shown.volumeNode
        if resultNode is None or volumeNode is None or self.isWriting:
            return
        outputs, lacking = self._outputs(isDicom=sliceFilesOf(volumeNode).areKnown)
        self._job = Path(tempfile.mkdtemp(prefix="ICHSegmenter-", dir=slicer.app.temporaryPath))
        self._ui.reportButton.setEnabled(False)
        self._status.show(_("Writing the report…"))
        self._runner = StepRunner(
            exportReport(resultNode, self._job),
            lambda exam: self._submit(exam, parent, outputs, lacking),
            self._onError,
        )

    def forget(self) -> None:
        """The scene closes, or the panel goes: nothing more is written."""
        if self._runner is not None:
            self._runner.stop()
        if self.isWriting:
            self._end()

    def _onReport(self) -> None:
        last = qt.QSettings().value(FOLDER_KEY) or ""
        parent = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the report"), last)
        if parent:
            qt.QSettings().setValue(FOLDER_KEY, parent)
            self.write(Path(parent))

    def _outputs(self, *, isDicom: bool) -> tuple[list[str], str]:
        """The outputs that can be written, after what they need was offered, and what they lack."""
        outputs = [*OUTPUTS, *(DICOM_OUTPUTS if isDicom else ())]
        if isDicom and self._ui.identityCheckBox.checked:
            outputs.append(IDENTITY)
        missing = dependencies.missingForOutputs(outputs)
        if missing:
            try:
                dependencies.install(missing)
            except DependencyError as error:
                self._status.log(str(error))
            self._client.shutdown()  # a worker that started before does not see new packages
            missing = dependencies.missingForOutputs(outputs)
        left = [name for name in outputs if not dependencies.missingForOutputs([name])]
        if missing:
            return left, _("Packages are missing: {names}.").format(names=", ".join(missing))
        return left, "" if isDicom else _("No DICOM objects: the volume has no DICOM files.")

    def _submit(self, exam: ReportExam, parent: Path, outputs: list[str], lacking: str) -> None:
        folder = parent / f"ICHSegmenter {exam.method} {datetime.now():%Y-%m-%d %H%M%S}"
        message = {"type": MessageType.REPORT, **exam.fields, "folder": str(folder), "outputs": outputs}
        self._client.submit(message, done=lambda answer: self._onDone(answer, folder, lacking), failed=self._onFailed)

    def _onDone(self, answer: Message, folder: Path, lacking: str) -> None:
        self._end()
        text = _("Report: {count} files in “{folder}”.").format(count=len(answer["files"]), folder=folder.name)
        leftOut = Failure("cannot_write", answer["left_out"], notice=read_notice(answer["left_out_notice"]))
        reasons = [reason for reason in (lacking, failureText(leftOut)) if reason]
        self._status.show(" ".join((text, *reasons)))
        self._status.log(f"{folder}: {', '.join(answer['files'])}")

    def _onError(self, error: Exception) -> None:
        isTyped = isinstance(error, ICHSegmenterError)
        self._onFailed(Failure.of(error) if isTyped else Failure("failed", str(error)))

    def _onFailed(self, failure: Failure) -> None:
        self._end()
        self._status.fail(failure)

    def _end(self) -> None:
        if self._job is not None:
            shutil.rmtree(self._job, ignore_errors=True)
        self._job = self._runner = None
        self._ui.reportButton.setEnabled(True)
