"""The worker as Slicer meets it: a real process behind real pipes, whatever the engine inside does."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from ICHSegmenterLib import __version__
from ICHSegmenterLib.errors import ERROR_KINDS
from ICHSegmenterLib.protocol import PROTOCOL_VERSION
from ICHSegmenterLib.worker.exam import Exam
from ICHSegmenterLib.worker.failures import explain
from worker_process import WorkerProcess, bleeding_head, write_job

# An engine that does what the kernel of the exam says.
FAKE_ENGINE = """
import os, sys, time
import numpy as np
from ICHSegmenterLib.analysis import analyze as engine
from ICHSegmenterLib.labels import ICH
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.results import (
    AnalysisResult, DetectionResult, Provenance, SegmentationResult, SliceDetection,
)

def analyze(volume, request, run, session, *, brain_mask):
    session.exams = getattr(session, "exams", 0) + 1
    deed = volume.source.kernel
    if deed == "slow":
        for step in range(6000):
            time.sleep(0.01)
            run.report(step, 6000, Phase.PREDICTING)
    elif deed == "chatty":
        print("a library talks")
        os.system("echo and so does its child")
        sys.stdin.read()
    elif deed == "memory":
        raise MemoryError
    elif deed == "cuda":
        raise RuntimeError("CUDA error: device-side assert triggered\\nmore")
    elif deed == "bug":
        raise ZeroDivisionError("division by zero")
    elif deed == "abort":
        os.abort()
    elif deed == "write":
        volume.hu.setflags(write=True)
    run.report(1, 1, Phase.MEASURING)
    found = SliceDetection(0, 0.0, {"any": np.float32(0.5)}, True)
    labelmap = np.asarray(volume.hu > 50, dtype=np.uint8)
    if brain_mask is not None:
        labelmap *= brain_mask
    maps = np.zeros((1, *labelmap.shape), np.float32) if request.keeps_maps else None
    return AnalysisResult(
        volume.geometry,
        DetectionResult((found,), {"any": 0.5}, 0.5, 0),
        None if deed == "detection" else SegmentationResult(labelmap, volume.geometry, (ICH,), maps),
        (),
        Provenance(request.method, "Fake", "1", "cpu", "float32", seconds={"exams": np.float32(session.exams)}),
    )

