"""The result box of the panel: verdict, volumes, slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from ICHSegmenterLib.verdict import VerdictCode
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.results.stored_result import SliceRow, StoredResult
from ICHSegmenterSlicer.views.results.row_in_view import RowInView
from ICHSegmenterSlicer.views.results.segment_rows import SegmentRow, rowsAsMade, rowsNow
from ICHSegmenterSlicer.views.results.slice_strip import NEGATIVE, POSITIVE, SliceStrip
from ICHSegmenterSlicer.views.results.verdict_text import verdictCode, verdictLines

BAR_WIDTH, BAR_HEIGHT = 60, 10
ROW_HEIGHT, HEADER_HEIGHT = 22, 26
NAME, DENSITY = 0, 2
NUMBER, PROBABILITY, TYPE, BLOOD = range(4)
BADGES = {
    VerdictCode.SUSPECTED: ("!", POSITIVE),
    VerdictCode.POSSIBLE: ("?", "#b26a00"),
    VerdictCode.NONE_FOUND: ("–", NEGATIVE),
}
"""Sign and color of each verdict."""
MIN_SHOWN_ML = 0.05
"""Less blood is written as less than a tenth."""


class ResultsView:
    """Fills the widgets of the result box.

    Args:
        ui: The panel's widgets by name.
        jump: Called with the array index of a slice that the user clicked.
    """

    def __init__(self, ui: Any, jump: Callable[[int], None]) -> None:
        self._ui = ui
        self._jump = jump
        self._slices: Sequence[SliceRow] = ()
        self._isFilling = self._isOutlined = False
        self._bars: dict[tuple[int, bool], qt.QIcon] = {}
        self._strip = SliceStrip(self.select)
        ui.sliceStripFrame.layout().addWidget(self._strip)
        prepareTable(ui.segmentTable, (_("Segment"), _("mL"), _("HU"), _("Slices")), NAME)
        ui.segmentTable.horizontalHeaderItem(DENSITY).setToolTip(_("Mean density in Hounsfield units"))
        prepareTable(ui.sliceTable, (_("Slice"), _("Probability"), _("Type"), _("mL")), TYPE)
        for column, width in ((NUMBER, 48), (PROBABILITY, 114), (BLOOD, 50)):
            ui.sliceTable.horizontalHeader().setSectionResizeMode(column, qt.QHeaderView.Fixed)
            ui.sliceTable.setColumnWidth(column, width)
        ui.sliceTable.setIconSize(qt.QSize(BAR_WIDTH, BAR_HEIGHT))
        ui.sliceTable.connect("currentCellChanged(int,int,int,int)", self._onCurrentRow)
        self._rowInView = RowInView(ui.sliceTable)

    def show(self, result: StoredResult, index: int | None = None) -> None:
        """Fill everything as the run made it; the slice with this array index is current, or none is yet."""
        positions = [n for n, row in enumerate(result.slices) if row.index == index]
        self._fill(result, None, result.slices, rowsAsMade(result), current=positions[0] if positions else -1)
        if positions:
            self._scrollToCurrent()

    def update(self, result: StoredResult, measured: MeasuredSegments) -> None:
        """Fill everything by the segments as they are now; the current row stays, and the slice marked in the strip."""
        slices = (
            result.slicesWith(measured.sliceMl, measured.focuses)
            if measured.segments or result.segmentIds
            else result.slices
        )
        current, marked = self._ui.sliceTable.currentRow(), self._strip.currentIndex
        self._fill(result, measured, slices, rowsNow(result, measured), current=current)
        self.followIndex(marked)  # the views may show another slice than that of the row

    def clear(self) -> None:
        """Show nothing."""
        self._isFilling = True
        self._slices = ()
        for table in (self._ui.segmentTable, self._ui.sliceTable):
            table.setRowCount(0)
        self._strip.setRows((), 0.5)
        self._ui.verdictLabel.setText("")
        self._isFilling = False

    @property
    def selectedIndex(self) -> int | None:
        """Array index of the current row's slice."""
        row = self._ui.sliceTable.currentRow()
        return self._slices[row].index if 0 <= row < len(self._slices) else None

    def select(self, position: int) -> None:
        """Choose a slice by its position in ascending order: table, strip and views follow."""
        self._ui.sliceTable.setCurrentCell(position, NUMBER)

    def selectIndex(self, index: int) -> None:
        """Choose a slice by its array index."""
        positions = [n for n, row in enumerate(self._slices) if row.index == index]
        if positions:
            self.select(positions[0])

    def followIndex(self, index: int | None) -> None:
        """Mark the slice that the views show in the strip, by its array index."""
        positions = [n for n, row in enumerate(self._slices) if row.index == index]
        self._strip.setCurrent(positions[0] if positions else -1)

    def _fill(
        self,
        result: StoredResult,
        measured: MeasuredSegments | None,
        slices: Sequence[SliceRow],
        segments: Sequence[SegmentRow],
        *,
        current: int,
    ) -> None:
        self._isFilling = True
        before, self._slices = self._slices, slices
        self._isOutlined = bool(segments or result.segmentIds)
        self._ui.verdictLabel.setText("<br>".join(verdictLines(result, measured)))
        self._ui.verdictIcon.setPixmap(_badge(*BADGES[verdictCode(result, measured)]))
        self._showSegments(segments)
        detection = result.analysis.detection
        threshold = detection.threshold if detection.slice_threshold is None else detection.slice_threshold
        self._strip.setRows(slices, threshold, current)
        if [_detected(row) for row in before] == [_detected(row) for row in slices] and measured is not None:
            self._updateSlices(before)
        else:
            self._showSlices(result.analysis.provenance.value_name, current)
        self._isFilling = False

    def _showSegments(self, rows: Sequence[SegmentRow]) -> None:
        table = self._ui.segmentTable
        table.setRowCount(len(rows))
        for row, shown in enumerate(rows):
            name = cell(shown.name)
            name.setToolTip(shown.name)
            name.setData(qt.Qt.UserRole, shown.segmentId)
            if shown.color is not None:
                name.setIcon(qt.QIcon(swatch(shown.color)))
            numbers = (cell(text, right=True) for text in (shown.volume, shown.density, shown.extent))
            for column, item in enumerate((name, *numbers)):
                table.setItem(row, column, item)
        table.setVisible(bool(rows))
        table.setFixedHeight(HEADER_HEIGHT + max(1, len(rows)) * ROW_HEIGHT + 4)

    def _showSlices(self, valueName: str, current: int) -> None:
        table = self._ui.sliceTable
        table.setUpdatesEnabled(False)
        heading = _("Probability") if valueName == "probability" else _("Score")
        table.horizontalHeaderItem(PROBABILITY).setText(heading)
        table.setRowCount(len(self._slices))
        for row, shown in enumerate(self._slices):
            value = cell(f"{shown.value:.2f}")
            value.setIcon(self._bar(shown))
            items = (cell(str(shown.number), right=True), value, cell(shown.type), cell("", right=True))
            for column, item in enumerate(items):
                table.setItem(row, column, item)
            self._writeBlood(row)
        table.setCurrentCell(current, NUMBER if current >= 0 else -1)
        table.setUpdatesEnabled(True)

    def _bar(self, row: SliceRow) -> qt.QIcon:
        """The bar of a value; hundreds of slices share few of them."""
        key = (round(row.value * BAR_WIDTH), row.isPositive)
        if key not in self._bars:
            self._bars[key] = _bar(key[0], isPositive=row.isPositive)
        return self._bars[key]

    def _updateSlices(self, before: Sequence[SliceRow]) -> None:
        """Write what the segments changed; hundreds of other cells stay as they are."""
        for row, (old, new) in enumerate(zip(before, self._slices, strict=True)):
            if old != new:
                self._ui.sliceTable.item(row, TYPE).setText(new.type)
                self._writeBlood(row)

    def _writeBlood(self, row: int) -> None:
        shown, item = self._slices[row], self._ui.sliceTable.item(row, BLOOD)
        item.setText(_bloodText(shown, isOutlined=self._isOutlined))
        isBare = self._isOutlined and shown.isPositive and not shown.bloodMl
        item.setToolTip(_("The method saw blood on this slice; no segment has any there.") if isBare else "")

    def _onCurrentRow(self, row: int) -> None:
        if not self._isFilling and 0 <= row < len(self._slices):
            self._strip.setCurrent(row)
            self._jump(self._slices[row].index)
            qt.QTimer.singleShot(0, self._scrollToCurrent)  # after the panel has laid the table out

    def _scrollToCurrent(self) -> None:
        table = self._ui.sliceTable
        item = table.item(table.currentRow(), NUMBER)
        if item is not None:
            table.scrollToItem(item, qt.QAbstractItemView.PositionAtCenter)


