"""Many exams: discovery, failures, resuming, and names without patients."""

import csv
import gzip
import os
import re
import shutil

import numpy as np
import pytest

from head_volumes import set_elements
from ICHSegmenterLib.analysis import analyze as engine
from ICHSegmenterLib.batch.run import SUMMARY_FILE, find_exams, run_batch
from ICHSegmenterLib.cli.batches import with_masks
from ICHSegmenterLib.errors import OutputError, VolumeError
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture(scope="module")
def volume():
    geometry = head_geometry((16, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=9.0)
    return make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), 62.0),)), seed=5).volume


@pytest.fixture
def inputs(volume, tmp_path):
    folder = tmp_path / "inputs"
    slices = write_dicom_series(volume, folder / "DOE^JANE" / "series", seed=1)
    set_elements(slices, PatientName="DOE^JANE", PatientID="JANE-0815", AccessionNumber="JANE-1")
    write_nifti(volume.hu, volume.geometry, folder / "case_b.nii.gz")
    (folder / "case_c.nii.gz").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("nothing")
    return folder


CLASSICAL = AnalysisRequest("hu-threshold")


def analyze(volume):
    return engine.analyze(volume, AnalysisRequest("hu-threshold"))


def batch(exams, output, analyze=analyze, **options):
    """Run it; the outcomes in the order of the files' own names, and own name to name of the results."""
    options.setdefault("request", CLASSICAL)
    outcomes = {(one.exam.path, one.exam.series_uid): one for one in run_batch(exams, output, analyze, **options)}
    ordered = [outcomes[exam.path, exam.series_uid] for exam in exams]
    return ordered, {exam.name: one.exam.name for exam, one in zip(exams, ordered, strict=True)}


def summary(output):
    with (output / SUMMARY_FILE).open() as file:
        return {row["exam"]: row for row in csv.DictReader(file)}


def test_dicom_and_files_are_found_in_nested_folders(inputs):
    names = [exam.name for exam in find_exams([inputs])]
    assert names[:2] == ["case_b", "case_c"]
    assert names[2].startswith("series-")
    assert len(names) == 3


def test_one_broken_exam_does_not_stop_the_others(inputs, tmp_path):
    output = tmp_path / "out"
    outcomes, names = batch(find_exams([inputs]), output)
    assert [one.status for one in outcomes] == ["done", "failed", "done"]
    rows = summary(output)
    assert rows[names["case_c"]]["error"] == "bad_input"
    assert rows[names["case_b"]]["positive"] == "1"
    assert float(rows[names["case_b"]]["blood_ml"]) > 15
    assert (output / names["case_b"] / "result.json").exists()
    assert not (output / names["case_c"]).exists()


def test_a_second_call_goes_on_where_the_first_stopped(inputs, tmp_path):
    output, seen = tmp_path / "out", []

    def counting(volume):
        seen.append(volume)
        return analyze(volume)

    exams = find_exams([inputs])
    batch(exams[:1], output, counting)
    outcomes, names = batch(exams, output, counting)
    assert [one.status for one in outcomes] == ["skipped", "failed", "done"]
    assert len(seen) == 2
    assert summary(output)[names["case_b"]]["status"] == "skipped"
    assert float(summary(output)[names["case_b"]]["blood_ml"]) > 15  # a skipped exam keeps its numbers


