"""The report of the shown result, written by the worker from the segments as they are now."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture
def analyzed(shell, panel, phantom):
    """A head with a bleed, analyzed."""
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    return phantom


@pytest.fixture
def reported(shell, panel, tmp_path):
    """Clicks the button, types a folder into the dialog, waits; returns the folder of the report."""

    def click():
        before = set(tmp_path.iterdir())
        with shell.fileDialog(tmp_path):
            shell.click(panel.ui.reportButton)
        shell.waitUntil(lambda: not panel.report.isWriting, RUN_S, "the end of the report")
        made = set(tmp_path.iterdir()) - before
        return made.pop() if made else None

    return click


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def segment_mask(panel, volumeNode):
    import slicer

    node = panel.shown.segmentationNode
    segmentId = node.GetSegmentation().GetNthSegmentID(0)
    return node, segmentId, slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode)


def as_dicom(volumeNode, folder, monkeypatch):
    """Writes a volume as DICOM files that Slicer's database seems to hold; returns them in their order."""
    import slicer

    from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
    from ICHSegmenterLib.volume.volume import Volume
    from ICHSegmenterSlicer.scene.volumes import geometryOf

    hu = slicer.util.arrayFromVolume(volumeNode).astype(np.float32)
    files = write_dicom_series(Volume(hu, geometryOf(volumeNode)), folder)
    byUid = {str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID): str(file) for file in files}

    class Database:
        isOpen = True

        def fileForInstance(self, uid):
            return byUid.get(uid, "")

        def instanceValue(self, uid, tag):
            return ""

    monkeypatch.setattr(slicer, "dicomDatabase", Database(), raising=False)
    volumeNode.SetAttribute("DICOM.instanceUIDs", " ".join(reversed(byUid)))
    return files


def test_one_click_writes_page_pdf_and_tables(panel, analyzed, reported):
    folder = reported()
    assert names(folder) == ["overview.png", "report.html", "report.pdf", "result.json", "slices.csv", "thumbnail.jpg"]
    assert result_of(folder)["verdict"] == panel.shown._result.verdict
    assert folder.name.startswith("ICHSegmenter hu-threshold ")
    assert "6 files" in panel.ui.statusLabel.text
    assert "No DICOM objects" in panel.ui.statusLabel.text
    assert panel.ui.reportButton.enabled


def test_a_report_after_edits_is_of_the_segments_as_they_are_now(shell, panel, analyzed, reported):
    import slicer

    node, segmentId, mask = segment_mask(panel, analyzed.volumeNode)
    mask[: len(mask) // 2] = 0
    mask[len(mask) // 2, 10:14, 10:14] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segmentId, analyzed.volumeNode)
    plain = result_of(reported())
    assert plain["verdict"].startswith("Edited by hand: ")
    assert plain["edits"]["segments"] == ["ICH"]
    spacing = analyzed.volumeNode.GetSpacing()
    assert plain["blood_ml"] == pytest.approx(np.count_nonzero(mask) * np.prod(spacing) / 1000, rel=1e-4)


def test_a_report_after_the_last_segment_was_removed_says_so(shell, panel, analyzed, reported):
    node, segmentId, _ = segment_mask(panel, analyzed.volumeNode)
    node.GetSegmentation().RemoveSegment(segmentId)
    shell.process(0.5)
    plain = result_of(reported())
    assert plain["verdict"] == "Edited by hand: no hemorrhage is outlined."
    assert plain["measurements"] == []


def test_a_segment_that_a_person_drew_is_reported_as_hemorrhage(shell, panel, analyzed, reported):
    import slicer

    node, _, mask = segment_mask(panel, analyzed.volumeNode)
    before = np.count_nonzero(mask)
    own = np.zeros_like(mask)
    own[2, 5:9, 5:9] = 1
    segmentId = node.GetSegmentation().AddEmptySegment("", "Mrs. Doesnotexist")
    slicer.util.updateSegmentBinaryLabelmapFromArray(own, node, segmentId, analyzed.volumeNode)
    folder = reported()
    plain = result_of(folder)
    ml = np.prod(analyzed.volumeNode.GetSpacing()) / 1000
    assert plain["blood_ml"] == pytest.approx((before + 16) * ml, rel=1e-4)
    assert all(
        b"Doesnotexist" not in path.read_bytes() for path in folder.iterdir() if path.suffix in (".html", ".json")
    )


def test_an_exam_of_the_database_gets_dicom_objects_on_its_slices(panel, analyzed, reported, tmp_path, monkeypatch):
    pytest.importorskip("highdicom")
    files = as_dicom(analyzed.volumeNode, tmp_path.parent / f"{tmp_path.name}-ct", monkeypatch)
    folder = reported()
    assert {"segmentation.dcm", "report.dcm"} <= set(names(folder))
    assert "DICOM" not in panel.ui.statusLabel.text
    segmentation, scan = pydicom.dcmread(folder / "segmentation.dcm"), pydicom.dcmread(files[0])
    assert segmentation.StudyInstanceUID == scan.StudyInstanceUID
    places = {tuple(np.round(np.array(pydicom.dcmread(file).ImagePositionPatient, float), 3)) for file in files}
    _, _, mask = segment_mask(panel, analyzed.volumeNode)
    assert segmentation.pixel_array.astype(bool).sum() == np.count_nonzero(mask)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        place = (frame.get("PlanePositionSequence") or shared.PlanePositionSequence)[0].ImagePositionPatient
        assert min(np.abs(np.subtract(place, other)).max() for other in places) < 0.1


def test_a_tilted_exam_that_the_panel_opened_gets_dicom_objects_too(shell, panel, reported, tmp_path):
    """Its folder is remembered, but stands nowhere in the scene."""
    pytest.importorskip("highdicom")
    from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
    from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom

    steps = [9.0] * 5 + [4.0] * 6 + [11.0] * 6
    geometry = head_geometry((18, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=steps, tilt_deg=18.5)
    phantom = make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), 62.0),)), seed=5)
    folder = tmp_path.parent / f"{tmp_path.name}-Doesnotexist"
    write_dicom_series(phantom.volume, folder)
    panel.opener.open([folder])
    shell.waitUntil(lambda: not panel.opener.isReading, RUN_S, "the exam")
    shell.waitUntil(lambda: panel.ui.applyButton.enabled, RUN_S, "the exam")
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    segmentation = pydicom.dcmread(reported() / "segmentation.dcm")
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        assert np.linalg.norm(geometry.slice_origins - place, axis=1).min() < 0.1
    node = panel._parameters.inputVolume
    attributes = [node.GetAttribute(name) or "" for name in node.GetAttributeNames()]
    assert not any("Doesnotexist" in value for value in attributes)


