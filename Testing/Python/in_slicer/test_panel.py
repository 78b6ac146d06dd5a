"""The panel as a radiologist uses it: real mouse clicks, the real worker, real segments."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

REPOSITORY = Path(__file__).resolve().parents[3]
MODULE = REPOSITORY / "ICHSegmenter" / "ICHSegmenter.py"
RUN_S = 120

pytestmark = pytest.mark.slicer


@pytest.fixture
def panel(shell):
    import slicer

    if not hasattr(slicer.modules, "ichsegmenter"):
        shell.loadModule(MODULE)
    widget = shell.openModule("ICHSegmenter")
    widget.methods.choose("hu-threshold", "auto")
    widget._onMethodSelected()
    yield widget
    if widget.analysis is not None:
        widget.analysis.cancel()
        shell.waitUntil(lambda: widget.analysis is None, 10)
    widget.logic.client.shutdown()


@pytest.fixture
def phantom(shell, panel):
    from ICHSegmenterSlicer.scene.sample import addPhantom

    sample = addPhantom()
    panel.ui.inputSelector.setCurrentNode(sample.volumeNode)
    return sample


@pytest.fixture
def click(shell, panel, phantom):
    """Click Detect & Segment and wait for the end of the run; returns the segmentation node."""

    def run():
        shell.click(panel.ui.applyButton)
        assert panel.analysis is not None, panel.ui.applyButton.toolTip
        shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
        return panel.shown.segmentationNode

    return run


def running(shell, panel):
    """Click, and wait until the worker computes."""
    from ICHSegmenterSlicer.client.worker_client import State

    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.logic.client.state is State.RUNNING, RUN_S, "the start of the run")


def segmentNames(node):
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]


def sceneSegmentations():
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


# ---- before a run


def test_the_panel_opens_without_importing_torch(run_apart):
    """In a process of its own, because other tests import torch."""
    refuse_torch = """
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm", "monai", "SimpleITK", "matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoTorch())
"""
    statements = f"""
import time
shell.loadModule({str(MODULE)!r})
started = time.perf_counter()
widget = shell.openModule("ICHSegmenter")
print("opened in", round(time.perf_counter() - started, 2), "s")
assert widget.methods.method == "hu-threshold", widget.methods.method
"""
    print(run_apart(statements, before_boot=refuse_torch))


def test_the_extensions_own_library_wins_over_one_that_pip_installed(run_apart, tmp_path):
    """In a process of its own, whose path is Slicer's: the folder of the module is its last entry."""
    installed = tmp_path / "site-packages" / "ICHSegmenterLib"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("raise ImportError('the copy that pip installed')\n")
    run_apart(f"""
first = next(n for n, one in enumerate(sys.path) if one.endswith(("site-packages", "dist-packages")))
sys.path[:] = [one for one in sys.path if one != {str(REPOSITORY)!r}]
sys.path.insert(first, {str(installed.parent)!r})
sys.path.append({str(MODULE.parent)!r})
shell.loadModule({str(MODULE)!r})
import ICHSegmenterLib
assert ICHSegmenterLib.__path__[0] == {str(REPOSITORY / "ICHSegmenterLib")!r}, ICHSegmenterLib.__path__
ordered = (os.path.dirname(os.__file__), {str(MODULE.parent)!r}, {str(installed.parent)!r})
places = [sys.path.index(one) for one in ordered]
assert places == sorted(places), sys.path
""")


def test_the_button_is_off_without_a_volume_and_says_why(panel):
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Select a head CT"


def test_the_displayed_ct_is_chosen_when_the_panel_opens(shell, panel):
    import slicer

    from ICHSegmenterSlicer.scene.sample import addPhantom

    slicer.mrmlScene.Clear()
    sample = addPhantom()
    panel.enter()
    assert panel._parameters.inputVolume is sample.volumeNode
    assert panel.ui.inputSelector.currentNode() is sample.volumeNode


