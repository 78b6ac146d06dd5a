"""The box of the measures: numbers of the segments now, lines that are dragged, a prior exam with both outlines."""

import re

import numpy as np
import pytest

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


def addHead(name, bleedMl=20.0, shiftMm=0.0):
    """A head with a bleed at its left, in the scene."""
    import scene_volumes
    from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom

    geometry = head_geometry((26, 112, 112), pixel_mm=(2.0, 2.0))
    bleeds = (Bleed.sphere(bleedMl, (30.0, 5.0, 38.0)),) if bleedMl else ()
    hu = make_phantom(geometry, HeadModel(bleeds, midline_shift_mm=shiftMm), subsamples=(2, 1, 1)).volume.hu
    ijkToRas = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
    return scene_volumes.addLinear(np.round(hu).astype(np.int16), ijkToRas, name)


def analyze(shell, panel, volumeNode):
    panel.ui.inputSelector.setCurrentNode(volumeNode)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    shell.waitUntil(lambda: "ABC/2" in panel.ui.measuresLabel.text, 10, "the measures")


@pytest.fixture
def analyzed(shell, panel):
    """A head with a bleed of 20 mL and a midline that is 6 mm off."""
    volumeNode = addHead("Head", shiftMm=-6.0)
    analyze(shell, panel, volumeNode)
    return volumeNode


def number(pattern, label):
    """The number that a label says in place of the group."""
    return float(re.search(pattern, label.text).group(1))


def dragEnd(shell, node, by):
    """Move the second end of a line, as a person's drag does."""
    ras = np.zeros(3)
    node.GetNthControlPointPositionWorld(1, ras)
    node.SetNthControlPointPositionWorld(1, ras + by)
    shell.process()


def test_no_side_is_named_where_the_midline_is_not_shifted(shell):
    from ICHSegmenterLib.measuring.line import Line
    from ICHSegmenterLib.measuring.midline import Midline
    from ICHSegmenterSlicer.views.measures.measures_text import midlineText

    ideal = Line.between((0.0, -80.0, 10.0), (0.0, 80.0, 10.0))
    assert midlineText(Midline(ideal, (0.04, 0.0, 10.0), 8, 0.1, 0.0), isNow=True) == "No midline shift"
    assert midlineText(Midline(ideal, (0.04, 0.0, 10.0), 8, 0.1, 0.0), isNow=False).endswith("edit: No midline shift")
    assert midlineText(Midline(ideal, (0.06, 0.0, 10.0), 8, 0.1, 0.0), isNow=False) == (
        "⚠ Before the edit: Midline shift 0.1 mm to the left"
    )


def test_the_measures_of_exam_and_finding_stand_in_the_box(panel, analyzed):
    label = panel.ui.measuresLabel
    assert number(r"Total (\d+\.\d) mL in one piece", label) == pytest.approx(20, abs=2)
    assert number(r"Midline shift (\d+\.\d) mm to the right", label) == pytest.approx(6, abs=1)
    assert number(r"Diameter (\d+) mm", label) == pytest.approx(34, abs=4)
    import slicer

    node = panel.shown.segmentationNode
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), analyzed) > 0
    inside = slicer.util.arrayFromVolume(analyzed)[mask]
    assert number(r"mean (\d+),", label) == pytest.approx(inside.mean(), abs=0.5)
    assert number(r"maximum (\d+) HU", label) == inside.max()
    assert "midline shift of" in label.text and "Neurosurgery 2006" in label.text  # the criterion with its source


def test_the_measures_follow_an_edit(shell, panel, analyzed):
    import slicer

    before = number(r"Total (\d+\.\d) mL", panel.ui.measuresLabel)
    node = panel.shown.segmentationNode
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, analyzed)
    mask[: int(np.median(np.nonzero(mask)[0]))] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, analyzed)
    shell.waitUntil(lambda: number(r"Total (\d+\.\d) mL", panel.ui.measuresLabel) < 0.7 * before, 10, "the new total")
    assert number(r"ABC/2 (\d+\.\d) mL", panel.ui.measuresLabel) < 0.7 * before


