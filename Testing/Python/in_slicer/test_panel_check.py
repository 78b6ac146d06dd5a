"""What is wrong with a scan stands in the panel before the click, in the words of the panel."""

import numpy as np
import pytest

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture
def choose(shell, panel):
    """Adds a small head whose voxels were changed, chooses it, and waits for the worker's check."""
    import slicer

    from ICHSegmenterSlicer.scene.sample import addPhantom

    def choose_(change, dtype=np.int16):
        node = addPhantom("Head", pixels=96, slices=14).volumeNode
        voxels = slicer.util.arrayFromVolume(node).astype(dtype)
        change(voxels)
        slicer.util.updateVolumeFromArray(node, voxels)
        panel.ui.inputSelector.setCurrentNode(node)
        shell.process()
        return node

    return choose_


def test_a_warning_of_the_check_stands_there_before_the_click(shell, panel, choose):
    def put_metal(voxels):
        voxels[6, 40:46, 40:46] = 3000

    choose(put_metal)
    shell.waitUntil(lambda: "There is metal" in panel.ui.inputInfoLabel.text, RUN_S, "the check")
    assert panel.analysis is None
    assert panel.ui.applyButton.enabled
    assert "⚠" in panel.ui.inputInfoLabel.text


def test_voxels_that_are_no_numbers_are_told(shell, panel, choose):
    def put_nan(voxels):
        voxels[7, 50:55, 50:55] = np.nan

    choose(put_nan, np.float32)
    shell.waitUntil(lambda: "NaN" in panel.ui.inputInfoLabel.text or "no number" in panel.ui.inputInfoLabel.text, RUN_S)
    assert panel.analysis is None


def test_what_is_found_in_one_exam_is_not_said_of_another(shell, panel, choose):
    from ICHSegmenterSlicer.scene.sample import addPhantom

    said = []
    original = panel.input._onChecked
    panel.input._check._checked = lambda findings: (said.append(findings), original(findings))

    def put_metal(voxels):
        voxels[6, 40:46, 40:46] = 3000

    choose(put_metal)
    panel.ui.inputSelector.setCurrentNode(addPhantom("Clean", pixels=96, slices=14).volumeNode)
    shell.waitUntil(lambda: said, RUN_S, "the check of the second exam")
    panel.input._check._checked = original
    assert len(said) == 1
    assert "metal" not in panel.ui.inputInfoLabel.text


def test_every_code_of_the_check_has_words_of_the_panel(panel):
    """In English they are those of the library, so that a page and a panel say the same."""
    from ICHSegmenterLib.preprocessing.checks.findings import SENTENCES, InputCode
    from ICHSegmenterSlicer.words.finding_text import _texts

    assert {code: _texts().get(code) for code in InputCode} == dict(SENTENCES)


SERIES = {
    "uid": "",
    "number": 3,
    "modality": "CT",
    "slices": 30,
    "plane": "axial",
    "kernel": "H31s",
    "thickness_mm": 5.0,
    "step_mm": 5.0,
    "has_contrast": False,
    "rejected": "",
}
PASS = {"slices": 8, "step_mm": 10.0, "first_mm": -37.5, "last_mm": 32.5, "name": "acquisition 2"}
PARAMETERS = {
    "other_series": {"series": SERIES, "others": [SERIES, SERIES]},
    "repeated_slices": {"positions": [1.0, 2.0]},
    "two_passes": {"passes": [PASS, PASS]},
    "missing_slice": {"gaps": [[1.0, 2.0]]},
    "missing_slices": {"count": 2, "gaps": [[1.0, 2.0], [3.0, 4.0]]},
    "unequal_steps": {"least": 1.0, "most": 2.0},
    "sentence": {"sentence": "Something else."},
}


def test_every_warning_of_a_reader_has_the_panels_words(shell, monkeypatch):
    from ICHSegmenterLib.volume.reader.reader_warning import SENTENCES, ReaderCode, ReaderWarning
    from ICHSegmenterSlicer.words import finding_text

    assert finding_text._readerTexts() == dict(SENTENCES)
    for code in ReaderCode:
        warning = ReaderWarning(code, PARAMETERS.get(code.value, {}))
        said = finding_text.readerWarningText(warning)
        assert said == warning.text or code is ReaderCode.OTHER_SERIES  # a series is said as in the list of several
    monkeypatch.setattr(finding_text, "_", lambda text: f"«{text}»")
    said = finding_text.readerWarningText(ReaderWarning(ReaderCode.TWO_PASSES, PARAMETERS["two_passes"]))
    assert said.startswith("«The series") and "«acquisition 2»" in said and "«8 slices" in said


def test_a_warning_of_the_reader_stands_before_the_click_and_in_the_result_in_the_panels_words(
    shell, panel, phantom, monkeypatch
):
    import json

    from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning
    from ICHSegmenterSlicer.scene.volumes import SOURCE_ATTRIBUTE
    from ICHSegmenterSlicer.words import finding_text

    texts = finding_text._readerTexts
    monkeypatch.setattr(finding_text, "_readerTexts", lambda: {**texts(), ReaderCode.LOSSY: "Mit Verlust."})
    lossy = ReaderWarning(ReaderCode.LOSSY).to_json()
    phantom.volumeNode.SetAttribute(SOURCE_ATTRIBUTE, json.dumps({"format": "DICOM", "warnings": [lossy]}))
    panel.input.forget()
    panel.input.update(phantom.volumeNode)
    assert "⚠ Mit Verlust." in panel.ui.inputInfoLabel.text
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, 120, "the end of the run")
    assert "⚠ Mit Verlust." in panel.ui.verdictLabel.text
    assert "with loss" not in panel.ui.verdictLabel.text