def test_spacing_slices_and_tilt_are_told(shell, panel):
    import scene_volumes
    from ICHSegmenterLib.synthesis.phantom import head_geometry, make_phantom

    steps = [4.22] * 13 + [7.38] * 13
    geometry = head_geometry((27, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=steps, tilt_deg=18.5)
    voxels = np.rint(make_phantom(geometry, subsamples=(1, 1, 1)).volume.hu).astype(np.int16)
    panel.ui.inputSelector.setCurrentNode(scene_volumes.addAsFromDicom(voxels, geometry))
    text = panel.ui.inputInfoLabel.text
    assert "27 slices of 96 × 96" in text
    assert "gantry tilt 18.5°" in text
    assert "uneven steps" in text
    assert panel.ui.applyButton.enabled


@pytest.mark.parametrize(
    ("voxels", "reason"),
    [
        (np.random.default_rng(0).integers(0, 255, (20, 64, 64)).astype(np.uint8), "not Hounsfield units"),
        (np.full((1, 64, 64), -1000, np.int16), "one slice"),
    ],
)
def test_a_volume_that_does_not_fit_is_refused_with_the_reason(shell, panel, voxels, reason):
    import scene_volumes

    node = scene_volumes.addLinear(voxels, np.diag([3.5, 3.5, 5.0, 1.0]))
    panel.ui.inputSelector.setCurrentNode(node)
    assert reason in panel.ui.inputInfoLabel.text
    assert not panel.ui.applyButton.enabled
    shell.click(panel.ui.applyButton)
    assert panel.analysis is None


def test_the_reason_of_a_refusal_is_in_the_panels_words(shell, panel, monkeypatch):
    import scene_volumes
    from ICHSegmenterSlicer.words import finding_text

    monkeypatch.setattr(finding_text, "_", lambda text: f"«{text}»")
    node = scene_volumes.addLinear(np.full((20, 64, 64), 7, np.int16), np.diag([3.5, 3.5, 5.0, 1.0]))
    panel.ui.inputSelector.setCurrentNode(node)
    assert "«Every voxel is 7: the volume is blank. Load the original CT.»" in panel.ui.inputInfoLabel.text


def test_a_method_without_weights_offers_download_and_import(shell, panel, phantom):
    panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData("blast-ct"))
    assert panel.ui.downloadButton.visible
    assert panel.ui.importButton.visible
    assert "not on this computer" in panel.ui.needsLabel.text
    assert not panel.ui.applyButton.enabled
    panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData("hu-threshold"))
    assert not panel.ui.needsFrame.visible
    assert panel.ui.applyButton.enabled


def test_no_download_is_offered_where_weights_come_by_hand_or_not_at_all(panel, phantom):
    for method in ("rsna-sequence", "smart-net-seg"):
        panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData(method))
        assert panel.ui.importButton.visible
        assert not panel.ui.downloadButton.visible


def test_weights_are_imported_by_the_worker_under_any_name(shell, panel, phantom, shared_data, tmp_path):
    from ICHSegmenterLib.cards.table import get_card

    panel.ui.methodComboBox.setCurrentIndex(panel.ui.methodComboBox.findData("blast-ct"))
    source = shared_data("data/blast_ct_v1")
    copies = []
    for n, path in enumerate(sorted(source.glob("*.pt"))[:2]):
        copies.append(tmp_path / f"renamed {n} ü.pt")
        copies[-1].write_bytes(path.read_bytes())
    panel.methods._client.shutdown()  # the worker of the test before, started by its check, has that test's folder
    panel.methods.importFiles([str(path) for path in copies])
    shell.waitUntil(lambda: not panel.methods.isTransferring, RUN_S)
    from ICHSegmenterLib.weights import store

    assert len(store.state(get_card("blast-ct")).present) == 2
    assert not panel.ui.downloadButton.visible


def test_a_file_that_is_no_weights_file_is_explained_in_the_panel(shell, panel, phantom, tmp_path):
    (tmp_path / "x.pt").write_bytes(b"nothing")
    panel.methods.importFiles([str(tmp_path / "x.pt")])
    shell.waitUntil(lambda: not panel.methods.isTransferring, RUN_S)
    assert "none of the published weight files" in panel.ui.statusLabel.text


# ---- a run