engine.analyze = analyze
"""


@pytest.fixture
def worker():
    with WorkerProcess(prelude=FAKE_ENGINE) as worker:
        yield worker


def job(folder: Path, deed: str = "", **changes):
    request = write_job(folder / "job ř", bleeding_head((4, 24, 24)), **changes)
    request["source"]["kernel"] = deed
    return request


def test_hello_comes_first_and_names_the_process():
    with WorkerProcess() as worker:
        assert worker.hello["type"] == "hello"
        assert worker.hello["protocol"] == PROTOCOL_VERSION
        assert worker.hello["version"] == __version__
        assert worker.hello["pid"] == worker.process.pid
        assert worker.hello["python"] == ".".join(map(str, sys.version_info[:3]))


def test_an_exam_gives_progress_and_then_a_result_with_its_labelmap(worker, tmp_path: Path):
    worker.send(**job(tmp_path), id="a")
    assert worker.next() == {"type": "progress", "id": "a", "done": 1, "total": 1, "phase": "measuring", "method": ""}
    answer = worker.next()
    assert (answer["type"], answer["id"], answer["maps"]) == ("result", "a", None)
    assert answer["result"]["verdict"].startswith("Hemorrhage suspected")
    labelmap = np.load(tmp_path / "job ř" / answer["labelmap"])
    np.testing.assert_array_equal(labelmap, bleeding_head((4, 24, 24)) > 50)


def test_soft_maps_and_a_brain_mask_travel_as_files(worker, tmp_path: Path):
    request = job(tmp_path, outputs=["map"], brain_mask="mask.npy")
    np.save(tmp_path / "job ř" / "mask.npy", np.zeros((4, 24, 24), bool))
    answer = worker.ask(**request, id="a")
    assert np.load(tmp_path / "job ř" / answer["maps"]).shape == (1, 4, 24, 24)
    assert not np.load(tmp_path / "job ř" / answer["labelmap"]).any()


def test_a_detection_has_no_labelmap(worker, tmp_path: Path):
    answer = worker.ask(**job(tmp_path, "detection"), id="a")
    assert (answer["labelmap"], answer["maps"]) == (None, None)


def test_the_mapped_input_cannot_be_changed(worker, tmp_path: Path):
    request = job(tmp_path, "write")
    np.save(tmp_path / "job ř" / "hu.npy", bleeding_head((4, 24, 24)).astype(np.float32))
    before = (tmp_path / "job ř" / "hu.npy").read_bytes()
    assert worker.ask(**request, id="a")["kind"] == "failed"
    assert (tmp_path / "job ř" / "hu.npy").read_bytes() == before


def test_exams_share_one_session_and_keep_their_order(worker, tmp_path: Path):
    for name in "abc":
        worker.send(**job(tmp_path / name), id=name)
    answers = [worker.until("result") for _ in "abc"]
    assert [answer["id"] for answer in answers] == ["a", "b", "c"]
    assert [answer["result"]["provenance"]["seconds"]["exams"] for answer in answers] == [1, 2, 3]


def test_a_running_exam_is_cancelled_and_the_next_one_runs(worker, tmp_path: Path):
    worker.send(**job(tmp_path, "slow"), id="a")
    worker.until("progress")
    worker.send(type="cancel", id="a")
    answer = worker.until("error")
    assert (answer["id"], answer["kind"], answer["details"]) == ("a", "cancelled", "")
    assert worker.ask(**job(tmp_path), id="b")["type"] == "result"


def test_a_waiting_exam_is_cancelled_at_once(worker, tmp_path: Path):
    worker.send(**job(tmp_path / "1", "slow"), id="a")
    worker.send(**job(tmp_path / "2"), id="b")
    worker.send(type="cancel", id="b")
    answer = worker.until("error")
    assert (answer["id"], answer["kind"]) == ("b", "cancelled")
    worker.send(type="cancel", id="a")
    assert worker.until("error", "result")["id"] == "a"
    worker.send(type="ping")
    assert worker.next() == {"type": "pong"}


def test_cancelling_what_is_over_or_unknown_does_nothing(worker, tmp_path: Path):
    worker.ask(**job(tmp_path), id="a")
    worker.send(type="cancel", id="a")
    worker.send(type="cancel", id="never")
    worker.send(type="cancel")
    assert worker.ask(**job(tmp_path), id="b")["type"] == "result"


def test_ping_is_answered_in_mid_run(worker, tmp_path: Path):
    worker.send(**job(tmp_path, "slow"), id="a")
    worker.until("progress")
    worker.send(type="ping")
    assert worker.until("pong", "result", "error") == {"type": "pong"}


def test_progress_is_not_told_faster_than_anyone_can_see(worker, tmp_path: Path):
    worker.send(**job(tmp_path, "slow"), id="a")
    first, second = worker.until("progress"), worker.until("progress")
    assert second["done"] - first["done"] > 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json\n", "did not understand"),
        (b"\xff\xfe\n", "did not understand"),
        (b"[1, 2]\n", '"type"'),
        (b'{"type": 5}\n', '"type"'),
        (b'{"type": "dance", "id": "a"}\n', "does not know the request 'dance'"),
        (b'{"type": "analyze"}\n', 'has no "id"'),
        (b'{"type": "analyze", "id": "a"}\n', "'job' must be a text"),
        (b'{"type": "warm", "id": "a", "request": {"method": ["x"]}}\n', "'method' must be a text"),
        (b'{"type": "analyze", "id": "a", "job": "x", "request": {}}\n', "'geometry' must be an object"),
        (b'{"type": "analyze", "id": "a", "job": "x", "request": {}, "geometry": {}}\n', "lacks 'shape'"),
    ],
)
def test_a_bad_line_is_answered_and_survived(worker, line: bytes, reason: str):
    worker.send_bytes(line)
    answer = worker.until("error")
    assert answer["kind"] == "failed"
    assert reason in answer["message"]
    worker.send_bytes(b"\n")
    worker.send(type="ping")
    assert worker.next() == {"type": "pong"}


def test_characters_split_between_two_writes_stay_whole(worker, tmp_path: Path):
    import json

    line = json.dumps({**job(tmp_path), "id": "ř"}, ensure_ascii=False).encode() + b"\n"
    middle = line.index("ř".encode()) + 1
    worker.send_bytes(line[:middle])
    worker.send_bytes(line[middle:])
    assert worker.until("result", "error")["type"] == "result"


def test_what_libraries_print_or_read_does_not_touch_the_protocol(worker, tmp_path: Path):
    assert worker.ask(**job(tmp_path, "chatty"), id="a")["type"] == "result"
    worker.close_input()
    worker.wait()
    assert "a library talks\n" in worker.log
    assert "and so does its child\n" in worker.log


@pytest.mark.parametrize(("deed", "kind"), [("memory", "oom_ram"), ("bug", "failed")])
def test_an_exception_is_told_with_details_and_the_worker_lives_on(worker, tmp_path: Path, deed: str, kind: str):
    answer = worker.ask(**job(tmp_path, deed), id="a")
    assert answer["kind"] == kind
    assert "Traceback" in answer["details"]
    assert worker.ask(**job(tmp_path), id="b")["type"] == "result"


def test_a_broken_graphics_card_ends_the_worker_after_the_answer(worker, tmp_path: Path):
    answer = worker.ask(**job(tmp_path, "cuda"), id="a")
    assert answer["kind"] == "crashed"
    assert "choose the device cpu" in answer["message"]
    assert worker.wait() == 3


def test_a_crash_leaves_its_stack_in_the_log(worker, tmp_path: Path):
    worker.send(**job(tmp_path, "abort"), id="a")
    with pytest.raises(EOFError):
        worker.next()
    assert worker.wait() != 0
    assert any("in analyze" in line for line in worker.log)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [4, 24, 25]}, "have shape (4, 24, 24), the geometry says (4, 24, 25)"),
        ({"shape": [4, 24]}, "geometry of the volume is impossible"),
        ({"column_step": [0, 0, 0]}, "geometry of the volume is impossible"),
        ({"slice_origins": [[0, 0, 0]] * 4}, "geometry of the volume is impossible"),
    ],
)
def test_a_volume_that_does_not_fit_its_geometry_is_refused(worker, tmp_path: Path, change, reason):
    request = job(tmp_path)
    request["geometry"].update(change)
    answer = worker.ask(**request, id="a")
    assert answer["kind"] == "bad_input"
    assert reason in answer["message"]


def test_voxels_that_are_absent_or_no_numbers_are_refused(worker, tmp_path: Path):
    request = job(tmp_path)
    np.save(tmp_path / "job ř" / "hu.npy", np.zeros((4, 24, 24), complex))
    assert "not numbers" in worker.ask(**request, id="a")["message"]
    (tmp_path / "job ř" / "hu.npy").unlink()
    answer = worker.ask(**request, id="b")
    assert answer["kind"] == "bad_input"
    assert "hu.npy cannot be read" in answer["message"]


def test_padding_in_the_voxels_becomes_air(tmp_path: Path):
    hu = bleeding_head((4, 24, 24)).astype(np.float32)
    hu[:, 0], hu[:, 1] = -3024, np.nan
    found = Exam.from_message(write_job(tmp_path, hu)).volume().hu
    assert (found[:, :2] == -1000).all()
    assert np.array_equal(found[:, 2:], hu[:, 2:])


def test_pickled_voxels_are_never_loaded(worker, tmp_path: Path):
    request = job(tmp_path)
    np.save(tmp_path / "job ř" / "hu.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert worker.ask(**request, id="a")["kind"] == "bad_input"


def test_a_result_that_cannot_be_written_says_so(worker, tmp_path: Path):
    request = job(tmp_path)
    (tmp_path / "job ř" / "labelmap.npy").mkdir()
    answer = worker.ask(**request, id="a")
    assert answer["kind"] == "cannot_write"


def test_the_end_of_input_ends_a_running_worker(worker, tmp_path: Path):
    worker.send(**job(tmp_path, "slow"), id="a")
    worker.until("progress")
    worker.close_input()
    assert worker.wait() == 0


def test_shutdown_ends_a_running_worker(worker, tmp_path: Path):
    worker.send(**job(tmp_path, "slow"), id="a")
    worker.until("progress")
    worker.send(type="shutdown")
    assert worker.wait() == 0


def test_an_idle_worker_ends_by_itself():
    with WorkerProcess("--idle-seconds", "0.05") as worker:
        assert worker.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")
def test_the_whole_tree_can_be_killed_by_the_pid_of_the_hello(worker, tmp_path: Path):
    assert os.getpgid(worker.hello["pid"]) == worker.hello["pid"] != os.getpgid(0)
    worker.send(**job(tmp_path, "slow"), id="a")
    worker.until("progress")
    os.killpg(worker.hello["pid"], signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL


def test_the_log_tells_no_identifier_of_the_patient(worker, tmp_path: Path):
    request = job(tmp_path)
    request["source"]["series_uid"] = "1.2.840.99"
    worker.ask(**request, id="a")
    worker.close_input()
    worker.wait()
    assert any("analyze begins" in line for line in worker.log)
    assert "1.2.840.99" not in "".join(worker.log)


def test_itk_plugins_of_slicer_are_not_loaded():
    reveal = """
import os
from ICHSegmenterLib.worker.jobs import Jobs
Jobs.free = lambda self, message, run: {"type": "done", "plugins": os.environ.get("ITK_AUTOLOAD_PATH")}
"""
    with WorkerProcess(prelude=reveal, environment={"ITK_AUTOLOAD_PATH": "/slicer/plugins"}) as worker:
        assert worker.ask(type="free", id="a")["plugins"] is None


def test_every_failure_has_a_known_kind_and_one_line():
    out_of_memory = type("OutOfMemoryError", (RuntimeError,), {})
    missing = ModuleNotFoundError("No module named 'timm'", name="timm")
    own = ModuleNotFoundError("No module named 'ICHSegmenterLib.x'", name="ICHSegmenterLib.x")
    assert explain(own).kind == "failed"
    kinds = {
        explain(error).kind: explain(error).message
        for error in (MemoryError(), out_of_memory(), missing, RuntimeError("CUDA error: x\ny"), KeyError("x"))
    }
    assert sorted(kinds) == ["crashed", "failed", "no_torch", "oom_gpu", "oom_ram"]
    assert set(kinds) <= set(ERROR_KINDS)
    assert all("\n" not in message for message in kinds.values())
    assert "'timm' is missing" in kinds["no_torch"]
