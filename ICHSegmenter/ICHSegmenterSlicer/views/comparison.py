"""The box "Compare methods" of the panel: which methods, and the table of what they agree on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterSlicer import comparison
from ICHSegmenterSlicer.views.method import isReady
from ICHSegmenterSlicer.views.results import HEADER_HEIGHT, ROW_HEIGHT, cell, prepareTable, swatch

METHOD, VOLUME, FIRST_DICE = range(3)
VOTE_COLOR = (216, 60, 40)


class ComparisonView:
    """Chooses methods, shows their agreement.

    Args:
        ui: The panel's widgets by name.
        changed: Called when other methods were chosen.
        shown: Called with the result node of the row that was chosen.
    """

    def __init__(self, ui: Any, changed: Callable[[], None], shown: Callable[[Any], None]) -> None:
        self._ui = ui
        self._changed = changed
        self._shown = shown
        self._voted: Any | None = None
        self._rows: list[Any] = []
        ui.compareComboBox.connect("checkedIndexesChanged()", changed)
        ui.agreementTable.connect("currentCellChanged(int,int,int,int)", self._onCurrentRow)
        self.offer()
        self.show(None, None)

    @property
    def methods(self) -> tuple[str, ...]:
        """The chosen methods, in the order of the table of methods."""
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

    def offer(self) -> None:
        """List the methods that can run now; those that were checked stay so."""
        box = self._ui.compareComboBox
        ready = [card for card in method_cards().values() if isReady(card)]
        if [card.name for card in ready] == [box.itemData(n) for n in range(box.count)]:
            return
        checked = self.methods
        blocked = box.blockSignals(True)
        box.clear()
        for card in ready:
            box.addItem(card.title, card.name)
        box.blockSignals(blocked)
        self.choose(checked)

    def show(self, voted: Any | None, shown: Any | None) -> None:
        """Fill the table.

        Args:
            voted: Result node of the vote, None to show nothing.
            shown: The result that the panel shows; its row is marked if it is one of these.
        """
        table = self._ui.agreementTable
        blocked = table.blockSignals(True)
        self._voted = voted
        self._rows = []
        for widget in (table, self._ui.agreementLabel):
            widget.setVisible(voted is not None)
        if voted is not None:
            self._rows = [*comparison.resultNodes(voted), voted]
            self._fill(json.loads(voted.GetText())["agreement"])
            comparison.fill(voted, shown)
        table.setCurrentCell(self._rows.index(shown) if shown in self._rows else -1, METHOD)
        table.blockSignals(blocked)

    def _fill(self, agreement: dict[str, Any]) -> None:
        table = self._ui.agreementTable
        methods, outlining = agreement["methods"], agreement["vote"]["of"]
        names = [*(comparison.methodOf(node) for node in self._rows[:-1])]
        numbers = {name: n for n, name in enumerate(methods, start=1)}
        headings = (_("Method"), _("mL"), *(_("Dice {n}").format(n=numbers[name]) for name in outlining))
        prepareTable(table, headings, METHOD)
        table.setRowCount(len(self._rows))
        dice = {(one["first"], one["second"]): one["dice"] for one in agreement["dice"]}
        for row, name in enumerate(names):
            title = cell(f"{numbers[name]}  {methods[name]['title']}")
            title.setIcon(qt.QIcon(swatch(comparison.colorOf(numbers[name] - 1))))
            title.setToolTip(methods[name]["verdict"])
            blood = methods[name].get("blood_ml")
            values = ["–" if blood is None else f"{blood:.1f}"]
            for other in outlining:
                value = dice.get((name, other), dice.get((other, name)))
                values.append("–" if value is None else f"{value:.2f}")
            for column, one in enumerate((title, *(cell(text, right=True) for text in values))):
                table.setItem(row, column, one)
        vote = cell(_("Majority vote"))
        vote.setIcon(qt.QIcon(swatch(VOTE_COLOR)))
        last = len(self._rows) - 1
        table.setItem(last, METHOD, vote)
        table.setItem(last, VOLUME, cell(f"{agreement['vote']['blood_ml']:.1f}", right=True))
        for column in range(FIRST_DICE, len(headings)):
            table.setItem(last, column, cell(""))
        table.setFixedHeight(HEADER_HEIGHT + len(self._rows) * ROW_HEIGHT + 4)
        failed = [f"⚠ {one['method']}: {one['message']}" for one in agreement["failures"]]
        text = _("Dice: overlap of two outlines, 0 none to 1 the same. Click a row to see that result.")
        self._ui.agreementLabel.setText("<br>".join((f"<small>{text}</small>", *failed)))

    def _onCurrentRow(self, row: int) -> None:
        if 0 <= row < len(self._rows):
            comparison.fill(self._voted, self._rows[row])
            self._shown(self._rows[row])