def test_a_click_finds_the_bleed_and_makes_an_editable_segment(shell, panel, phantom, click):
    import slicer

    from ICHSegmenterSlicer.scene.results.edits import tagOf

    node = click()
    assert segmentNames(node) == ["Intracranial hemorrhage"]
    segment = node.GetSegmentation().GetNthSegment(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(
        node, node.GetSegmentation().GetNthSegmentID(0), phantom.volumeNode
    )
    voxelMl = np.prod(phantom.volumeNode.GetSpacing()) / 1000
    assert (mask > 0).sum() * voxelMl == pytest.approx(phantom.bleedMl, rel=0.1)
    assert tagOf(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
    assert "50960005" in segment.GetTerminology()
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is phantom.volumeNode


def test_the_result_is_told_in_the_panel(shell, panel, phantom, click):
    click()
    assert "Hemorrhage suspected" in panel.ui.verdictLabel.text
    assert panel.ui.segmentTable.item(0, 0).text() == "Intracranial hemorrhage"
    assert float(panel.ui.segmentTable.item(0, 1).text()) == pytest.approx(phantom.bleedMl, rel=0.1)
    assert panel.ui.sliceTable.rowCount == 26
    assert not panel.ui.progressBar.visible
    assert "s on CPU here" in panel.ui.methodInfoLabel.text


def test_the_views_jump_to_the_bleed_and_follow_the_table(shell, panel, phantom, click):
    import slicer

    click()
    offsets = {name: sliceOffset(name) for name in ("Red", "Green", "Yellow")}
    x, y, z = phantom.bleedCenterLps
    assert offsets["Red"] == pytest.approx(z, abs=6)
    assert offsets["Green"] == pytest.approx(-y, abs=6)
    assert abs(offsets["Yellow"]) == pytest.approx(x, abs=6)
    panel.ui.sliceTable.setCurrentCell(3, 0)
    result = json.loads(panel._parameters.result.GetText())
    lowest = min(result["slices"], key=lambda one: one["number"])
    assert sliceOffset("Red") == pytest.approx(lowest["origin_lps_mm"][2] + 3 * 5.0, abs=0.1)
    assert slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed").GetBackgroundVolumeID()


def sliceOffset(name):
    import slicer

    return slicer.app.layoutManager().sliceWidget(name).sliceLogic().GetSliceOffset()


def test_a_head_without_blood_gets_a_verdict_and_no_segments(shell, panel):
    from ICHSegmenterSlicer.scene.sample import addPhantom

    sample = addPhantom(bleeds=False)
    panel.ui.inputSelector.setCurrentNode(sample.volumeNode)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    assert "No hemorrhage found" in panel.ui.verdictLabel.text
    assert sceneSegmentations() == []
    assert not panel.ui.editButton.enabled


def test_a_second_run_makes_a_second_segmentation_and_leaves_edits_alone(shell, panel, phantom, click):
    import slicer

    first = click()
    segmentId = first.GetSegmentation().GetNthSegmentID(0)
    edited = slicer.util.arrayFromSegmentBinaryLabelmap(first, segmentId, phantom.volumeNode)
    edited[20, 5:9, 5:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, first, segmentId, phantom.volumeNode)
    second = click()
    assert second is not first
    assert len(sceneSegmentations()) == 2
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(first, segmentId, phantom.volumeNode)
    assert_array_equal(kept > 0, edited > 0)


def test_a_second_run_uses_the_warm_worker(shell, panel, click):
    click()
    pid = panel.logic.client.hello["pid"]
    click()
    assert panel.logic.client.hello["pid"] == pid


def test_an_edit_is_told_and_undone_in_the_panel(shell, panel, phantom, click):
    import slicer

    from ICHSegmenterSlicer.scene.results.edits import tagOf

    node = click()
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    segment = node.GetSegmentation().GetSegment(segmentId)
    made = panel.ui.segmentTable.item(0, 1).text()
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    editorNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    logic.SetSegmentEditorNode(editorNode)
    logic.SetSegmentationNode(node)
    logic.SetSourceVolumeNode(phantom.volumeNode)
    editorNode.SetSelectedSegmentID(segmentId)
    logic.SaveStateForUndo()
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, phantom.volumeNode)
    mask[20, 60:70, 60:70] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, phantom.volumeNode)
    shell.waitUntil(lambda: tagOf(segment, "DICOM.SegmentAlgorithmType") == "SEMIAUTOMATIC", 5)
    assert panel.ui.segmentTable.item(0, 1).text().endswith("(edited)")
    logic.Undo()
    segment = node.GetSegmentation().GetSegment(segmentId)
    shell.waitUntil(lambda: tagOf(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC", 5)
    shell.waitUntil(lambda: panel.ui.segmentTable.item(0, 1).text() == made, 5)


def test_the_result_survives_saving_and_loading_the_scene(shell, panel, phantom, click, tmp_path):
    import slicer

    from ICHSegmenterSlicer.scene.results.edits import tagOf

    node = click()
    before = slicer.util.arrayFromSegmentBinaryLabelmap(
        node, node.GetSegmentation().GetNthSegmentID(0), phantom.volumeNode
    )
    verdict = panel.ui.verdictLabel.text
    panel.ui.opacitySlider.value = 0.25
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    shell.process()
    assert not panel.ui.resultButton.visible
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    shell.process()
    assert panel.ui.verdictLabel.text == verdict
    assert panel.ui.resultButton.visible
    assert panel._parameters.method == "hu-threshold"
    assert panel.ui.opacitySlider.value == pytest.approx(0.25)
    loaded = panel.shown.segmentationNode
    volumeNode = panel._parameters.inputVolume
    after = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, loaded.GetSegmentation().GetNthSegmentID(0), volumeNode)
    assert_array_equal(after > 0, before > 0)
    segment = loaded.GetSegmentation().GetNthSegment(0)
    assert "50960005" in segment.GetTerminology()
    assert tagOf(segment, "DICOM.SegmentAlgorithmName").startswith("ICHSegmenter ")
    assert tagOf(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"


def test_a_result_of_a_newer_version_is_explained_in_the_panel(shell, panel, phantom, click):
    click()
    resultNode = panel._parameters.result
    resultNode.SetText(json.dumps({**json.loads(resultNode.GetText()), "format": 99}))
    panel.enter()
    assert "Update ICHSegmenter" in panel.ui.statusLabel.text
    assert not panel.ui.resultButton.visible


def test_the_segments_come_up_in_3d_and_go(shell, panel, phantom, click):
    node = click()
    shell.click(panel.ui.show3DButton)
    assert node.GetDisplayNode().GetVisibility3D()
    segmentation = node.GetSegmentation()
    shell.waitUntil(lambda: segmentation.ContainsRepresentation("Closed surface"), 10, "the surfaces, made in steps")
    shell.click(panel.ui.show3DButton)
    assert not node.GetDisplayNode().GetVisibility3D()


def test_what_was_hidden_while_it_was_drawn_stays_hidden(shell, panel, phantom, click, monkeypatch):
    from ICHSegmenterSlicer.scene import surfaces

    def in_many_steps(_node):
        for _ in range(20):
            time.sleep(0.02)  # longer than the steps that are taken together
            yield

    node = click()
    shell.waitUntil(lambda: panel.shown._measured is not None, 10, "the measures")
    monkeypatch.setattr(surfaces, "make", in_many_steps)
    shell.click(panel.ui.show3DButton)
    first = panel.shown._drawing
    panel.shown._onMeasured(panel.shown._measured)  # as after an edit
    assert not first.isRunning
    shell.click(panel.ui.show3DButton)
    shell.process(0.6)
    assert not node.GetDisplayNode().GetVisibility3D()


def test_the_segment_editor_opens_with_the_new_segments(shell, panel, phantom, click):
    import slicer

    node = click()
    shell.click(panel.ui.editButton)
    editorNode = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    assert editorNode.GetSegmentationNode() is node
    assert editorNode.GetSourceVolumeNode() is phantom.volumeNode


def test_the_opacity_slider_moves_the_filling(shell, panel, phantom, click):
    node = click()
    panel.ui.opacitySlider.value = 0.2
    assert node.GetDisplayNode().GetOpacity2DFill() == pytest.approx(0.2)


# ---- a run that does not end well


def test_cancelling_leaves_the_scene_as_it_was(shell, panel, phantom):
    shell.click(panel.ui.applyButton)
    assert panel.ui.applyButton.text == "Cancel"
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, 10)
    assert sceneSegmentations() == []
    assert "Cancelled" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.text == "Detect && Segment"


def test_cancelling_in_mid_run_works_and_the_next_run_succeeds(shell, panel, phantom, click):
    running(shell, panel)
    started = time.monotonic()
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, 10)
    print(f"cancelled after {time.monotonic() - started:.2f} s")
    assert sceneSegmentations() == []
    assert click() is not None


