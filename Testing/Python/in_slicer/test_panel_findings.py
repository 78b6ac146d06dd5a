"""Findings as a reader works through them: a list, a key for each decision, undone by the history of the editor."""

import numpy as np
import pytest

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An empty folder of weights."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture
def analyzed(shell, panel):
    """A head with a bleed of 20 mL at its left, to which a small one at its right is painted."""
    import slicer

    from ICHSegmenterSlicer.scene.sample import addPhantom

    volumeNode = addPhantom("Head", pixels=96, slices=14).volumeNode
    panel.ui.inputSelector.setCurrentNode(volumeNode)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    node = panel.shown.segmentationNode
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)
    columns = np.nonzero(mask)[2]
    low = 95 - int(columns.max()) if columns.mean() > 48 else 95 - int(columns.min())
    mask[8, 44:49, low : low + 5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, volumeNode)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 2, 5, "the second finding")
    return volumeNode, node, segmentId


def cells(table):
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def voxels(analyzed):
    import slicer

    volumeNode, node, segmentId = analyzed
    return int((slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode) > 0).sum())


def press(shell, panel, key, modifier=None):
    from PySide6 import QtCore, QtTest

    panel.parent.window().activateWindow()
    shell.process(0.1)
    panel.ui.findingsTable.setFocus()
    shell.process(0.1)
    QtTest.QTest.keyClick(panel.ui.findingsTable, key, modifier or QtCore.Qt.NoModifier)
    shell.process()


def test_pieces_are_listed_by_size_with_side_milliliters_density_and_slices(panel, analyzed):
    rows = cells(panel.ui.findingsTable)
    assert rows[0][0].startswith("ICH left")
    assert rows[1][0].startswith("ICH right")
    assert float(rows[0][1]) > 15 > float(rows[1][1])
    assert float(rows[0][2]) == pytest.approx(59, abs=3)
    assert rows[1][3] == "9"


def test_a_click_on_a_finding_moves_all_views_to_it(shell, panel, analyzed):
    import slicer
    from PySide6 import QtCore, QtTest

    table = panel.ui.findingsTable
    offsets = []
    for row in (1, 0):
        place = table.visualItemRect(table.item(row, 0)).center()
        QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
        shell.process()
        manager = slicer.app.layoutManager()
        offsets.append([manager.sliceWidget(name).sliceLogic().GetSliceOffset() for name in ("Red", "Yellow")])
    assert np.sign(offsets[0][1]) != np.sign(offsets[1][1])
    assert offsets[0] != offsets[1]


def test_a_key_rejects_a_finding_and_the_editors_history_brings_it_back(shell, panel, analyzed):
    from PySide6 import QtCore

    from ICHSegmenterSlicer.scene.results.edits import tagOf

    before = voxels(analyzed)
    total = panel.ui.segmentTable.item(panel.ui.segmentTable.rowCount - 1, 1).text()
    panel.ui.findingsTable.setCurrentCell(1, 0)
    press(shell, panel, QtCore.Qt.Key_Delete)
    assert before - voxels(analyzed) == 25
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, 5)
    segment = analyzed[1].GetSegmentation().GetSegment(analyzed[2])
    assert tagOf(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"  # what the run made is left
    press(shell, panel, QtCore.Qt.Key_Z, QtCore.Qt.ControlModifier)
    assert voxels(analyzed) == before
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 2, 5)
    assert panel.ui.segmentTable.item(panel.ui.segmentTable.rowCount - 1, 1).text() == total
    press(shell, panel, QtCore.Qt.Key_Z, QtCore.Qt.ControlModifier | QtCore.Qt.ShiftModifier)
    assert before - voxels(analyzed) == 25


def test_a_key_accepts_a_finding_and_goes_on_to_the_next(shell, panel, analyzed):
    from PySide6 import QtCore

    panel.ui.findingsTable.setCurrentCell(0, 0)
    press(shell, panel, QtCore.Qt.Key_A)
    assert [row[4] for row in cells(panel.ui.findingsTable)] == ["✓", ""]
    assert panel.ui.findingsTable.currentRow() == 1


def test_an_accepted_finding_that_is_changed_is_accepted_no_more(shell, panel, analyzed):
    import slicer

    panel.ui.findingsTable.setCurrentCell(1, 0)
    shell.click(panel.ui.acceptButton)
    assert [row[4] for row in cells(panel.ui.findingsTable)] == ["", "✓"]
    volumeNode, node, segmentId = analyzed
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)
    mask[9][mask[8] > 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, volumeNode)
    shell.waitUntil(lambda: cells(panel.ui.findingsTable)[1][4] == "", 5)


def test_keys_go_from_finding_to_finding_and_around(shell, panel, analyzed):
    from PySide6 import QtCore, QtTest

    table = panel.ui.findingsTable
    rows = []
    panel.parent.window().activateWindow()
    panel.ui.resultButton.setFocus()
    shell.process(0.2)
    for key in (QtCore.Qt.Key_Down, QtCore.Qt.Key_Down, QtCore.Qt.Key_Down, QtCore.Qt.Key_Up):
        QtTest.QTest.keyClick(panel.ui.resultButton, key, QtCore.Qt.ControlModifier)
        shell.process()
        rows.append(table.currentRow())
    assert rows in ([0, 1, 0, 1], [1, 0, 1, 0])


# ---- the strip


def test_the_strip_marks_the_slice_that_the_views_show(shell, panel, analyzed):
    import slicer

    strip, result = panel.shown._table._strip, panel.shown._result
    for index in (3, 10):
        point = result.pointRas(index)
        slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").JumpSliceByOffsetting(*(float(one) for one in point))
        shell.process()
        assert strip._rows[strip._current].index == index


def test_pointing_at_the_strip_names_slice_value_type_and_milliliters(shell, panel, analyzed):
    from PySide6 import QtCore, QtGui, QtWidgets

    strip = panel.shown._table._strip
    position = next(n for n, row in enumerate(strip._rows) if row.bloodMl > 1)
    left, step = strip._scale()
    place = QtCore.QPointF(left + (position + 0.5) * step, 20)
    none = QtCore.Qt.NoButton
    event = QtGui.QMouseEvent(QtCore.QEvent.MouseMove, place, place, none, none, QtCore.Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(strip, event)
    row = strip._rows[position]
    assert strip.toolTip == f"Slice {row.number}: {row.value:.2f} · ICH · {row.bloodMl:.1f} mL"
