"""The list of findings: separate pieces of blood in order of importance, worked through by mouse or keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterSlicer.client.steps import StepRunner, raiseError
from ICHSegmenterSlicer.scene.results import findings
from ICHSegmenterSlicer.scene.results.finding_editor import FindingEditor
from ICHSegmenterSlicer.scene.results.findings import Finding
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.results.outline import Outline
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views import slice_views as views
from ICHSegmenterSlicer.views.results.click_box import ClickView
from ICHSegmenterSlicer.views.results.finding_row import findingText, numbers, tooltip
from ICHSegmenterSlicer.views.results.result_box import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable, swatch
from ICHSegmenterSlicer.views.whole_text import setWholeText

FINDING, PROBABILITY, VOLUME, DENSITY, SLICES, MARK = range(6)
MAX_ROWS = 6
"""More are scrolled."""
MIN_SECTION = 20
"""Pixels of a column: that of the mark is narrow."""
CURRENT_COLOR = (0.0, 1.0, 1.0)
ACCEPTED_SIGN = "✓"
KEYS = {"accept": "A", "reject": "Del", "undo": "Ctrl+Z", "redo": "Ctrl+Shift+Z", "click": "C"}
"""Keys while the list has the focus."""
STEP_KEYS = {"previous": "Ctrl+Up", "next": "Ctrl+Down"}
"""Keys wherever the focus is in the window, while the list is shown."""


class FindingsView:
    """The list below the verdict.

    Args:
        ui: The panel's widgets by name.
        changed: Called when the result got segments that it did not have.
        listed: Called when other findings are listed, or another row is marked.
    """

    def __init__(self, ui: Any, changed: Callable[[], None], listed: Callable[[], None]) -> None:
        self._ui = ui
        self._changed = changed
        self._listed = listed
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        self._volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._findings: Sequence[Finding] = ()
        self._reader: StepRunner[tuple[Finding, ...]] | None = None
        self._editor = FindingEditor()
        self.outline = Outline("ICHSegmenter current finding", CURRENT_COLOR)
        self.clicks = ClickView(ui, self._editor.reject, self._add)
        table = ui.findingsTable
        prepareTable(table, (_("Finding"), _("Score"), _("mL"), _("HU"), _("Slices"), ""), FINDING)
        table.horizontalHeader().setMinimumSectionSize(MIN_SECTION)
        table.connect("currentCellChanged(int,int,int,int)", self._onCurrentRow)
        actions = {
            "accept": self.accept,
            "reject": self.reject,
            "undo": self._editor.undo,
            "redo": self._editor.redo,
            "click": ui.clickButton.toggle,
        }
        self._shortcuts = [_shortcut(table, KEYS[name], action) for name, action in actions.items()]
        self._shortcuts += [
            _shortcut(ui.findingsFrame, STEP_KEYS["previous"], lambda: self.step(-1), qt.Qt.WindowShortcut),
            _shortcut(ui.findingsFrame, STEP_KEYS["next"], lambda: self.step(1), qt.Qt.WindowShortcut),
        ]
        for name in ("accept", "reject", "undo", "redo"):
            getattr(ui, f"{name}Button").connect("clicked()", actions[name])
        ui.typeComboBox.connect("activated(int)", self._onTypeSelected)
        self.clear()

    @property
    def listed(self) -> Sequence[Finding]:
        """The findings, the most important first."""
        return self._findings

    @property
    def current(self) -> Finding | None:
        """The finding whose row is marked."""
        row = self._ui.findingsTable.currentRow()
        return self._findings[row] if 0 <= row < len(self._findings) else None

    def begin(self, resultNode: slicer.vtkMRMLTextNode, result: StoredResult) -> None:
        """Another result is shown."""
        self.clear()
        self._resultNode = resultNode
        self._editor.begin(resultNode)
        heading = _("Prob.") if result.analysis.assessment.is_calibrated else _("Score")
        self._ui.findingsTable.horizontalHeaderItem(PROBABILITY).setText(heading)
        self._offerTypes(result)

    def update(self, result: StoredResult, measured: MeasuredSegments, volumeNode: slicer.vtkMRMLNode) -> None:
        """List the pieces as they are now, found in steps."""
        self._stop()
        self._volumeNode = volumeNode
        self._editor.follow()
        if self._editor.segmentationNode is None:
            self._show(())
            return
        steps = findings.find(self._editor.segmentationNode, measured, result, volumeNode)
        self._reader = StepRunner(steps, self._show, raiseError, startNow=True)

    def clear(self) -> None:
        """Show none."""
        self._stop()
        self._resultNode = self._volumeNode = None
        self._editor.begin(None)
        self._show(())

    def step(self, by: int) -> None:
        """Go to the next finding (1) or the previous one (-1); the views follow."""
        count = len(self._findings)
        if count:
            row = self._ui.findingsTable.currentRow()
            self._ui.findingsTable.setCurrentCell((row + by) % count if row >= 0 else 0, FINDING)

    def accept(self) -> None:
        """Mark the current finding as seen and right, or take the mark back; go on to the next one."""
        finding = self.current
        if finding is None:
            return
        isAccepted = finding.digest not in findings.accepted(self._resultNode)
        findings.accept(self._resultNode, finding, isAccepted=isAccepted)
        self._mark()
        if isAccepted and self._ui.findingsTable.currentRow() < len(self._findings) - 1:
            self.step(1)

    def reject(self) -> None:
        """Take the current finding out of its segment."""
        if self.current is not None:
            self._editor.reject(self.current)

    def _add(self, mask: np.ndarray, start: tuple[int, int, int], volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        isFirst = self._editor.segmentationNode is None
        self._editor.add(mask, start, self._ui.typeComboBox.currentData, volumeNode)
        if isFirst:
            self._changed()

    def _offerTypes(self, result: StoredResult) -> None:
        """List the types of blood, those that the method can name first."""
        box, known = self._ui.typeComboBox, [label for label in result.labels if label.is_blood]
        others = [label for label in SEGMENT_LABELS.values() if label.is_blood and label not in known]
        box.clear()
        for row, label in enumerate((*known, *others)):
            box.addItem(qt.QIcon(swatch(label.color)), label.key, label.key)
            box.setItemData(row, label.name, qt.Qt.ToolTipRole)
        self._nameType()

    def _onTypeSelected(self, _index: int) -> None:
        """The user's choice: the type of the current finding, unless something is about to be added."""
        key, finding = self._ui.typeComboBox.currentData, self.current
        if finding is not None and finding.key != key and not self.clicks.isPreviewing:
            self._editor.retype(finding, key)
        self._nameType()

    def _nameType(self) -> None:
        """Say in the tooltip what the letters stand for."""
        label = SEGMENT_LABELS.get(self._ui.typeComboBox.currentData)
        setWholeText(self._ui.typeComboBox, "" if label is None else label.name)

    def _show(self, listed: Sequence[Finding]) -> None:
        table, before = self._ui.findingsTable, self._ui.findingsTable.currentRow()
        self._findings = listed
        blocked = table.blockSignals(True)
        table.setRowCount(len(listed))
        for row, finding in enumerate(listed):
            name = cell(findingText(finding))
            name.setToolTip(tooltip(finding))
            items = (name, *(cell(text, right=True) for text in (*numbers(finding), "")))
            for column, item in enumerate(items):
                table.setItem(row, column, item)
        table.setCurrentCell(min(before, len(listed) - 1), FINDING)
        table.blockSignals(blocked)
        table.setFixedHeight(HEADER_HEIGHT + min(MAX_ROWS, max(1, len(listed))) * ROW_HEIGHT + 4)
        table.setVisible(bool(listed))
        self._ui.findingsFrame.setVisible(self._resultNode is not None)
        self.clicks.follow(self._resultNode, self._volumeNode, listed)
        self._outlineCurrent()
        self._mark()
        self._listed()

    def _mark(self) -> None:
        marked = findings.accepted(self._resultNode) if self._resultNode is not None else set()
        for row, finding in enumerate(self._findings):
            self._ui.findingsTable.item(row, MARK).setText(ACCEPTED_SIGN if finding.digest in marked else "")
        for button in (self._ui.acceptButton, self._ui.rejectButton):
            button.setEnabled(self.current is not None)
        self._ui.undoButton.setEnabled(self._editor.canUndo)
        self._ui.redoButton.setEnabled(self._editor.canRedo)

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _onCurrentRow(self, row: int) -> None:
        if 0 <= row < len(self._findings):
            views.jump(self._findings[row].pointRas)
        self._outlineCurrent()
        self._mark()
        self._listed()

    def _outlineCurrent(self) -> None:
        """Outline the finding whose row is marked, and show its type."""
        finding = self.current
        if finding is None or self._volumeNode is None:
            self.outline.clear()
            return
        self.outline.show(finding.mask, finding.start, self._volumeNode)
        index = self._ui.typeComboBox.findData(finding.key)
        if index >= 0 and not self.clicks.isPreviewing:
            self._ui.typeComboBox.setCurrentIndex(index)
            self._nameType()


def _shortcut(
    widget: qt.QWidget, keys: str, action: Callable[[], None], context: Any = qt.Qt.WidgetWithChildrenShortcut
) -> qt.QShortcut:
    shortcut = qt.QShortcut(qt.QKeySequence(keys), widget)
    shortcut.setContext(context)
    shortcut.connect("activated()", action)
    return shortcut