def prepareTable(table: qt.QTableWidget, headings: tuple[str, ...], wide: int) -> None:
    """Give a table columns with headings, column `wide` as wide as it can be, and rows that are selected as a whole."""
    table.setColumnCount(len(headings))
    table.setHorizontalHeaderLabels(headings)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
    table.horizontalHeader().setFixedHeight(HEADER_HEIGHT)
    table.horizontalHeader().setHighlightSections(False)  # bold headings would be cut in a narrow dock
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)  # else the tabulator goes from cell to cell and never leaves
    for column in range(len(headings)):
        mode = qt.QHeaderView.Stretch if column == wide else qt.QHeaderView.ResizeToContents
        table.horizontalHeader().setSectionResizeMode(column, mode)


def cell(text: str, *, right: bool = False) -> qt.QTableWidgetItem:
    """A cell of a table."""
    item = qt.QTableWidgetItem(text)
    if right:
        item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    return item


def _detected(row: SliceRow) -> tuple[int, float, bool]:
    return row.index, row.value, row.isPositive


def _bloodText(row: SliceRow, *, isOutlined: bool) -> str:
    """Nothing beside a slice without blood; a zero where the method saw blood and no segment has any."""
    if row.bloodMl >= MIN_SHOWN_ML:
        return f"{row.bloodMl:.1f}"
    if row.bloodMl > 0:
        return _("< 0.1")
    return "0.0" if row.isPositive and isOutlined else ""


