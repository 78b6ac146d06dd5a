"""A head CT comes into the panel by a click or a drop, with the place of every slice, or the scene stays as it was."""

import contextlib
from pathlib import Path

import nrrd
import numpy as np
import pytest

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti

READ_S, RUN_S = 180, 180
UPRIGHT = gantry_geometry()
TILTED = gantry_geometry(tilt_deg=15.0)
TILTED_UNEVEN = gantry_geometry(tilt_deg=18.0, steps_mm=[4.0] * 5 + [1.1] + [7.0] * 5)
EXACT_MM = 1e-6
"""DICOM's decimal strings have 16 characters; sums of four such numbers below 1000 mm."""
FLOAT32_MM = 1e-3
"""An affine of floats (6e-8 of its size) times 64 columns, and the origin."""

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture
def mouse(shell, panel):
    """Clicks entries of the menu, and drops files onto the panel."""
    return Mouse(shell, panel)


class Mouse:
    def __init__(self, shell, panel):
        self.shell, self.panel = shell, panel

    def entries(self):
        """Texts of the menu after a click on Open."""
        self.shell.click(self.panel.ui.openButton)
        return [action.text for action in self._menu().actions() if action.text]

    def choose(self, text, path=None):
        """Click Open, then an entry of its menu; a path is typed into the dialog that it opens."""
        from PySide6 import QtCore, QtTest

        assert text in self.entries()
        menu = self._menu()
        action = next(action for action in menu.actions() if action.text == text)
        place = menu.actionGeometry(action).center()
        with self.shell.fileDialog(path) if path else contextlib.nullcontext():
            QtTest.QTest.mouseClick(menu, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
        self.shell.process()

    def drop(self, *paths, onto=None, text=""):
        """Drag files over a widget of the panel and let go; returns whether it takes them."""
        return self.shell.drop(onto or self.panel.ui.methodInfoLabel, paths, text)

    def wait(self):
        """Until nothing is read any more; returns the chosen volume."""
        self.shell.waitUntil(lambda: self.panel.opener.canOpen(), READ_S, "the reading")
        self.shell.process()
        return self.panel._parameters.inputVolume

    def _menu(self):
        menu = self.panel.opener._menu
        assert menu.visible
        return menu


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A tilted series with unequal steps, in a folder that is named after its patient."""
    folder = tmp_path_factory.mktemp("exams") / "MUSTERMANN^ERIKA"
    write_dicom_series(head(TILTED_UNEVEN), folder, kernel="H31s", series_number=7)
    return folder


@pytest.fixture(scope="module")
def two_series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two series")
    write_dicom_series(head(), folder / "a", series_number=2)
    write_dicom_series(head(TILTED), folder / "b", series_number=3)
    return folder


def nodeIds():
    import slicer

    return sorted(node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode"))


def voxelsOf(node):
    import slicer

    return slicer.util.arrayFromVolume(node)


def geometryOf(node):
    from ICHSegmenterSlicer.scene.volumes import geometryOf

    return geometryOf(node)


def matrixOf(node):
    import slicer

    from ICHSegmenterSlicer.scene.volumes import matrixOf

    return slicer.util.arrayFromVTKMatrix(matrixOf(node))


def write_nrrd(path, volume):
    """A NRRD file that keeps the shear of a tilted gantry."""
    affine = volume.geometry.affine
    header = {
        "space": "left-posterior-superior",
        "kinds": ["domain"] * 3,
        "space directions": affine[:3, :3].T,
        "space origin": affine[:3, 3],
    }
    nrrd.write(str(path), np.rint(volume.hu).astype(np.int16).T, header)


# ---- what is opened


def test_a_dicom_folder_opens_with_the_place_of_every_slice(mouse, panel, series):
    mouse.choose("DICOM folder…", series)
    assert panel.ui.openButton.text == "Cancel"
    assert not panel.ui.applyButton.enabled
    node = mouse.wait()
    assert node.GetName() == "CT series 7"
    assert geometryOf(node).matches(TILTED_UNEVEN, tolerance_mm=EXACT_MM)
    np.testing.assert_array_equal(voxelsOf(node), np.rint(head(TILTED_UNEVEN).hu))
    assert "gantry tilt 18.0°" in panel.ui.inputInfoLabel.text
    assert "Unequal slice spacing" in panel.ui.inputInfoLabel.text
    assert panel.ui.applyButton.enabled


def test_it_lies_as_slicers_own_dicom_reader_would_lay_it(shell, mouse, series):
    from scene_volumes import addAsFromDicom

    mouse.drop(series)
    node = mouse.wait()
    expected = addAsFromDicom(voxelsOf(node).copy(), TILTED_UNEVEN)
    assert geometryOf(node).matches(geometryOf(expected), tolerance_mm=EXACT_MM)
    np.testing.assert_allclose(matrixOf(node), matrixOf(expected), atol=EXACT_MM)
    assert node.GetParentTransformNode().IsA("vtkMRMLGridTransformNode")


def test_what_is_opened_is_shown_in_the_window_for_blood(mouse, panel, series):
    from ICHSegmenterSlicer.views.slice_views import displayedVolume

    mouse.drop(series)
    node = mouse.wait()
    assert displayedVolume() is node
    assert panel.ui.inputSelector.currentNode() is node
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (80, 40)


def test_an_upright_series_needs_no_transform(mouse, tmp_path):
    write_dicom_series(head(), tmp_path / "dicom")
    mouse.drop(tmp_path / "dicom" / "0003.dcm")
    node = mouse.wait()
    assert node.GetParentTransformNode() is None
    assert geometryOf(node).matches(UPRIGHT, tolerance_mm=EXACT_MM)


def test_an_upright_nifti_is_read_by_slicer(mouse, panel, tmp_path, monkeypatch):
    write_nifti(head().hu, UPRIGHT, tmp_path / "ct.nii.gz")
    client, sent = panel.logic.client, []
    submit = client.submit
    monkeypatch.setattr(
        client, "submit", lambda message, **calls: sent.append(message["type"]) or submit(message, **calls)
    )
    mouse.choose("File…", tmp_path / "ct.nii.gz")
    node = mouse.wait()
    assert "read" not in sent
    assert node.GetStorageNode().GetFileName() == str(tmp_path / "ct.nii.gz")
    assert node.GetName() == "ct"
    assert geometryOf(node).matches(UPRIGHT, tolerance_mm=FLOAT32_MM)


def test_a_sheared_nifti_keeps_the_tilt_that_slicers_reader_loses(shell, mouse, tmp_path):
    import slicer

    write_nifti(head(TILTED).hu, TILTED, tmp_path / "ct.nii.gz")
    assert geometryOf(slicer.util.loadVolume(str(tmp_path / "ct.nii.gz"))).tilt_deg == 0
    mouse.drop(tmp_path / "ct.nii.gz")
    assert geometryOf(mouse.wait()).matches(TILTED, tolerance_mm=FLOAT32_MM)


def test_a_sheared_nrrd_is_put_upright_under_a_transform(mouse, tmp_path):
    write_nrrd(tmp_path / "ct.nrrd", head(TILTED))
    mouse.drop(tmp_path / "ct.nrrd")
    node = mouse.wait()
    steps = matrixOf(node)[:3, :3]
    np.testing.assert_allclose(steps.T @ steps, np.diag(np.square(node.GetSpacing())), atol=1e-9)
    assert geometryOf(node).matches(TILTED, tolerance_mm=EXACT_MM)


def test_several_files_are_opened_one_after_the_other(mouse, series, tmp_path):
    import slicer

    write_nifti(head().hu, UPRIGHT, tmp_path / "ct.nii.gz")
    mouse.drop(*sorted(series.iterdir()), tmp_path / "ct.nii.gz")
    assert mouse.wait().GetName() == "ct"
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert [node.GetName() for node in nodes] == ["CT series 7", "ct"]


def test_the_sample_is_one_click_away(mouse):
    mouse.choose("Sample: phantom with a bleed")
    assert mouse.wait().GetName() == "PhantomHeadCT"


def test_a_tilted_uneven_exam_is_opened_and_segmented_in_three_clicks(shell, mouse, panel, tmp_path):
    from ICHSegmenterSlicer.scene.results.stored_result import StoredResult

    steps = [6.0] * 12 + [3.0] + [8.0] * 8
    geometry = head_geometry((22, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=steps, tilt_deg=12.0)
    phantom = make_phantom(geometry, HeadModel((Bleed.sphere(20.0, (30.0, 5.0, 32.0)),)), subsamples=(2, 1, 1))
    write_dicom_series(phantom.volume, tmp_path / "dicom")
    mouse.choose("DICOM folder…", tmp_path / "dicom")
    node = mouse.wait()
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the run")
    result = StoredResult.fromNode(panel._parameters.result)
    assert result.isPositive
    assert panel.shown.segmentationNode.GetTransformNodeID() == node.GetTransformNodeID()
    assert abs(result.analysis.blood_ml - phantom.blood_ml) < 0.2 * phantom.blood_ml


def test_the_source_of_an_opened_exam_reaches_the_worker_with_it(mouse, series):
    from ICHSegmenterSlicer.scene.volumes import SOURCE_ATTRIBUTE, sourceOf

    mouse.drop(series)
    node = mouse.wait()
    source = sourceOf(node)
    assert (source.format, source.kernel, source.series_number) == ("DICOM", "H31s", 7)
    assert len(node.GetAttribute("DICOM.instanceUIDs").split()) == 12
    node.SetAttribute(SOURCE_ATTRIBUTE, '{"warnings": 3}')
    assert sourceOf(node).format == "Slicer"


# ---- several series


def test_of_several_series_one_is_chosen_by_a_click(shell, mouse, panel, two_series):
    from PySide6 import QtCore, QtTest

    before = nodeIds()
    mouse.drop(two_series)
    mouse.wait()
    box = panel.ui.seriesList
    assert box.visible
    assert [box.item(row).text()[:9] for row in range(box.count)] == ["Series 2:", "Series 3:"]
    assert nodeIds() == before
    middle = box.visualItemRect(box.item(1)).center()
    QtTest.QTest.mouseClick(box.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, middle)
    node = mouse.wait()
    assert node.GetName() == "CT series 3"
    assert geometryOf(node).matches(TILTED, tolerance_mm=EXACT_MM)
    assert not box.visible


def test_of_several_series_none_need_be_chosen(shell, mouse, panel, two_series):
    mouse.drop(two_series)
    mouse.wait()
    shell.click(panel.ui.openButton)
    assert not panel.ui.seriesFrame.visible
    assert panel._parameters.inputVolume is None


# ---- what was open lately


def test_recent_ones_are_listed_by_name_and_open_again(shell, mouse, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_nifti(head().hu, UPRIGHT, tmp_path / folder / "ct & co.nii")
    write_nifti(head().hu, UPRIGHT, tmp_path / "other.nii")
    assert len(mouse.entries()) == 3
    for name in ("a/ct & co.nii", "b/ct & co.nii", "other.nii"):
        mouse.panel.opener._menu.close()
        mouse.drop(tmp_path / name)
        mouse.wait()
    entries = mouse.entries()[3:]
    assert entries == ["other.nii", "ct && co.nii in b", "ct && co.nii in a", "Clear this list"]
    mouse.panel.opener._menu.close()
    mouse.choose("ct && co.nii in a")
    assert Path(mouse.wait().GetStorageNode().GetFileName()) == tmp_path / "a" / "ct & co.nii"
    assert mouse.entries()[3] == "ct && co.nii in a"
    mouse.panel.opener._menu.close()
    mouse.choose("Clear this list")
    assert len(mouse.entries()) == 3


def test_what_was_not_opened_is_not_listed(mouse, tmp_path):
    mouse.drop(tmp_path / "gone.nii")
    mouse.wait()
    assert len(mouse.entries()) == 3


def test_a_damaged_list_of_recent_ones_is_empty(shell, mouse):
    import qt

    from ICHSegmenterSlicer.views.open_box import RECENT_KEY, recent

    for text in ("no JSON", '{"a": 1}', "[1, null]"):
        qt.QSettings().setValue(RECENT_KEY, text)
        assert recent() == []


# ---- what is not opened


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "No head CT was found there."),
        ("damaged.nii.gz", "A file is damaged or incomplete."),
        ("damaged.nrrd", "Slicer cannot read this file."),
        ("notes", "Files of this kind are not read."),
        ("photo.nrrd", "this holds colors or labels, not one CT volume."),
    ],
)
def test_what_cannot_be_read_leaves_the_scene_as_it_was(mouse, panel, phantom, tmp_path, monkeypatch, name, reason):
    from ICHSegmenterSlicer.scene import opening
    from ICHSegmenterSlicer.words import cause_text

    for module in (opening, cause_text):
        monkeypatch.setattr(module, "_", lambda text: f"«{text}»")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").write_text("no CT")
    for damaged in ("damaged.nii.gz", "damaged.nrrd"):
        (tmp_path / damaged).write_bytes(b"NRRD0005\n damaged")
    nrrd.write(
        str(tmp_path / "photo.nrrd"), np.zeros((3, 8, 8, 4), np.uint8), {"kinds": ["RGB-color", *["domain"] * 3]}
    )
    before = nodeIds()
    assert mouse.drop(tmp_path / name)
    assert mouse.wait() is phantom.volumeNode
    assert nodeIds() == before
    translated, *detail = panel.ui.statusLabel.text.splitlines()
    assert translated.startswith("⚠ «") and translated.endswith("»")
    assert reason in translated
    assert all(line.startswith("«Detail: ") for line in detail)
    assert panel.ui.openButton.text == "Open…"
    assert name not in panel.ui.logText.toPlainText()


def test_a_cancelled_reading_leaves_the_scene_as_it_was(shell, mouse, panel, phantom, series):
    before = nodeIds()
    mouse.drop(series)
    shell.click(panel.ui.openButton)
    assert mouse.wait() is phantom.volumeNode
    assert panel.ui.statusLabel.text == "Cancelled; the scene is as it was."
    shell.process(1.0)
    assert nodeIds() == before
    mouse.drop(series)
    assert mouse.wait().GetName() == "CT series 7"


def test_a_scene_that_is_closed_meanwhile_stays_empty(shell, mouse, panel, series):
    import slicer

    mouse.drop(series)
    slicer.mrmlScene.Clear(False)
    assert mouse.panel.opener.canOpen()
    shell.process(1.0)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_nothing_is_dropped_during_a_run(shell, mouse, panel, phantom, tmp_path):
    shell.click(panel.ui.applyButton)
    assert not mouse.drop(tmp_path)
    assert not panel.ui.openButton.enabled
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the run")
    assert panel.ui.openButton.enabled


@pytest.mark.parametrize("name", ["scene.mrb", "bleed.seg.nrrd", "skull.stl"])
def test_what_slicer_opens_by_itself_goes_on_to_its_window(mouse, tmp_path, name):
    assert not mouse.drop(tmp_path / name)
    assert not mouse.drop(text="a sentence")


@pytest.mark.parametrize("name", ["1.2.840.113619.2", "IM0001", "a.dcm", "ct.nii.gz", "CT.NRRD"])
def test_what_may_be_a_ct_by_its_name_is_taken(panel, tmp_path, name):
    from ICHSegmenterSlicer.views.open_box import mayBeCt

    assert mayBeCt(tmp_path / name)
    assert mayBeCt(tmp_path)


def test_an_exam_is_added_in_many_steps_and_the_scene_changes_in_the_last(panel, monkeypatch, tmp_path):
    from ICHSegmenterLib.volume.volume import VolumeSource
    from ICHSegmenterSlicer.client.reading import ExamOnDisk
    from ICHSegmenterSlicer.scene import volumes
    from ICHSegmenterSlicer.scene.acquired import addAcquired

    monkeypatch.setattr(volumes, "CHUNK_BYTES", 2 * 64 * 64)
    np.save(tmp_path / "hu.npy", np.zeros(TILTED.shape, np.int16))
    before = nodeIds()
    steps = addAcquired(ExamOnDisk(tmp_path / "hu.npy", TILTED, VolumeSource(), ()), "CT")
    assert [nodeIds() == before for _step in steps] == [True] * (1 + len(head().hu))
    assert nodeIds() != before


def test_no_name_of_a_patient_reaches_the_log(mouse, panel, series):
    mouse.drop(series)
    mouse.wait()
    (series / "notes").mkdir(exist_ok=True)
    mouse.drop(series / "notes")
    mouse.wait()
    log = panel.ui.logText.toPlainText()
    assert "bad_input" in log
    assert "MUSTERMANN" not in log


def test_packages_that_reading_needs_are_offered_once_and_the_exam_is_read(shell, mouse, panel, monkeypatch, series):
    from ICHSegmenterLib.errors import Failure
    from ICHSegmenterSlicer.client import dependencies

    missing, installed = ["nibabel>=5.2"], []
    monkeypatch.setattr(dependencies, "missingForReading", lambda: missing)
    monkeypatch.setattr(dependencies, "install", lambda packages: (installed.extend(packages), missing.clear()))
    opener = panel.opener
    opener._path = Path(series)
    opener._onFailed(Failure("no_torch", "nibabel is missing"), None)
    assert installed == ["nibabel>=5.2"]
    assert mouse.wait().GetName() == "CT series 7"
    opener._path = Path(series)
    opener._onFailed(Failure("no_torch", "nibabel is missing"), None)
    assert panel.ui.statusLabel.text == "⚠ nibabel is missing"
