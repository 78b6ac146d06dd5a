"""Several exams and time points: checked in a list, analyzed in turn, each with its verdict, each brought back."""

import numpy as np
import pytest

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture
def head(panel):
    """Adds a small head CT by name, with 20 mL of blood or without."""
    from ICHSegmenterSlicer.scene.sample import addPhantom

    return lambda name, bleeds=True: addPhantom(name, pixels=96, slices=14, bleeds=bleeds).volumeNode


@pytest.fixture
def photograph(panel):
    """A volume that no method takes: no Hounsfield units."""
    import scene_volumes

    voxels = np.random.default_rng(0).integers(0, 255, (20, 64, 64)).astype(np.uint8)
    return scene_volumes.addLinear(voxels, np.diag([3.5, 3.5, 5.0, 1.0]), "Photograph")


@pytest.fixture
def course(panel, head):
    """A sequence of three time points, bleeding at the first and the last; returns its browser."""
    return sequenceOf([head("Hour", bleeds=bleeds) for bleeds in (True, False, True)])


def sequenceOf(volumeNodes, name="Course"):
    import slicer

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("h")
    for index, node in enumerate(volumeNodes):
        sequence.SetDataNodeAtValue(node, str(6 * index))
        slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.AddSynchronizedSequenceNode(sequence)
    browser.SetSelectedItemNumber(0)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser


def proxyOf(browser):
    return browser.GetProxyNode(browser.GetMasterSequenceNode())


@pytest.fixture
def opened(shell, panel):
    """Opens the list by a click on its header, after the scene was made."""
    from PySide6 import QtCore, QtTest

    def open_():
        shell.process()
        panel.ui.queueSection.collapsed = True
        QtTest.QTest.mouseClick(
            panel.ui.queueSection, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.QPoint(20, 10)
        )
        assert not panel.ui.queueSection.collapsed
        shell.process()

    yield open_
    panel.queue.cancel()
    shell.waitUntil(lambda: not panel.queue.isRunning, RUN_S)
    panel.ui.queueSection.collapsed = True


def rows(panel):
    table = panel.ui.queueTable
    return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]


def column(panel, number):
    return [row[number] for row in rows(panel)]


def clickRow(shell, panel, row, *, box=False):
    """Click the name of a row, or its check box."""
    from PySide6 import QtCore, QtTest, QtWidgets

    table = panel.ui.queueTable
    item = table.item(row, 0)
    table.scrollToItem(item)
    place = table.visualItemRect(item)
    point = place.center()
    if box:
        option = QtWidgets.QStyleOptionViewItem()
        option.rect = place
        option.features = QtWidgets.QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
        part = QtWidgets.QStyle.SubElement.SE_ItemViewItemCheckIndicator
        point = table.style().subElementRect(part, option, table).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, point)
    shell.process()


def analyze(shell, panel):
    shell.click(panel.ui.queueButton)
    assert panel.queue.isRunning, panel.ui.queueButton.toolTip
    shell.waitUntil(lambda: not panel.queue.isRunning, RUN_S, "the end of the list")
    shell.process()


def verdict(panel):
    return panel.ui.verdictLabel.text if panel.ui.resultButton.visible else ""


def visibleSegmentations():
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetDisplayNode().GetVisibility()]


def displayed():
    from ICHSegmenterSlicer.views.slice_views import displayedVolume

    return displayedVolume()


def columnOfBlood(row):
    word, _, volume = row[2].partition(", ")
    return word, float(volume.removesuffix(" mL")) if volume else 0.0


# ---- the list


def test_the_list_has_a_row_for_each_volume_and_each_time_point(shell, panel, head, course, opened):
    import slicer

    head("Ward")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "No CT")
    opened()
    assert column(panel, 0) == ["Ward", "Course · time 0 h", "Course · time 6 h", "Course · time 12 h"]


def test_volumes_that_come_and_go_come_and_go_in_the_list(shell, panel, head, opened):
    import slicer

    first = head("First")
    opened()
    second = head("Second")
    shell.process(0.1)
    assert column(panel, 0) == ["First", "Second"]
    second.SetName("Renamed")
    slicer.mrmlScene.RemoveNode(first)
    shell.process(0.1)
    assert column(panel, 0) == ["Renamed"]


