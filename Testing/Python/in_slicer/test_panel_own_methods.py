"""A method that people add by a card is in the panel's list, runs there, and goes when its card goes."""

import json

import pytest

from own_method import file_facts, write_card, write_network

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]

RUN_S = 120


def test_an_imported_card_is_a_method_in_the_list_and_runs(shell, panel, phantom, weights, tmp_path):
    pytest.importorskip("torch")
    box = panel.ui.methodComboBox
    count = box.count
    assert box.findData("my-unet") < 0
    path = write_network(tmp_path / "ours.pt")
    write_card(tmp_path / "ours.json", **file_facts(path))
    panel.methods.importFiles([str(path)])
    shell.waitUntil(lambda: not panel.methods.isTransferring, RUN_S)
    row = box.findData("my-unet")
    assert box.count == count + 1
    assert box.itemText(row) == "U-Net of our department"
    box.setCurrentIndex(row)
    assert "CC-BY-4.0" in panel.ui.methodInfoLabel.text
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    result = json.loads(panel._parameters.result.GetText())
    assert (result["provenance"]["method"], result["provenance"]["threshold"]) == ("my-unet", 0.3)
    panel.methods.choose("hu-threshold", "auto")
    for file in weights.iterdir():
        file.unlink()
    panel.methods.update()
    assert box.count == count and panel.methods.method == "hu-threshold"


def test_a_method_whose_package_is_missing_says_so_in_the_list(panel, weights, monkeypatch):
    import sys

    path = write_network(weights / "sam.pt")
    write_card(weights / "sam.json", requirements=["torch", "timm"], **file_facts(path))
    monkeypatch.setitem(sys.modules, "timm", None)
    panel.methods.update()
    box = panel.ui.methodComboBox
    assert box.itemText(box.findData("my-unet")) == "U-Net of our department (package needed)"
    box.setCurrentIndex(box.findData("my-unet"))
    assert "timm>=1.0.9" in panel.ui.needsLabel.text and panel.ui.installButton.visible
