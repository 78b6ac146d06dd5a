"""Results of a batch belong to their input: stale, mixed and half-written ones are never called done."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from batch_inputs import CLASSICAL, analyze, summary
from ICHSegmenterLib.batch import owner
from ICHSegmenterLib.batch.engines import embedded
from ICHSegmenterLib.batch.index import fill, header_readers
from ICHSegmenterLib.batch.run import find_exams, run_batch
from ICHSegmenterLib.cli.searching import Search
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing, replacing_folder
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.dicom import files
from ICHSegmenterLib.volume.dicom.facts import facts_of
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.input_files import digest_of, with_companions
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.reader.process import ReaderProcess

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def series(head, tmp_path):
    """The files of a series, of which only the upper half has arrived in `exams`."""
    files = write_dicom_series(head, tmp_path / "sent", seed=1)
    (tmp_path / "exams").mkdir()
    for path in files[8:]:
        shutil.copy2(path, tmp_path / "exams")
    return files


def batch(inputs, output, *, method=analyze, **options):
    return run_batch(find_exams([inputs]), output, method, request=CLASSICAL, **options)


def only_row(output):
    (row,) = summary(output).values()
    return row


def test_a_series_that_grew_is_analyzed_again(series, tmp_path):
    batch(tmp_path / "exams", tmp_path / "out")
    half = only_row(tmp_path / "out")
    for path in series[:8]:
        shutil.copy2(path, tmp_path / "exams")
    (outcome,) = batch(tmp_path / "exams", tmp_path / "out")
    assert outcome.status == "done"
    whole = only_row(tmp_path / "out")
    assert (half["slices"], whole["slices"]) == ("8", "16")


def test_an_unchanged_or_copied_series_is_done_before(series, tmp_path):
    batch(tmp_path / "exams", tmp_path / "out")
    assert [one.status for one in batch(tmp_path / "exams", tmp_path / "out")] == ["skipped"]
    for path in (tmp_path / "exams").iterdir():
        os.utime(path, (1.7e9, 1.7e9))
    assert [one.status for one in batch(tmp_path / "exams", tmp_path / "out")] == ["skipped"]


def test_a_file_of_equal_size_with_other_content_is_analyzed_again(head, tmp_path):
    path = tmp_path / "exams" / "ct.nii"
    write_nifti(head.hu, head.geometry, path)
    batch(path, tmp_path / "out")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert [one.status for one in batch(path, tmp_path / "out")] == ["done"]


def test_results_without_a_record_of_their_input_stay_done(series, tmp_path):
    batch(tmp_path / "exams", tmp_path / "out")
    (path,) = (tmp_path / "out").glob(f"*/{DONE_FILE}")
    content = json.loads(path.read_text())
    del content["provenance"]["input"]
    path.write_text(json.dumps(content))
    assert [one.status for one in batch(tmp_path / "exams", tmp_path / "out")] == ["skipped"]


def test_a_series_that_grows_during_its_analysis_is_read_again(series, tmp_path):
    seen = []

    def slow(volume):
        seen.append(volume.geometry.shape[0])
        if len(seen) == 1:
            for path in series[:8]:
                shutil.copy2(path, tmp_path / "exams")
        return analyze(volume)

    (outcome,) = batch(tmp_path / "exams", tmp_path / "out", method=slow)
    assert (outcome.status, seen) == ("done", [8, 16])
    assert only_row(tmp_path / "out")["slices"] == "16"


def test_a_series_that_never_stops_changing_fails_without_a_result(series, tmp_path):
    def touching(volume):
        for path in (tmp_path / "exams").iterdir():
            os.utime(path)
        return analyze(volume)

    (outcome,) = batch(tmp_path / "exams", tmp_path / "out", method=touching)
    assert outcome.status == "failed"
    assert "changed while it was analyzed" in outcome.message
    assert not list((tmp_path / "out").glob(f"*/{DONE_FILE}"))


def test_the_voxels_of_a_header_are_part_of_its_input(tmp_path):
    header, voxels = tmp_path / "ct.mhd", tmp_path / "other name.raw"
    header.write_text("NDims = 3\nElementDataFile = other name.raw\n")
    voxels.write_bytes(b"\0" * 8)
    before = digest_of(with_companions(header))
    os.utime(voxels, (1.7e9, 1.7e9))
    assert with_companions(header) == (header, voxels)
    assert digest_of(with_companions(header)).times != before.times


def test_a_result_of_a_newer_version_fails_alone_and_is_left(series, head, tmp_path):
    write_nifti(head.hu, head.geometry, tmp_path / "exams" / "ct.nii.gz")
    batch(tmp_path / "exams", tmp_path / "out")
    newer = min((tmp_path / "out").glob(f"*/{DONE_FILE}"))
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "format": 99}))
    content = newer.read_bytes()
    assert sorted(one.status for one in batch(tmp_path / "exams", tmp_path / "out")) == ["failed", "skipped"]
    assert newer.read_bytes() == content


@pytest.mark.parametrize("field", ["blood_ml", "slices", "probabilities", "key_slice"])
def test_a_result_that_lacks_a_field_is_made_again(field, series, tmp_path):
    batch(tmp_path / "exams", tmp_path / "out")
    (path,) = (tmp_path / "out").glob(f"*/{DONE_FILE}")
    content = json.loads(path.read_text())
    del content[field]
    path.write_text(json.dumps(content))
    assert [one.status for one in batch(tmp_path / "exams", tmp_path / "out")] == ["done"]


def test_two_batches_never_write_one_output(series, tmp_path):
    output = tmp_path / "out"

    def second(volume):
        with pytest.raises(OutputError, match=rf"Another batch writes to .*process {os.getpid()}"):
            run_batch(
                find_exams([tmp_path / "exams"]),
                output,
                analyze,
                request=AnalysisRequest("hu-threshold", threshold=0.9),
            )
        return analyze(volume)

    assert [one.status for one in batch(tmp_path / "exams", output, method=second)] == ["done"]
    assert [path.name for path in output.iterdir() if "owner" in path.name] == []


def test_the_owner_on_another_computer_counts_until_it_is_silent(tmp_path, monkeypatch):
    file = tmp_path / owner.OWNER_FILE
    file.write_text(json.dumps({"pid": 1, "host": "another computer", "started": "today"}))
    with pytest.raises(OutputError, match="process 1 on another computer"), owner.owned(tmp_path):
        pass
    os.utime(file, (1.7e9, 1.7e9))
    with owner.owned(tmp_path):
        assert json.loads(file.read_text())["pid"] == os.getpid()


def test_an_owner_that_was_killed_gives_way_at_once(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom ICHSegmenterLib.batch.owner import owned\n"
        "with owned(Path(sys.argv[1])):\n    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 9
    assert (tmp_path / owner.OWNER_FILE).exists()
    with owner.owned(tmp_path):
        pass


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("killed_at", range(1, 12))
def test_a_kill_while_publishing_leaves_one_result_or_none(killed_at, foreign, tmp_path):
    """Every call that changes the disk is the last one once; the process ends there without cleaning up."""
    folder = tmp_path / "exam"
    folder.mkdir()
    for name in ("mask", "stale", DONE_FILE):
        (folder / name).write_text("old")
    if foreign:
        (folder / "notes of a reader").write_text("mine")
    code = f"""
