"""Findings as a reader works through them: a list, a key for each decision, undone by the history of the editor."""

import numpy as np
import pytest

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


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
    assert float(rows[0][2]) > 15 > float(rows[1][2])
    assert float(rows[0][3]) == pytest.approx(59, abs=3)
    assert rows[1][4] == "9"


def test_of_very_many_pieces_the_largest_are_listed_and_the_total_is_that_of_all(shell, panel, analyzed):
    """Specks below the bleeds, as of noise, would come first in the order of slices."""
    import slicer

    from ICHSegmenterSlicer.scene.results.findings import MAX_LISTED

    volumeNode, node, segmentId = analyzed
    before = cells(panel.ui.findingsTable)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)
    mask[0, 2:90:4, 2:90:4] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, volumeNode)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == MAX_LISTED, 60, "the findings")
    shell.waitUntil(lambda: "or more" in panel.ui.measuresLabel.text, 60, "the measures")
    assert [row[0] for row in cells(panel.ui.findingsTable)[:2]] == [row[0] for row in before]
    ml = np.count_nonzero(mask) * np.prod(volumeNode.GetSpacing()) / 1000
    assert f"Total {ml:.1f} mL in {MAX_LISTED} pieces or more" in panel.ui.measuresLabel.text


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
    assert [row[5] for row in cells(panel.ui.findingsTable)] == ["✓", ""]
    assert panel.ui.findingsTable.currentRow() == 1


def test_an_accepted_finding_that_is_changed_is_accepted_no_more(shell, panel, analyzed):
    import slicer

    panel.ui.findingsTable.setCurrentCell(1, 0)
    shell.click(panel.ui.acceptButton)
    assert [row[5] for row in cells(panel.ui.findingsTable)] == ["", "✓"]
    volumeNode, node, segmentId = analyzed
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)
    mask[9][mask[8] > 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, volumeNode)
    shell.waitUntil(lambda: cells(panel.ui.findingsTable)[1][5] == "", 5)


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


def test_a_row_says_how_sure_the_method_is_of_blood_and_of_its_type(panel, analyzed):
    judged = panel.shown._result.analysis.assessment.pieces[0]
    rows = cells(panel.ui.findingsTable)
    assert rows[0][1] == f"{judged.probability:.2f}"
    assert f"this type with {judged.subtype_probability:.0%}" in panel.ui.findingsTable.item(0, 0).toolTip()
    assert rows[1][1] == ""
    assert "drawn or changed by a person" in panel.ui.findingsTable.item(1, 0).toolTip()


def select(shell, panel, row):
    from PySide6 import QtCore, QtTest

    table = panel.ui.findingsTable
    middle = table.visualItemRect(table.item(row, 0)).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, middle)
    shell.process()


def pixels(name="Red"):
    import slicer

    return slicer.app.layoutManager().sliceWidget(name).sliceView()._painter().image().astype(int)


def count(image, color):
    return int((np.abs(image - np.array(color)).max(axis=2) < 60).sum())


CYAN, GREEN = (0, 255, 255), (89, 255, 89)