def test_a_killed_worker_is_explained_and_replaced(shell, panel, phantom, click):
    running(shell, panel)
    os.kill(panel.logic.client.hello["pid"], signal.SIGKILL)
    shell.waitUntil(lambda: panel.analysis is None, 10)
    assert "unexpectedly" in panel.ui.statusLabel.text
    assert sceneSegmentations() == []
    assert click() is not None


def test_closing_the_scene_in_mid_run_cancels(shell, panel, phantom):
    import slicer

    running(shell, panel)
    slicer.mrmlScene.Clear()
    shell.waitUntil(lambda: panel.analysis is None, 10)
    assert sceneSegmentations() == []
    assert not panel.ui.applyButton.enabled


def test_deleting_the_volume_in_mid_run_is_explained(shell, panel, phantom):
    import slicer

    running(shell, panel)
    slicer.mrmlScene.RemoveNode(phantom.volumeNode)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    assert "was deleted while it was analyzed" in panel.ui.statusLabel.text
    assert sceneSegmentations() == []


def test_an_error_of_the_worker_is_shown_in_the_panel(shell, panel, phantom):
    """Voxels that change unnoticed after the first look: the worker looks at all of them."""
    import slicer

    slicer.util.arrayFromVolume(phantom.volumeNode)[:] = 30
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S)
    assert "the volume is blank" in panel.ui.statusLabel.text
    assert sceneSegmentations() == []


