"""Nothing of the panel is cut off in a narrow dock: text is whole, or its tooltip is."""

import pytest

WIDTHS = (380, 470)
LONG_NAME = "Head CT of the emergency room, reconstructed 0.6 mm, series 3"
LONG_ERROR = "The analysis process was killed or crashed unexpectedly; the scene is as it was. " * 3

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


def clippedText(panel):
    """Every text of the panel that a reader sees only a part of, and cannot get by pointing at it."""
    from PySide6 import QtWidgets

    clipped = []
    for widget in panel.parent.findChildren(QtWidgets.QWidget):
        if not widget.visible:
            continue
        text = _clipped(widget, QtWidgets)
        if text and text not in (widget.toolTip or widget.parentWidget().toolTip):  # Qt shows the parent's then
            clipped.append(f"{widget.objectName}: {text!r} in {widget.width} x {widget.height}")
    return clipped


def _clipped(widget, widgets):
    if isinstance(widget, widgets.QLabel) and widget.text:
        hint = widget.sizeHint()
        needed = widget.heightForWidth(widget.width) if widget.wordWrap else hint.height()
        isWide = not widget.wordWrap and widget.width < hint.width()
        return widget.text if needed > widget.height or isWide else ""
    if isinstance(widget, widgets.QPushButton | widgets.QCheckBox):
        needed = widget.fontMetrics().horizontalAdvance(widget.text)
        return widget.text if needed > widget.width else ""
    if isinstance(widget, widgets.QComboBox):
        room = widget.width - 30  # arrow and frame
        return widget.currentText if widget.fontMetrics().horizontalAdvance(widget.currentText) > room else ""
    if isinstance(widget, widgets.QTableWidget):
        return _clippedCell(widget)
    return ""


def _clippedCell(table):
    for column in range(table.columnCount):
        heading = table.horizontalHeaderItem(column).text()
        if table.horizontalHeader().fontMetrics().horizontalAdvance(heading) > table.columnWidth(column):
            return heading
        for row in range(table.rowCount):
            item = table.item(row, column)
            room = table.columnWidth(column) - (0 if item.icon().isNull() else table.iconSize.width())
            if table.fontMetrics().horizontalAdvance(item.text()) > room and item.text() not in item.toolTip():
                return item.text()
    return ""


@pytest.fixture
def whole(shell, panel):
    """Checks the panel as it is now at every width."""
    from SlicerShell.screenshot import docked

    def check():
        for width in WIDTHS:
            with docked(panel.parent, width):
                assert panel.parent.width == width  # nothing makes the dock wider
                assert clippedText(panel) == [], width

    return check


@pytest.fixture
def head(panel):
    """A head with a bleed and a long name, chosen as input."""
    from ICHSegmenterSlicer.scene.sample import addPhantom

    volumeNode = addPhantom(LONG_NAME, pixels=96, slices=14).volumeNode
    panel.ui.inputSelector.setCurrentNode(volumeNode)
    return volumeNode


def choose(panel, method):
    panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData(method))


def run(shell, panel, button):
    shell.click(button)
    shell.waitUntil(lambda: panel.analysis is None, 120, "the end of the run")


def test_every_method_with_what_it_needs_and_its_limits_is_whole(shell, panel, head, whole):
    panel.ui.advancedButton.collapsed = False
    for method in ("hu-threshold", "blast-ct", "rsna-sequence", "swin-sam-multi", "smart-net-seg"):
        choose(panel, method)
        whole()


def test_a_refused_volume_is_whole(shell, panel, whole):
    import numpy as np

    import scene_volumes

    voxels = np.random.default_rng(0).integers(0, 255, (20, 64, 64)).astype(np.uint8)
    panel.ui.inputSelector.setCurrentNode(scene_volumes.addLinear(voxels, np.diag([3.5, 3.5, 5.0, 1.0]), LONG_NAME))
    assert "not Hounsfield units" in panel.ui.inputInfoLabel.text
    whole()


def test_a_long_error_is_whole(shell, panel, head, whole):
    from ICHSegmenterLib.errors import Failure

    panel.status.fail(Failure("crashed", LONG_ERROR))
    whole()


def test_results_of_several_runs_and_their_edits_are_whole(shell, panel, head, whole):
    import slicer

    for _ in range(2):
        run(shell, panel, panel.ui.applyButton)
    whole()
    node = panel.shown.segmentationNode
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, head)
    mask[2:5, 30:60, 30:60] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, head)
    shell.waitUntil(lambda: "(edited)" in panel.ui.segmentTable.item(0, 1).text(), 5)
    whole()


