"""Two methods on one exam in the panel: compared, or one that outlines and one that names; maps over the CT."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

RUN_S = 120
COMPARED = ("unet", "hu-threshold")

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with a U-Net of seeded weights, installed under its own card."""
    torch = pytest.importorskip("torch")
    from ICHSegmenterLib.cards.table import get_card
    from ICHSegmenterLib.methods.convert import convert
    from ICHSegmenterLib.models import create_model

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    torch.save(create_model("unet", variant="release").state_dict(), folder / "unet.pt")
    convert(folder / "unet.pt", get_card("unet"), folder / "unet.safetensors")
    return folder


@pytest.fixture
def compare(shell, panel, phantom):
    """Click Compare and wait; returns the result nodes of the methods and of the vote."""
    from ICHSegmenterSlicer.scene.results import compared_results

    def run():
        panel.ui.compareSection.collapsed = False
        check(shell, panel, *COMPARED)
        shell.click(panel.ui.compareButton)
        assert panel.analysis is not None, panel.ui.compareButton.toolTip
        shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the comparison")
        voted = panel._parameters.comparison
        assert voted is not None, panel.ui.statusLabel.text
        return compared_results.resultNodes(voted), voted

    return run


def check(shell, panel, *methods):
    """Check methods by clicks into the open list."""
    from PySide6 import QtCore, QtTest

    box = panel.ui.compareComboBox
    box.showPopup()
    shell.process()
    for row in range(box.count):
        if box.itemData(row) in methods:
            place = box.view().visualRect(box.model().index(row, 0)).center()
            QtTest.QTest.mouseClick(box.view().viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
    box.hidePopup()
    shell.process()


def choose(box, data):
    box.setCurrentIndex(box.findData(data))


def run(shell, panel):
    shell.click(panel.ui.applyButton)
    assert panel.analysis is not None, panel.ui.applyButton.toolTip
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    assert panel._parameters.result is not None, panel.ui.statusLabel.text
    return panel._parameters.result


def mask(segmentationNode, volumeNode):
    import slicer

    ids = segmentationNode.GetSegmentation().GetSegmentIDs()
    parts = [slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, one, volumeNode) > 0 for one in ids]
    return np.any(parts, axis=0)


def segmentations():
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


# ---- what can be chosen


def test_each_method_tells_its_state_in_the_list(panel):
    box = panel.ui.methodComboBox
    texts = {box.itemData(n): box.itemText(n) for n in range(box.count)}
    assert texts["hu-threshold"] == "HU threshold"
    assert texts["unet"] == "U-Net (five folds)"
    assert texts["hgi-sam"].endswith("(download 361 MB)")
    assert texts["smart-net-seg"].endswith("(file needed)")


def test_only_methods_that_can_run_are_offered_for_comparing(panel):
    box = panel.ui.compareComboBox
    offered = {box.itemData(n) for n in range(box.count)}
    assert {"unet", "hu-threshold"} <= offered
    assert not {"hgi-sam", "rsna-sequence", "smart-net-seg"} & offered


def test_one_method_is_no_comparison(shell, panel, phantom):
    from ICHSegmenterLib.cards.table import get_card

    panel.ui.compareSection.collapsed = False
    check(shell, panel, "unet")
    assert panel.comparison.methods == ("unet",)
    assert not panel.ui.compareButton.enabled
    assert panel.ui.compareButton.toolTip == "Check two methods or more"
    check(shell, panel, "hu-threshold")
    assert panel.ui.compareButton.enabled
    titles = ", ".join(get_card(method).title for method in ("unet", "hu-threshold"))
    assert panel.ui.compareComboBox.toolTip.split("\n")[0] == titles  # a narrow dock cuts the list off


def test_the_mirror_image_is_offered_where_the_method_knows_it(shell, panel, phantom):
    assert not panel.ui.mirrorCheckBox.enabled
    choose(panel.ui.methodComboBox, "unet")
    assert panel.ui.mirrorCheckBox.enabled