def test_a_click_on_a_row_outlines_that_finding_and_no_other(shell, panel, analyzed):
    import slicer

    assert panel.shown._findings.outline.node is None
    select(shell, panel, 1)
    outline = panel.shown._findings.outline.node
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(outline, "outline", analyzed[0])
    assert mask.sum() == 25
    assert count(pixels(), CYAN) > 20
    select(shell, panel, 0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(outline, "outline", analyzed[0])
    assert mask.sum() == voxels(analyzed) - 25
    assert not outline.GetSaveWithScene()
    panel.ui.inputSelector.setCurrentNode(None)
    shell.process()
    assert panel.shown._findings.outline.node is None
    assert count(pixels(), CYAN) == 0


# ---- clicks into the views


def blobRas(volumeNode, voxel):
    """RAS of a voxel (slice, row, column)."""
    from ICHSegmenterSlicer.scene.volumes import RAS_TO_LPS, geometryOf

    return geometryOf(volumeNode).ijk_to_lps(voxel[::-1]) * RAS_TO_LPS


@pytest.fixture
def missed(shell, panel, phantom):
    """The analyzed phantom whose bleed was rejected: blood that nothing outlines, at a voxel."""
    from PySide6 import QtCore

    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, 5, "the finding")
    node = panel.shown.segmentationNode
    finding = panel.shown._findings._findings[0]
    at = tuple(int(n) for n in np.argwhere(finding.mask)[finding.mask.sum() // 2] + finding.start)
    panel.ui.findingsTable.setCurrentCell(0, 0)
    press(shell, panel, QtCore.Qt.Key_Delete)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 0, 5)
    return phantom.volumeNode, node, node.GetSegmentation().GetNthSegmentID(0), at


def test_a_click_on_missed_blood_shows_it_and_return_adds_it_and_undo_takes_it_back(shell, panel, missed):
    from PySide6 import QtCore

    from ICHSegmenterSlicer.scene.results.edits import tagOf

    volumeNode, node, segmentId, at = missed
    shell.click(panel.ui.clickButton)
    shell.clickInView("Red", blobRas(volumeNode, at))
    shell.waitUntil(lambda: panel.ui.growFrame.visible, 5, "the preview")
    assert voxels(missed[:3]) == 0
    assert "mL denser than" in panel.ui.growLabel.text
    assert count(pixels(), GREEN) > 20
    press(shell, panel, QtCore.Qt.Key_Return)
    added = voxels(missed[:3])
    assert added > 100
    assert not panel.ui.growFrame.visible
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, 5)
    assert tagOf(node.GetSegmentation().GetSegment(segmentId), "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC"
    assert "(edited)" in panel.ui.segmentTable.item(0, 1).text()
    shell.click(panel.ui.undoButton)
    assert voxels(missed[:3]) == 0
    shell.waitUntil(lambda: panel.ui.redoButton.enabled, 5)
    shell.click(panel.ui.redoButton)
    assert voxels(missed[:3]) == added


def test_the_extent_of_a_preview_can_be_changed_and_escape_adds_nothing(shell, panel, missed):
    import slicer
    from PySide6 import QtCore

    volumeNode, _, _, at = missed
    shell.click(panel.ui.clickButton)
    shell.clickInView("Yellow", blobRas(volumeNode, at))
    shell.waitUntil(lambda: panel.ui.growFrame.visible, 5, "the preview")
    sizes = []
    for extent in (-0.9, 0.9):
        panel.ui.extentSlider.value = extent
        outline = panel.shown._findings.clicks.outline.node
        sizes.append(int(slicer.util.arrayFromSegmentBinaryLabelmap(outline, "outline", volumeNode).sum()))
    assert sizes[0] < sizes[1]
    press(shell, panel, QtCore.Qt.Key_Escape)
    assert not panel.ui.growFrame.visible
    assert panel.shown._findings.clicks.outline.node is None
    assert voxels(missed[:3]) == 0


def test_a_click_on_brain_says_why_nothing_grows(shell, panel, missed):
    volumeNode, _, _, at = missed
    shell.click(panel.ui.clickButton)
    mirrored = (at[0], at[1], volumeNode.GetImageData().GetDimensions()[0] - 1 - at[2])
    shell.clickInView("Red", blobRas(volumeNode, mirrored))
    shell.waitUntil(lambda: panel.ui.growFrame.visible, 5, "the reason")
    assert "too little contrast" in panel.ui.growLabel.text
    assert not panel.ui.addButton.enabled


def test_a_click_on_a_false_finding_removes_it(shell, panel, analyzed):
    before = voxels(analyzed)
    finding = panel.shown._findings._findings[1]
    shell.click(panel.ui.clickButton)
    shell.clickInView("Red", finding.pointRas)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, 5)
    assert before - voxels(analyzed) == 25
    shell.click(panel.ui.undoButton)
    assert voxels(analyzed) == before


def test_clicks_are_taken_only_while_the_button_is_down_or_until_the_toolbar_ends_it(shell, panel, missed):
    import slicer

    volumeNode, _, _, at = missed
    shell.clickInView("Red", blobRas(volumeNode, at))
    shell.process(0.1)
    assert not panel.ui.growFrame.visible
    shell.click(panel.ui.clickButton)
    slicer.app.applicationLogic().GetInteractionNode().SwitchToViewTransformMode()
    shell.process()
    assert not panel.ui.clickButton.checked
    shell.clickInView("Red", blobRas(volumeNode, at))
    shell.process(0.1)
    assert not panel.ui.growFrame.visible
    shell.click(panel.ui.clickButton)
    slicer.util.selectModule("SegmentEditor")
    assert not panel.ui.clickButton.checked
    shell.openModule("ICHSegmenter")


