"""The current row of a table stays in view when the table becomes lower, because a box above it was unfolded."""

from __future__ import annotations

import qt


class RowInView(qt.QObject):
    """Scrolls a table after a change of its size, if its current row was in view before.

    Args:
        table: The table.
    """

    def __init__(self, table: qt.QTableWidget) -> None:
        qt.QObject.__init__(self)
        self._table = table
        table.installEventFilter(self)

    def eventFilter(self, _watched: qt.QObject, event: qt.QEvent) -> bool:
        if event.type() == qt.QEvent.Resize and self._isInView():
            qt.QTimer.singleShot(0, self._scroll)  # after the table has taken its new size
        return False

    def _isInView(self) -> bool:
        item = self._table.item(self._table.currentRow(), 0)
        return item is not None and 0 <= self._table.visualItemRect(item).top() < self._table.viewport().height

    def _scroll(self) -> None:
        item = self._table.item(self._table.currentRow(), 0)
        if item is not None:
            self._table.scrollToItem(item)