def test_a_detector_is_offered_where_subtypes_are_open_and_says_what_it_lacks(shell, panel, phantom):
    assert panel.ui.detectorComboBox.enabled
    assert panel.ui.detectorComboBox.currentText == "Same method"
    choose(panel.ui.detectorComboBox, "rsna-sequence")
    assert panel._parameters.detector == "rsna-sequence"
    assert not panel.ui.applyButton.enabled
    assert "The detector is not ready (file needed)" in panel.ui.applyButton.toolTip
    choose(panel.ui.methodComboBox, "rsna-sequence")  # detection only: nothing to name
    assert not panel.ui.detectorComboBox.enabled
    choose(panel.ui.methodComboBox, "hu-threshold")
    choose(panel.ui.detectorComboBox, "")
    assert panel.ui.applyButton.enabled


def test_method_and_detector_go_to_the_worker_together(shell, panel, phantom, monkeypatch):
    """The worker has no weights of it: its answer shows that the request arrived."""
    monkeypatch.setattr(panel.options, "whyNot", lambda card: "")
    choose(panel.ui.detectorComboBox, "swin-sam-multi")
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    assert "swin-sam-multi" in panel.ui.statusLabel.text
    assert segmentations() == []


# ---- maps


def test_soft_map_and_uncertainty_lie_exactly_over_the_ct(shell, panel, phantom):
    import slicer
    import vtk

    import scene_volumes

    turned = np.eye(4)
    turned[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    transform = scene_volumes.underTransform(phantom.volumeNode, turned)
    choose(panel.ui.methodComboBox, "unet")
    panel.ui.advancedButton.collapsed = False
    shell.click(panel.ui.mirrorCheckBox)
    shell.click(panel.ui.mapsCheckBox)
    result = run(shell, panel)
    for role in ("maps", "uncertainty"):
        node = result.GetNodeReference(role)
        matrices = [vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()]
        node.GetIJKToRASMatrix(matrices[0])
        phantom.volumeNode.GetIJKToRASMatrix(matrices[1])
        assert_allclose(*(slicer.util.arrayFromVTKMatrix(one) for one in matrices))
        assert node.GetParentTransformNode() is transform
        values = slicer.util.arrayFromVolume(node)
        assert values.shape == slicer.util.arrayFromVolume(phantom.volumeNode).shape
        assert values.min() >= 0 and 0 < values.max() <= 1
    outlined = result.GetNodeReference("segmentation")
    if outlined is not None:
        soft = slicer.util.arrayFromVolume(result.GetNodeReference("maps"))
        assert soft[mask(outlined, phantom.volumeNode)].min() >= 0.5


@pytest.fixture
def run_with_map(shell, panel, phantom):
    """Ask for the map by a click; each call of the fixture clicks Detect & Segment and returns the map's node."""
    panel.ui.advancedButton.collapsed = False
    shell.click(panel.ui.mapsCheckBox)
    return lambda: run(shell, panel).GetNodeReference("maps")


def foreground():
    import slicer

    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    return composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()


def mapNames(volumeNode):
    import slicer

    return [one.GetName() for one in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if one is not volumeNode]


def test_the_map_is_the_foreground_and_can_be_taken_away(panel, phantom, run_with_map):
    import slicer

    assert not panel.ui.mapComboBox.visible
    soft = run_with_map()
    assert panel.ui.mapComboBox.currentText == "Map"
    node, opacity = foreground()
    assert node == soft.GetID()
    assert 0 < opacity < 1
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert composite.GetBackgroundVolumeID() == phantom.volumeNode.GetID()
    choose(panel.ui.mapComboBox, "")
    assert not foreground()[0]
    assert panel._parameters.inputVolume is phantom.volumeNode


def test_the_map_is_named_by_ct_and_method_and_shown_from_0_to_1_in_colors_of_heat(phantom, run_with_map):
    soft = run_with_map()
    assert soft.GetName() == f"{phantom.volumeNode.GetName()} map (HU threshold)"
    display = soft.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    assert display.GetColorNode().GetName() == "ICHSegmenter map"


def test_a_map_that_nobody_asked_for_is_there_when_the_box_is_checked_after_the_run(shell, panel, phantom):
    soft = run(shell, panel).GetNodeReference("maps")
    assert not foreground()[0]
    assert soft.GetHideFromEditors()  # no list of volumes offers it as a CT
    pid = panel.logic.client.hello["pid"]
    panel.ui.advancedButton.collapsed = False
    shell.click(panel.ui.mapsCheckBox)
    assert panel.analysis is None
    assert foreground()[0] == soft.GetID()
    assert not soft.GetHideFromEditors()
    assert panel.logic.client.hello["pid"] == pid


def test_only_the_last_result_keeps_maps_that_nobody_looked_at(shell, panel, phantom):
    for _ in range(2):
        soft = run(shell, panel).GetNodeReference("maps")
    assert mapNames(phantom.volumeNode) == [soft.GetName()]


def test_unchecking_hides_the_map_and_checking_shows_it_again(shell, panel, run_with_map):
    soft = run_with_map()
    shell.click(panel.ui.mapsCheckBox)
    assert not foreground()[0]
    assert panel.ui.mapComboBox.currentText == "None"
    shell.click(panel.ui.mapsCheckBox)
    assert foreground()[0] == soft.GetID()


def test_a_foreground_of_the_users_own_stays_when_maps_are_unchecked(shell, panel, phantom, run_with_map):
    import slicer

    import scene_volumes

    run_with_map()
    own = scene_volumes.addLinear(np.zeros((2, 4, 4), np.int16), np.eye(4), "own")
    slicer.util.setSliceViewerLayers(foreground=own)
    shell.click(panel.ui.mapsCheckBox)
    assert foreground()[0] == own.GetID()


def test_the_next_run_replaces_the_map_of_the_same_method(phantom, run_with_map):
    run_with_map()
    soft = run_with_map()
    assert mapNames(phantom.volumeNode) == [f"{phantom.volumeNode.GetName()} map (HU threshold)"]
    assert foreground()[0] == soft.GetID()


def test_a_map_that_was_edited_renamed_or_made_by_another_method_stays(panel, phantom, run_with_map):
    import slicer

    renamed = run_with_map()
    renamed.SetName("for the lecture")
    edited = run_with_map()
    slicer.util.arrayFromVolume(edited)[3, 4:6, 4:6] = 0.5
    slicer.util.arrayFromVolumeModified(edited)
    third = run_with_map()
    choose(panel.ui.methodComboBox, "unet")
    ofAnother = run_with_map()
    expected = [one.GetName() for one in (renamed, edited, third, ofAnother)]
    assert mapNames(phantom.volumeNode) == expected
    assert expected[0] == "for the lecture"
    assert len(set(expected)) == len(expected)
    assert slicer.util.arrayFromVolume(edited)[3, 4, 4] == 0.5


def test_the_old_map_stays_when_a_run_fails_late(shell, panel, phantom, run_with_map, monkeypatch):
    old = run_with_map()

    def failing(*_arguments, **_options):
        yield
        raise RuntimeError("the disk burns")

    monkeypatch.setattr("ICHSegmenterSlicer.scene.segments.importResult", failing)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    assert "the disk burns" in panel.ui.statusLabel.text
    assert mapNames(phantom.volumeNode) == [old.GetName()]
    assert foreground()[0] == old.GetID()


def test_a_map_survives_the_scene_file_and_is_replaced_afterwards(shell, panel, phantom, run_with_map, tmp_path):
    import slicer

    name = run_with_map().GetName()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    shell.process()
    assert panel.ui.mapComboBox.currentText == "Map"
    soft = run(shell, panel).GetNodeReference("maps")
    assert soft.GetName() == name
    assert mapNames(panel._parameters.inputVolume) == [name]


def test_cancelling_with_maps_leaves_no_volume(shell, panel, phantom):
    import slicer

    panel.ui.advancedButton.collapsed = False
    shell.click(panel.ui.mapsCheckBox)
    shell.click(panel.ui.applyButton)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, 10)
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1


