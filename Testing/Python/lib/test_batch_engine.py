"""The engine of a batch: reading ahead, bounded queues, and clear ends."""

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from batch_inputs import CLASSICAL, analyze, summary
from ICHSegmenterLib.batch.attempts import ATTEMPTS_FILE, Attempts
from ICHSegmenterLib.batch.engines import ends
from ICHSegmenterLib.batch.engines.embedded import AHEAD, WRITERS, EmbeddedEngine
from ICHSegmenterLib.batch.engines.ends import InputLostError, OutputLostError
from ICHSegmenterLib.batch.engines.steps import ExamSteps
from ICHSegmenterLib.batch.engines.time_limit import TimeLimit
from ICHSegmenterLib.batch.run import RunOptions, find_exams, run_batch
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import CancelledError, DeviceLostError
from ICHSegmenterLib.runtime.lost_device import is_device_lost
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.reader.process import ReaderProcess

pytestmark = pytest.mark.usefixtures("impatient")
REPOSITORY = Path(__file__).resolve().parents[3]
PATIENCE_S = 120.0


@pytest.fixture
def exams(head, tmp_path):
    """Six exams; the folder of their files."""
    for number in range(6):
        write_nifti(head.hu + number, head.geometry, tmp_path / "exams" / f"{number}.nii.gz")
    return tmp_path / "exams"


def batch(exams, output, method=analyze, **options):
    return run_batch(find_exams([exams]), output, method, request=CLASSICAL, options=RunOptions(**options))


def statuses(output):
    return sorted(row["status"] for row in summary(output).values())


class AfterFirst:
    """The classical method, which does something before it begins with its second exam."""

    def __init__(self, do):
        self.calls, self._do = 0, do

    def __call__(self, volume):
        self.calls += 1
        if self.calls == 2:
            self._do()
        return analyze(volume)


def test_the_next_exams_are_read_while_one_is_analyzed(exams, tmp_path, monkeypatch):
    read = threading.Semaphore(0)
    original = ReaderProcess.volume

    def counted(self, *arguments, **options):
        volume = original(self, *arguments, **options)
        read.release()
        return volume

    monkeypatch.setattr(ReaderProcess, "volume", counted)
    ahead = []

    def waiting(volume):
        if not ahead:
            ahead.extend(read.acquire(timeout=PATIENCE_S) for _ in range(2))
        return analyze(volume)

    assert [one.status for one in batch(exams, tmp_path / "out", waiting, readers=1)] == ["done"] * 6
    assert ahead == [True, True]


def test_no_more_exams_are_taken_than_the_queues_hold(exams, tmp_path):
    taken, begun, excess = 0, 0, []

    def source():
        nonlocal taken
        for exam in find_exams([exams]) * 3:
            taken += 1
            yield exam

    def counting(volume):
        nonlocal begun
        begun += 1
        excess.append(taken - begun)
        return analyze(volume)

    (tmp_path / "out").mkdir()
    steps = ExamSteps(tmp_path / "out", CLASSICAL, Attempts(tmp_path / "out"))
    with EmbeddedEngine(steps, counting, RunOptions(readers=1)) as engine, closing(engine.outcomes(source())) as found:
        assert [one.status for one in found] == ["done"] * 18
    assert max(excess) <= 1 + AHEAD
    assert WRITERS < 6


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.ESTALE])
def test_a_disk_that_takes_no_more_ends_the_run_and_the_next_one_goes_on(number, exams, tmp_path, monkeypatch):
    output, real = tmp_path / "out", ends.os.fsync
    full = threading.Event()

    def flush(handle):
        if full.is_set():
            raise OSError(number, os.strerror(number))
        return real(handle)

    monkeypatch.setattr("os.fsync", flush)
    method = AfterFirst(full.set)
    with pytest.raises(OutputLostError, match=rf"any more \({os.strerror(number)}\).*goes on behind"):
        batch(exams, output, method)
    assert method.calls < 6
    full.clear()
    before = len(list(output.glob("*/result.json")))
    outcomes = batch(exams, output)
    assert sorted(one.status for one in outcomes) == ["done"] * (6 - before) + ["skipped"] * before
    assert not list(output.glob(".ichsegmenter-*"))


def test_an_output_that_cannot_be_made_of_one_exam_fails_that_exam_alone(exams, tmp_path, monkeypatch):
    from ICHSegmenterLib.errors import OutputError

    def refuse(names, volume, source):
        if source.name == "3.nii.gz":
            raise OutputError("no such output of this exam")

    monkeypatch.setattr("ICHSegmenterLib.batch.engines.steps.check_outputs", refuse)
    assert sorted(one.status for one in batch(exams, tmp_path / "out")) == ["done"] * 5 + ["failed"]


def test_a_share_that_vanished_ends_the_run_and_the_next_one_goes_on(exams, tmp_path, monkeypatch):
    monkeypatch.setattr(ends, "VANISHED_IN_A_ROW", 3)
    output = tmp_path / "out"
    method = AfterFirst(lambda: exams.rename(tmp_path / "away"))
    with pytest.raises(InputLostError, match="3 exams in a row have gone together with their folders"):
        batch(exams, output, method, readers=1)
    (tmp_path / "away").rename(exams)
    assert {one.status for one in batch(exams, output)} == {"done", "skipped"}
    assert len(summary(output)) == 6


