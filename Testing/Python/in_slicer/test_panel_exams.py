"""A result is shown with its own exam only, its numbers are those of the segments now, earlier runs are hidden."""

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
def choose(shell, panel):
    """Chooses a volume in the panel."""

    def choose_(volumeNode):
        panel.ui.inputSelector.setCurrentNode(volumeNode)
        shell.process()

    return choose_


@pytest.fixture
def run(shell, panel):
    """Clicks Detect & Segment and waits; returns the result node that the panel shows, None if it shows none."""

    def run_():
        shell.click(panel.ui.applyButton)
        assert panel.analysis is not None, panel.ui.applyButton.toolTip
        shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
        return panel._parameters.result

    return run_


@pytest.fixture
def analyzed(head, choose, run):
    """A head with a bleed that was analyzed: (volume node, result node, segmentation node)."""
    volumeNode = head("Bleeding")
    choose(volumeNode)
    resultNode = run()
    return volumeNode, resultNode, resultNode.GetNodeReference("segmentation")


def verdict(panel):
    """The verdict as a reader sees it: empty while the box is hidden."""
    return panel.ui.verdictLabel.text if panel.ui.resultButton.visible else ""


def reason(panel):
    return panel.ui.noResultLabel.text if panel.ui.noResultLabel.visible else ""


def shownVolume():
    from ICHSegmenterSlicer.views.slice_views import displayedVolume

    return displayedVolume()


def isVisible(segmentationNode):
    return bool(segmentationNode.GetDisplayNode().GetVisibility())


def cells(table):
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]


def setVoxels(volumeNode, change):
    import slicer

    change(slicer.util.arrayFromVolume(volumeNode))
    slicer.util.arrayFromVolumeModified(volumeNode)


# ---- a result belongs to its exam


def test_the_verdict_of_one_exam_is_not_shown_with_another(panel, head, choose, run):
    healthy, bleeding = head("Healthy", bleeds=False), head("Bleeding")
    choose(healthy)
    run()
    assert "No hemorrhage found" in verdict(panel)
    assert "Healthy" in panel.ui.examLabel.text
    choose(bleeding)
    assert verdict(panel) == ""
    assert panel._parameters.result is None
    choose(healthy)
    assert "No hemorrhage found" in verdict(panel)


def test_choosing_an_exam_brings_its_result_and_its_ct_and_hides_the_overlay_of_others(panel, head, choose, run):
    first, second = head("First"), head("Second")
    choose(first)
    ofFirst = run()
    choose(second)
    assert not isVisible(ofFirst.GetNodeReference("segmentation"))
    assert shownVolume() is second
    ofSecond = run()
    choose(first)
    assert panel._parameters.result is ofFirst
    assert "First" in panel.ui.examLabel.text
    assert shownVolume() is first
    assert isVisible(ofFirst.GetNodeReference("segmentation"))
    assert not isVisible(ofSecond.GetNodeReference("segmentation"))


def test_an_exam_is_painted_with_its_own_overlay_only(shell, panel, head, choose, run):
    """Pixels: an empty head has no color in its slice view after a bleeding one was analyzed."""
    import slicer

    healthy, bleeding = head("Healthy", bleeds=False), head("Bleeding")

    def colored():
        view = slicer.app.layoutManager().sliceWidget("Red").sliceView()._painter().image().astype(int)
        return int((np.ptp(view, axis=2) > 40).sum())

    choose(bleeding)
    run()
    assert colored() > 100
    choose(healthy)
    assert colored() == 0


def test_a_deleted_volume_takes_its_verdict_along(shell, panel, analyzed):
    import slicer

    volumeNode, _, segmentationNode = analyzed
    slicer.mrmlScene.RemoveNode(volumeNode)
    shell.process()
    assert verdict(panel) == ""
    assert not isVisible(segmentationNode)