def test_nothing_runs_before_an_exam_is_checked_and_a_check_chooses_no_exam(shell, panel, head, opened):
    first = head("First")
    head("Second")
    panel.ui.inputSelector.setCurrentNode(first)
    opened()
    assert not panel.ui.queueButton.enabled
    assert panel.ui.queueButton.toolTip == "Check one exam or more"
    clickRow(shell, panel, 1, box=True)
    assert panel.queue._checked == {panel.queue._exams[1]}
    assert panel.ui.queueButton.enabled
    assert panel._parameters.inputVolume is first
    assert panel.ui.queueTable.currentRow() == 0
    shell.click(panel.ui.checkAllButton)
    assert (len(panel.queue._checked), panel.ui.checkAllButton.text) == (2, "Check none")


def test_a_method_that_is_not_ready_cannot_be_started_on_a_list(shell, panel, head, opened):
    head("First")
    opened()
    shell.click(panel.ui.checkAllButton)
    panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData("blast-ct"))
    shell.process()
    assert not panel.ui.queueButton.enabled
    assert "not ready" in panel.ui.queueButton.toolTip


# ---- the run


def test_checked_exams_get_their_verdicts_and_unchecked_ones_none(shell, panel, head, opened):
    for name, bleeds in (("Bleeding", True), ("Healthy", False), ("Left out", True)):
        head(name, bleeds)
    opened()
    for row in (0, 1):
        clickRow(shell, panel, row, box=True)
    analyze(shell, panel)
    assert column(panel, 1) == ["done", "done", ""]
    assert [columnOfBlood(row)[0] for row in rows(panel)] == ["suspected", "none found", ""]
    assert columnOfBlood(rows(panel)[0])[1] == pytest.approx(20, rel=0.2)
    assert "2 done" in panel.ui.queueLabel.text


def test_one_that_fails_does_not_stop_the_others_and_says_why(shell, panel, head, photograph, opened):
    head("Bleeding")
    opened()
    assert column(panel, 0) == ["Photograph", "Bleeding"]
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    assert column(panel, 1) == ["failed", "done"]
    assert "Hounsfield" in panel.ui.queueTable.item(0, 1).toolTip()
    assert "1 done, 1 failed" in panel.ui.queueLabel.text
    assert "Photograph: " in panel.ui.queueLabel.text
    assert "Hounsfield" in panel.ui.queueLabel.text


def test_a_worker_that_dies_costs_one_exam(shell, panel, head, opened):
    head("First"), head("Second")
    opened()
    shell.click(panel.ui.checkAllButton)
    shell.click(panel.ui.queueButton)
    client = panel.logic.client
    shell.waitUntil(lambda: client.isRunning and client._requests and client.hello, RUN_S)
    client._connection._process.kill(client.hello["pid"])
    shell.waitUntil(lambda: not panel.queue.isRunning, RUN_S, "the end of the list")
    shell.process()
    assert column(panel, 1) == ["failed", "done"]


def test_cancelling_ends_the_list_and_keeps_what_is_done(shell, panel, head, opened):
    from ICHSegmenterSlicer.exam_queue import QueueState

    for name in ("First", "Second", "Third"):
        head(name)
    opened()
    shell.click(panel.ui.checkAllButton)
    shell.click(panel.ui.queueButton)
    assert panel.ui.queueButton.text == "Cancel"
    second = panel.queue._exams[1]
    shell.waitUntil(lambda: panel.queue._entries[second].state is QueueState.RUNNING, RUN_S, "the second exam")
    shell.click(panel.ui.queueButton)
    shell.waitUntil(lambda: not panel.queue.isRunning, RUN_S, "the end of the list")
    shell.process()
    assert column(panel, 1) == ["done", "cancelled", "cancelled"]
    assert panel.ui.queueButton.text == "Analyze checked"
    assert columnOfBlood(rows(panel)[0])[0] == "suspected"


def test_no_other_run_begins_meanwhile(shell, panel, head, opened):
    panel.ui.inputSelector.setCurrentNode(head("First"))
    opened()
    assert panel.ui.applyButton.enabled
    shell.click(panel.ui.checkAllButton)
    shell.click(panel.ui.queueButton)
    assert not panel.ui.applyButton.enabled
    assert "Several exams are being analyzed" in panel.ui.applyButton.toolTip
    panel._parameters.useThreshold = True
    panel._recut()
    assert panel.analysis is None
    shell.waitUntil(lambda: not panel.queue.isRunning, RUN_S)
    shell.waitUntil(lambda: panel.analysis is None and panel.ui.applyButton.enabled, RUN_S)