def test_results_of_other_settings_are_refused_untouched_until_they_may_be_replaced(inputs, tmp_path):
    exams, output = find_exams([inputs / "case_b.nii.gz"]), tmp_path / "out"
    _, names = batch(exams, output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    strict = AnalysisRequest("hu-threshold", threshold=0.9)
    told = "of threshold 0.5 instead of 0.9. Name another --output folder, or replace them by --overwrite"
    with pytest.raises(OutputError, match=f"{names['case_b']} {told}"):
        run_batch(exams, output, analyze, request=strict)
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert run_batch(exams, output, analyze, request=strict, overwrite=True)[0].status == "done"


def test_a_folder_with_exams_of_another_method_is_refused_for_new_exams_too(inputs, tmp_path):
    output = tmp_path / "out"
    run_batch(find_exams([inputs]), output, analyze, request=CLASSICAL)
    shutil.copy(inputs / "case_b.nii.gz", tmp_path / "other.nii.gz")
    told = "exam-[0-9a-f]{16} and 1 more exams of hu-threshold instead of unet"
    with pytest.raises(OutputError, match=told):
        run_batch(find_exams([tmp_path / "other.nii.gz"]), output, analyze, request=AnalysisRequest("unet"))


def test_a_result_that_is_not_whole_is_made_again(inputs, tmp_path):
    exams, output = find_exams([inputs / "case_b.nii.gz"]), tmp_path / "out"
    _, names = batch(exams, output)
    for broken in ("{", "[]", '{"provenance": 1}', '{"provenance": {"method": "unet"'):
        (output / names["case_b"] / "result.json").write_text(broken)
        assert run_batch(exams, output, analyze, request=CLASSICAL)[0].status == "done"


def test_no_patient_name_reaches_any_result(inputs, tmp_path):
    output = tmp_path / "out"
    run_batch(find_exams([inputs]), output, analyze, request=CLASSICAL)
    checked = []
    for path in output.rglob("*"):
        assert "JANE" not in path.name
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            content = re.sub(rb"base64,[A-Za-z0-9+/=]+", b"", content)  # pictures hold any three letters by chance
            assert b"JANE" not in content
            checked.append(path.name)
    assert {"result.json", "report.html", "labelmap.nii.gz", SUMMARY_FILE} <= set(checked)


def test_an_empty_folder_says_what_would_be_an_exam(tmp_path):
    with pytest.raises(VolumeError, match="No head CT was found"):
        find_exams([tmp_path])
    with pytest.raises(VolumeError, match="does not exist"):
        find_exams([tmp_path / "nowhere"])


def test_results_of_an_earlier_run_are_no_exams(inputs, tmp_path):
    before = find_exams([inputs])
    _, names = batch(before, inputs / "results")
    assert (inputs / "results" / names["case_b"] / "labelmap.nii.gz").exists()
    assert find_exams([inputs]) == before


def test_a_summary_that_cannot_be_written_is_told_and_leaves_no_draft(inputs, tmp_path):
    output = tmp_path / "out"
    (output / SUMMARY_FILE).mkdir(parents=True)  # a folder is in its place
    with pytest.raises(OutputError, match="results.csv cannot be written"):
        run_batch(find_exams([inputs / "case_c.nii.gz"]), output, analyze, request=CLASSICAL)
    assert [path.name for path in output.iterdir()] == [SUMMARY_FILE]


def test_what_the_system_says_of_a_path_is_told_without_its_folders(inputs, tmp_path, caplog):
    def vanished(volume):
        raise FileNotFoundError(2, os.strerror(2), str(tmp_path / "DOE^JANE" / "0001.dcm"))

    (outcome,) = run_batch(find_exams([inputs / "case_b.nii.gz"]), tmp_path / "out", vanished, request=CLASSICAL)
    assert outcome.message.startswith("0001.dcm: No such file")
    assert "JANE" not in outcome.message + caplog.text


def test_an_exam_keeps_its_name_when_one_of_the_same_name_is_added(inputs, tmp_path):
    for case in ("case2", "case3"):
        (tmp_path / "more" / case).mkdir(parents=True)
        shutil.copy(inputs / "case_b.nii.gz", tmp_path / "more" / case / "ct.nii.gz")
    before = find_exams([tmp_path / "more"])
    (tmp_path / "more" / "case1").mkdir()
    shutil.copy(inputs / "case_b.nii.gz", tmp_path / "more" / "case1" / "ct.nii.gz")
    after = find_exams([tmp_path / "more", tmp_path / "more" / "case1"])
    assert len({exam.name for exam in after}) == len(after) == 3
    assert set(before) < set(after)


def test_given_brain_masks_are_used_and_another_one_makes_the_exam_again(volume, tmp_path):
    write_nifti(volume.hu, volume.geometry, tmp_path / "in" / "case_b.nii.gz")
    masks = tmp_path / "masks"
    used = []

    def remember(volume, brain_mask=None):
        used.append(int(brain_mask.sum()))
        return engine.analyze(volume, CLASSICAL, brain_mask=brain_mask)

    for size in (30, 30, 40):
        mask = np.zeros(volume.geometry.shape, dtype=np.uint8)
        mask[4:12, 20 : 20 + size, 20:60] = 1
        if not used or used[-1] != mask.sum():
            write_nifti(mask, volume.geometry, masks / "case_b_mask.nii.gz")
        exams = with_masks(find_exams([tmp_path / "in"]), masks)
        run_batch(exams, tmp_path / "out", remember, request=CLASSICAL)
    assert used == [8 * 30 * 40, 8 * 40 * 40]
    with pytest.raises(ValueError, match="1 of 1 exams have no brain mask \\(case_b.nii.gz\\)"):
        with_masks(find_exams([tmp_path / "in"]), tmp_path)
