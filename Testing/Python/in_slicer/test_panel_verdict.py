"""What the panel says of an exam: verdict and threshold, what lies below it, terms, stages; and another threshold."""

import json

import numpy as np
import pytest

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture
def head(panel):
    """A small head with a bleed of 20 mL, chosen as input."""
    from ICHSegmenterSlicer.scene.sample import addPhantom

    sample = addPhantom(pixels=96, slices=14)
    panel.ui.inputSelector.setCurrentNode(sample.volumeNode)
    return sample


@pytest.fixture
def run(shell, panel, head):
    """Clicks Detect & Segment and waits; returns the result node."""

    def run_():
        shell.click(panel.ui.applyButton)
        assert panel.analysis is not None, panel.ui.applyButton.toolTip
        shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
        return panel._parameters.result

    return run_


def choose(panel, method):
    panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData(method))


# ---- verdict and threshold


def assessed(panel, resultNode, **changes):
    """Show a result with another assessment, as if the worker had sent that."""
    plain = json.loads(resultNode.GetText())
    plain["assessment"].update(changes)
    plain["positive"] = plain["assessment"]["code"] != "none_found"
    resultNode.SetText(json.dumps(plain))
    panel.results.refresh()


def test_the_threshold_stands_beside_the_value(panel, run):
    result = json.loads(run().GetText())["assessment"]
    points = result["operating_points"]
    assert (
        f"probability {result['probability']:.2f}, threshold {points['confirming']:.2f}" in panel.ui.verdictLabel.text
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("none_found", "No hemorrhage found (score 0.40, threshold 0.50)."),
        ("possible", "Hemorrhage possible (score 0.40, possible from 0.50, suspected from 0.80)"),
        ("suspected", "Hemorrhage suspected (score 0.40, threshold 0.80)"),
    ],
)
def test_each_of_three_verdicts_is_put_into_words_and_drawn_by_its_code(panel, run, code, words):
    resultNode = run()
    points = {"screening": 0.5, "confirming": 0.8}
    assessed(panel, resultNode, code=code, probability=0.4, operating_points=points, is_calibrated=False)
    assert words in panel.ui.verdictLabel.text
    excludes = "A negative result does not exclude hemorrhage." in panel.ui.verdictLabel.text
    assert excludes == (code == "none_found")


def test_a_result_that_cannot_be_says_so_above_its_verdict_in_the_panels_words(panel, run, monkeypatch):
    from ICHSegmenterLib import plausibility
    from ICHSegmenterSlicer.views.results import verdict_text

    resultNode = run()
    figures = plausibility.OutlineFigures(412.0, 0.31, 350, 0.5, 58.0)
    implausible = plausibility.implausible(figures)
    plain = json.loads(resultNode.GetText())
    plain["implausible"] = implausible.to_json()
    plain["assessment"]["caps"] = ["implausible", "contrast_in_header"]
    resultNode.SetText(json.dumps(plain))
    panel.results.refresh()
    assert panel.ui.verdictLabel.text.startswith(f"⚠ <b>{implausible.text}</b>")
    assert "412 mL of blood, 31% of the space inside the skull, 350 pieces" in implausible.text
    assert "because of: implausible result, contrast agent in the header." in panel.ui.verdictLabel.text
    every = plausibility.Implausible(tuple(plausibility.ImplausibleReason), figures)
    assert verdict_text.implausibleText(every) == every.text
    monkeypatch.setattr(verdict_text, "_", lambda text: f"«{text}»")
    assert verdict_text.implausibleText(every).count("«") == 5


def test_every_reason_for_doubt_has_the_panels_words(panel):
    from ICHSegmenterLib.verdict import CAP_WORDS
    from ICHSegmenterSlicer.views.results.verdict_text import _capTexts

    assert _capTexts() == CAP_WORDS


def test_pieces_below_the_threshold_are_a_folded_list_that_is_neither_drawn_nor_counted(shell, panel, head, run):
    from PySide6 import QtCore, QtTest

    resultNode = run()
    total = panel.ui.segmentTable.item(panel.ui.segmentTable.rowCount - 1, 1).text()
    assert not panel.ui.belowButton.visible
    piece = json.loads(resultNode.GetText())["assessment"]["pieces"][0]
    faint = {**piece, "volume_ml": 0.3, "probability": 0.2, "center_lps_mm": [-20.0, 10.0, 40.0]}
    assessed(panel, resultNode, below_threshold=[faint])
    assert panel.ui.belowButton.visible
    assert panel.ui.belowButton.collapsed
    assert not panel.ui.belowTable.visible
    assert panel.ui.belowButton.text == "Below the threshold: one piece, 0.3 mL"
    assert panel.ui.segmentTable.item(panel.ui.segmentTable.rowCount - 1, 1).text() == total
    panel.ui.belowButton.collapsed = False
    shell.process()
    table = panel.ui.belowTable
    place = table.visualItemRect(table.item(0, 0)).center()
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
    shell.process()
    assert sliceOffset("Red") == pytest.approx(40.0, abs=0.01)
    assert abs(sliceOffset("Yellow")) == pytest.approx(20.0, abs=0.01)


def sliceOffset(name):
    import slicer

    return slicer.app.layoutManager().sliceWidget(name).sliceLogic().GetSliceOffset()


def test_a_negative_exam_jumps_to_no_colored_row(panel, run, shell):
    """Nothing is drawn or listed as a segment of an exam in which nothing was found."""
    from ICHSegmenterSlicer.scene.sample import addPhantom

    panel.ui.inputSelector.setCurrentNode(addPhantom("Healthy", pixels=96, slices=14, bleeds=False).volumeNode)
    run()
    assert "No hemorrhage found" in panel.ui.verdictLabel.text
    assert panel.shown.segmentationNode is None
    assert not panel.ui.segmentTable.visible