def test_the_reason_why_a_result_is_hidden_is_whole(shell, panel, head, whole):
    import slicer

    run(shell, panel, panel.ui.applyButton)
    slicer.util.arrayFromVolume(head)[:] += 1
    slicer.util.arrayFromVolumeModified(head)
    assert panel.ui.noResultLabel.visible
    whole()


def test_weights_and_computer_are_whole(shell, panel, whole, weights):
    from ICHSegmenterLib.cards.table import get_card

    files = [weights / get_card("blast-ct").weights[0].name, weights / f"{LONG_NAME}.pt"]
    for path in files:
        path.write_bytes(bytes(1_000_000))
    panel.ui.computerButton.collapsed = False
    shell.click(panel.ui.diagnosticButton)
    shell.waitUntil(lambda: panel.ui.diagnosticButton.enabled, 120, "the diagnosis")
    assert panel.ui.weightsTable.rowCount == 2
    whole()
    panel.ui.computerButton.collapsed = True
    for path in files:
        path.unlink()


def test_a_list_of_several_exams_with_one_that_failed_is_whole(shell, panel, head, whole):
    import numpy as np

    import scene_volumes

    voxels = np.random.default_rng(0).integers(0, 255, (20, 64, 64)).astype(np.uint8)
    scene_volumes.addLinear(voxels, np.diag([3.5, 3.5, 5.0, 1.0]), f"Photograph, {LONG_NAME}")
    panel.ui.queueSection.collapsed = False
    shell.click(panel.ui.checkAllButton)
    shell.click(panel.ui.queueButton)
    whole()
    shell.waitUntil(lambda: not panel.queue.isRunning, 120, "the end of the list")
    assert "1 done, 1 failed" in panel.ui.queueLabel.text
    whole()
    panel.ui.queueSection.collapsed = True


def test_a_name_that_a_closed_list_cuts_is_shortened_in_the_middle(panel):
    import qt

    for name in ("method", "device", "operatingPoint", "detector", "type", "prior", "map"):
        assert getattr(panel.ui, f"{name}ComboBox").elideMode == qt.Qt.ElideMiddle, name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_frame_of_an_unchecked_box_is_not_as_dark_as_the_panel(shell, panel, theme):
    from PySide6 import QtGui

    shell.theme(theme)
    try:
        for name in ("identity", "replace", "threshold", "mirror", "maps"):
            own = getattr(panel.ui, f"{name}CheckBox").palette.color(QtGui.QPalette.Window)
            panels = panel.parent.palette.color(QtGui.QPalette.Window)
            assert abs(own.darker(140).lightness() - panels.lightness()) > 40, name  # Qt's style draws it so
    finally:
        shell.theme("light")


def test_the_slice_table_keeps_its_row_when_results_are_shown_anew(shell, panel, head):
    run(shell, panel, panel.ui.applyButton)
    panel.ui.sliceTable.setCurrentCell(3, 0)
    panel.results.refresh()
    assert panel.ui.sliceTable.currentRow() == 3
    panel.results.select(panel.results.shownNode)
    assert panel.ui.sliceTable.currentRow() != 3  # the views went to the slice with most blood


def test_the_slice_table_keeps_its_row_in_view_when_it_becomes_lower(shell, panel, head):
    run(shell, panel, panel.ui.applyButton)
    table = panel.ui.sliceTable
    before = table.minimumHeight, table.maximumHeight
    try:
        table.setFixedHeight(table.rowCount * 22 + 40)
        table.setCurrentCell(table.rowCount - 1, 0)
        shell.process(0.1)
        table.setFixedHeight(100)
        shell.process(0.1)
        seen = table.visualItemRect(table.item(table.currentRow(), 0))
        assert 0 <= seen.top() < table.viewport().height
    finally:
        table.minimumHeight, table.maximumHeight = before


def test_headings_stay_as_narrow_as_they_are_when_a_row_is_marked(panel):
    from PySide6 import QtWidgets

    tables = [table for table in panel.parent.findChildren(QtWidgets.QTableWidget) if table.columnCount]
    assert len(tables) > 5
    for table in tables:
        assert not table.horizontalHeader().highlightSections, table.objectName


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_seen_that_a_button_is_down(shell, panel, theme):
    from PySide6 import QtWidgets

    def color(button):
        image = QtWidgets.QWidget.grab(button).toImage()
        return image.pixelColor(6, image.height() // 2)  # beside the text

    shell.theme(theme)
    try:
        for name in ("click", "show3D"):
            button = getattr(panel.ui, f"{name}Button")
            button.setEnabled(True)
            up = color(button)
            button.setChecked(True)
            down = color(button)
            button.setChecked(False)
            distance = sum(abs(a - b) for a, b in zip(up.getRgb()[:3], down.getRgb()[:3], strict=True))
            assert distance > 120, (name, up.name(), down.name())
            assert color(button) == up
    finally:
        shell.theme("light")