# ---- compared


def test_each_method_and_the_vote_get_a_segmentation_in_one_folder(shell, panel, phantom, compare):
    import slicer

    results, voted = compare()
    assert [json.loads(one.GetText())["provenance"]["method"] for one in results] == list(COMPARED)
    nodes = [one.GetNodeReference("segmentation") for one in (*results, voted)]
    masks = [mask(node, phantom.volumeNode) if node else np.zeros(1, bool) for node in nodes]
    assert_array_equal(masks[2], masks[0] & masks[1])
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in nodes if node}
    assert len(parents) == 1
    assert hierarchy.GetItemName(parents.pop()).endswith("methods compared")


def test_the_table_shows_milliliters_side_by_side_and_the_dice_of_the_masks(shell, panel, phantom, compare):
    results, voted = compare()
    table = panel.ui.agreementTable
    cells = [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]
    masks = [mask(one.GetNodeReference("segmentation"), phantom.volumeNode) for one in results]
    dice = f"{2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum()):.2f}"
    milliliters = [f"{json.loads(one.GetText())['blood_ml']:.1f}" for one in (*results, voted)]
    assert cells == [
        ["1  unet (own weights for unet)", milliliters[0], "–", dice],
        ["2  HU threshold", milliliters[1], dice, "–"],
        ["Majority vote", milliliters[2], "", ""],
    ]
    assert table.currentRow() == 2
    assert "score" in panel.ui.verdictLabel.text