import os, sys
from pathlib import Path
from ICHSegmenterLib.files import replacing_folder
left = [{killed_at}]
def counted(function):
    def call(*arguments, **options):
        left[0] -= 1
        if not left[0]:
            os._exit(9)
        return function(*arguments, **options)
    return call
for name in ("replace", "rename", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
    setattr(Path, name, counted(getattr(Path, name)))
with replacing_folder(Path(sys.argv[1]), own_files=("mask", "stale"), done_file={DONE_FILE!r}) as scratch:
    for name in ("mask", {DONE_FILE!r}):
        (scratch / name).write_text("new")
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    contents = {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else {}
    if foreign:
        assert contents.pop("notes of a reader") == "mine"
    if DONE_FILE in contents:
        assert len(set(contents.values())) == 1, contents
        assert contents[DONE_FILE] == "old" or "stale" not in contents


def test_leftovers_of_kills_are_no_exams_and_are_removed(series, head, tmp_path):
    left = tmp_path / "exams" / ".ichsegmenter-abc"
    write_nifti(head.hu, head.geometry, left / "labelmap.nii.gz")
    assert len(find_exams([tmp_path / "exams"])) == 1
    shutil.copytree(left, tmp_path / "out" / left.name)
    batch(tmp_path / "exams", tmp_path / "out")
    assert not (tmp_path / "out" / left.name).exists()


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    steps = []
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (steps.append("flush"), flush(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (steps.append("name"), rename(*names)))
    with replacing(tmp_path / "a.txt") as draft:
        draft.write_text("a")
    with replacing_folder(tmp_path / "b", own_files=(), done_file="done") as scratch:
        (scratch / "done").write_text("b")
    assert steps.index("flush") < steps.index("name")
    assert steps.count("name") == 2
    assert steps[steps.index("name") + 1 :].count("flush") >= 2


def test_a_record_of_another_input_is_seen_without_reading_files(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1234")
    digest = digest_of([path], content=True)
    assert replace(digest, times="other").is_input_of(digest.to_json(), [path])
    assert not replace(digest, times="other", bytes=5).is_input_of(digest.to_json(), [tmp_path / "nowhere"])


def headers_read(monkeypatch):
    """Base names of files whose DICOM header is read in this process, as they come."""
    read = []
    original = files._read_header
    monkeypatch.setattr(files, "_read_header", lambda path, *more: (read.append(path.name), original(path, *more))[1])
    return read


def test_headers_of_a_folder_are_read_once_a_batch(head, tmp_path, monkeypatch):
    for number in range(4):
        for path in write_dicom_series(head, tmp_path / "sent", seed=number):
            (tmp_path / "exams").mkdir(exist_ok=True)
            path.rename(tmp_path / "exams" / f"{number}-{path.name}")
    read = headers_read(monkeypatch)
    monkeypatch.setattr(embedded, "ReaderProcess", InThisProcess)
    monkeypatch.setattr(header_readers, "ReaderProcess", InThisProcess)
    outcomes = batch(tmp_path / "exams", tmp_path / "out")
    assert [one.status for one in outcomes] == ["done"] * 4
    assert len(read) == 2 * 4 * 16  # once to find the exams, once more those of an exam to read it


class InThisProcess(ReaderProcess):
    def facts(self, files):
        return [facts_of(path) for path in files]

    def volume(self, path, *, series_uid=None, files=()):
        return read_volume(path, series_uid=series_uid, files=files)


def test_the_summary_is_appended_and_results_are_not_kept(series, head, tmp_path, monkeypatch):
    for number in range(3):
        write_nifti(head.hu, head.geometry, tmp_path / "exams" / f"{number}.nii.gz")
    sizes = []

    def looking(volume):
        sizes.append((tmp_path / "out" / "results.csv").stat().st_ino)
        return analyze(volume)

    outcomes = batch(tmp_path / "exams", tmp_path / "out", method=looking)
    assert len(sizes) == 4
    assert len(set(sizes)) == 1  # one file all the time, which grows
    assert all(one.numbers == {} for one in outcomes)


def test_the_search_says_how_far_it_is(series, tmp_path, monkeypatch):
    monkeypatch.setattr(fill, "BATCH_FILES", 5)
    said = []
    find_exams([tmp_path / "sent", tmp_path / "exams"], lambda files, read: said.append((files, read)))
    assert said == [(5, 5), (10, 10), (15, 15), (20, 20), (24, 24)]


def test_the_command_says_so_every_few_seconds(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    search = Search()
    for seen in range(1, 13):
        now[0] += 1.0
        search(10 * seen, 2)
    assert capsys.readouterr().err.splitlines() == [
        "searching: 50 files, 2 headers read, 10 files/s",
        "searching: 100 files, 2 headers read, 10 files/s",
    ]


def test_a_batch_that_is_killed_again_and_again_ends_with_an_equal_table(head, tmp_path):
    for number in range(3):
        write_nifti(head.hu + 5 * number, head.geometry, tmp_path / "exams" / f"{number}.nii.gz")

    def start(output, *, kill_at=0):
        """Run the command; with `kill_at` it is killed when it announces that exam."""
        words = ["batch", str(tmp_path / "exams"), "--output", str(tmp_path / output), "--method", "hu-threshold"]
        words += ["--map", str(tmp_path / f"{output}.csv")]
        program = [sys.executable, "-m", "ICHSegmenterLib", *words]
        with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:
                if line.startswith(f"[{kill_at}/"):
                    process.kill()
        return process.returncode

    def table(output):
        with (tmp_path / f"{output}.csv").open(newline="") as file:
            paths = {row["exam"]: row["path"] for row in csv.DictReader(file)}
        numbers = ("any", "blood_ml", "positive_slices", "slices", "key_slice", "error")
        return {paths[name]: [row[key] for key in numbers] for name, row in summary(tmp_path / output).items()}

    assert start("calm") == 0
    for number in (1, 2, 3, 2):
        assert start("killed", kill_at=number) != 0
    assert start("killed") == 0
    assert table("killed") == table("calm")
    assert len(table("calm")) == 3
    assert not list((tmp_path / "killed").glob(".ichsegmenter-*"))
