"""Synthetic exams in the layouts of the public data sets are read by the loaders that training uses."""

from __future__ import annotations

import csv

import nibabel
import numpy as np
import pydicom
import pytest

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.cli.verbs.research.synthesize import stratified
from ICHSegmenterLib.datasets import nifti_folder, physionet
from ICHSegmenterLib.datasets.brain_masks import with_brain_masks
from ICHSegmenterLib.datasets.rsna import layout as rsna
from ICHSegmenterLib.datasets.sources import ReadOptions
from ICHSegmenterLib.evaluation.dataset import read_exam
from ICHSegmenterLib.evaluation.rsna.slices import rsna_slices
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol
from ICHSegmenterLib.synthesis.exam import make_exam
from ICHSegmenterLib.synthesis.pathology.lesions import LesionPlan
from ICHSegmenterLib.volume.io import read_volume

PROTOCOL = Protocol(matrix=64, steps_mm=(9.0,) * 14)


@pytest.fixture(scope="module")
def exams():
    plans = ([LesionPlan("IPH", 15.0), LesionPlan("SDH", 20.0)], [])
    return [make_exam(seed, plans=wanted, protocol=PROTOCOL) for seed, wanted in enumerate(plans)]


def test_physionet_layout_is_read_back(exams, tmp_path):
    assert physionet.write(exams, tmp_path) == 2
    source = physionet.source(tmp_path, ReadOptions(tmp_path))
    content = physionet.read_series(source.plans[0])
    assert not content.bad_files and len(content.items) == 15
    volume = read_volume(tmp_path / "ct_scans" / "001.nii")
    assert AxialView.of(volume.geometry).apply(volume.hu) == pytest.approx(exams[0].volume.hu)
    assert "".join(nibabel.aff2axcodes(nibabel.load(tmp_path / "ct_scans" / "001.nii").affine)) == "LAS"
    cases = with_brain_masks(physionet.cases(tmp_path, tmp_path), tmp_path / "brainmask_ero")
    brain = AxialView.of(volume.geometry).apply(read_exam(cases[0]).brain_mask)
    assert np.array_equal(brain, exams[0].brain_mask)
    diagnoses = physionet.read_diagnoses(tmp_path / physionet.CSV)
    assert np.array_equal([diagnoses[1][k] for k in range(1, 16)], exams[0].slice_labels)


def test_nifti_layout_is_read_back(exams, tmp_path):
    nifti_folder.write(exams, tmp_path)
    source = nifti_folder.source(tmp_path, ReadOptions(tmp_path))
    assert [plan.series for plan in source.plans] == ["0000", "0001"]
    mask = nifti_folder.read_label_mask(tmp_path / "masks" / "0000.nii.gz", exams[0].volume)
    assert np.array_equal(mask, exams[0].labelmap)


def test_rsna_layout_has_six_rows_an_image_and_one_patient_an_exam(exams, tmp_path):
    rsna.write(exams, tmp_path)
    labels = rsna.read_labels(tmp_path / "stage_2_train.csv")
    files = sorted((tmp_path / "stage_2_train").iterdir())
    assert len(files) == len(labels) == 30
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    assert {path.stem for path in files} == set(labels) == {str(header.SOPInstanceUID) for header in headers}
    assert {one.slice_id for one in rsna_slices(tmp_path / "stage_2_train")} == set(labels)
    assert len({header.PatientID for header in headers}) == len({header.SeriesInstanceUID for header in headers}) == 2
    counted = np.sum(list(labels.values()), axis=0)
    assert np.array_equal(counted, sum(exam.slice_labels.sum(axis=0, dtype=int) for exam in exams))


def test_the_nifti_truth_table_names_the_volumes(exams, tmp_path):
    nifti_folder.write(exams, tmp_path)
    with (tmp_path / "truth.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[0]["IPH_ml"]) == pytest.approx(exams[0].blood_ml["IPH"], abs=1e-3)
    assert float(rows[1]["IPH_ml"]) == 0


def test_the_command_writes_exams_and_a_contact_sheet(tmp_path):
    output, sheet = tmp_path / "data", tmp_path / "sheet.png"
    arguments = ["--exams", "1", "--matrix", "64", "--seed", "3", "--contact-sheet", str(sheet)]
    assert main(["synthesize", "--output", str(output), *arguments]) == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert read_volume(output / "images" / "0000.nii.gz").geometry.shape[1:] == (64, 64)


def test_exams_are_the_same_however_many_processes_make_them(tmp_path):
    """Two, one after the other in a process, or each in its own."""
    for workers in ("1", "2"):
        made = ["--exams", "2", "--matrix", "48", "--seed", "4", "--workers", workers]
        assert main(["synthesize", "--output", str(tmp_path / workers), *made]) == 0
    assert (tmp_path / "1" / "truth.csv").read_text() == (tmp_path / "2" / "truth.csv").read_text()
    for number in range(2):
        one, two = (read_volume(tmp_path / workers / "images" / f"{number:04d}.nii.gz") for workers in ("1", "2"))
        assert np.array_equal(one.hu, two.hu)


def test_a_real_scan_beside_needs_a_contact_sheet(tmp_path, capsys):
    assert main(["synthesize", "--output", str(tmp_path), "--beside", "x.nii"]) == 2
    assert "--contact-sheet" in capsys.readouterr().err


def test_the_command_line_knows_every_style():
    from ICHSegmenterLib.cli.verbs.research.synthesize import PHANTOM, STYLE_NAMES
    from ICHSegmenterLib.synthesis.styles import STYLES

    assert set(STYLE_NAMES) == {*STYLES, PHANTOM}


def test_a_share_of_bleeding_exams_is_kept_to_the_nearest_exam():
    for seed in range(20):
        assert stratified(6, 0.6, seed).sum() == 4
    assert len({tuple(stratified(6, 0.6, seed)) for seed in range(20)}) > 5
    assert (stratified(5, 0.0, 1).any(), stratified(5, 1.0, 1).all()) == (False, True)