def test_midline_and_ventricles_of_before_an_edit_are_marked_and_measured_again_by_a_click(shell, panel, analyzed):
    label, button = panel.ui.measuresLabel, panel.ui.measureAgainButton
    assert not button.visible
    made = label.text
    assert "Ventricles not reached<br>Midline shift" in made
    panel.shown._findings._editor.add(*besideVentricle(panel, analyzed), "ICH", analyzed)
    shell.waitUntil(lambda: button.visible, 10, "the mark")
    assert "Before the edit: Midline shift" in label.text
    assert "Before the edit: Ventricles not reached" in label.text
    shell.click(button)
    shell.waitUntil(lambda: not button.visible, RUN_S, "the measures of now")
    assert "Blood touches a lateral ventricle" in label.text
    assert "Before the edit" not in label.text
    shell.click(panel.ui.undoButton)
    shell.waitUntil(lambda: label.text == made, 10, "what the run measured")
    assert not button.visible
    shell.click(panel.ui.redoButton)
    shell.waitUntil(lambda: label.text != made, 10, "the edit")
    assert not button.visible  # it was measured already


def drawnPixels(segmentationNode):
    """How many pixels of the axial view are others without these segments."""
    import slicer

    view, display = slicer.app.layoutManager().sliceWidget("Red").sliceView(), segmentationNode.GetDisplayNode()
    shown = view._painter().image().astype(int)
    display.SetVisibility(False)
    without = view._painter().image().astype(int)
    display.SetVisibility(True)
    return int((np.abs(shown - without).max(axis=2) > 20).sum())


def besideVentricle(panel, volumeNode):
    """Mask and start of a box at the outer wall of the left ventricle."""
    from ICHSegmenterSlicer.scene.volumes import geometryOf

    point = np.add(panel.shown.measures.midline.septum, (24.0, 0.0, 0.0))
    column, row, slice_ = np.rint(geometryOf(volumeNode).lps_to_ijk(point)).astype(int).tolist()
    return np.ones((3, 9, 9), bool), (slice_ - 1, row - 4, column - 4)


def test_lines_are_drawn_on_request_and_the_numbers_follow_a_drag(shell, panel, analyzed):
    lines = panel.shown.measures._lines
    assert lines.node("A") is None
    shell.click(panel.ui.linesButton)
    nodes = {name: lines.node(name) for name in ("A", "B", "C", "Midline of the skull", "Midline shift")}
    assert all(node is not None for node in nodes.values())
    before = number(r"ABC/2 (\d+\.\d) mL", panel.ui.measuresLabel)
    ends = [np.zeros(3), np.zeros(3)]
    for index, end in enumerate(ends):
        nodes["C"].GetNthControlPointPositionWorld(index, end)
    length = np.linalg.norm(ends[1] - ends[0])
    dragEnd(shell, nodes["C"], ends[1] - ends[0])  # twice as long
    assert number(r"ABC/2 (\d+\.\d) mL", panel.ui.measuresLabel) == pytest.approx(2 * before, rel=0.02)
    assert nodes["C"].GetNthControlPointLabel(1) == f"C {2 * length:.0f} mm"
    assert length == pytest.approx(number(r"×\s(\d+)\smm\)", panel.ui.measuresLabel) / 2, abs=0.6)
    dragEnd(shell, nodes["Midline shift"], (-3.0, 0.0, 0.0))  # RAS: to the left
    assert number(r"Midline shift (\d+\.\d) mm to the right", panel.ui.measuresLabel) == pytest.approx(3, abs=1.1)
    shell.click(panel.ui.linesButton)
    assert lines.node("A") is None


def test_without_blood_there_are_no_lines_to_draw(shell, panel):
    panel.ui.inputSelector.setCurrentNode(addHead("Healthy head", bleedMl=0.0))
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None and "0 pieces" in panel.ui.measuresLabel.text, RUN_S, "the measures")
    assert not panel.ui.linesButton.enabled


def test_corrected_lines_stay_with_their_result(shell, panel, analyzed):
    shell.click(panel.ui.linesButton)
    dragEnd(shell, panel.shown.measures._lines.node("Midline shift"), (-3.0, 0.0, 0.0))
    corrected = panel.ui.measuresLabel.text
    panel.ui.inputSelector.setCurrentNode(addHead("Another head"))
    shell.process(0.5)
    assert not panel.ui.measuresButton.visible
    panel.ui.inputSelector.setCurrentNode(analyzed)
    shell.waitUntil(lambda: panel.ui.measuresLabel.text == corrected, 10, "the corrected shift")
    shell.click(panel.ui.linesButton)