def test_the_patient_is_named_only_where_the_box_is_checked(shell, panel, analyzed, reported, tmp_path, monkeypatch):
    as_dicom(analyzed.volumeNode, tmp_path.parent / f"{tmp_path.name}-ct", monkeypatch)
    assert "<b>Patient</b> Phantom" not in (reported() / "report.html").read_text()
    panel.ui.identityCheckBox.setChecked(True)
    shell.process(1.1)  # another second, another folder
    assert "<b>Patient</b> Phantom" in (reported() / "report.html").read_text()
    panel.ui.identityCheckBox.setChecked(False)


def test_a_volume_that_was_moved_gets_the_rest_and_the_reason(panel, analyzed, reported, tmp_path, monkeypatch):
    from ICHSegmenterSlicer.scene.slice_files import sliceFilesOf

    as_dicom(analyzed.volumeNode, tmp_path.parent / f"{tmp_path.name}-ct", monkeypatch)
    files = sliceFilesOf(analyzed.volumeNode).files
    header = pydicom.dcmread(files[3])
    header.ImagePositionPatient = [float(x) + 7.0 for x in header.ImagePositionPatient]
    header.save_as(files[3])
    folder = reported()
    assert not list(folder.glob("*.dcm"))
    assert (folder / "report.pdf").is_file()
    assert "does not lie where its DICOM files say" in panel.ui.statusLabel.text


@pytest.mark.parametrize(
    ("package", "absent"),
    [("matplotlib>=3.7", {"report.pdf"}), ("highdicom>=0.24", {"segmentation.dcm", "report.dcm"})],
)
def test_what_the_report_needs_is_offered_and_the_rest_written_if_declined(
    panel, analyzed, reported, monkeypatch, tmp_path, package, absent
):
    from ICHSegmenterLib.errors import DependencyError
    from ICHSegmenterSlicer.client import dependencies

    asked = []

    def decline(packages, **_):
        asked.extend(packages)
        raise DependencyError("declined")

    monkeypatch.setattr(dependencies, "install", decline)
    monkeypatch.setattr(dependencies, "_version", lambda name: "" if package.startswith(name) else "1")
    if package.startswith("highdicom"):
        as_dicom(analyzed.volumeNode, tmp_path.parent / f"{tmp_path.name}-ct", monkeypatch)
    folder = reported()
    assert asked == [package]
    assert "report.html" in names(folder)
    assert not absent & set(names(folder))
    assert f"Packages are missing: {package}" in panel.ui.statusLabel.text


def test_a_folder_that_cannot_be_written_is_said(shell, panel, analyzed, tmp_path):
    (tmp_path / "file").write_text("in the way")
    panel.report.write(Path(tmp_path / "file"))
    shell.waitUntil(lambda: not panel.report.isWriting, RUN_S, "the end of the report")
    assert "Cannot write to" in panel.ui.statusLabel.text
    assert panel.ui.reportButton.enabled


def test_closing_the_scene_while_a_report_begins_leaves_nothing(shell, panel, analyzed, tmp_path):
    import slicer

    panel.report.write(tmp_path)
    job = panel.report._job
    slicer.mrmlScene.Clear(0)
    shell.process(0.3)
    assert not panel.report.isWriting
    assert not job.exists()