def test_files_that_were_removed_fail_alone(exams, tmp_path, monkeypatch):
    monkeypatch.setattr(ends, "VANISHED_IN_A_ROW", 2)
    found = find_exams([exams])
    for number in (1, 2, 3):
        (exams / f"{number}.nii.gz").unlink()
    outcomes = run_batch(found, tmp_path / "out", analyze, request=CLASSICAL)
    assert sorted(one.status for one in outcomes) == ["done"] * 3 + ["failed"] * 3


def test_a_lost_graphics_card_ends_the_run_and_no_exam_is_blamed(exams, tmp_path):
    def lost():
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later")

    with pytest.raises(DeviceLostError, match=r"The graphics card stopped \(CUDA error: unspecified launch failure\)"):
        batch(exams, tmp_path / "out", AfterFirst(lost))
    assert statuses(tmp_path / "out") == ["done"]
    assert not (tmp_path / "out" / ATTEMPTS_FILE).exists()
    assert sorted(one.status for one in batch(exams, tmp_path / "out")) == ["done"] * 5 + ["skipped"]


def test_a_card_that_is_out_of_memory_is_not_lost():
    error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA error: out of memory")
    assert not is_device_lost(error)
    assert not is_device_lost(ValueError("no card at all"))
    assert is_device_lost(type("AcceleratorError", (RuntimeError,), {})("anything"))


def test_an_exam_beyond_the_time_limit_fails_alone(exams, tmp_path):
    options = RunOptions(limit=TimeLimit(0.05))
    waited = []

    def slow(volume):
        if not waited:
            while not options.is_interrupted():
                waited.append(threading.Event().wait(0.01))
            raise CancelledError("stopped")
        return analyze(volume)

    outcomes = run_batch(find_exams([exams]), tmp_path / "out", slow, request=CLASSICAL, options=options)
    (failed,) = (one for one in outcomes if one.status == "failed")
    assert (failed.error, failed.message[:43]) == ("time_limit", "The analysis took more than 0.05 s and was ")
    assert len(outcomes) == 6
    assert not options.is_interrupted()


HANG = """
import sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}, {repository!r}]
from batch_inputs import CLASSICAL, analyze
from ICHSegmenterLib.batch import settled
from ICHSegmenterLib.batch.engines import time_limit
from ICHSegmenterLib.batch.run import RunOptions, find_exams, run_batch
settled.SETTLE_S = 0.02
time_limit.GRACE_S = 0.1
def hang(volume):
    if volume.hu[0, 0, 0] == {value}:
        time.sleep({patience})
    return analyze(volume)
outcomes = run_batch(find_exams([Path({exams!r})]), Path({output!r}), hang, request=CLASSICAL,
    options=RunOptions(limit=time_limit.TimeLimit({limit})))
print(sorted(one.message for one in outcomes if one.status == "failed"), len(outcomes))
"""


def test_an_exam_that_cannot_be_stopped_ends_the_process_and_is_passed_by_the_next_run(head, exams, tmp_path):
    facts = {"tests": str(REPOSITORY / "Testing/Python"), "repository": str(REPOSITORY), "patience": PATIENCE_S}
    facts |= {"output": str(tmp_path / "out"), "value": float(head.hu[0, 0, 0])}
    code = [
        HANG.format(**facts, exams=str(exams / "0.nii.gz"), limit=0.2),
        HANG.format(**facts, exams=str(exams), limit=None),
    ]
    run = [subprocess.run([sys.executable, "-c", each], capture_output=True, text=True) for each in code]
    assert run[0].returncode == 1, run[0].stderr
    assert "Run the same command again: it leaves this exam out" in run[0].stderr
    assert run[1].returncode == 0, run[1].stderr
    assert "more than 0.2 s and was stopped" in run[1].stdout
    assert "not tried again" in run[1].stdout
    assert run[1].stdout.endswith("] 6\n")


def test_a_run_that_is_stopped_reports_what_it_published_and_leaves_nothing_half(exams, tmp_path):
    stop = threading.Event()
    with pytest.raises(CancelledError):
        batch(exams, tmp_path / "out", AfterFirst(stop.set), stop=stop)
    assert set(statuses(tmp_path / "out")) == {"done"}
    assert len(summary(tmp_path / "out")) == len(list((tmp_path / "out").glob("*/result.json"))) < 6
    assert not list((tmp_path / "out").glob(".ichsegmenter-*-*"))
    assert len(batch(exams, tmp_path / "out")) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_clearly_and_the_next_one_goes_on(number, exams, tmp_path):
    output = tmp_path / "out"
    words = ["batch", str(exams), "--output", str(output), "--method", "hu-threshold", "--outputs", "json"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    program = [sys.executable, "-m", "ICHSegmenterLib", *words]
    with subprocess.Popen(
        program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as run:
        said = []
        for line in run.stderr:
            said.append(line)
            if line.startswith("[2/"):
                run.send_signal(number)
    assert run.returncode == 1, said
    assert said[-1] == "cancelled; nothing half-done was left behind\n"
    assert set(statuses(output)) == {"done"}
    assert (output / "worklist.html").exists()
    assert main(words) == 0
    assert len(summary(output)) == 6


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ("--exam-timeout 0", "must be a time in seconds above 0, got 0"),
        ("--readers x", "must be a whole number above 0"),
    ],
)
def test_wrong_options_of_a_run_end_with_2(wrong, answer, tmp_path, capsys):
    assert main(["batch", str(tmp_path), "--output", str(tmp_path / "out"), *wrong.split()]) == 2
    assert answer in capsys.readouterr().err
