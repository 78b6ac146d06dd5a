"""The folded box "Several exams": a row for each exam and time point of the scene, checked ones analyzed in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ICHSegmenterSlicer.client.steps import StepRunner
from ICHSegmenterSlicer.exam_queue import ExamQueue, QueueEntry, QueueState
from ICHSegmenterSlicer.jobs import Job
from ICHSegmenterSlicer.parameters import ICHSegmenterParameters
from ICHSegmenterSlicer.scene.exams.listed_exam import BROWSER, SEQUENCE, VOLUME, ListedExam, examOf, exams
from ICHSegmenterSlicer.scene.nodes import isInScene
from ICHSegmenterSlicer.scene.results.exam import VOXELS
from ICHSegmenterSlicer.scene.results.runs import editedMl
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views import slice_views as views
from ICHSegmenterSlicer.views.check_boxes import showFrame
from ICHSegmenterSlicer.views.queue.entry_text import stateText, summaryText, verdictText
from ICHSegmenterSlicer.views.results.exam_results import ExamResults
from ICHSegmenterSlicer.views.results.result_box import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable
from ICHSegmenterSlicer.views.results.verdict_text import methodText
from ICHSegmenterSlicer.words.failure_text import failureText

NAME, STATE, VERDICT = range(3)
MAX_ROWS = 8
"""More are scrolled."""
LISTED = (VOLUME, SEQUENCE, BROWSER)


class QueueView(VTKObservationMixin):
    """The list, and the button that analyzes its checked exams.

    Args:
        ui: The panel's widgets by name.
        run: `ICHSegmenterLogic.start`.
        job: Returns the job of a run, as the panel is set.
        results: Shows the results of the exam that is chosen.
        changed: Called when the queue begins or ends.
    """

    def __init__(
        self,
        ui: Any,
        run: Callable[..., Any],
        job: Callable[[], Job],
        results: ExamResults,
        changed: Callable[[], None],
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._job = job
        self._results = results
        results.presented = self._onPresented
        self._changed = changed
        self._queue = ExamQueue(run, self._onEntry, self._onFinished)
        self._parameters: ICHSegmenterParameters | None = None
        self._exams: list[ListedExam] = []
        self._checked: set[ListedExam] = set()
        self._entries: dict[ListedExam, QueueEntry] = {}
        self._reader: StepRunner[str] | None = None
        self._toggledRow = -1
        self._whyNot = ""
        prepareTable(ui.queueTable, (_("Exam"), _("State"), _("Verdict")), NAME)
        ui.queueTable.setTextElideMode(qt.Qt.ElideMiddle)  # series and hour stand at the end
        ui.queueTable.setWordWrap(False)
        showFrame(ui.queueTable)
        ui.queueTable.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)
        ui.queueTable.connect("cellClicked(int,int)", self._onClicked)
        ui.queueTable.connect("cellActivated(int,int)", lambda row, _column: self._choose(row))
        ui.checkAllButton.connect("clicked()", self._onCheckAll)
        ui.queueButton.connect("clicked()", self._onStartOrCancel)
        ui.queueSection.connect("contentsCollapsed(bool)", lambda _isFolded: self.refresh())
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self.refresh)
        self._updateButtons()

    @property
    def isRunning(self) -> bool:
        return self._queue.isRunning

    def follow(self, parameters: ICHSegmenterParameters) -> None:
        """Mark the exam that is on the screen."""
        self._parameters = parameters
        self._fill()

    def update(self, *, whyNot: str) -> None:
        """Allow a start, unless there is a reason against it."""
        self._whyNot = whyNot
        self._updateButtons()

    def refresh(self) -> None:
        """List the exams of the scene anew, while the box is open."""
        self.removeObservers()
        if self._ui.queueSection.collapsed or slicer.mrmlScene.IsClosing():
            return
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeAddedEvent, self._onModified)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onModified)
        for node in (node for name in LISTED for node in slicer.util.getNodesByClass(name)):
            self.addObserver(node, "ModifiedEvent", self._onModified)
            if node.IsA(VOLUME):
                self.addObserver(node, node.ImageDataModifiedEvent, self._onModified)
                self.addObserver(node, node.TransformModifiedEvent, self._onModified)
        self._exams = exams()
        self._fill()
        if self._results.shownNode is not None:
            self._onPresented(self._results.shownNode)

    def cancel(self) -> None:
        """End the queue; results so far stay."""
        self._queue.cancel()

    def forget(self) -> None:
        """The scene closes."""
        self.cancel()
        self._timer.stop()
        self._stopReading()
        self.removeObservers()
        self._parameters, self._exams = None, []
        self._checked.clear()
        self._entries.clear()
        self._fill()

    # ---- the list

    def _onModified(self, _caller: slicer.vtkMRMLNode, _event: str) -> None:
        """Something came, went or changed; many such events make one new list."""
        self._timer.start()

    def _onPresented(self, resultNode: slicer.vtkMRMLTextNode | None) -> None:
        """The panel shows a result of the exam on the screen: it is that of its row, if the row has the same voxels."""
        shown = self._onScreen()
        if shown is None or resultNode is None or self._isBusy(shown):
            return
        version = shown.version()

        def note(voxels: str) -> None:
            if isInScene(resultNode) and voxels == resultNode.GetAttribute(VOXELS) and not self._isBusy(shown):
                self._entries[shown] = QueueEntry(QueueState.DONE, resultId=resultNode.GetID(), version=version)
                self._fill()

        self._stopReading()
        self._reader = StepRunner(shown.checksum(), note, self._onReadingFailed, startNow=True)

    def _onReadingFailed(self, error: Exception) -> None:
        raise error

    def _stopReading(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _onScreen(self) -> ListedExam | None:
        """The exam that is chosen in the panel."""
        volumeNode = self._parameters.inputVolume if self._parameters is not None else None
        return examOf(volumeNode, self._exams) if volumeNode is not None else None

    def _fill(self) -> None:
        table = self._ui.queueTable
        blocked = table.blockSignals(True)
        table.setRowCount(len(self._exams))
        for row, listed in enumerate(self._exams):
            self._fillRow(row, listed)
        shown = self._onScreen()
        table.setCurrentCell(self._exams.index(shown) if shown is not None else -1, NAME)
        table.setFixedHeight(HEADER_HEIGHT + min(MAX_ROWS, max(1, len(self._exams))) * ROW_HEIGHT + 4)
        table.blockSignals(blocked)
        self._updateButtons()

    def _fillRow(self, row: int, listed: ListedExam) -> None:
        entry, node = self._entries.get(listed), self._resultOf(listed)
        name = cell(listed.title)
        name.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
        name.setCheckState(qt.Qt.Checked if listed in self._checked else qt.Qt.Unchecked)
        name.setToolTip(listed.title)
        isGone = entry is not None and entry.state is QueueState.DONE and node is None
        state = cell("" if entry is None else _("changed since") if isGone else stateText(entry))
        if entry is not None and entry.failure is not None:
            state.setToolTip(f"{state.text()}: {failureText(entry.failure)}")
        verdict = cell("")
        if node is not None:
            result = StoredResult.fromNode(node)
            verdict = cell(verdictText(result, editedMl(node)))
            verdict.setToolTip(f"{verdict.text()}\n{methodText(result)}")
        for column, item in ((NAME, name), (STATE, state), (VERDICT, verdict)):
            self._ui.queueTable.setItem(row, column, item)

    def _resultOf(self, listed: ListedExam) -> slicer.vtkMRMLTextNode | None:
        """The result of an exam, None if it has none as it is now."""
        entry = self._entries.get(listed)
        if entry is None or not entry.resultId or entry.version != listed.version():
            return None
        return slicer.mrmlScene.GetNodeByID(entry.resultId)

    def _isBusy(self, listed: ListedExam) -> bool:
        entry = self._entries.get(listed)
        return entry is not None and entry.state in (QueueState.WAITING, QueueState.RUNNING)

    def _onItemChanged(self, item: qt.QTableWidgetItem) -> None:
        """A box was checked or unchecked; the click that did it chooses no exam."""
        if item.column() != NAME:
            return
        self._toggledRow = item.row()
        listed = self._exams[item.row()]
        (self._checked.add if item.checkState() == qt.Qt.Checked else self._checked.discard)(listed)
        self._updateButtons()

    def _onClicked(self, row: int, column: int) -> None:
        toggled, self._toggledRow = self._toggledRow, -1
        if (row, column) != (toggled, NAME):
            self._choose(row)
        else:
            self._fill()  # the mark goes back to the exam on the screen

    def _choose(self, row: int) -> None:
        """Bring an exam with its result on the screen."""
        if self._parameters is None or not 0 <= row < len(self._exams):
            return
        volumeNode = self._exams[row].bring()
        if volumeNode is None:
            return
        self._parameters.inputVolume = volumeNode
        views.showBackground(volumeNode)
        self._fill()

    def _onCheckAll(self) -> None:
        isAll = self._isAllChecked()
        self._checked = set() if isAll else set(self._exams)
        self._fill()

    def _isAllChecked(self) -> bool:
        return bool(self._exams) and all(listed in self._checked for listed in self._exams)

    # ---- the run

    def _onStartOrCancel(self) -> None:
        if self.isRunning:
            self._queue.cancel()
            return
        self._queue.start([listed for listed in self._exams if listed in self._checked], self._job())
        self._changed()

    def _onEntry(self, listed: ListedExam, entry: QueueEntry) -> None:
        self._entries[listed] = entry
        if entry.state is QueueState.DONE:
            self._results.add(slicer.mrmlScene.GetNodeByID(entry.resultId))
        if listed in self._exams:
            blocked = self._ui.queueTable.blockSignals(True)
            self._fillRow(self._exams.index(listed), listed)
            self._ui.queueTable.blockSignals(blocked)
            self._updateButtons()

    def _onFinished(self) -> None:
        self._updateButtons()
        self._changed()

    def _updateButtons(self) -> None:
        ui, isRunning = self._ui, self.isRunning
        count = sum(listed in self._checked for listed in self._exams)
        reason = self._whyNot or ("" if count else _("Check one exam or more"))
        ui.queueButton.setText(_("Cancel") if isRunning else _("Analyze checked"))
        ui.queueButton.setEnabled(isRunning or not reason)
        tip = _("Analyze the checked exams one after the other, with the method above. The views stay where they are.")
        ui.queueButton.setToolTip(_("Stop; results so far stay") if isRunning else reason or tip)
        ui.checkAllButton.setText(_("Check none") if self._isAllChecked() else _("Check all"))
        ui.checkAllButton.setEnabled(bool(self._exams) and not isRunning)
        text = summaryText([(one.title, self._entries[one]) for one in self._exams if one in self._entries])
        ui.queueLabel.setText(text)
        ui.queueLabel.setVisible(bool(text) and not ui.queueSection.collapsed)