def test_changed_voxels_hide_the_result_and_the_old_voxels_bring_it_back(shell, panel, analyzed):
    volumeNode, resultNode, segmentationNode = analyzed
    setVoxels(volumeNode, lambda voxels: voxels.__iadd__(1))
    shell.process()
    assert verdict(panel) == ""
    assert "voxels changed" in reason(panel)
    assert not isVisible(segmentationNode)
    setVoxels(volumeNode, lambda voxels: voxels.__isub__(1))
    shell.process()
    assert "Hemorrhage suspected" in verdict(panel)
    assert panel._parameters.result is resultNode
    assert isVisible(segmentationNode)


def test_a_transform_hides_the_result_until_it_is_taken_back(shell, panel, analyzed):
    import scene_volumes

    volumeNode, _, segmentationNode = analyzed
    moved = np.eye(4)
    moved[:3, 3] = (0, 0, 7)
    transformNode = scene_volumes.underTransform(volumeNode, moved)
    shell.process()
    assert verdict(panel) == ""
    assert "transform changed" in reason(panel)
    assert not isVisible(segmentationNode)
    transformNode.SetMatrixTransformToParent(None)
    shell.process()
    assert "Hemorrhage suspected" in verdict(panel)


def test_each_time_point_has_its_own_result(shell, panel, head, choose, run):
    import slicer

    bleeding, healthy = head("Bleeding"), head("Healthy", bleeds=False)
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Course")
    sequence.SetIndexName("hour")
    for index, node in enumerate((bleeding, healthy)):
        sequence.SetDataNodeAtValue(node, str(6 * index))
        slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.AddSynchronizedSequenceNode(sequence)

    def goTo(item):
        browser.SetSelectedItemNumber(item)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        shell.process()

    goTo(0)
    choose(browser.GetProxyNode(sequence))
    run()
    assert "Hemorrhage suspected" in verdict(panel)
    assert "time point 0" in panel.ui.examLabel.text
    goTo(1)
    assert verdict(panel) == ""
    assert "time point" in reason(panel)
    run()
    assert "No hemorrhage found" in verdict(panel)
    goTo(0)
    assert "Hemorrhage suspected" in verdict(panel)


def test_a_failed_run_marks_the_earlier_result(shell, panel, analyzed, monkeypatch):
    def failing(*_arguments, **_options):
        yield
        raise RuntimeError("the disk burns")

    monkeypatch.setattr("ICHSegmenterSlicer.scene.segments.importResult", failing)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    assert "the disk burns" in panel.ui.statusLabel.text
    assert "The last run failed. This is an earlier result." in panel.ui.examLabel.text


def test_a_failed_run_of_another_exam_shows_no_verdict(shell, panel, head, choose, run, monkeypatch):
    healthy, bleeding = head("Healthy", bleeds=False), head("Bleeding")
    choose(healthy)
    run()
    choose(bleeding)

    def failing(*_arguments, **_options):
        yield
        raise RuntimeError("the disk burns")

    monkeypatch.setattr("ICHSegmenterSlicer.scene.segments.importResult", failing)
    run()
    assert "the disk burns" in panel.ui.statusLabel.text
    assert verdict(panel) == ""
    choose(healthy)
    assert panel.ui.statusLabel.text == ""  # it was said of the other one


def test_each_exam_keeps_its_result_through_a_scene_file(shell, panel, head, choose, run, tmp_path):
    import slicer

    for volumeNode in (head("Healthy", bleeds=False), head("Bleeding")):
        choose(volumeNode)
        run()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    shell.process()
    assert "Hemorrhage suspected" in verdict(panel)
    choose(slicer.util.getNode("Healthy"))
    assert "No hemorrhage found" in verdict(panel)


# ---- numbers are those of the segments now


def only(segmentationNode):
    return segmentationNode.GetSegmentation().GetNthSegmentID(0)


def paint(segmentationNode, segmentId, volumeNode, box, value=1):
    import slicer

    mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, volumeNode)
    mask[box] = value
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentationNode, segmentId, volumeNode)


@pytest.fixture
def editor(analyzed):
    """Segment Editor's logic on the segments of the analyzed exam: its undo is that of the editor."""
    import slicer

    volumeNode, _, segmentationNode = analyzed
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.SetSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    logic.SetSegmentationNode(segmentationNode)
    logic.SetSourceVolumeNode(volumeNode)
    return logic


