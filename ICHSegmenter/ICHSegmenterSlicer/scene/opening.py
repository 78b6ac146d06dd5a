"""An exam on its way from files into the scene: by Slicer's reader where it is exact, else by the worker's."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure, ICHSegmenterError, VolumeError
from ICHSegmenterLib.volume.exam_name import exam_name
from ICHSegmenterLib.volume.input_files import format_of
from ICHSegmenterLib.volume.nifti import is_upright
from ICHSegmenterSlicer.client.reading import ExamOnDisk, Series, submitRead
from ICHSegmenterSlicer.client.steps import StepRunner, Steps
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.acquired import addAcquired, straighten
from ICHSegmenterSlicer.scene.nodes import removeWhole
from ICHSegmenterSlicer.scene.slice_files import remember

logger = logging.getLogger(__name__)

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


def isReadBySlicer(path: Path) -> bool:
    """True for a file that Slicer's own reader puts exactly where it belongs.

    It knows the shear of NRRD and MetaImage, but takes the upright form of a NIfTI file; and DICOM needs its database.
    """
    kind = "" if path.is_dir() else format_of(path)
    return is_upright(path) if kind == "NIfTI" else bool(kind)


class Opening:
    """One exam; exactly one of the callbacks is called once, and the scene changes only before `opened`.

    Args:
        client: The worker.
        path: A DICOM folder or file, or a NIfTI, NRRD or MetaImage file.
        seriesUid: One of several series.
        opened: Called with the new volume node.
        choose: Called with the series, if a folder holds several.
        failed: Called with the reason; of kind "cancelled" after `cancel`.
    """

    def __init__(
        self,
        client: WorkerClient,
        path: Path,
        *,
        seriesUid: str | None = None,
        opened: Callable[[slicer.vtkMRMLScalarVolumeNode], None],
        choose: Callable[[Sequence[Series]], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self._client = client
        self._path = path
        self._opened, self._choose, self._failed = opened, choose, failed
        self._folder = Path(tempfile.mkdtemp(prefix="ICHSegmenter-read-", dir=slicer.app.temporaryPath))
        self._runner: StepRunner | None = None
        self._requestId = ""
        if isReadBySlicer(path):
            self._runner = StepRunner(_loaded(path), self._onAdded, self._onError)
            return
        self._requestId = submitRead(
            client,
            path,
            self._folder,
            seriesUid=seriesUid,
            done=self._onRead,
            choose=self._onSeveral,
            failed=self._onFailed,
        )

    def cancel(self) -> None:
        """Stop; the scene is as it was."""
        if self._runner is None:
            self._client.cancel(self._requestId)
        elif self._runner.isRunning:
            self._runner.stop()
            self._onFailed(Failure("cancelled", _("Cancelled; the scene is as it was.")))

    def _onRead(self, exam: ExamOnDisk) -> None:
        number = exam.source.series_number
        name = _("CT series {number}").format(number=number) if number else exam_name("", self._path)
        self._runner = StepRunner(addAcquired(exam, name), self._onAdded, self._onError)

    def _onAdded(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        self._end()
        remember(volumeNode, self._path)
        self._opened(volumeNode)

    def _onSeveral(self, series: Sequence[Series]) -> None:
        self._end()
        self._choose(series)

    def _onFailed(self, failure: Failure) -> None:
        self._end()
        self._failed(failure)

    def _onError(self, error: Exception) -> None:
        if isinstance(error, ICHSegmenterError):
            self._onFailed(Failure.of(error))
            return
        logger.error("An exam could not be opened: %s", type(error).__name__)  # its text may name a patient's file
        text = _("Something unexpected happened in Slicer ({error}). The scene is as it was; please report it.")
        self._onFailed(Failure("failed", text.format(error=type(error).__name__)))

    def _end(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _loaded(path: Path) -> Steps[slicer.vtkMRMLScalarVolumeNode]:
    """The node that Slicer's reader makes, upright under a transform if the file's grid has shear.

    Raises:
        VolumeError: It can make none, or what it makes is no CT.
    """
    yield  # the panel says what goes on before the reader holds the window
    properties = {"name": exam_name("", path), "show": False, "singleFile": True}
    try:
        node = slicer.util.loadVolume(str(path), properties)
    except RuntimeError as error:
        raise VolumeError(_("{name}: Slicer cannot read this file. Copy it again.").format(name=path.name)) from error
    try:
        if node.GetClassName() != VOLUME_CLASS:
            raise VolumeError(_("{name}: this holds colors or labels, not one CT volume.").format(name=path.name))
        straighten(node)
    except VolumeError:
        removeWhole(node)
        raise
    return node
