"""A strip with a column a slice: a bar for blood, a row for each subtype. A click goes to the slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterSlicer.scene.results.stored_result import SliceRow

HEIGHT = 60
MARGIN = 4
FOOT = 14
"""Pixels below the bars for slice numbers."""
BLOOD_HEIGHT = 5
"""Pixels below the bars, filled where blood is outlined now."""
LABEL_HEIGHT = 9
"""Pixels of the row of a subtype."""
NUMBER_WIDTH = 22
"""Pixels of a slice number; what would overlap is left out."""
WIDE = 4
"""Pixels of a column from which there is a gap to the next."""
LABEL_WIDTH = 26
"""Pixels at the left for their names."""
MIN_SAID = 0.05
"""Less of a subtype is not said of a slice."""
POSITIVE = "#d8453a"
BLOOD = "#b01030"
NEGATIVE = "#8a97a6"
CURRENT, HOVERED = "#3c2f7de1", "#282f7de1"
"""Alpha first."""


class SliceStrip(qt.QWidget):
    """Columns in ascending slice order: a bar for "any", where blood is outlined now, a row for each subtype.

    Args:
        clicked: Called with the position in the rows that was clicked.
    """

    def __init__(self, clicked: Callable[[int], None]) -> None:
        qt.QWidget.__init__(self)
        self._clicked = clicked
        self._rows: Sequence[SliceRow] = ()
        self._labels: tuple[str, ...] = ()
        self._threshold = 0.5
        self._current = self._hovered = -1
        self.setMouseTracking(True)
        self.setRows((), 0.5)

    def setRows(self, rows: Sequence[SliceRow], threshold: float, current: int = -1) -> None:
        """Show these slices, the one nearest to the feet first; `current` is the position of the marked one."""
        self._rows = rows
        self._labels = tuple(rows[0].subtypes) if rows else ()
        self._threshold = threshold
        self._current, self._hovered = current, -1
        height = HEIGHT + len(self._labels) * LABEL_HEIGHT
        self.setMinimumHeight(height)
        self.setMaximumHeight(height)
        self.update()

    @property
    def currentIndex(self) -> int | None:
        """Array index of the marked slice."""
        return self._rows[self._current].index if 0 <= self._current < len(self._rows) else None

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
            self._hovered = self._positionAt(event.pos().x())
            self.setToolTip(_rowText(self._rows[self._hovered]))
            self.update()

    def leaveEvent(self, _event: qt.QEvent) -> None:
        self._hovered = -1
        self.update()

    def paintEvent(self, _event: qt.QPaintEvent) -> None:
        if not self._rows:
            return
        painter = qt.QPainter(self)
        font = qt.QFont(self.font)
        font.setPixelSize(10)
        painter.setFont(font)
        self._paintBars(painter)
        self._paintLabels(painter)
        self._paintNumbers(painter)
        painter.end()

    def _paintBars(self, painter: qt.QPainter) -> None:
        left, step, width = *self._scale(), self._columnWidth()
        full = HEIGHT - FOOT - BLOOD_HEIGHT - MARGIN
        bottom = MARGIN + full
        whole = full + BLOOD_HEIGHT + len(self._labels) * LABEL_HEIGHT
        for position, color in ((self._hovered, HOVERED), (self._current, CURRENT)):
            if position >= 0:
                painter.fillRect(int(left + position * step), MARGIN, max(2, int(step)), whole, qt.QColor(color))
        for position, row in enumerate(self._rows):
            x = int(left + position * step)
            height = max(1, int(full * row.value))
            painter.fillRect(x, bottom - height, width, height, qt.QColor(POSITIVE if row.isPositive else NEGATIVE))
            if row.bloodMl > 0:
                painter.fillRect(x, bottom + 1, width, BLOOD_HEIGHT - 1, qt.QColor(BLOOD))
        pen = qt.QPen(self.palette.color(qt.QPalette.WindowText))
        pen.setStyle(qt.Qt.DotLine)
        painter.setPen(pen)
        line = bottom - int(full * self._threshold)
        painter.drawLine(int(left), line, int(left + step * len(self._rows)), line)

    def _paintLabels(self, painter: qt.QPainter) -> None:
        """A row for each subtype, the more of its color the surer the method is."""
        left, step, width = *self._scale(), self._columnWidth()
        painter.setPen(qt.QPen(self.palette.color(qt.QPalette.WindowText)))
        for line, key in enumerate(self._labels):
            y = HEIGHT - FOOT + line * LABEL_HEIGHT
            painter.drawText(MARGIN, y + LABEL_HEIGHT - 1, key)
            painter.fillRect(int(left), y, int(step * len(self._rows)), LABEL_HEIGHT - 1, qt.QColor(128, 128, 128, 40))
            for position, row in enumerate(self._rows):
                alpha = round(255 * row.subtypes.get(key, 0.0))
                color = qt.QColor(*SEGMENT_LABELS[key].color, alpha)
                painter.fillRect(int(left + position * step), y, width, LABEL_HEIGHT - 1, color)

    def _paintNumbers(self, painter: qt.QPainter) -> None:
        """The number of the first and the last slice, and of those that are current and pointed at."""
        left, step = self._scale()
        painter.setPen(qt.QPen(self.palette.color(qt.QPalette.WindowText)))
        taken: list[int] = []
        marked = [position for position in (self._current, self._hovered) if position >= 0]
        for position in (*marked, 0, len(self._rows) - 1):
            x = min(int(left + position * step), self.width - NUMBER_WIDTH)
            if all(abs(x - other) >= NUMBER_WIDTH for other in taken):
                painter.drawText(x, self.height - 2, str(self._rows[position].number))
                taken.append(x)

    def _columnWidth(self) -> int:
        """Pixels of a column, without the gap where there is room for one."""
        step = self._scale()[1]
        return max(1, int(step) - (1 if step >= WIDE else 0))

    def _positionAt(self, x: int) -> int:
        """Position in the rows of the slice that is drawn at a pixel."""
        left, step = self._scale()
        return min(max(int((x - left) / step), 0), len(self._rows) - 1)

    def _scale(self) -> tuple[float, float]:
        """(left edge, width of a slice) in pixels; less than one of a scan of hundreds of slices."""
        left = MARGIN + (LABEL_WIDTH if self._labels else 0)
        return left, (self.width - left - MARGIN) / max(1, len(self._rows))


def _rowText(row: SliceRow) -> str:
    """A slice in a few words."""
    parts = [_("Slice {number}: {value:.2f}").format(number=row.number, value=row.value)]
    if row.type:
        parts.append(row.type)
    if row.bloodMl > 0:
        parts.append(_("{volume:.1f} mL").format(volume=row.bloodMl))
    said = [f"{key} {value:.2f}" for key, value in row.subtypes.items() if value >= MIN_SAID]
    return " · ".join(parts) + "".join(f"\n{line}" for line in said)