def test_blood_is_added_to_a_result_that_found_none(shell, panel):
    import slicer

    from ICHSegmenterSlicer.scene.sample import addPhantom

    volumeNode = addPhantom("Healthy", slices=14, bleeds=False).volumeNode
    panel.ui.inputSelector.setCurrentNode(volumeNode)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    assert panel.shown.segmentationNode is None
    hu = slicer.util.arrayFromVolume(volumeNode)
    at = (9, 64, 80)
    hu[8:11, 60:69, 76:85] = 65  # as if the blood had been there, and was missed
    panel.ui.typeComboBox.setCurrentIndex(panel.ui.typeComboBox.findData("SAH"))
    shell.click(panel.ui.clickButton)
    shell.clickInView("Red", blobRas(volumeNode, at))
    shell.waitUntil(lambda: panel.ui.growFrame.visible, 5, "the preview")
    shell.click(panel.ui.addButton)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, 5)
    assert cells(panel.ui.findingsTable)[0][0].startswith("SAH")
    segment = panel.shown.segmentationNode.GetSegmentation().GetNthSegment(0)
    assert "Subarachnoid" in segment.GetTerminology()
    assert "Edited by hand" in panel.ui.verdictLabel.text


# ---- types


def clickType(shell, panel, key):
    """Click the closed list of types, then an entry of the open one."""
    from PySide6 import QtCore, QtTest

    box = panel.ui.typeComboBox
    left = (QtCore.Qt.LeftButton, QtCore.Qt.NoModifier)
    QtTest.QTest.mouseClick(box, *left, QtCore.QPoint(10, 10))
    view = box.view()
    shell.waitUntil(lambda: view.visible, 10, "the open list")
    shell.process(0.6)  # Qt takes a click right after that which opened the list for its second half
    entry = view.visualRect(box.model().index(box.findData(key), 0)).center()
    QtTest.QTest.mouseMove(view.viewport(), entry)
    QtTest.QTest.mouseClick(view.viewport(), *left, entry)
    shell.waitUntil(lambda: not view.visible, 10, "the closed list")
    shell.process()


def test_another_type_moves_the_finding_to_the_segment_of_that_type(shell, panel, analyzed):
    import slicer
    from PySide6 import QtCore

    volumeNode, node, _ = analyzed
    before = voxels(analyzed)
    select(shell, panel, 1)
    assert panel.ui.typeComboBox.currentData == "ICH"
    clickType(shell, panel, "SDH")
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 2
    moved = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentation.GetNthSegmentID(1), volumeNode)
    assert (moved > 0).sum() == 25
    assert voxels(analyzed) == before - 25
    assert segmentation.GetNthSegment(1).GetName() == "Subdural hemorrhage"
    shell.waitUntil(lambda: any(row[0].startswith("SDH") for row in cells(panel.ui.findingsTable)), 5)
    press(shell, panel, QtCore.Qt.Key_Z, QtCore.Qt.ControlModifier)
    assert segmentation.GetNumberOfSegments() == 1
    assert voxels(analyzed) == before


def test_an_edit_by_somebody_else_ends_the_steps_that_can_be_undone(shell, panel, analyzed):
    import slicer

    volumeNode, node, segmentId = analyzed
    select(shell, panel, 1)
    shell.click(panel.ui.rejectButton)
    shell.waitUntil(lambda: panel.ui.undoButton.enabled, 5)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)
    mask[3, 3, 3] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, volumeNode)
    shell.waitUntil(lambda: not panel.ui.undoButton.enabled, 5)


# ---- the strip


def test_the_strip_marks_the_slice_that_the_views_show(shell, panel, analyzed):
    import slicer

    strip, result = panel.shown._table._strip, panel.shown._result
    for index in (3, 10):
        point = result.pointRas(index)
        slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").JumpSliceByOffsetting(*(float(one) for one in point))
        shell.process()
        assert strip.currentIndex == index


def test_the_selected_slice_of_a_tilted_exam_counts_while_the_view_goes_through_its_point(shell):
    import slicer

    from ICHSegmenterLib.synthesis.phantom import head_geometry
    from ICHSegmenterSlicer.scene.volumes import RAS_TO_LPS
    from ICHSegmenterSlicer.views import slice_views

    geometry = head_geometry((20, 64, 64), pixel_mm=(3.0, 3.0), slice_step_mm=5.0, tilt_deg=18.0)
    point = geometry.ijk_to_lps((40, 8, 10)) * RAS_TO_LPS
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    red.JumpSliceByOffsetting(*(float(one) for one in point))
    assert slice_views.shownSlice(geometry) != 10  # in the middle of the view, 72 mm behind
    assert slice_views.shownSlice(geometry, (10, point)) == 10
    red.JumpSliceByOffsetting(*(float(one) for one in np.add(point, (0.0, 0.0, 5.0))))
    assert slice_views.shownSlice(geometry, (10, point)) == slice_views.shownSlice(geometry) != 10


