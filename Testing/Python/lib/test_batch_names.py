"""Names in an output of a batch: they say nothing, stay, are safe everywhere, and lie inside the output."""

import csv
import json
import os
import re
import stat
import sys

import pytest

from batch_inputs import CLASSICAL, analyze, summary
from ICHSegmenterLib.batch import names
from ICHSegmenterLib.batch.discovery import Exam
from ICHSegmenterLib.batch.messages import without_file_names
from ICHSegmenterLib.batch.names import is_safe_name
from ICHSegmenterLib.batch.run import find_exams, run_batch
from ICHSegmenterLib.batch.summary import as_cell
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.export import write_nifti

pytestmark = pytest.mark.usefixtures("impatient")

PATIENT = "SMITH^JOHN_1945"


def batch(inputs, output, **options):
    return run_batch(find_exams([inputs]), output, analyze, request=CLASSICAL, **options)


def begin_as_before_there_were_keys(output):
    """An output with one result under the name of its file."""
    (output / "case_a").mkdir(parents=True)
    (output / "case_a" / "result.json").write_text("{")


def test_no_name_of_a_file_reaches_results_messages_or_log(head, tmp_path, caplog, capfd):
    exams = tmp_path / "exams"
    write_nifti(head.hu, head.geometry, exams / f"{PATIENT}.nii.gz")
    (exams / f"{PATIENT}_b.nii.gz").write_bytes(b"damaged")
    slices = write_dicom_series(head, exams / PATIENT, seed=3)
    for number, path in enumerate(slices):
        path.rename(path.with_name(f"{PATIENT}_{number}.dcm"))
    damaged = slices[4].with_name(f"{PATIENT}_4.dcm")
    damaged.write_bytes(damaged.read_bytes()[:-400])
    assert main(["batch", str(exams), "--method", "hu-threshold", "--output", str(tmp_path / "out")]) == 1
    told = capfd.readouterr()
    told = told.out + told.err + caplog.text + (tmp_path / "out" / "results.csv").read_text()
    assert "SMITH" not in told
    assert "file " in next(row["message"] for row in summary(tmp_path / "out").values() if "pixels" in row["message"])
    for path in (tmp_path / "out").rglob("*"):
        assert "SMITH" not in path.name
        assert path.is_dir() or b"SMITH" not in path.read_bytes()


def test_names_are_digests_with_a_key_that_only_the_user_has(head, tmp_path, monkeypatch):
    monkeypatch.setenv(names.KEYS_VARIABLE, str(tmp_path / "keys"))
    write_nifti(head.hu, head.geometry, tmp_path / "exams" / "a.nii.gz")
    first, second = ([one.exam.name for one in batch(tmp_path / "exams", tmp_path / out)] for out in ("one", "two"))
    assert first != second
    assert re.fullmatch("exam-[0-9a-f]{16}", first[0])
    keys = [json.loads(path.read_text())["key"] for path in (tmp_path / "keys").iterdir()]
    assert len({*keys}) == 2
    for output in ("one", "two"):
        for path in (tmp_path / output).rglob("*"):
            assert path.is_dir() or not any(key.encode() in path.read_bytes() for key in keys)
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_without_its_key_a_batch_does_not_go_on_under_other_names(head, tmp_path, monkeypatch):
    write_nifti(head.hu, head.geometry, tmp_path / "exams" / "a.nii.gz")
    batch(tmp_path / "exams", tmp_path / "out")
    monkeypatch.setenv(names.KEYS_VARIABLE, str(tmp_path / "other computer"))
    with pytest.raises(OutputError, match="Copy it from the computer and user that began this batch"):
        batch(tmp_path / "exams", tmp_path / "out")
    for damaged in ("{", "[]", '{"id": "../../x"}', '{"id": 7}'):
        (tmp_path / "out" / names.IDENTITY_FILE).write_text(damaged)
        with pytest.raises(OutputError, match="is damaged"):
            batch(tmp_path / "exams", tmp_path / "out")


def test_a_map_is_written_on_request_for_the_owner_only_and_outside(head, tmp_path):
    path = tmp_path / "exams" / f"=cmd {PATIENT}.nii.gz"
    write_nifti(head.hu, head.geometry, path)
    output = tmp_path / "out"
    with pytest.raises(OutputError, match="outside of the results"):
        batch(path.parent, output, map_file=output / "map.csv")
    (outcome,) = batch(path.parent, output, map_file=tmp_path / "map.csv")
    with (tmp_path / "map.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"exam": outcome.exam.name, "path": str(path), "series_uid": ""}]
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "map.csv").stat().st_mode) == 0o600


def test_a_batch_that_was_begun_earlier_keeps_its_names(head, tmp_path):
    write_nifti(head.hu, head.geometry, tmp_path / "exams" / "case_a.nii.gz")
    write_dicom_series(head, tmp_path / "exams" / "dicom", seed=3)
    begin_as_before_there_were_keys(tmp_path / "out")
    found = sorted(one.exam.name for one in batch(tmp_path / "exams", tmp_path / "out"))
    assert found == [exam.name for exam in find_exams([tmp_path / "exams"])]
    assert found[0] == "case_a"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.parametrize("begun_before", [False, True])
def test_nothing_is_written_outside_the_output_or_over_another_exam(begun_before, head, tmp_path):
    exams, output = tmp_path / "exams", tmp_path / "results" / "out"
    bad = ["...nii.gz", ".nii.gz", ".nii", "..nii.gz", "CON.nii.gz", "a\nb.nii.gz", "a:b.nii.gz", "x .nii.gz"]
    bad += ["Case.nii.gz", "case.nii.gz", os.fsdecode(b"\xff\xfe.nii.gz"), "=cmd|' calc'!A0.nii.gz"]
    for name in bad:
        write_nifti(head.hu, head.geometry, exams / "good.nii.gz")
        (exams / "good.nii.gz").replace(exams / name)
        if name.endswith(".nii"):
            (exams / name).write_bytes(b"broken")
    if begun_before:
        begin_as_before_there_were_keys(output)
    outcomes = batch(exams, output)
    folders = [one.exam.name for one in outcomes]
    assert len({name.casefold() for name in folders}) == len(bad)
    assert all(is_safe_name(name) for name in folders)
    assert [path.name for path in output.parent.iterdir()] == ["out"]
    assert sum(one.status == "done" for one in outcomes) == len(bad) - 1
    assert set(summary(output)) == {as_cell(name) for name in folders}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "nul", "COM1.x", "a.", "a ", " a", "a\x00", "a*", "a\x7f", "\udcff"]
)
def test_a_name_that_a_system_would_take_otherwise_is_unsafe(name):
    assert not is_safe_name(name)
    assert is_safe_name("exam-12 (b)_c.d")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_never_is_a_formula(text):
    assert as_cell(text) == "'" + text
    assert as_cell(-1.5) == -1.5
    assert as_cell("bad_input") == "bad_input"


def test_names_that_devices_give_stay_in_messages(tmp_path):
    exam = Exam("exam-1", tmp_path, "1.2", ("IM0001.dcm", "SMITH_1.dcm"))
    text = "IM0001.dcm, SMITH_1.dcm: truncated; not XSMITH_1.dcm"
    assert without_file_names(text, exam) == "IM0001.dcm, file 2: truncated; not XSMITH_1.dcm"
