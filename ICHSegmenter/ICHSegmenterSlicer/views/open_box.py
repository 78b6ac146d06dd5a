"""The way of a head CT into the panel: the Open button with its menu, and files dropped onto the panel."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import DependencyError, Failure
from ICHSegmenterLib.protocol import Phase, Stage
from ICHSegmenterLib.volume.input_files import FORMATS, format_of
from ICHSegmenterSlicer.client import dependencies
from ICHSegmenterSlicer.client.reading import Series
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.running_job import Progress
from ICHSegmenterSlicer.scene import sample
from ICHSegmenterSlicer.scene.opening import Opening
from ICHSegmenterSlicer.views.status import StatusView
from ICHSegmenterSlicer.words.finding_text import seriesText
from ICHSegmenterSlicer.words.stage_text import stageText

DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
"""Usual ones; many files have none, or the end of a UID."""
RECENT_KEY = "ICHSegmenter/recent"
MAX_RECENT = 8
MAX_ROWS = 4
"""Series that the list shows without scrolling."""


class OpenView:
    """The button, the menu, the list of several series, and the panel as a place to drop files.

    Args:
        ui: The panel's widgets by name.
        client: The worker.
        status: Shows what goes on.
        changed: Called when reading begins or ends.
    """

    def __init__(
        self,
        ui: Any,
        client: WorkerClient,
        status: StatusView,
        changed: Callable[[], None],
    ) -> None:
        self._ui = ui
        self._client = client
        self._status = status
        self._changed = changed
        self._opening: Opening | None = None
        self._path: Path | None = None
        self._waiting: list[Path] = []
        self._series: Sequence[Series] = ()
        self._isBusy = False
        self._menu = qt.QMenu(ui.openButton)
        ui.openButton.connect("clicked()", self._onButton)
        ui.seriesList.connect("itemClicked(QListWidgetItem*)", self._onSeries)
        ui.seriesList.connect("itemActivated(QListWidgetItem*)", self._onSeries)
        ui.seriesFrame.setVisible(False)
        self._filter = DropFilter(self.canOpen, self.open)
        form = ui.openButton.parentWidget()
        form.setAcceptDrops(True)
        form.installEventFilter(self._filter)

    @property
    def isReading(self) -> bool:
        return self._path is not None

    def whyNot(self) -> str:
        """The reason why there can be no run meanwhile, empty if there is none."""
        return _("Wait until the CT is open") if self.isReading else ""

    def update(self, *, busy: bool) -> None:
        """Open nothing while a run is on."""
        self._isBusy = busy
        self._ui.openButton.setEnabled(not busy)
        self._ui.openButton.setText(_("Cancel") if self.isReading else _("Open…"))

    def canOpen(self) -> bool:
        """True unless a run is on, or something is being opened."""
        return not self._isBusy and not self.isReading

    def open(self, paths: Sequence[Path]) -> None:
        """Open files and folders, one after the other; DICOM files of one folder are one exam."""
        first: dict[Path, Path] = {}
        for path in paths:
            first.setdefault(path if path.is_dir() or format_of(path) else path.parent, path)
        self._waiting = list(first.values())
        self._next()

    def cancel(self) -> None:
        """Open nothing further; the scene is as it was."""
        self._waiting = []
        self._hideSeries()
        if self._opening is not None:
            self._opening.cancel()

    def _next(self) -> None:
        if self._waiting:
            self._begin(self._waiting.pop(0))

    def _begin(self, path: Path, seriesUid: str | None = None) -> None:
        self._hideSeries()
        self._path = path
        self._status.begin()
        self._status.progress(Progress(None, stageText(0, 1, Stage(Phase.READING))))
        opening = Opening(
            self._client,
            path,
            seriesUid=seriesUid,
            opened=self._onOpened,
            choose=self._onSeveral,
            failed=lambda failure: self._onFailed(failure, seriesUid),
        )
        if self.isReading:  # else it has failed already
            self._opening = opening
        self._changed()

    def _end(self) -> Path:
        """Show that nothing is read any more; returns what was."""
        path, self._path, self._opening = self._path, None, None
        self._status.end()
        self._changed()
        return path

    def _onOpened(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        remember(self._end())
        self._show(volumeNode)
        self._next()

    def _show(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Choose a volume, and show it in the window for brain and blood."""
        sample.showInBrainWindow(volumeNode)
        self._ui.inputSelector.setCurrentNode(volumeNode)

    def _onFailed(self, failure: Failure, seriesUid: str | None) -> None:
        path, self._waiting = self._end(), []
        missing = dependencies.missingForReading() if failure.kind == DependencyError.kind else []
        if not missing:
            self._status.refuse(failure)
            return
        try:
            dependencies.install(missing)
        except DependencyError as error:
            self._status.refuse(Failure.of(error))
            return
        self._client.shutdown()  # a worker that started before does not see new packages
        self._begin(path, seriesUid)

    # ---- several series

    def _onSeveral(self, series: Sequence[Series]) -> None:
        path = self._end()
        self._series = [{**one, "path": path} for one in series]
        box = self._ui.seriesList
        box.clear()
        box.addItems([seriesText(one) for one in series])
        self._ui.seriesLabel.setText(_("{count} series could be the head CT. Choose one:").format(count=len(series)))
        self._ui.seriesFrame.setVisible(True)
        rows = min(MAX_ROWS, len(series))
        box.setFixedHeight(2 * rows * box.fontMetrics().lineSpacing() + 2 * rows + 8)  # a row may take two lines
        box.setFocus()

    def _onSeries(self, _item: qt.QListWidgetItem) -> None:
        if self._series and self.canOpen():  # a click may be an activation as well
            one = self._series[self._ui.seriesList.currentRow]
            self._begin(one["path"], one["uid"])

    def _hideSeries(self) -> None:
        self._series = ()
        self._ui.seriesFrame.setVisible(False)

    # ---- the menu

    def _onButton(self) -> None:
        if self.isReading:
            self.cancel()
            return
        self._hideSeries()
        self._fillMenu()
        self._menu.popup(self._ui.openButton.mapToGlobal(qt.QPoint(0, self._ui.openButton.height)))

    def _fillMenu(self) -> None:
        self._menu.clear()
        self._addAction(_("DICOM folder…"), self._onFolder)
        self._addAction(_("File…"), self._onFile)
        self._addAction(_("Sample: phantom with a bleed"), lambda: self._show(sample.loadSample()))
        paths = recent()
        if not paths:
            return
        self._menu.addSeparator()
        for path, text in zip(paths, shortNames(paths), strict=True):
            self._addAction(text.replace("&", "&&"), lambda path=path: self.open([path]))
        self._menu.addSeparator()
        self._addAction(_("Clear this list"), lambda: qt.QSettings().remove(RECENT_KEY))

    def _addAction(self, text: str, slot: Callable[[], None]) -> None:
        self._menu.addAction(text).connect("triggered()", slot)

    def _onFolder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Open the DICOM folder of a head CT"), _lastFolder()
        )
        if path:
            self.open([Path(path)])

    def _onFile(self) -> None:
        endings = " ".join(f"*{ending}" for ending in (*DICOM_ENDINGS, *FORMATS))
        kinds = _("Head CT ({endings});;All files (*)").format(endings=endings)
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Open a head CT"), _lastFolder(), kinds)
        if path:
            self.open([Path(path)])


