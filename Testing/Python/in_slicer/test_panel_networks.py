"""Networks in the panel: one that detects named beside one that outlines, and the activation of an encoder."""

import json

import numpy as np
import pytest

RUN_S = 300
SUBTYPES = ("EDH", "IPH", "IVH", "SAH", "SDH")
ALWAYS = 8.0
"""Logit of a class of blood that a network with this bias, and nothing else, sees everywhere."""

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


def install(weights, method, network):
    """Put a network's weights where the panel looks for those of a method."""
    torch = pytest.importorskip("torch")
    from ICHSegmenterLib.cards.table import get_card
    from ICHSegmenterLib.methods.convert import convert

    torch.save(network.state_dict(), weights / "network.pt")
    convert(weights / "network.pt", get_card(method), weights / f"{method}.safetensors")
    (weights / "network.pt").unlink()


@pytest.fixture
def detector_that_sees(weights):
    """Installs a compact U-Net that finds the same subtypes on every slice, whatever it is shown."""

    def make(*subtypes):
        torch = pytest.importorskip("torch")
        from ICHSegmenterLib.cards.table import get_card
        from ICHSegmenterLib.models import create_model

        card = get_card("compact-unet")
        network = create_model(card.network, **card.network_config)
        with torch.no_grad():
            last = network.head[-1]
            last.weight.zero_()
            last.bias.zero_()
            for subtype in subtypes:
                last.bias[1 + SUBTYPES.index(subtype)] = ALWAYS
        install(weights, "compact-unet", network)

    return make


def choose(box, data):
    assert box.findData(data) >= 0, data
    box.setCurrentIndex(box.findData(data))


def run(shell, panel):
    """Click Detect & Segment and wait; returns the result's node."""
    shell.click(panel.ui.applyButton)
    assert panel.analysis is not None, panel.ui.applyButton.toolTip
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    assert panel._parameters.result is not None, panel.ui.statusLabel.text
    return panel._parameters.result


def segmentNames(panel):
    segmentation = panel.shown.segmentationNode.GetSegmentation()
    return [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]


# ---- one that detects, one that outlines


def test_the_outline_of_one_method_gets_the_subtype_that_the_other_is_certain_of(
    shell, panel, phantom, detector_that_sees
):
    from ICHSegmenterSlicer.scene.results.edits import tagOf

    detector_that_sees("IPH")
    choose(panel.ui.detectorComboBox, "compact-unet")
    result = json.loads(run(shell, panel).GetText())
    assert segmentNames(panel) == ["Intraparenchymal hemorrhage"]
    segment = panel.shown.segmentationNode.GetSegmentation().GetNthSegment(0)
    assert tagOf(segment, "ICHSegmenter.key") == "IPH"
    assert result["blood_ml"] == pytest.approx(phantom.bleedMl, rel=0.1)  # the outline is the first method's
    assert (result["provenance"]["method"], result["provenance"]["detector"]) == ("hu-threshold", "compact-unet")
    assert panel.ui.segmentTable.item(0, 0).text() == "Intraparenchymal hemorrhage"
    assert "named by network (own weights for compact-unet)" in panel.ui.verdictLabel.text
    row = next(n for n, one in enumerate(sorted(result["slices"], key=lambda one: one["number"])) if one["blood_ml"])
    assert panel.ui.sliceTable.item(row, 2).text() == "IPH"


def test_without_a_certain_subtype_the_segment_is_only_called_hemorrhage(shell, panel, phantom, detector_that_sees):
    detector_that_sees("IPH", "SDH")
    choose(panel.ui.detectorComboBox, "compact-unet")
    result = json.loads(run(shell, panel).GetText())
    assert segmentNames(panel) == ["Intracranial hemorrhage"]
    assert result["positive"]


def test_a_pair_survives_saving_and_loading_the_scene(shell, panel, phantom, detector_that_sees, tmp_path):
    import slicer

    detector_that_sees("SDH")
    choose(panel.ui.detectorComboBox, "compact-unet")
    run(shell, panel)
    verdict = panel.ui.verdictLabel.text
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    shell.process()
    assert panel.options.selectedDetector == "compact-unet"
    assert panel.ui.verdictLabel.text == verdict
    assert segmentNames(panel) == ["Subdural hemorrhage"]


def test_the_map_of_a_pair_is_named_by_both(shell, panel, phantom, detector_that_sees):
    detector_that_sees("IPH")
    choose(panel.ui.detectorComboBox, "compact-unet")
    panel.ui.advancedButton.collapsed = False
    shell.click(panel.ui.mapsCheckBox)
    soft = run(shell, panel).GetNodeReference("maps")
    title = "HU threshold, named by network (own weights for compact-unet)"
    assert soft.GetName() == f"{phantom.volumeNode.GetName()} map ({title})"


@pytest.mark.shipped
def test_the_network_that_ships_names_what_another_method_outlines(shell, panel, phantom, weights):
    from ICHSegmenterLib.cards.table import get_card
    from ICHSegmenterLib.weights import store

    for file in weights.iterdir():
        file.unlink()  # what is installed would win over what ships
    assert store.state(get_card("compact-unet")).is_bundled
    panel.methods.update()
    choose(panel.ui.methodComboBox, "hu-threshold")
    choose(panel.ui.detectorComboBox, "compact-unet")
    result = json.loads(run(shell, panel).GetText())
    assert (result["provenance"]["method"], result["provenance"]["detector"]) == ("hu-threshold", "compact-unet")
    assert len(result["provenance"]["weights"]) == 1
    assert len(result["slices"]) == 14
    names = {one["name"] for one in result["measurements"]}
    assert names == (set(segmentNames(panel)) if panel.shown.segmentationNode is not None else set())


# ---- activation


def test_the_activation_of_smart_net_lies_over_the_ct(shell, panel, phantom, weights):
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    torch = pytest.importorskip("torch")
    import slicer

    from ICHSegmenterLib.models import create_model

    torch.manual_seed(0)
    install(weights, "smart-net-cls", create_model("smart_net_down_cls"))
    choose(panel.ui.methodComboBox, "smart-net-cls")
    panel.ui.advancedButton.collapsed = False
    assert panel.ui.mapsCheckBox.enabled  # though the method makes no segments
    shell.click(panel.ui.mapsCheckBox)
    result = run(shell, panel)
    assert result.GetNodeReference("maps") is None
    node = result.GetNodeReference("activation")
    title = "network (own weights for smart-net-cls)"
    assert node.GetName() == f"{phantom.volumeNode.GetName()} activation map ({title})"
    values = slicer.util.arrayFromVolume(node)
    assert values.shape == slicer.util.arrayFromVolume(phantom.volumeNode).shape
    assert values.min() >= 0.49
    assert np.ptp(values) > 0
    assert values.max() <= 1
    assert panel.ui.mapComboBox.currentText == "Activation map"
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert composite.GetForegroundVolumeID() == node.GetID()
    assert node.GetDisplayNode().GetWindowLevelMin() == 0.5