def numbers(panel):
    """All that the box says of the segments: verdict, rows with their total, slices, strip."""
    strip = [round(row.bloodMl, 3) for row in panel.shown._table._strip._rows]
    return verdict(panel), cells(panel.ui.segmentTable), cells(panel.ui.sliceTable), strip


def badge(panel):
    """The sign beside the verdict, as it is drawn."""
    from PySide6 import QtWidgets

    return QtWidgets.QLabel.pixmap(panel.ui.verdictIcon).toImage()


def test_a_stroke_changes_every_number_and_undo_takes_all_of_it_back(shell, panel, analyzed, editor):
    volumeNode, _, segmentationNode = analyzed
    made = numbers(panel)
    top = panel.ui.sliceTable.rowCount - 2
    assert cells(panel.ui.sliceTable)[top][3] == ""
    editor.SaveStateForUndo()
    paint(segmentationNode, only(segmentationNode), volumeNode, np.s_[top, 40:60, 40:60])
    shell.waitUntil(lambda: numbers(panel) != made, 5)
    shell.process(0.5)
    voxelMl = np.prod(volumeNode.GetSpacing()) / 1000
    added = 400 * voxelMl
    before, now = float(made[1][0][1]), float(cells(panel.ui.segmentTable)[0][1].split()[0])
    assert now - before == pytest.approx(added, abs=0.11)
    assert cells(panel.ui.segmentTable)[-1][:2] == ["Hemorrhage in all", f"{now:.1f} (edited)"]
    assert float(cells(panel.ui.sliceTable)[top][3]) == pytest.approx(added, abs=0.06)
    assert panel.shown._table._strip._rows[top].bloodMl == pytest.approx(added, rel=1e-6)
    assert f"Edited by hand: {now:.1f} mL" in verdict(panel)
    assert cells(panel.ui.segmentTable)[0][3].endswith(f"–{top + 1}")
    editor.Undo()
    shell.waitUntil(lambda: numbers(panel) == made, 5)


def test_a_slice_with_too_little_blood_for_a_tenth_is_not_left_blank(shell, panel, phantom, run):
    run()
    segmentationNode = panel.shown.segmentationNode
    top = panel.ui.sliceTable.rowCount - 2
    assert 0 < np.prod(phantom.volumeNode.GetSpacing()) / 1000 < 0.05
    paint(segmentationNode, only(segmentationNode), phantom.volumeNode, np.s_[top, 50, 50])
    shell.waitUntil(lambda: cells(panel.ui.sliceTable)[top][3], 5)
    assert cells(panel.ui.sliceTable)[top][3] == "< 0.1"


def test_a_removed_segment_takes_its_row_and_its_milliliters_along_and_undo_brings_them_back(
    shell, panel, analyzed, editor
):
    _, _, segmentationNode = analyzed
    made, alarm = numbers(panel), badge(panel)
    editor.SaveStateForUndo()
    segmentationNode.GetSegmentation().RemoveSegment(only(segmentationNode))
    shell.waitUntil(lambda: panel.ui.segmentTable.rowCount == 0, 5)
    assert "no hemorrhage is outlined now" in verdict(panel)
    assert badge(panel) != alarm  # a red sign beside these words would contradict them
    bleeding = [row.isPositive for row in panel.shown._table._strip._rows]
    assert [row[3] for row in cells(panel.ui.sliceTable)] == ["0.0" if one else "" for one in bleeding]
    row = bleeding.index(True)
    assert "no segment has any there" in panel.ui.sliceTable.item(row, 3).toolTip()
    assert not any(row.bloodMl for row in panel.shown._table._strip._rows)
    assert not panel.ui.editButton.enabled
    editor.Undo()
    shell.waitUntil(lambda: numbers(panel) == made, 5)
    assert panel.ui.editButton.enabled
    assert badge(panel) == alarm