def test_the_strip_still_marks_the_slice_of_the_views_after_an_edit(shell, panel, analyzed):
    import slicer

    volumeNode, node, segmentId = analyzed
    strip, result = panel.shown._table._strip, panel.shown._result
    point = result.pointRas(3)
    slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").JumpSliceByOffsetting(*(float(one) for one in point))
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)
    mask[3, 44:49, 44:49] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, volumeNode)
    shell.waitUntil(lambda: strip._rows[3].bloodMl > 0, 5, "the edit in the numbers")
    assert strip.currentIndex == 3


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


def test_the_strip_has_a_row_for_each_subtype_and_shows_where_the_mouse_is(shell, panel, analyzed):
    from PySide6 import QtCore, QtGui, QtWidgets

    from ICHSegmenterSlicer.scene.results.stored_result import SliceRow

    strip = panel.shown._table._strip
    subtypes = [{"EDH": 0.0, "IPH": 0.0, "IVH": 0.0, "SAH": 0.0, "SDH": float(n == 4)} for n in range(10)]
    strip.setRows([SliceRow(n, n + 1, 0.1, False, "", 0.0, subtypes[n]) for n in range(10)], 0.5)
    assert strip.minimumHeight == 60 + 5 * 9
    left, step = strip._scale()
    image = strip.grab().toImage()
    y = 60 - 14 + 4 * 9 + 3
    columns = [image.pixelColor(int(left + (n + 0.5) * step), y).getRgb()[:3] for n in range(10)]
    assert np.abs(np.array(columns[4]) - (250, 225, 60)).max() < 5
    assert len({columns[n] for n in range(10) if n != 4}) == 1
    assert columns[3] != columns[4]
    at = QtCore.QPointF(left + 4.5 * step, 20)
    none = QtCore.Qt.NoButton
    event = QtGui.QMouseEvent(QtCore.QEvent.MouseMove, at, at, none, none, QtCore.Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(strip, event)
    assert "SDH 1.00" in strip.toolTip
    hovered = strip.grab().toImage()
    assert hovered.pixelColor(int(left + 4.5 * step), 12) != image.pixelColor(int(left + 4.5 * step), 12)
    QtWidgets.QApplication.sendEvent(strip, QtCore.QEvent(QtCore.QEvent.Leave))
    assert strip.grab().toImage().pixelColor(int(left + 4.5 * step), 12) == image.pixelColor(int(left + 4.5 * step), 12)


def test_the_history_keeps_no_empty_space_that_a_stroke_left_in_a_labelmap(shell, panel, analyzed):
    volumeNode, node, segmentId = analyzed
    segment = node.GetSegmentation().GetSegment(segmentId)
    size = np.prod(volumeNode.GetImageData().GetDimensions())
    assert segment.GetRepresentation("Binary labelmap").GetNumberOfPoints() == size  # what a stroke left
    before = voxels(analyzed)
    panel.ui.findingsTable.setCurrentCell(1, 0)
    shell.click(panel.ui.rejectButton)
    assert segment.GetRepresentation("Binary labelmap").GetNumberOfPoints() < size / 5
    shell.waitUntil(lambda: panel.ui.undoButton.enabled, 5, "the step that can be taken back")
    shell.click(panel.ui.undoButton)
    assert segment.GetRepresentation("Binary labelmap").GetNumberOfPoints() < size / 5
    assert voxels(analyzed) == before


def test_an_edit_of_large_segments_takes_turns_and_the_next_one_waits_for_it(shell, panel, analyzed, monkeypatch):
    from ICHSegmenterSlicer.client import steps

    monkeypatch.setattr(steps, "BUDGET_S", 0.0)  # as on a slow computer: each step is a turn of the event loop
    before = voxels(analyzed)
    panel.ui.findingsTable.setCurrentCell(1, 0)
    piece = int(panel.shown._findings.current.mask.sum())
    panel.ui.rejectButton.click()
    assert voxels(analyzed) == before  # a copy for the history comes first
    shell.waitUntil(lambda: voxels(analyzed) == before - piece, 5, "the edit")
    editor, finding = panel.shown._findings._editor, panel.shown._findings.current
    editor.undo()
    assert voxels(analyzed) == before
    editor.reject(finding)
    assert voxels(analyzed) == before
    editor.undo()  # ends the edit that waits, then takes it back
    assert (voxels(analyzed), editor.canUndo, editor.canRedo) == (before, False, True)
    editor.redo()
    assert voxels(analyzed) == before - piece
