"""A watched folder: each exam once and when it is complete, until a signal; another start goes on."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from batch_inputs import CLASSICAL, analyze, summary
from ICHSegmenterLib.batch.run import find_exams, run_batch
from ICHSegmenterLib.errors import CancelledError, OutputError
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.receive.watch import Watch, WatchedFolder
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.export import write_nifti

pytestmark = pytest.mark.usefixtures("impatient")

REPOSITORY = Path(__file__).resolve().parents[3]
QUIET_S = 0.05


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


class Counted:
    """The classical method, counting its exams."""

    def __init__(self):
        self.calls = 0

    def __call__(self, volume):
        self.calls += 1
        return analyze(volume)


def watch(inbox, output, steps, method=analyze):
    """A watch that does one of the steps after each look at the folder and ends behind the last one."""
    stop, waiting = threading.Event(), list(steps)

    def between():
        if not waiting:
            return stop.set()
        waiting.pop(0)()
        return time.sleep(2 * QUIET_S)

    watched = Watch(WatchedFolder(inbox, output, QUIET_S), output, method, CLASSICAL, poll_s=0.0, between=between)
    return watched.run(stop)


def rest():
    pass


def test_exams_that_come_have_the_outputs_and_names_of_a_batch(head, inbox, tmp_path):
    def come():
        write_dicom_series(head, inbox / "study" / "series", seed=1)
        write_nifti(head.hu, head.geometry, inbox / "ct.nii.gz")

    method = Counted()
    counts = watch(inbox, tmp_path / "out", [come, rest, rest], method)
    assert (counts, method.calls) == ({"done": 2, "failed": 0}, 2)
    by_watch = summary(tmp_path / "out")
    outcomes = run_batch(find_exams([inbox]), tmp_path / "out", method, request=CLASSICAL)
    assert [one.status for one in outcomes] == ["skipped", "skipped"]
    assert method.calls == 2
    by_batch = summary(tmp_path / "out")
    assert by_watch.keys() == by_batch.keys()
    unlike = {"status", "seconds"}
    for name, row in by_watch.items():
        assert {k: v for k, v in row.items() if k not in unlike} == {
            k: v for k, v in by_batch[name].items() if k not in unlike
        }
        assert (tmp_path / "out" / name / "segmentation.seg.nrrd").is_file()


def test_a_series_is_left_until_its_files_have_come_to_rest(head, inbox, tmp_path):
    sent = write_dicom_series(head, tmp_path / "sent", seed=1)
    folder = WatchedFolder(inbox, tmp_path / "out", quiet_s=60.0)
    for path in sent:
        shutil.copy(path, inbox)
    assert list(folder.new_exams()) == []
    for path in inbox.iterdir():
        os.utime(path, (time.time() - 61,) * 2)
    (exam,) = folder.new_exams()
    assert len(exam.files) == 16
    assert list(folder.new_exams()) == []


def test_another_start_goes_on_and_lists_exams_whose_files_have_gone(head, inbox, tmp_path):
    write_dicom_series(head, inbox / "a", seed=1)
    method = Counted()
    assert watch(inbox, tmp_path / "out", [rest], method)["done"] == 1
    (first,) = summary(tmp_path / "out")
    shutil.rmtree(inbox / "a")
    write_dicom_series(head, inbox / "b", seed=2)
    assert watch(inbox, tmp_path / "out", [rest], method)["done"] == 1
    rows = summary(tmp_path / "out")
    assert rows[first]["status"] == "skipped"
    assert rows[first]["slices"] == "16"
    assert Counter(row["status"] for row in rows.values()) == {"skipped": 1, "done": 1}
    assert method.calls == 2


def test_a_series_that_grows_is_analyzed_again_and_keeps_one_row(head, inbox, tmp_path):
    sent = write_dicom_series(head, tmp_path / "sent", seed=1)
    write_nifti(head.hu, head.geometry, inbox / "other" / "ct.nii.gz")

    def come(files):
        (inbox / "a").mkdir(exist_ok=True)
        for path in files:
            shutil.copy(path, inbox / "a")

    method = Counted()
    counts = watch(
        inbox, tmp_path / "out", [lambda: come(sent[8:]), rest, lambda: come(sent[:8]), rest, rest, rest], method
    )
    assert (counts, method.calls) == ({"done": 3, "failed": 0}, 3)
    lines = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert len(lines) == 3
    assert sorted(row["slices"] for row in summary(tmp_path / "out").values()) == ["16", "16"]


def test_a_copy_in_another_folder_is_the_same_exam(head, inbox, tmp_path):
    write_dicom_series(head, inbox / "a", seed=1)
    method = Counted()
    watch(inbox, tmp_path / "out", [lambda: shutil.copytree(inbox / "a", inbox / "b"), rest, rest], method)
    assert method.calls == 1
    assert len(summary(tmp_path / "out")) == 1


def test_an_exam_that_failed_is_tried_again_only_when_its_files_change(head, inbox, tmp_path):
    bad = inbox / "bad" / "ct.nii"
    bad.parent.mkdir()
    bad.write_bytes(b"no image")

    def neighbor():
        write_nifti(head.hu, head.geometry, inbox / "bad" / "good.nii.gz")

    def mend():
        write_nifti(head.hu, head.geometry, bad)

    counts = watch(inbox, tmp_path / "out", [rest, neighbor, rest, rest])
    assert counts == {"done": 1, "failed": 1}
    assert Counter(row["status"] for row in summary(tmp_path / "out").values()) == {"done": 1, "failed": 1}
    counts = watch(inbox, tmp_path / "out", [rest, mend, rest, rest])
    assert counts == {"done": 1, "failed": 1}
    assert Counter(row["status"] for row in summary(tmp_path / "out").values()) == {"skipped": 2}


def test_a_failure_keeps_its_row_when_its_files_have_gone(head, inbox, tmp_path):
    (inbox / "ct.nii").write_bytes(b"no image")
    assert watch(inbox, tmp_path / "out", [rest, rest]) == {"done": 0, "failed": 1}
    (before,) = summary(tmp_path / "out").values()
    (inbox / "ct.nii").unlink()
    assert watch(inbox, tmp_path / "out", [rest, rest]) == {"done": 0, "failed": 0}
    assert list(summary(tmp_path / "out").values()) == [before]


def test_results_below_the_watched_folder_are_no_exams(head, inbox, tmp_path):
    write_nifti(head.hu, head.geometry, inbox / "ct.nii.gz")
    assert watch(inbox, inbox / "out", [rest, rest, rest]) == {"done": 1, "failed": 0}


def test_an_exam_that_is_interrupted_leaves_nothing_and_is_done_by_the_next_start(head, inbox, tmp_path):
    write_nifti(head.hu, head.geometry, inbox / "ct.nii.gz")
    stop = threading.Event()

    def interrupted(volume):
        stop.set()
        raise CancelledError("stopped")

    time.sleep(2 * QUIET_S)
    watched = Watch(WatchedFolder(inbox, tmp_path / "out", QUIET_S), tmp_path / "out", interrupted, CLASSICAL)
    assert watched.run(stop) == {"done": 0, "failed": 0}
    assert summary(tmp_path / "out") == {}
    assert not [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert watch(inbox, tmp_path / "out", [rest])["done"] == 1


def test_exams_wait_for_a_disk_that_is_full(head, inbox, tmp_path, monkeypatch):
    write_nifti(head.hu, head.geometry, inbox / "ct.nii.gz")
    room = []
    real = write_outputs

    def full(*arguments, **options):
        if room:
            return real(*arguments, **options)
        raise OutputError("Cannot write: No space left on device.")

    monkeypatch.setattr("ICHSegmenterLib.batch.engines.steps.write_outputs", full)
    monkeypatch.setattr("ICHSegmenterLib.batch.engines.ends.not_writable", lambda folder: "" if room else "full")
    counts = watch(inbox, tmp_path / "out", [rest, rest, lambda: room.append(1), rest, rest])
    assert counts == {"done": 1, "failed": 0}
    assert [row["status"] for row in summary(tmp_path / "out").values()] == ["done"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_exit_code_0(number, head, inbox, tmp_path):
    write_nifti(head.hu, head.geometry, inbox / "ct.nii.gz")
    os.utime(inbox / "ct.nii.gz", (time.time() - 60,) * 2)
    words = ["batch", "--watch", str(inbox), "--output", str(tmp_path / "out"), "--method", "hu-threshold"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-m", "ICHSegmenterLib", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        until = time.monotonic() + 120
        while not list((tmp_path / "out").glob("*/result.json")) and time.monotonic() < until:
            time.sleep(0.2)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, output.startswith("1 done, 0 failed")) == (0, True), errors
    assert [row["status"] for row in summary(tmp_path / "out").values()] == ["done"]
    assert not list((tmp_path / "out").glob(".ichsegmenter-owner.json"))


def test_a_watch_takes_no_inputs_and_a_batch_needs_some(inbox, tmp_path, capsys):
    from ICHSegmenterLib.cli.main import main

    words = ["batch", "--output", str(tmp_path / "out"), "--method", "hu-threshold"]
    assert main(words) == 2
    assert "or a folder to --watch" in capsys.readouterr().err
    assert main([*words, str(inbox), "--watch", str(inbox)]) == 2
    assert "--watch goes without inputs" in capsys.readouterr().err