def test_a_prior_exam_is_compared_and_its_outline_lies_beside_the_current_one(shell, panel):
    analyze(shell, panel, addHead("Yesterday", 10.0))
    assert not panel.ui.priorFrame.visible
    analyze(shell, panel, addHead("Today", 20.0))
    assert panel.ui.priorFrame.visible
    assert panel.ui.priorComboBox.currentText.startswith("Yesterday")
    shell.click(panel.ui.priorButton)
    assert not panel.ui.priorButton.enabled
    shell.waitUntil(lambda: "now" in panel.ui.priorLabel.text, RUN_S, "the comparison")
    label = panel.ui.priorLabel
    assert number(r"(\d+\.\d) mL then", label) == pytest.approx(10, abs=1)
    assert "growth by more than a third" in label.text and "no growth" not in label.text
    assert "Dowlatshahi" in label.text
    shell.waitUntil(lambda: "Prior exam:" in panel.ui.measuresLabel.text, RUN_S, "the prior volume of the finding")
    assert number(r"Prior exam: (\d+\.\d) mL here", panel.ui.measuresLabel) == pytest.approx(10, abs=1.5)
    assert drawnPixels(panel.shown.measures.prior.outline.node) > 20
    assert drawnPixels(panel.shown.segmentationNode) > 20
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, RUN_S, "the finding")
    panel.ui.findingsTable.setCurrentCell(0, 0)
    shell.click(panel.ui.rejectButton)
    shell.waitUntil(lambda: "0.0 mL now" in label.text, RUN_S, "the change after an edit")
    assert "no growth" in label.text


def test_a_comparison_comes_back_with_the_scene_and_is_hidden_once_the_prior_changes(shell, panel, tmp_path):
    import slicer

    analyze(shell, panel, addHead("Yesterday", 10.0))
    analyze(shell, panel, addHead("Today", 20.0))
    shell.click(panel.ui.priorButton)
    label = panel.ui.priorLabel
    shell.waitUntil(lambda: "mL then" in label.text, RUN_S, "the comparison")
    said, measures = label.text, panel.ui.measuresLabel.text
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    assert label.text == ""
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    shell.waitUntil(lambda: label.text == said and panel.ui.measuresLabel.text == measures, 10, "the comparison")
    outline = panel.shown.measures.prior.outline
    assert outline.node is not None
    assert panel.ui.priorComboBox.currentText.startswith("Yesterday")

    prior = slicer.util.getNode("Yesterday")
    node = slicer.mrmlScene.GetNodeByID(panel.ui.priorComboBox.currentData).GetNodeReference("segmentation")
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, prior)
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.zeros_like(mask), node, segmentId, prior)
    shell.waitUntil(lambda: "Yesterday" in label.text and "changed or is gone" in label.text, 10, "the mark")
    assert outline.node is None
    assert "Prior exam" not in panel.ui.measuresLabel.text
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, prior)
    shell.waitUntil(lambda: label.text == said and outline.node is not None, 10, "the comparison, as it fits again")
    shell.process(0.5)  # no timer of the edits before is left
    for by in (1, -1):
        slicer.util.arrayFromVolume(prior)[:] += by
        slicer.util.arrayFromVolumeModified(prior)
        isSame = by < 0
        shell.waitUntil(lambda isSame=isSame: ("mL then" in label.text) is isSame, 10, "what follows from the voxels")
    slicer.mrmlScene.RemoveNode(prior)
    shell.waitUntil(lambda: "changed or is gone" in label.text, 10, "the mark")


def test_skulls_that_do_not_fit_are_said_and_nothing_is_outlined(shell, panel):
    import slicer

    other = addHead("Another patient", 10.0)
    analyze(shell, panel, other)
    analyze(shell, panel, addHead("Today", 20.0))
    other.SetSpacing(2.5, 1.7, 5.0)
    slicer.util.arrayFromVolumeModified(other)
    shell.click(panel.ui.priorButton)
    shell.waitUntil(lambda: panel.ui.priorButton.enabled, RUN_S, "the refusal")
    assert "do not fit" in panel.ui.priorLabel.text
    assert panel.shown.measures.prior.outline.node is None
