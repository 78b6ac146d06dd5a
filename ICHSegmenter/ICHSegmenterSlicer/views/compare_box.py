"""The box "Compare methods" of the panel: the methods to compare, and the table of their agreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.agreement import Agreement
from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.weights import store
from ICHSegmenterSlicer.scene.results import compared_results
from ICHSegmenterSlicer.scene.results.runs import editedMl
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views.results.result_box import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable, swatch
from ICHSegmenterSlicer.views.results.verdict_text import methodText
from ICHSegmenterSlicer.views.side_by_side import SideBySide
from ICHSegmenterSlicer.views.whole_text import setWholeText
from ICHSegmenterSlicer.words.failure_text import failureText

METHOD, VOLUME, FIRST_DICE = range(3)
VOTE_COLOR = (216, 60, 40)
NO_VALUE = "–"


class ComparisonView:
    """The box.

    Args:
        ui: The panel's widgets by name.
        changed: Called when other methods were checked.
        shown: Called with the result node of the row that was clicked.
    """

    def __init__(self, ui: Any, changed: Callable[[], None], shown: Callable[[slicer.vtkMRMLTextNode], None]) -> None:
        self._ui = ui
        self._changed = changed
        self._shown = shown
        self._voted: slicer.vtkMRMLTextNode | None = None
        self._rows: list[slicer.vtkMRMLTextNode] = []
        self._madeMl: list[float | None] = []
        self._sideBySide = SideBySide()
        ui.sideBySideButton.connect("toggled(bool)", self._onSideBySide)
        ui.compareComboBox.connect("checkedIndexesChanged()", self._onChecked)
        ui.agreementTable.connect("currentCellChanged(int,int,int,int)", self._onCurrentRow)
        self.offer()
        self.show(None, None)

    @property
    def methods(self) -> tuple[str, ...]:
        """The checked methods, in the order of the table of methods."""
        box = self._ui.compareComboBox
        rows = [n for n in range(box.count) if box.checkState(box.model().index(n, 0)) == qt.Qt.Checked]
        return tuple(box.itemData(n) for n in rows)

    def choose(self, methods: tuple[str, ...]) -> None:
        """Check these methods."""
        box = self._ui.compareComboBox
        blocked = box.blockSignals(True)
        for row in range(box.count):
            state = qt.Qt.Checked if box.itemData(row) in methods else qt.Qt.Unchecked
            box.setCheckState(box.model().index(row, 0), state)
        box.blockSignals(blocked)
        self._nameChecked()

    def offer(self) -> None:
        """List the methods that can run now; those that were checked stay so."""
        box = self._ui.compareComboBox
        ready = [card for card in method_cards().values() if store.is_ready(card)]
        if [card.name for card in ready] == [box.itemData(n) for n in range(box.count)]:
            return
        checked = self.methods
        blocked = box.blockSignals(True)
        box.clear()
        for card in ready:
            box.addItem(card.title, card.name)
        box.blockSignals(blocked)
        self.choose(checked)

    def show(self, voted: slicer.vtkMRMLTextNode | None, shown: slicer.vtkMRMLTextNode | None) -> None:
        """Fill the table.

        Args:
            voted: Result node of the vote, None to show nothing.
            shown: The result that the panel shows; its row is marked if it is among these.

        Raises:
            ResultError: A result cannot be read.
        """
        agreement = None if voted is None else StoredResult.fromNode(voted).agreement
        rows = [] if agreement is None else compared_results.resultNodes(voted)
        results = [StoredResult.fromNode(node) for node in rows]
        table = self._ui.agreementTable
        blocked = table.blockSignals(True)
        if voted is not self._voted:
            self._ui.sideBySideButton.setChecked(False)
        self._voted = voted
        self._rows, self._madeMl = [], []
        for widget in (table, self._ui.agreementLabel):
            widget.setVisible(agreement is not None)
        if agreement is not None:
            self._rows = [*rows, voted]
            self._madeMl = [agreement.methods[one.analysis.provenance.method].blood_ml for one in results]
            self._madeMl.append(agreement.vote_ml)
            self._fill(agreement, results)
            self.markEdits()
            compared_results.fill(voted, shown)
        self._ui.sideBySideButton.setVisible(len(self._outlined) > 1)
        table.setCurrentCell(self._rows.index(shown) if shown in self._rows else -1, METHOD)
        table.blockSignals(blocked)

    def markEdits(self) -> None:
        """Write what is outlined now; agreement is that of the outlines as they were made."""
        for row, (node, madeMl) in enumerate(zip(self._rows, self._madeMl, strict=True)):
            nowMl = editedMl(node)
            text = NO_VALUE if madeMl is None else f"{madeMl:.1f}"
            if nowMl is not None:
                text = _("{volume:.1f} (edited)").format(volume=nowMl)
            self._ui.agreementTable.setItem(row, VOLUME, cell(text, right=True))

    def _fill(self, agreement: Agreement, results: Sequence[StoredResult]) -> None:
        table = self._ui.agreementTable
        numbers = {name: n for n, name in enumerate(agreement.methods, start=1)}
        headings = (_("Method"), _("mL"), *(_("Dice {n}").format(n=numbers[name]) for name in agreement.outlining))
        prepareTable(table, headings, METHOD)
        table.setRowCount(len(self._rows))
        for row, result in enumerate(results):
            name = result.analysis.provenance.method
            self._fillMethod(row, numbers[name], result, agreement)
        self._fillVote(len(self._rows) - 1, len(headings))
        table.setFixedHeight(HEADER_HEIGHT + len(self._rows) * ROW_HEIGHT + 4)
        failed = [f"⚠ {failure.method}: {failureText(failure)}" for failure in agreement.failures]
        text = _("Dice: overlap of two outlines as made, 0 none to 1 the same. Click a row to see that result.")
        self._ui.agreementLabel.setText("<br>".join((f"<small>{text}</small>", *failed)))

    def _fillMethod(self, row: int, number: int, result: StoredResult, agreement: Agreement) -> None:
        name = result.analysis.provenance.method
        summary = agreement.methods[name]
        title = cell(f"{number}  {summary.title}")
        title.setIcon(qt.QIcon(swatch(compared_results.colorOf(number - 1))))
        title.setToolTip(f"{title.text()}\n{methodText(result)}")
        self._ui.agreementTable.setItem(row, METHOD, title)
        for column, other in enumerate(agreement.outlining, start=FIRST_DICE):
            isPair = name in agreement.outlining and name != other
            dice = f"{agreement.dice(name, other):.2f}" if isPair else NO_VALUE
            self._ui.agreementTable.setItem(row, column, cell(dice, right=True))

    def _fillVote(self, row: int, columns: int) -> None:
        table = self._ui.agreementTable
        title = cell(_("Majority vote"))
        title.setIcon(qt.QIcon(swatch(VOTE_COLOR)))
        table.setItem(row, METHOD, title)
        for column in range(FIRST_DICE, columns):
            table.setItem(row, column, cell(""))

    def _onChecked(self) -> None:
        self._nameChecked()
        self._changed()

    def _nameChecked(self) -> None:
        """The closed list has room for one or two titles: the tooltip says all that are checked."""
        box, checked = self._ui.compareComboBox, self.methods
        setWholeText(box, ", ".join(box.itemText(n) for n in range(box.count) if box.itemData(n) in checked))

    @property
    def _outlined(self) -> list[slicer.vtkMRMLTextNode]:
        """The results of methods that have an outline."""
        return [node for node in self._rows if node is not self._voted and node.GetNodeReference("segmentation")]

    def _onSideBySide(self, checked: bool) -> None:
        """The method of the marked row at the left, another one at the right."""
        if not checked:
            self._sideBySide.stop()
            return
        row, methods = self._ui.agreementTable.currentRow(), self._outlined
        first = self._rows[row] if 0 <= row < len(self._rows) and self._rows[row] in methods else methods[0]
        second = next(node for node in methods if node is not first)
        others = [node for node in self._rows if node not in (first, second) and node.GetNodeReference("segmentation")]
        left, right, *rest = (node.GetNodeReference("segmentation") for node in (first, second, *others))
        self._sideBySide.start(left, right, rest)
        titles = [StoredResult.fromNode(node).analysis.provenance.title for node in (first, second)]
        self._ui.agreementLabel.setText(_("Left: {left}<br>Right: {right}").format(left=titles[0], right=titles[1]))

    def _onCurrentRow(self, row: int) -> None:
        if 0 <= row < len(self._rows):
            compared_results.fill(self._voted, self._rows[row])
            self._shown(self._rows[row])
