"""The list of the runs on an exam: a click shows one, the others are hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views.results.result_box import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable
from ICHSegmenterSlicer.views.results.verdict_text import methodText, timeText, verdictWord

RUN = 0
MAX_ROWS = 4
"""More are scrolled."""


class RunTable:
    """The list, hidden while there is one run.

    Args:
        ui: The panel's widgets by name.
        selected: Called with the result node of a row that was clicked.
    """

    def __init__(self, ui: Any, selected: Callable[[slicer.vtkMRMLTextNode], None]) -> None:
        self._ui = ui
        self._selected = selected
        self._nodes: Sequence[slicer.vtkMRMLTextNode] = ()
        prepareTable(ui.runTable, (_("Runs on this exam"), _("Verdict")), RUN)
        ui.runTable.connect("cellClicked(int,int)", self._onClicked)
        self.show((), None)

    def show(self, resultNodes: Sequence[slicer.vtkMRMLTextNode], shown: slicer.vtkMRMLTextNode | None) -> None:
        """List runs, the newest first; the row of the shown one is marked."""
        self._nodes = list(reversed(resultNodes))
        table = self._ui.runTable
        blocked = table.blockSignals(True)
        table.setRowCount(len(self._nodes))
        for row, node in enumerate(self._nodes):
            result = StoredResult.fromNode(node)
            provenance = result.analysis.provenance
            name = cell(f"{timeText(provenance.created)}  {provenance.title}".strip())
            name.setToolTip(f"{name.text()}\n{methodText(result)}")
            verdict = cell(verdictWord(result.analysis.assessment.code))
            for column, item in enumerate((name, verdict)):
                table.setItem(row, column, item)
        table.setCurrentCell(self._nodes.index(shown) if shown in self._nodes else -1, RUN)
        table.setFixedHeight(HEADER_HEIGHT + min(MAX_ROWS, max(1, len(self._nodes))) * ROW_HEIGHT + 4)
        table.setVisible(len(self._nodes) > 1)
        table.blockSignals(blocked)

    def _onClicked(self, row: int) -> None:
        if row < len(self._nodes):
            self._selected(self._nodes[row])