# ---- without the panel, and developers' tools


def test_the_logic_works_from_the_python_console(shell, panel):
    from ICHSegmenter import ICHSegmenterLogic
    from ICHSegmenterSlicer.scene.sample import addPhantom

    sample = addPhantom()
    logic = ICHSegmenterLogic()
    try:
        assert logic.process(sample.volumeNode, "hu-threshold").segmentationNode is not None
        with pytest.raises(RuntimeError, match="needs blast_ct_v1_model_"):
            logic.process(sample.volumeNode, "blast-ct")
    finally:
        logic.client.shutdown()


@pytest.mark.shipped
def test_slicers_own_self_test_passes(shell, panel, caplog):
    """All of it, by the names under which Slicer runs it, with the network that ships."""
    from ICHSegmenter import ICHSegmenterTest

    pytest.importorskip("torch")
    test = ICHSegmenterTest()
    assert len(test.moduleTestNames) == 2
    with caplog.at_level("INFO"):
        test.runTest()
    for method in ("hu-threshold", "compact-unet"):
        assert f"{method}: " in caplog.text
    assert "Not tested" not in caplog.text


def test_the_self_test_says_what_it_could_not_test(shell, panel, caplog, monkeypatch):
    from ICHSegmenter import ICHSegmenterTest
    from ICHSegmenterSlicer.client import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda card: ["torch"])
    with caplog.at_level("INFO"):
        ICHSegmenterTest().test_theBundledNetworkFindsTheBleed()
    assert "Not tested: compact-unet needs torch. Install the PyTorch extension." in caplog.text


def test_reloading_takes_the_whole_extension_anew(run_apart):
    """In a process of its own: afterwards no class of the library is the one that test files have imported."""
    run_apart(f"""
import slicer
shell.loadModule({str(MODULE)!r})
panel = shell.openModule("ICHSegmenter")
before = sys.modules["ICHSegmenterSlicer.scene.volumes"]
panel.onReload()
shell.process()
assert sys.modules["ICHSegmenterSlicer.scene.volumes"] is not before
reloaded = slicer.util.getModuleWidget("ICHSegmenter")
assert reloaded is not panel
assert reloaded.ui.applyButton.toolTip == "Select a head CT", reloaded.ui.applyButton.toolTip
""")


# ---- the window stays alive


def test_the_window_lives_during_a_run(shell, panel, watch_window):
    """How long it is held in between is printed and recorded."""
    from ICHSegmenterSlicer.scene.sample import addPhantom

    sample = addPhantom(pixels=512, slices=30)
    panel.ui.inputSelector.setCurrentNode(sample.volumeNode)
    shell.process(1.0)
    turns = watch_window(panel, panel.ui.applyButton)
    assert panel.shown.segmentationNode is not None
    assert turns["Starting the analysis"] > 1


def test_the_window_lives_between_the_steps_of_reading_and_importing(shell, panel, phantom, watch_window, monkeypatch):
    """Without a budget for several steps, every single one lets the event loop turn."""
    monkeypatch.setattr("ICHSegmenterSlicer.client.steps.BUDGET_S", 0.0)
    turns = watch_window(panel, panel.ui.applyButton)
    assert turns["Reading the volume"] > 1
    assert turns["Making segments"] > 1
    assert panel.shown.segmentationNode is not None
