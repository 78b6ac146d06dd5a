"""Behavior of the segments table: visibility, color, opacity and name of each segment."""

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from SlicerShell.api import cxx
from SlicerShell.observing import Observer

VISIBLE, COLOR, OPACITY, NAME = range(4)
HEADERS = ("", "", "Opacity", "Name")


class qMRMLSegmentsTableView(cxx("qMRMLSegmentsTableView")):
    _EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._segmentation, self._hidden, self._filling = None, (), False
        self._observer = Observer(self)
        self._table = QtWidgets.QTableWidget(0, len(HEADERS))
        self._table.setHorizontalHeaderLabels(HEADERS)
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self._table.verticalHeader().hide()
        self._table.horizontalHeader().setSectionResizeMode(NAME, QtWidgets.QHeaderView.Stretch)
        for column, width in ((VISIBLE, 26), (COLOR, 26), (OPACITY, 60)):
            self._table.setColumnWidth(column, width)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.itemChanged.connect(lambda item: self._onEdited(item))
        self._table.selectionModel().selectionChanged.connect(lambda new, old: self.selectionChanged.emit(new, old))

    def segmentationNode(self):
        return self._segmentation

    def setSegmentationNode(self, node):
        self._segmentation = node
        self._observer.clear()
        if node:
            for event in self._EVENTS:
                self._observer.add(node, getattr(slicer.vtkSegmentation, event), lambda *_: self._fill())
            self._observer.add(node, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, lambda *_: self._fill())
        self._fill()

    segmentCount = property(lambda self: self._table.rowCount)

    def displayedSegmentIDs(self):
        return tuple(self.segmentIDForRow(row) for row in range(self._table.rowCount))

    def segmentIDForRow(self, row):
        item = self._table.item(row, NAME)
        return item.data(QtCore.Qt.UserRole) if item else ""

    def rowForSegmentID(self, segmentID):
        ids = self.displayedSegmentIDs()
        return ids.index(segmentID) if segmentID in ids else -1

    def selectedSegmentIDs(self):
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return tuple(self.segmentIDForRow(row) for row in rows)

    def setSelectedSegmentIDs(self, segmentIDs):
        self._table.clearSelection()
        for segmentID in segmentIDs:
            self._table.selectRow(self.rowForSegmentID(segmentID))

    def clearSelection(self):
        self._table.clearSelection()

    def setHideSegments(self, segmentIDs):
        self._hidden = tuple(segmentIDs)
        self._fill()

    def hideSegments(self):
        return self._hidden

    def tableWidget(self):
        return self._table

    def setSelectionMode(self, mode):
        self.selectionMode = mode
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(mode))

    def _fill(self):
        self._filling = True
        selected = self.selectedSegmentIDs()
        self._table.setRowCount(0)
        node = self._segmentation
        segmentation = node.GetSegmentation() if node else None
        shown = [i for i in segmentation.GetSegmentIDs() if i not in self._hidden] if segmentation else []
        for row, segmentID in enumerate(shown):
            self._table.insertRow(row)
            self._fillRow(row, segmentID, segmentation.GetSegment(segmentID), node.GetDisplayNode())
        self._filling = False
        self.setSelectedSegmentIDs([s for s in selected if s in shown])

    def _fillRow(self, row, segmentID, segment, display):
        visible, color, opacity, name = (QtWidgets.QTableWidgetItem() for _ in HEADERS)
        shown = display.GetSegmentVisibility(segmentID) if display else True
        visible.setCheckState(QtCore.Qt.Checked if shown else QtCore.Qt.Unchecked)
        color.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
        opacity.setText(f"{display.GetSegmentOpacity3D(segmentID):.2f}" if display else "")
        name.setText(segment.GetName())
        name.setData(QtCore.Qt.UserRole, segmentID)
        for item in (color, opacity):
            item.setFlags(QtCore.Qt.ItemIsEnabled | QtCore.Qt.ItemIsSelectable)
        for column, item in enumerate((visible, color, opacity, name)):
            self._table.setItem(row, column, item)

    def _onEdited(self, item):
        if self._filling or self._segmentation is None:
            return
        segmentID = self.segmentIDForRow(item.row())
        if item.column() == NAME:
            self.segmentAboutToBeModified.emit(segmentID)
            self._segmentation.GetSegmentation().GetSegment(segmentID).SetName(item.text())
        elif item.column() == VISIBLE:
            shown = item.checkState() == QtCore.Qt.Checked
            self._segmentation.GetDisplayNode().SetSegmentVisibility(segmentID, shown)