def test_a_click_on_a_row_shows_that_result_and_fills_its_segments_only(shell, panel, phantom, compare):
    from PySide6 import QtCore, QtTest

    results, voted = compare()
    table = panel.ui.agreementTable
    place = table.visualItemRect(table.item(1, 0)).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
    shell.process()
    assert panel._parameters.result is results[1]
    displays = [one.GetNodeReference("segmentation").GetDisplayNode() for one in (*results, voted)]
    assert [bool(one.GetVisibility2DFill()) for one in displays] == [False, True, False]
    assert float(panel.ui.segmentTable.item(0, 1).text()) == pytest.approx(phantom.bleedMl, rel=0.1)


def test_two_methods_are_shown_side_by_side_and_everything_is_put_back(shell, panel, phantom, compare):
    import slicer

    results, voted = compare()
    manager = slicer.app.layoutManager()
    red, yellow = (manager.sliceWidget(name).mrmlSliceNode() for name in ("Red", "Yellow"))
    before = manager.layout, yellow.GetOrientation()
    panel.ui.compareSection.collapsed = False
    shell.click(panel.ui.sideBySideButton)
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
    assert red.GetOrientation() == yellow.GetOrientation() == "Axial"
    assert red.GetSliceOffset() == yellow.GetSliceOffset()
    displays = [one.GetNodeReference("segmentation").GetDisplayNode() for one in (*results, voted)]
    assert [list(one.GetViewNodeIDs()) for one in displays] == [
        [red.GetID()],
        [yellow.GetID()],
        ["vtkMRMLSliceNodeGreen"],
    ]
    assert "Left: unet" in panel.ui.agreementLabel.text
    colors = [(230, 159, 0), (86, 180, 233)]
    for name, own, other in (("Red", *colors), ("Yellow", *colors[::-1])):
        image = manager.sliceWidget(name).sliceView()._painter().image().astype(int)
        assert (np.abs(image - own).max(axis=2) < 40).sum() > 10
        assert (np.abs(image - other).max(axis=2) < 40).sum() == 0
    shell.click(panel.ui.sideBySideButton)
    assert (manager.layout, yellow.GetOrientation()) == before
    assert [one.GetNumberOfViewNodeIDs() for one in displays] == [0, 0, 0]


def test_milliliters_of_the_table_are_those_of_the_segments_now(shell, panel, phantom, compare):
    compare()
    table = panel.ui.agreementTable
    made = [table.item(row, 1).text() for row in range(3)]
    table.setCurrentCell(1, 0)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, RUN_S, "the finding")
    panel.ui.findingsTable.setCurrentCell(0, 0)
    shell.click(panel.ui.rejectButton)
    shell.waitUntil(lambda: table.item(1, 1).text() == "0.0 (edited)", 10, "the edit in the table")
    assert [table.item(row, 1).text() for row in (0, 2)] == [made[0], made[2]]
    shell.click(panel.ui.undoButton)
    shell.waitUntil(lambda: [table.item(row, 1).text() for row in range(3)] == made, 10, "what was made")


