"""The list of findings: separate pieces of blood in order of importance, worked through by mouse or keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterSlicer.client.steps import StepRunner
from ICHSegmenterSlicer.scene.results import findings
from ICHSegmenterSlicer.scene.results.findings import Finding, FindingEditor
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views import slice_views as views
from ICHSegmenterSlicer.views.results.result_box import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable

FINDING = 0
MAX_ROWS = 6
"""More are scrolled."""
KEYS = {
    "accept": "A",
    "reject": "Del",
    "undo": "Ctrl+Z",
    "redo": "Ctrl+Shift+Z",
}
"""Keys while the list has the focus."""
STEP_KEYS = {"previous": "Ctrl+Up", "next": "Ctrl+Down"}
"""Keys wherever the focus is in the panel."""


class FindingsView:
    """The list below the verdict.

    Args:
        ui: The panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        self._findings: Sequence[Finding] = ()
        self._reader: StepRunner[tuple[Finding, ...]] | None = None
        self._editor = FindingEditor()
        table = ui.findingsTable
        prepareTable(table, (_("Finding"), _("mL"), _("HU"), _("Slices"), ""), FINDING)
        table.connect("currentCellChanged(int,int,int,int)", self._onCurrentRow)
        actions = {"accept": self.accept, "reject": self.reject, "undo": self.undo, "redo": self.redo}
        self._shortcuts = [_shortcut(table, KEYS[name], action) for name, action in actions.items()]
        panel = ui.resultButton.parentWidget()
        self._shortcuts += [
            _shortcut(panel, STEP_KEYS["previous"], lambda: self.step(-1)),
            _shortcut(panel, STEP_KEYS["next"], lambda: self.step(1)),
        ]
        ui.acceptButton.connect("clicked()", self.accept)
        ui.rejectButton.connect("clicked()", self.reject)
        ui.undoButton.connect("clicked()", self.undo)
        self.clear()

    @property
    def current(self) -> Finding | None:
        """The finding whose row is marked."""
        row = self._ui.findingsTable.currentRow()
        return self._findings[row] if 0 <= row < len(self._findings) else None

    def begin(self, resultNode: slicer.vtkMRMLTextNode) -> None:
        """Another result is shown."""
        self.clear()
        self._resultNode = resultNode
        self._editor.begin(self._segmentationNode)

    def update(self, result: StoredResult, measured: MeasuredSegments, volumeNode: slicer.vtkMRMLNode) -> None:
        """List the pieces as they are now, found in steps."""
        self._stop()
        if self._segmentationNode is None:
            self._show(())
            return
        steps = findings.find(self._segmentationNode, measured, result, volumeNode)
        self._reader = StepRunner(steps, self._show, _raise, startNow=True)

    def clear(self) -> None:
        """Show none."""
        self._stop()
        self._resultNode = None
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
            self._editor.reject(self._segmentationNode, self.current)

    def undo(self) -> None:
        """Bring back what was rejected last."""
        self._editor.undo()

    def redo(self) -> None:
        """Reject again what was brought back last."""
        self._editor.redo()

    @property
    def _segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        if self._resultNode is None or self._resultNode.GetScene() is None:
            return None
        return self._resultNode.GetNodeReference("segmentation")

    def _show(self, listed: Sequence[Finding]) -> None:
        table, before = self._ui.findingsTable, self._ui.findingsTable.currentRow()
        self._findings = listed
        blocked = table.blockSignals(True)
        table.setRowCount(len(listed))
        for row, finding in enumerate(listed):
            name = cell(_findingText(finding))
            name.setToolTip(_tooltip(finding))
            first, last, _largest = finding.slices
            extent = str(first) if first == last else f"{first}–{last}"
            texts = (f"{finding.volumeMl:.1f}", f"{finding.meanHu:.0f}", extent, "")
            for column, item in enumerate((name, *(cell(text, right=True) for text in texts))):
                table.setItem(row, column, item)
        table.setCurrentCell(min(before, len(listed) - 1), FINDING)
        table.blockSignals(blocked)
        table.setFixedHeight(HEADER_HEIGHT + min(MAX_ROWS, max(1, len(listed))) * ROW_HEIGHT + 4)
        self._ui.findingsFrame.setVisible(bool(listed) or self._editor.canUndo)
        self._mark()

    def _mark(self) -> None:
        marked = findings.accepted(self._resultNode) if self._resultNode is not None else set()
        for row, finding in enumerate(self._findings):
            self._ui.findingsTable.item(row, 4).setText("✓" if finding.digest in marked else "")
        for button in (self._ui.acceptButton, self._ui.rejectButton):
            button.setEnabled(bool(self._findings))
        self._ui.undoButton.setEnabled(self._editor.canUndo)

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _onCurrentRow(self, row: int) -> None:
        if 0 <= row < len(self._findings):
            views.jump(self._findings[row].pointRas)


def _shortcut(widget: qt.QWidget, keys: str, action: Any) -> qt.QShortcut:
    shortcut = qt.QShortcut(qt.QKeySequence(keys), widget)
    shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
    shortcut.connect("activated()", action)
    return shortcut


def _findingText(finding: Finding) -> str:
    """Type, side and how sure the method is."""
    sides = {"left": _("left"), "right": _("right"), "middle": _("middle")}
    parts = [finding.key or finding.name, sides.get(finding.side, "")]
    if finding.judged is not None:
        parts.append(f"({finding.judged.probability:.2f})")
    return " ".join(part for part in parts if part)


def _tooltip(finding: Finding) -> str:
    if finding.judged is None:
        return _("{name}: drawn or changed by a person").format(name=finding.name)
    return _("{name} ({share:.0%} of what the method saw there); blood with {probability:.2f}").format(
        name=finding.name, share=finding.judged.subtype_probability, probability=finding.judged.probability
    )


def _raise(error: Exception) -> None:
    """An error that nobody can do anything about goes to Slicer's console."""
    raise error