def _bar(length: int, *, isPositive: bool) -> qt.QIcon:
    """A bar of so many pixels."""
    pixmap = _canvas(BAR_WIDTH, BAR_HEIGHT)
    painter = qt.QPainter(pixmap)
    painter.fillRect(0, 0, BAR_WIDTH, BAR_HEIGHT, qt.QColor(128, 128, 128, 50))
    painter.fillRect(0, 0, max(1, length), BAR_HEIGHT, qt.QColor(POSITIVE if isPositive else NEGATIVE))
    painter.end()
    return qt.QIcon(pixmap)


def swatch(color: tuple[int, int, int]) -> qt.QPixmap:
    """A small square of a color."""
    pixmap = _canvas(14, 14)
    painter = qt.QPainter(pixmap)
    painter.fillRect(1, 1, 12, 12, qt.QColor(*color))
    painter.end()
    return pixmap


def _badge(sign: str, color: str) -> qt.QPixmap:
    """A disc with a sign, so that the verdict does not depend on color alone."""
    size = 30
    pixmap = _canvas(size, size)
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    painter.setPen(qt.QPen(qt.Qt.NoPen))
    painter.setBrush(qt.QBrush(qt.QColor(color)))
    painter.drawEllipse(1, 1, size - 2, size - 2)
    font = qt.QFont()
    font.setBold(True)
    font.setPixelSize(20)
    painter.setFont(font)
    painter.setPen(qt.QPen(qt.QColor("white")))
    painter.drawText(qt.QRect(0, 0, size, size), int(qt.Qt.AlignCenter), sign)
    painter.end()
    return pixmap


def _canvas(width: int, height: int) -> qt.QPixmap:
    pixmap = qt.QPixmap(width, height)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    return pixmap