def test_a_volume_that_is_deleted_before_its_turn_fails_alone(shell, panel, head, opened):
    import slicer

    head("First")
    second = head("Second")
    head("Third")
    opened()
    shell.click(panel.ui.checkAllButton)
    shell.click(panel.ui.queueButton)
    slicer.mrmlScene.RemoveNode(second)
    shell.waitUntil(lambda: not panel.queue.isRunning, RUN_S)
    shell.process()
    assert rows(panel)[0][:2] == ["First", "done"]
    assert rows(panel)[1][:2] == ["Third", "done"]


def test_closing_the_scene_ends_the_list(shell, panel, head, opened):
    import slicer

    head("First"), head("Second")
    opened()
    shell.click(panel.ui.checkAllButton)
    shell.click(panel.ui.queueButton)
    slicer.mrmlScene.Clear()
    shell.waitUntil(lambda: not panel.queue.isRunning, RUN_S)
    shell.process()
    assert rows(panel) == []
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


# ---- on the screen


def test_the_views_stay_and_no_outline_of_another_exam_is_ever_over_them(shell, panel, head, opened, monkeypatch):
    import slicer

    from ICHSegmenterSlicer.client import steps

    monkeypatch.setattr(steps, "BUDGET_S", 0.0)  # the views may be drawn after every step
    healthy = head("Healthy", bleeds=False)
    head("Bleeding")
    panel.ui.inputSelector.setCurrentNode(healthy)
    opened()
    shell.click(panel.ui.checkAllButton)
    seen = []
    shell.click(panel.ui.queueButton)
    while panel.queue.isRunning:
        slicer.app.processEvents()
        seen += [node.GetName() for node in visibleSegmentations()]
    shell.process()
    assert seen == []
    assert displayed() is healthy
    assert "No hemorrhage found" in verdict(panel)


def test_a_click_on_a_row_brings_that_exam_with_its_result(shell, panel, head, opened):
    healthy, bleeding = head("Healthy", bleeds=False), head("Bleeding")
    panel.ui.inputSelector.setCurrentNode(healthy)
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    clickRow(shell, panel, 1)
    assert panel._parameters.inputVolume is bleeding
    assert displayed() is bleeding
    assert "Hemorrhage suspected" in verdict(panel)
    assert "Bleeding" in panel.ui.examLabel.text
    [segmentation] = visibleSegmentations()
    assert segmentation is panel.shown.segmentationNode
    clickRow(shell, panel, 0)
    assert displayed() is healthy
    assert "No hemorrhage found" in verdict(panel)
    assert visibleSegmentations() == []


@pytest.mark.parametrize("isOnScreen", [True, False])
def test_changed_voxels_take_the_verdict_out_of_the_row(shell, panel, head, opened, isOnScreen):
    import slicer

    volumeNode = head("Bleeding")
    panel.ui.inputSelector.setCurrentNode(volumeNode if isOnScreen else None)
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    slicer.util.arrayFromVolume(volumeNode)[:] += 1
    slicer.util.arrayFromVolumeModified(volumeNode)
    shell.process(0.1)
    assert rows(panel) == [["Bleeding", "changed since", ""]]


def test_a_run_of_the_exam_on_the_screen_is_in_its_row(shell, panel, head, opened):
    panel.ui.inputSelector.setCurrentNode(head("Bleeding"))
    opened()
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    shell.process()
    assert rows(panel)[0][1] == "done"
    assert columnOfBlood(rows(panel)[0])[0] == "suspected"


def test_a_row_says_what_is_outlined_after_an_edit_in_words_of_the_panel(shell, panel, head, opened, monkeypatch):
    from ICHSegmenterSlicer.views.results import verdict_text

    panel.ui.inputSelector.setCurrentNode(head("Bleeding"))
    opened()
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None and panel.ui.findingsTable.rowCount == 1, RUN_S, "the finding")
    made = rows(panel)[0][2]
    monkeypatch.setattr(verdict_text, "_", lambda text: f"«{text}»")
    panel.ui.findingsTable.setCurrentCell(0, 0)
    shell.click(panel.ui.rejectButton)
    shell.waitUntil(lambda: rows(panel)[0][2] == "edited, 0.0 mL", 10, "the edit in the row")
    assert "«Hemorrhage suspected" in panel.ui.queueTable.item(0, 2).toolTip()
    monkeypatch.undo()
    shell.click(panel.ui.undoButton)
    shell.waitUntil(lambda: rows(panel)[0][2] == made, 10, "what the run made")