class DropFilter(qt.QObject):
    """Takes files and folders that are dropped onto a widget or what lies in it.

    Args:
        accepts: Asked whether to take any.
        dropped: Called with the paths.
    """

    def __init__(self, accepts: Callable[[], bool], dropped: Callable[[Sequence[Path]], None]) -> None:
        qt.QObject.__init__(self)
        self._accepts = accepts
        self._dropped = dropped

    def eventFilter(self, _watched: qt.QObject, event: qt.QEvent) -> bool:
        kind = event.type()
        if kind not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        files = [url.toLocalFile() for url in event.mimeData().urls()]
        paths = [Path(file) for file in files if file and mayBeCt(Path(file))]
        if not paths or not self._accepts():
            event.ignore()  # goes on to Slicer's window
            return True
        event.acceptProposedAction()
        if kind == qt.QEvent.Drop:
            # The program that the files come from waits until the drop is answered.
            qt.QTimer.singleShot(0, lambda: self._dropped(paths))
        return True


def mayBeCt(path: Path) -> bool:
    """False for what Slicer's window opens: scenes, models, segmentations. DICOM files have any ending or none."""
    name = path.name.lower()
    if path.is_dir() or format_of(path):
        return ".seg." not in name
    return path.suffix[1:].isdigit() or path.suffix.lower() in ("", *DICOM_ENDINGS)


def recent() -> list[Path]:
    """Files and folders that this person opened here, the last one first."""
    try:
        paths = json.loads(qt.QSettings().value(RECENT_KEY) or "[]")
    except ValueError:
        return []
    return [Path(path) for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def remember(path: Path) -> None:
    """Put a path before the others of the list, on this computer only."""
    paths = [path, *(other for other in recent() if other != path)][:MAX_RECENT]
    qt.QSettings().setValue(RECENT_KEY, json.dumps([str(path) for path in paths]))


def shortNames(paths: Sequence[Path]) -> list[str]:
    """Names of files and folders, with the folder around them where two would be alike."""
    names = [path.name for path in paths]
    return [
        name if names.count(name) == 1 else _("{name} in {folder}").format(name=name, folder=path.parent.name)
        for name, path in zip(names, paths, strict=True)
    ]


def _lastFolder() -> str:
    paths = recent()
    return str(paths[0].parent) if paths else ""