def test_an_added_segment_is_counted(shell, panel, analyzed):
    volumeNode, _, segmentationNode = analyzed
    before = float(cells(panel.ui.segmentTable)[-1][1])
    segmentId = segmentationNode.GetSegmentation().AddEmptySegment("", "Missed bleed")
    paint(segmentationNode, segmentId, volumeNode, np.s_[9, 30:50, 30:50])
    added = 400 * np.prod(volumeNode.GetSpacing()) / 1000
    row = ["Missed bleed", f"{added:.1f} (edited)"]  # after a row of the empty segment, on a slow computer
    shell.waitUntil(lambda: [one[:2] for one in cells(panel.ui.segmentTable)][1:2] == [row], 5, "its row")
    total = float(cells(panel.ui.segmentTable)[-1][1].split()[0])
    assert total == pytest.approx(before + added, abs=0.11)
    assert f"{total:.1f} mL" in verdict(panel)


def test_a_persons_segment_that_is_no_blood_is_listed_and_not_counted(shell, panel, analyzed):
    from ICHSegmenterLib.labels import PERILESIONAL_EDEMA

    volumeNode, _, segmentationNode = analyzed
    before = cells(panel.ui.segmentTable)[-1][1]
    segmentId = segmentationNode.GetSegmentation().AddEmptySegment("", "Edema")
    segmentationNode.GetSegmentation().GetSegment(segmentId).SetTerminology(PERILESIONAL_EDEMA.terminology)
    paint(segmentationNode, segmentId, volumeNode, np.s_[9, 30:50, 30:50])
    shell.waitUntil(lambda: panel.ui.segmentTable.rowCount == 3, 5)
    assert cells(panel.ui.segmentTable)[-1][1] == f"{before} (edited)"


def test_the_mean_density_is_that_of_the_voxels_now(shell, panel, analyzed):
    import slicer

    volumeNode, _, segmentationNode = analyzed
    paint(segmentationNode, only(segmentationNode), volumeNode, np.s_[:], 0)
    paint(segmentationNode, only(segmentationNode), volumeNode, np.s_[3, 2:6, 2:6])
    expected = f"{slicer.util.arrayFromVolume(volumeNode)[3, 2:6, 2:6].mean():.0f}"
    shell.waitUntil(lambda: cells(panel.ui.segmentTable)[0][2] == expected, 5)


def test_a_deleted_segmentation_leaves_no_number_and_no_button(shell, panel, analyzed):
    import slicer

    _, _, segmentationNode = analyzed
    slicer.mrmlScene.RemoveNode(segmentationNode)
    shell.process()
    assert panel.ui.segmentTable.rowCount == 0
    assert "no hemorrhage is outlined now" in verdict(panel)
    for button in (panel.ui.editButton, panel.ui.show3DButton):
        assert not button.enabled


# ---- earlier runs


def test_an_earlier_run_is_hidden_and_one_click_shows_it(shell, panel, analyzed, run):
    from PySide6 import QtCore, QtTest

    _, first, ofFirst = analyzed
    assert not panel.ui.runTable.visible
    second = run()
    ofSecond = second.GetNodeReference("segmentation")
    assert (isVisible(ofFirst), isVisible(ofSecond)) == (False, True)
    table = panel.ui.runTable
    assert (table.visible, table.rowCount, table.currentRow()) == (True, 2, 0)
    place = table.visualItemRect(table.item(1, 0)).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
    shell.process()
    assert panel._parameters.result is first
    assert (isVisible(ofFirst), isVisible(ofSecond)) == (True, False)


def test_runs_into_one_segmentation_hide_each_others_segments_and_not_a_persons_own(shell, panel, analyzed, run):
    _, _, segmentationNode = analyzed
    segmentation, display = segmentationNode.GetSegmentation(), segmentationNode.GetDisplayNode()
    own = segmentation.AddEmptySegment("", "Mine")
    panel.ui.outputSelector.setCurrentNode(segmentationNode)
    run()
    first, _, second = segmentation.GetSegmentIDs()
    assert [display.GetSegmentVisibility(one) for one in (first, own, second)] == [False, True, True]


def test_the_surfaces_of_an_earlier_run_are_hidden_too(shell, panel, analyzed, run):
    shell.click(panel.ui.show3DButton)
    run()
    assert not isVisible(analyzed[2])
    assert not panel.ui.show3DButton.checked