def test_a_comparison_hides_earlier_runs_and_a_later_run_hides_the_comparison(shell, panel, phantom, compare):
    def visible():
        return [node for node in segmentations() if node.GetDisplayNode().GetVisibility()]

    run(shell, panel)
    first = panel.shown.segmentationNode
    results, voted = compare()
    compared = [node for one in (*results, voted) if (node := one.GetNodeReference("segmentation")) is not None]
    assert set(visible()) == set(compared)
    assert "Majority vote of 2 · ICHSegmenter" in panel.ui.verdictLabel.text  # no version of ours is one of a vote
    run(shell, panel)
    assert visible() == [panel.shown.segmentationNode]
    assert len(segmentations()) == len({first, *compared, panel.shown.segmentationNode})


def test_comparing_leaves_edited_segments_alone(shell, panel, phantom, compare):
    import slicer

    run(shell, panel)
    node = panel.shown.segmentationNode
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    edited = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, phantom.volumeNode)
    edited[12, 5:9, 5:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, node, segmentId, phantom.volumeNode)
    panel.ui.outputSelector.setCurrentNode(node)
    compare()
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, phantom.volumeNode)
    assert_array_equal(kept > 0, edited > 0)
    assert node.GetSegmentation().GetNumberOfSegments() == 1


def test_a_comparison_is_cancelled_by_the_same_button(shell, panel, phantom):
    import slicer

    from ICHSegmenterSlicer.client.worker_client import State

    panel.ui.compareSection.collapsed = False
    check(shell, panel, *COMPARED)
    shell.click(panel.ui.compareButton)
    assert panel.ui.compareButton.text == "Cancel"
    shell.waitUntil(lambda: panel.logic.client.state is State.RUNNING, RUN_S)
    shell.click(panel.ui.compareButton)
    shell.waitUntil(lambda: panel.analysis is None, 10)
    assert "Cancelled" in panel.ui.statusLabel.text
    assert segmentations() == []
    assert slicer.util.getNodesByClass("vtkMRMLTextNode") == []
    assert panel.ui.compareButton.text == "Compare"


def test_an_import_of_a_comparison_that_is_stopped_half_way_leaves_nothing(shell, panel, phantom, compare):
    import qt
    import slicer

    compare()
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    running, due = [], []

    def cancel() -> None:
        running.append(panel.analysis is not None)
        shell.click(panel.ui.compareButton)

    def on_node_added(*_) -> None:
        if len(segmentations()) == 4 and not due:  # the timer is due before that of the next step
            due.append(True)
            qt.QTimer.singleShot(0, cancel)

    observer = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, on_node_added)
    try:
        shell.click(panel.ui.compareButton)
        shell.waitUntil(lambda: running and panel.analysis is None, RUN_S)
    finally:
        slicer.mrmlScene.RemoveObserver(observer)
    assert running[0], "the import was over before it could be cancelled"
    after = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    assert after == before


def test_choices_and_agreement_survive_saving_and_loading_the_scene(shell, panel, phantom, compare, tmp_path):
    import slicer

    compare()
    table = panel.ui.agreementTable
    before = [table.item(row, 1).text() for row in range(3)]
    choose(panel.ui.detectorComboBox, "rsna-sequence")
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    shell.process()
    assert table.rowCount == 0 or not table.visible
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    shell.process()
    assert [table.item(row, 1).text() for row in range(3)] == before
    assert panel.comparison.methods == COMPARED
    assert panel.options.selectedDetector == "rsna-sequence"


def test_the_logic_compares_without_the_panel(shell, panel, phantom):
    from ICHSegmenterSlicer.scene.results import compared_results

    imported = panel.logic.compare(phantom.volumeNode, COMPARED, "cpu")
    assert len(compared_results.resultNodes(imported.resultNode)) == 2


def test_the_window_lives_while_methods_are_compared(shell, panel, phantom, watch_window, monkeypatch):
    """How long it is held in between is printed and recorded."""
    monkeypatch.setattr("ICHSegmenterSlicer.client.steps.BUDGET_S", 0.0)  # every single step lets the event loop turn
    panel.ui.compareSection.collapsed = False
    check(shell, panel, *COMPARED)
    turns = watch_window(panel, panel.ui.compareButton)
    assert panel._parameters.comparison is not None
    for text in ("Reading the volume", "Starting the analysis", "Making segments"):
        assert turns[text] > 1, text
