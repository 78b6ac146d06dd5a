"""The weight files on this computer, by the methods that use them: size, condition, removal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.cards.table import title_of
from ICHSegmenterLib.errors import Failure, ICHSegmenterError
from ICHSegmenterLib.protocol import Message, MessageType, Stage
from ICHSegmenterLib.weights.cache import writable_weights_folder
from ICHSegmenterLib.weights.disk_use import StoredWeights, disk_use
from ICHSegmenterLib.weights.importing import PART_SUFFIX
from ICHSegmenterLib.weights.store import FileCondition
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.views.results.result_box import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable

NAME, SIZE, CONDITION = range(3)
MAX_ROWS = 6
"""More are scrolled."""
MEGABYTE, GIGABYTE = 1_000_000, 1_000_000_000
WORST_FIRST = (FileCondition.CORRUPT, FileCondition.UNFINISHED, FileCondition.UNKNOWN, FileCondition.INTACT)


class WeightsTable:
    """The table and the buttons below it.

    Args:
        ui: The panel's widgets by name.
        client: The worker; it verifies and removes.
        changed: Called when files were removed.
        fail: Shows a failure in the panel.
    """

    def __init__(
        self, ui: Any, client: WorkerClient, changed: Callable[[], None], fail: Callable[[Failure], None]
    ) -> None:
        self._ui = ui
        self._client = client
        self._changed = changed
        self._fail = fail
        self._stored: Sequence[StoredWeights] = ()
        self._conditions: dict[str, FileCondition] = {}
        self._verifyId: str | None = None
        prepareTable(ui.weightsTable, (_("Weights of"), _("MB"), _("Condition")), NAME)
        ui.weightsTable.connect("itemSelectionChanged()", self._updateButtons)
        ui.verifyButton.connect("clicked()", self._onVerify)
        ui.removeButton.connect("clicked()", self._onRemove)
        ui.folderButton.connect("clicked()", self._onFolder)
        ui.verifyProgressBar.setVisible(False)
        self._updateButtons()

    def update(self) -> None:
        """List what lies in the folder now; what a file was verified to be is kept until it goes."""
        try:
            used = disk_use()
        except ICHSegmenterError as error:
            self._fail(Failure.of(error))
            return
        selected, self._stored = self._selectedNames(), used.stored
        present = {name for stored in self._stored for name in stored.names}
        self._conditions = {name: condition for name, condition in self._conditions.items() if name in present}
        table = self._ui.weightsTable
        table.setRowCount(len(self._stored))
        for row, stored in enumerate(self._stored):
            name = cell(_nameOf(stored))
            name.setToolTip("\n".join((_nameOf(stored), *stored.names)))
            condition = self._conditionOf(stored)
            for column, item in enumerate((name, cell(f"{stored.size / MEGABYTE:.1f}", right=True), condition)):
                table.setItem(row, column, item)
        names = [stored.names for stored in self._stored]
        table.setCurrentCell(names.index(selected) if selected in names else -1, NAME)
        table.setFixedHeight(HEADER_HEIGHT + min(MAX_ROWS, max(1, len(self._stored))) * ROW_HEIGHT + 4)
        text = _("{count} files, {size:.0f} MB; {free:.1f} GB are free on the disk.").format(
            count=used.count, size=used.size / MEGABYTE, free=used.free / GIGABYTE
        )
        nothing = _("No weight files; what ships with the program needs none. {free:.1f} GB are free on the disk.")
        self._ui.diskLabel.setText(text if used.count else nothing.format(free=used.free / GIGABYTE))
        self._updateButtons()

    def _conditionOf(self, stored: StoredWeights) -> qt.QTableWidgetItem:
        """The worst condition of the files; which ones have it is in the tooltip."""
        known = {name: self._conditions[name] for name in stored.names if name in self._conditions}
        if not known:
            item = cell(_("not verified"))
            item.setToolTip(_("Verify reads the files again and compares them with what was published."))
            return item
        item = cell(_conditionText(_worst(known.values())))
        item.setToolTip("\n".join(f"{name}: {_conditionText(condition)}" for name, condition in known.items()))
        return item

    def _selectedNames(self) -> tuple[str, ...]:
        row = self._ui.weightsTable.currentRow()
        return self._stored[row].names if 0 <= row < len(self._stored) else ()

    def _updateButtons(self) -> None:
        isVerifying = self._verifyId is not None
        self._ui.verifyButton.setText(_("Cancel") if isVerifying else _("Verify"))
        self._ui.removeButton.setEnabled(bool(self._selectedNames()) and not isVerifying)

    # ---- verify

    def _onVerify(self) -> None:
        if self._verifyId is not None:
            self._client.cancel(self._verifyId)
            return
        self._verifyId = ""  # `failed` may come before `submit` returns
        self._ui.verifyProgressBar.setRange(0, 0)
        self._ui.verifyProgressBar.setVisible(True)
        requestId = self._client.submit(
            {"type": MessageType.VERIFY}, progress=self._onProgress, done=self._onVerified, failed=self._onFailed
        )
        if self._verifyId is not None:
            self._verifyId = requestId
        self._updateButtons()

    def _onProgress(self, done: int, total: int, _stage: Stage) -> None:
        self._ui.verifyProgressBar.setRange(0, max(1, total // 1000))  # kB: QProgressBar counts in 32 bits
        self._ui.verifyProgressBar.setValue(done // 1000)

    def _onVerified(self, message: Message) -> None:
        self._conditions = {}
        for file in message["files"]:
            if not file["is_bundled"]:
                name, condition = file["name"].removesuffix(PART_SUFFIX), FileCondition(file["condition"])
                self._conditions[name] = _worst((self._conditions.get(name, condition), condition))
        self._endVerifying()
        broken = [file["name"] for file in message["files"] if file["condition"] == FileCondition.CORRUPT.value]
        if broken:
            text = _("Damaged or altered: {names}. Remove these weights, then download or import them again.")
            self._fail(Failure("weights_corrupt", text.format(names=", ".join(broken))))

    def _onFailed(self, failure: Failure) -> None:
        self._endVerifying()
        if failure.kind != "cancelled":
            self._fail(failure)

    def _endVerifying(self) -> None:
        self._verifyId = None
        self._ui.verifyProgressBar.setVisible(False)
        self.update()

    # ---- remove, open

    def _onRemove(self) -> None:
        row = self._ui.weightsTable.currentRow()
        stored = self._stored[row]
        question = _("Delete {count} files, {size:.1f} MB, of {methods} from this computer?\n\n{names}").format(
            count=stored.count,
            size=stored.size / MEGABYTE,
            methods=_nameOf(stored),
            names="\n".join(stored.names),
        )
        if not slicer.util.confirmOkCancelDisplay(question, _("Remove weights")):
            return
        self._ui.removeButton.setEnabled(False)
        message = {"type": MessageType.REMOVE, "names": list(stored.names)}
        self._client.submit(message, done=lambda _message: self._onRemoved(), failed=self._onRemoved)

    def _onRemoved(self, failure: Failure | None = None) -> None:
        self.update()
        self._changed()
        if failure is not None:
            self._fail(failure)

    def _onFolder(self) -> None:
        try:
            folder = writable_weights_folder()
        except ICHSegmenterError as error:
            self._fail(Failure.of(error))
            return
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))


def _nameOf(stored: StoredWeights) -> str:
    """Titles of the methods, or names of files that no method knows."""
    return ", ".join(map(title_of, stored.methods)) or ", ".join(stored.names)


def _worst(conditions: Iterable[FileCondition]) -> FileCondition:
    return min(conditions, key=WORST_FIRST.index)


def _conditionText(condition: FileCondition) -> str:
    return {
        FileCondition.INTACT: _("intact"),
        FileCondition.CORRUPT: _("damaged"),
        FileCondition.UNFINISHED: _("unfinished"),
        FileCondition.UNKNOWN: _("unknown"),
    }[condition]
