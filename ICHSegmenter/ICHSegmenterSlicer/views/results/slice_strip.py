"""A strip with a bar a slice: the method's value for blood there. A click goes to the slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from ICHSegmenterSlicer.scene.results.stored_result import SliceRow

HEIGHT = 60
MARGIN = 4
FOOT = 14
"""Pixels below the bars for slice numbers."""
BLOOD_HEIGHT = 5
"""Pixels below the bars, filled where blood is outlined now."""
POSITIVE = "#d8453a"
BLOOD = "#b01030"
NEGATIVE = "#8a97a6"
CURRENT = "#3c2f7de1"
"""Alpha first."""


class SliceStrip(qt.QWidget):
    """Bars of "any" probability in ascending slice order, the threshold as a line, below them where blood is outlined.

    Args:
        clicked: Called with the position in the rows that was clicked.
    """

    def __init__(self, clicked: Callable[[int], None]) -> None:
        qt.QWidget.__init__(self)
        self._clicked = clicked
        self._rows: Sequence[SliceRow] = ()
        self._threshold = 0.5
        self._current = -1
        self.setMouseTracking(True)
        self.setMinimumHeight(HEIGHT)
        self.setMaximumHeight(HEIGHT)

    def setRows(self, rows: Sequence[SliceRow], threshold: float, current: int = -1) -> None:
        """Show these slices, the one nearest to the feet first; `current` is the position of the marked one."""
        self._rows = rows
        self._threshold = threshold
        self._current = current
        self.update()

    def setCurrent(self, position: int) -> None:
        """Mark the slice that the views show, -1 for none."""
        if position != self._current:
            self._current = position
            self.update()

    def mousePressEvent(self, event: qt.QMouseEvent) -> None:
        if self._rows:
            self._clicked(self._positionAt(event.pos().x()))

    def mouseMoveEvent(self, event: qt.QMouseEvent) -> None:
        if self._rows:
            self.setToolTip(_rowText(self._rows[self._positionAt(event.pos().x())]))

    def paintEvent(self, _event: qt.QPaintEvent) -> None:
        if not self._rows:
            return
        painter = qt.QPainter(self)
        left, step = self._scale()
        bottom = self.height - FOOT - BLOOD_HEIGHT
        full = bottom - MARGIN
        gap = 1 if step >= 4 else 0
        for position, row in enumerate(self._rows):
            x = left + position * step
            if position == self._current:
                painter.fillRect(int(x), MARGIN, max(2, int(step)), full, qt.QColor(CURRENT))
            height = max(1, int(full * row.value))
            color = POSITIVE if row.isPositive else NEGATIVE
            width = max(1, int(step) - gap)
            painter.fillRect(int(x), bottom - height, width, height, qt.QColor(color))
            if row.bloodMl > 0:
                painter.fillRect(int(x), bottom + 1, width, BLOOD_HEIGHT - 1, qt.QColor(BLOOD))
        text = self.palette.color(qt.QPalette.WindowText)
        pen = qt.QPen(text)
        pen.setStyle(qt.Qt.DotLine)
        painter.setPen(pen)
        line = bottom - int(full * self._threshold)
        painter.drawLine(int(left), line, int(left + step * len(self._rows)), line)
        painter.setPen(qt.QPen(text))
        font = qt.QFont(self.font)
        font.setPixelSize(10)
        painter.setFont(font)
        for position in {0, len(self._rows) - 1} | ({self._current} if self._current >= 0 else set()):
            x = min(int(left + position * step), self.width - 22)
            painter.drawText(x, self.height - 2, str(self._rows[position].number))
        painter.end()

    def _positionAt(self, x: int) -> int:
        """Position in the rows of the slice that is drawn at a pixel."""
        left, step = self._scale()
        return min(max(int((x - left) / step), 0), len(self._rows) - 1)

    def _scale(self) -> tuple[float, float]:
        """(left edge, width of a slice) in pixels."""
        return MARGIN, max(1.0, (self.width - 2 * MARGIN) / len(self._rows))


def _rowText(row: SliceRow) -> str:
    """A slice in a few words."""
    parts = [_("Slice {number}: {value:.2f}").format(number=row.number, value=row.value)]
    if row.type:
        parts.append(row.type)
    if row.bloodMl > 0:
        parts.append(_("{volume:.1f} mL").format(volume=row.bloodMl))
    return " · ".join(parts)