@pytest.mark.parametrize("isEdited", [True, False])
def test_a_run_of_the_time_point_on_the_screen_is_in_its_row_if_it_has_the_rows_voxels(
    shell, panel, course, opened, isEdited
):
    """Voxels that were changed in the volume but not in the sequence are gone at the next time point."""
    import slicer

    proxy = proxyOf(course)
    course.SetSaveChanges(course.GetMasterSequenceNode(), False)
    panel.ui.inputSelector.setCurrentNode(proxy)
    opened()
    if isEdited:
        slicer.util.arrayFromVolume(proxy)[:] += 1
        slicer.util.arrayFromVolumeModified(proxy)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    shell.process(0.2)
    assert "Hemorrhage suspected" in verdict(panel)
    assert column(panel, 1) == ["" if isEdited else "done", "", ""]


# ---- time points


def test_all_time_points_are_analyzed_while_another_one_stays_on_the_screen(shell, panel, course, opened):
    import slicer

    panel.ui.inputSelector.setCurrentNode(proxyOf(course))
    course.SetSelectedItemNumber(1)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(course)
    opened()
    assert panel.ui.queueTable.currentRow() == 1
    shell.click(panel.ui.checkAllButton)
    items = set()
    shell.click(panel.ui.queueButton)
    while panel.queue.isRunning:
        slicer.app.processEvents()
        items.add(course.GetSelectedItemNumber())
    shell.process()
    assert items == {1}
    assert [columnOfBlood(row)[0] for row in rows(panel)] == ["suspected", "none found", "suspected"]
    assert "No hemorrhage found" in verdict(panel)
    assert visibleSegmentations() == []
    hidden = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetHideFromEditors()]
    assert hidden == []  # the copies are gone


def test_changing_the_time_point_hides_anothers_result_and_brings_its_own(shell, panel, course, opened):
    import slicer

    panel.ui.inputSelector.setCurrentNode(proxyOf(course))
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    shown = {}
    for item in (0, 1, 2, 0):
        course.SetSelectedItemNumber(item)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(course)
        shell.process(0.2)
        visible = visibleSegmentations()
        shown.setdefault(item, visible)
        assert shown[item] == visible
        assert ("suspected" if item != 1 else "No hemorrhage found") in verdict(panel)
        assert f"time point {6 * item} h" in panel.ui.examLabel.text
        assert panel.ui.queueTable.currentRow() == item
    assert [len(shown[item]) for item in range(3)] == [1, 0, 1]
    assert shown[0] != shown[2]


def test_a_click_on_a_time_point_lets_its_browser_go_there(shell, panel, head, course, opened):
    other = head("Other")
    panel.ui.inputSelector.setCurrentNode(other)
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    assert displayed() is other
    clickRow(shell, panel, 3)
    assert course.GetSelectedItemNumber() == 2
    assert displayed() is proxyOf(course)
    shell.process(0.2)
    assert "Hemorrhage suspected" in verdict(panel)
    assert "time point 12" in panel.ui.examLabel.text
    clickRow(shell, panel, 2)
    shell.process(0.2)
    assert course.GetSelectedItemNumber() == 1
    assert "No hemorrhage found" in verdict(panel)


def test_time_points_with_grids_of_their_own_get_outlines_where_they_bleed(shell, panel, opened):
    """The second time point has other slices; its outline must lie on its own grid, not on that of the first."""
    import slicer

    from ICHSegmenterSlicer.scene.sample import addPhantom

    samples = [addPhantom("Hour", pixels=96, slices=14), addPhantom("Hour", pixels=80, slices=22)]
    expected = [slicer.util.arrayFromVolume(sample.volumeNode).copy() for sample in samples]
    browser = sequenceOf([sample.volumeNode for sample in samples])
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    for row, voxels in enumerate(expected):
        clickRow(shell, panel, row)
        shell.process(0.2)
        node, proxy = panel.shown.segmentationNode, proxyOf(browser)
        segmentId = node.GetSegmentation().GetNthSegmentID(0)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, proxy) > 0
        assert mask.shape == voxels.shape
        assert 55 < voxels[mask].mean() < 80  # blood, not the brain around it
        bloodMl = mask.sum() * np.prod(proxy.GetSpacing()) / 1000
        assert bloodMl == pytest.approx(samples[row].bleedMl, rel=0.2)
        assert node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole()) == proxy.GetID()