# ---- another threshold


def setThreshold(shell, panel, value):
    panel.ui.advancedButton.collapsed = False
    if not panel.ui.thresholdCheckBox.checked:
        panel.ui.thresholdCheckBox.click()
    panel.ui.thresholdSlider.value = value
    shell.process(0.6)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the new cut")


def masked(panel, volumeNode):
    import slicer

    node = panel.shown.segmentationNode
    ids = node.GetSegmentation().GetSegmentIDs() if node is not None else ()
    parts = [slicer.util.arrayFromSegmentBinaryLabelmap(node, one, volumeNode) > 0 for one in ids]
    return np.any(parts, axis=0) if parts else np.zeros((1,), bool)


def test_an_own_threshold_cuts_the_last_result_anew_without_the_network(shell, panel, head, run):
    import slicer

    panel.logic.client.send({"type": "free"})  # the worker may know this head from another test
    made = json.loads(run().GetText())
    before = masked(panel, head.volumeNode)
    soft = panel._parameters.result.GetNodeReference("maps")
    setThreshold(shell, panel, 0.9)
    cut = json.loads(panel._parameters.result.GetText())
    assert cut["provenance"]["threshold"] == pytest.approx(0.9)
    assert "predict" not in cut["provenance"]["seconds"]
    assert "predict" in made["provenance"]["seconds"]
    after = masked(panel, head.volumeNode)
    assert after.sum() < before.sum()
    assert panel._parameters.result.GetNodeReference("maps") is soft
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert len([node for node in nodes if not node.GetHideFromEditors()]) == 1  # the outline of a preview is hidden
    setThreshold(shell, panel, 0.3)
    assert masked(panel, head.volumeNode).sum() > before.sum()
    panel.ui.thresholdCheckBox.click()
    shell.process(0.6)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    np.testing.assert_array_equal(masked(panel, head.volumeNode), before)


def test_a_cut_is_what_a_whole_run_at_that_threshold_gives(shell, panel, head, run):
    run()
    setThreshold(shell, panel, 0.7)
    cut = masked(panel, head.volumeNode)
    panel.logic.client.send({"type": "free"})
    run()
    np.testing.assert_array_equal(masked(panel, head.volumeNode), cut)


def test_what_a_person_edited_is_never_cut_anew(shell, panel, head, run):
    import slicer

    run()
    node = panel.shown.segmentationNode
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    mine = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, head.volumeNode)
    mine[10, 30:50, 30:50] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mine, node, segmentId, head.volumeNode)
    shell.process(0.5)
    setThreshold(shell, panel, 0.9)
    assert panel.shown.segmentationNode is not node
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, head.volumeNode)
    np.testing.assert_array_equal(kept > 0, mine > 0)
    assert panel.ui.runTable.rowCount == 2


def test_a_threshold_is_kept_for_the_next_run_when_the_worker_has_forgotten(shell, panel, head, run):
    run()
    panel.logic.client.send({"type": "free"})
    before = masked(panel, head.volumeNode)
    setThreshold(shell, panel, 0.9)
    assert "The threshold applies to the next run" in panel.ui.statusLabel.text
    np.testing.assert_array_equal(masked(panel, head.volumeNode), before)
    assert "last run failed" not in panel.ui.examLabel.text


# ---- words


def test_the_authors_weights_of_the_sequence_method_are_named_with_link_size_and_way(panel, head):
    choose(panel, "rsna-sequence")
    text = panel.ui.needsLabel.text
    assert 'href="https://github.com/PaddlePaddle/Research' in text
    assert "1.07 GB" in text
    assert "import" in text
    assert "No published weights exist" not in text
    assert panel.ui.needsLabel.openExternalLinks
    assert panel.ui.importButton.visible


def test_weights_trained_on_data_with_terms_say_so_before_and_after_they_are_here(panel, head):
    choose(panel, "swin-sam-multi")
    assert "trained on data for non-commercial use" in panel.ui.methodInfoLabel.text
    assert "RSNA 2019 hemorrhage data: non-commercial use" in panel.ui.needsLabel.text


@pytest.mark.parametrize("accepts", [True, False])
def test_terms_are_shown_and_accepted_before_a_download(shell, panel, head, monkeypatch, accepts):
    import slicer

    asked, sent = [], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_, **__: (asked.append(text), accepts)[1])
    monkeypatch.setattr(panel.methods._client, "submit", lambda message, **_: sent.append(message) or "id")
    choose(panel, "swin-sam-multi")
    shell.click(panel.ui.downloadButton)
    assert "non-commercial use, academic research" in asked[0]
    downloads = [one for one in sent if one["type"] == "download"]
    expected = [{"type": "download", "method": "swin-sam-multi", "accept_license": True}] if accepts else []
    assert downloads == expected
    panel.methods._onTransferred()


def test_no_version_of_ours_is_taken_for_one_of_the_method(panel, run):
    run()
    assert "HU threshold · ICHSegmenter 0.1.0" in panel.ui.verdictLabel.text


def test_a_method_without_a_network_loads_none(panel):
    from ICHSegmenterLib.protocol import Phase, Stage
    from ICHSegmenterSlicer.words.stage_text import stageText

    assert stageText(0, 1, Stage(Phase.LOADING), "hu-threshold") == "Getting ready"
    assert stageText(0, 1, Stage(Phase.LOADING, "hu-threshold")) == "HU threshold: Getting ready"
    assert stageText(0, 1, Stage(Phase.LOADING), "compact-unet") == "Loading the network"