def test_time_points_keep_their_results_through_a_scene_file(shell, panel, course, opened, tmp_path):
    import slicer

    panel.ui.inputSelector.setCurrentNode(proxyOf(course))
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    shell.process(0.2)
    browser = slicer.util.getNode("Course browser")
    for item, word in ((0, "suspected"), (1, "No hemorrhage found"), (2, "suspected")):
        browser.SetSelectedItemNumber(item)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        shell.process(0.2)
        assert word in verdict(panel)


# ---- transforms


def test_an_exam_under_a_linear_transform_is_outlined_under_it(shell, panel, head, opened):
    import scene_volumes

    volumeNode = head("Moved")
    turned = np.eye(4)
    turned[:3, 3] = (11, -7, 23)
    transformNode = scene_volumes.underTransform(volumeNode, turned)
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    assert columnOfBlood(rows(panel)[0])[0] == "suspected"
    clickRow(shell, panel, 0)
    assert panel.shown.segmentationNode.GetTransformNodeID() == transformNode.GetID()


def test_a_tilted_exam_is_outlined_under_its_acquisition_transform(shell, panel, opened):
    import slicer

    import scene_volumes
    from ICHSegmenterLib.volume.geometry import VolumeGeometry
    from ICHSegmenterSlicer.scene.sample import addPhantom
    from ICHSegmenterSlicer.scene.volumes import geometryOf

    sample = addPhantom("Straight", pixels=96, slices=14)
    straight = geometryOf(sample.volumeNode)
    origins = straight.slice_origins.copy()
    origins[:, 1] += np.tan(np.radians(15.0)) * (origins[:, 2] - origins[0, 2])
    tilted = VolumeGeometry(straight.shape, straight.column_step, straight.row_step, origins)
    voxels = slicer.util.arrayFromVolume(sample.volumeNode).copy()
    slicer.mrmlScene.RemoveNode(sample.volumeNode)
    node = scene_volumes.addAsFromDicom(voxels, tilted, "Tilted")
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    clickRow(shell, panel, 0)
    assert "gantry tilt 15.0°" in panel.ui.inputInfoLabel.text
    assert panel.shown.segmentationNode.GetTransformNodeID() == node.GetTransformNodeID()
    assert columnOfBlood(rows(panel)[0])[1] == pytest.approx(sample.bleedMl, rel=0.2)


def test_a_transform_that_changes_with_the_time_points_is_that_of_each(shell, panel, course, opened):
    """A sequence of transforms moves the head; the outline of each time point moves with it."""
    import slicer
    import vtk

    moves = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Moves")
    for hour in (0, 6, 12):
        moving = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Move")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(2, 3, float(hour))
        moving.SetMatrixTransformToParent(matrix)
        moves.SetDataNodeAtValue(moving, str(hour))
        slicer.mrmlScene.RemoveNode(moving)
    course.AddSynchronizedSequenceNode(moves)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(course)
    proxy, transformNode = proxyOf(course), course.GetProxyNode(moves)
    proxy.SetAndObserveTransformNodeID(transformNode.GetID())
    panel.ui.inputSelector.setCurrentNode(proxy)
    opened()
    shell.click(panel.ui.checkAllButton)
    analyze(shell, panel)
    moving = slicer.util.getNodesByClass("vtkMRMLLinearTransformNode")
    assert [node.GetName() for node in moving if node.GetName().startswith("Move")] == ["Moves"]  # no copy is left
    for row in (2, 0):
        clickRow(shell, panel, row)
        shell.process(0.2)
        assert "Hemorrhage suspected" in verdict(panel), row  # it lies where it was analyzed
        assert panel.shown.segmentationNode.GetTransformNodeID() == transformNode.GetID()
