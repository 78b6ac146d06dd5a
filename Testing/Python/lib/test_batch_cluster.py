"""A batch on a cluster: the same table as on one computer, whatever happens to workers."""

import os
import signal
import sys
import time
from collections import deque
from importlib.util import find_spec
from typing import ClassVar

import pytest

from batch_inputs import CLASSICAL, analyze, summary
from ICHSegmenterLib.batch.attempts import Attempts
from ICHSegmenterLib.batch.cluster import engine as cluster_engine
from ICHSegmenterLib.batch.cluster.actors import WorkerDied, actor_count
from ICHSegmenterLib.batch.cluster.connection import LOCAL, connected
from ICHSegmenterLib.batch.cluster.engine import MAX_DEATHS, ClusterEngine
from ICHSegmenterLib.batch.cluster.messages import Begun, Ended, Killed, Ready, Reported, Task, Work
from ICHSegmenterLib.batch.cluster.worker import ExamWorker
from ICHSegmenterLib.batch.done import DoneBefore, DoneExam
from ICHSegmenterLib.batch.engines.ends import OutputLostError
from ICHSegmenterLib.batch.engines.steps import ExamSteps
from ICHSegmenterLib.batch.engines.time_limit import TimeLimit
from ICHSegmenterLib.batch.exam import Exam, ExamOutcome
from ICHSegmenterLib.batch.run import RunOptions, find_exams, run_batch, run_exams
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import CancelledError, ClusterError, DependencyError, DeviceLostError
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.input_files import InputDigest

NUMBERS = ("status", "any", "blood_ml", "positive_slices", "slices", "key_slice", "error")


@pytest.fixture(scope="module")
def ray():
    """A cluster of two cores for all tests of this file."""
    if find_spec("ray") is None:
        pytest.skip("the extra 'cluster' is not installed")
    with connected(LOCAL, 2) as ray:
        yield ray


@pytest.fixture
def exams(head, tmp_path):
    """Five exams and a damaged one; long at rest, so that no worker waits for them."""
    for number in range(5):
        write_nifti(head.hu + number, head.geometry, tmp_path / "exams" / f"{number}.nii.gz")
    (tmp_path / "exams" / "5.nii.gz").write_bytes(b"not an image")
    for path in (tmp_path / "exams").iterdir():
        os.utime(path, (1.7e9, 1.7e9))
    return tmp_path / "exams"


def numbers_by_file(outcomes, output):
    rows = summary(output)
    return {one.exam.path.name: [rows[one.exam.name][name] for name in NUMBERS] for one in outcomes}


def on_cluster(ray, exams, output, workers=1, **options):
    chosen = RunOptions(readers=1, **options)
    return run_exams(
        find_exams([exams]), output, lambda steps: ClusterEngine(ray, steps, chosen, workers), request=CLASSICAL
    )


def test_the_table_is_that_of_one_computer_although_a_worker_is_killed(ray, exams, tmp_path, monkeypatch):
    processes = []
    original = cluster_engine.Actor.message

    def message(actor):
        heard = original(actor)
        if isinstance(heard, Ready):
            processes.append(heard.process)
        if isinstance(heard, Begun) and len(processes) == 1:
            os.kill(processes[0], signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        return heard

    monkeypatch.setattr(cluster_engine.Actor, "message", message)
    alone = run_batch(find_exams([exams]), tmp_path / "alone", analyze, request=CLASSICAL)
    outcomes = on_cluster(ray, exams, tmp_path / "out")
    assert len(processes) == 2
    assert numbers_by_file(outcomes, tmp_path / "out") == numbers_by_file(alone, tmp_path / "alone")
    assert len({one.exam.name for one in outcomes}) == len(outcomes) == 6


def test_the_command_goes_on_with_it_and_a_batch_on_one_computer_goes_on_with_that(ray, exams, tmp_path, capsys):
    words = ["batch", str(exams), "--output", str(tmp_path / "out"), "--method", "hu-threshold", "--outputs", "json"]
    assert main([*words, "--cluster", "local", "--workers", "1"]) == 1
    assert "5 done, 0 done before, 1 failed" in capsys.readouterr().out
    (exams / "5.nii.gz").unlink()
    assert main(words) == 0
    assert "0 done, 5 done before, 0 failed" in capsys.readouterr().out
    assert main([*words, "--cluster", "local", "--workers", "1"]) == 0
    assert "0 done, 5 done before, 0 failed" in capsys.readouterr().out


def test_too_many_workers_are_refused(ray):
    with pytest.raises(ClusterError, match="The cluster has 2 cores, too few for 3 workers"):
        actor_count(ray, CLASSICAL, 3)
    assert actor_count(ray, AnalysisRequest("hu-threshold"), None) == 1


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"pip install 'ichsegmenter\[cluster\]'"), connected(LOCAL):
        pass


@pytest.mark.parametrize("words", [[".", "--workers", "2"], ["--watch", ".", "--cluster", "local"]])
def test_wrong_use_ends_with_2(words, tmp_path):
    assert (
        main(["batch", *([] if "--watch" in words else [str(tmp_path)]), "--output", str(tmp_path / "o"), *words]) == 2
    )


class FakeRay:
    """Ray without processes: a cluster whose workers are `FakeActor`."""

    def cluster_resources(self):
        return {"CPU": 64.0, "GPU": 8.0}

    def wait(self, streams, *, num_returns, timeout, fetch_local):
        ready = [stream for stream in streams if stream.said]
        if not ready:
            time.sleep(0.001)
        return ready[:num_returns], []


class FakeActor:
    """A worker that analyzes an exam as soon as it has it, by the rules of the test.

    Class attributes:
        rules: Name of an exam to what happens: "dies", or an error that ends the worker.
        starts: Number of workers so far.
        seen: Names, in the order of their analysis.
    """

    rules: ClassVar[dict] = {}
    starts = 0
    seen: ClassVar[list] = []

    def __init__(self, ray, work, count):
        FakeActor.starts += 1
        self.exams, self.begun, self.is_ready, self.reason = {}, {}, False, ""
        self.said, self.stream = deque([Ready("here", FakeActor.starts)]), self
        if self.rules.get("start") == "dies":
            self.said.append("dies")

    def put(self, task):
        if task is None:
            self.said.append(Ended())
            return
        name = task.exam.name
        self.exams[name] = task.exam
        FakeActor.seen.append(name)
        rule = self.rules.get(name)
        self.said.append(Begun(name, InputDigest(1, 1, "times")))
        if rule is None:
            self.said.append(Reported(ExamOutcome(task.exam, "done" if task.done is None else "skipped")))
        elif rule == "reader":
            self.said.append(Killed(name, InputDigest(1, 1, "times"), "it crashed"))
            self.said.append(Reported(ExamOutcome(task.exam, "failed")))
        else:
            self.said.append(rule if rule == "dies" else Ended(rule))

    def end(self, name):
        self.exams.pop(name)
        self.begun.pop(name, None)

    def message(self):
        message = self.said.popleft()
        if message == "dies":
            self.said.clear()
            self.reason = "killed"
            raise WorkerDied(self.reason)
        return message

    def stop(self):
        self.said.append(Ended(CancelledError("stopped")))

    def kill(self):
        self.said.clear()


@pytest.fixture
def outcomes_of(monkeypatch, tmp_path):
    """Outcomes of exams 0 to 9 by fake workers, name to status, and the steps of the run."""
    monkeypatch.setattr(cluster_engine, "Actor", FakeActor)
    monkeypatch.setattr(FakeActor, "starts", 0)
    monkeypatch.setattr(FakeActor, "seen", [])

    def run(rules, workers=2, done=None, **options):
        monkeypatch.setattr(FakeActor, "rules", rules)
        steps = ExamSteps(tmp_path, CLASSICAL, Attempts(tmp_path), done or DoneBefore())
        with ClusterEngine(FakeRay(), steps, RunOptions(readers=1, **options), workers) as engine:
            found = list(engine.outcomes(Exam(str(number), tmp_path) for number in range(10)))
        assert len({one.exam.name for one in found}) == len(found)
        return {one.exam.name: one for one in found}, steps

    return run


def test_an_exam_that_kills_its_workers_is_recorded_and_the_others_are_done(outcomes_of):
    found, steps = outcomes_of({"3": "dies"})
    assert found.pop("3").message == f"{MAX_DEATHS} workers died in the middle of this exam."
    assert [one.status for one in found.values()] == ["done"] * 9
    assert FakeActor.seen.count("3") == MAX_DEATHS
    assert steps.attempts.killer("3") == ("times", f"{MAX_DEATHS} workers died in the middle of this exam.")


def test_exams_in_whose_middle_a_worker_died_are_analyzed_alone(outcomes_of, tmp_path):
    Attempts(tmp_path).begin("7", InputDigest(1, 1, "times"))  # by a batch on one computer
    tasks = []
    original = FakeActor.put

    def put(actor, task):
        tasks.extend([] if task is None else [(task.exam.name, task.is_suspect)])
        original(actor, task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeActor, "put", put)
        outcomes_of({"3": "dies"}, workers=1)
    assert [is_suspect for name, is_suspect in tasks if name == "3"] == [False, True, True]
    assert [is_suspect for name, is_suspect in tasks if name == "7"] == [True] * FakeActor.seen.count("7")
    assert not any(is_suspect for name, is_suspect in tasks if name in ("0", "1", "2"))


def test_two_exams_that_kill_workers_are_tried_after_the_others_and_end_no_run(outcomes_of):
    found, _ = outcomes_of({"0": "dies", "3": "dies"}, workers=1)
    assert {name for name, one in found.items() if one.status == "failed"} == {"0", "3"}
    assert len(found) == 10
    last = [max(place for place, name in enumerate(FakeActor.seen) if name == str(number)) for number in range(10)]
    assert min(last[0], last[3]) > max(last[number] for number in (1, 2, 4, 5, 6, 7, 8, 9))


def test_a_worker_holds_a_suspect_alone(tmp_path):
    worker = ExamWorker(Work(tmp_path, CLASSICAL, None, 1))
    worker.put(Task(Exam("0", tmp_path), is_suspect=True))
    worker.put(Task(Exam("1", tmp_path)))
    worker.put(None)
    names = [exam.name for exam in worker._exams()]
    assert [worker._attempts.is_suspect(name) for name in names] == [True, False]


def test_an_exam_that_outlasts_its_time_limit_takes_one_worker_with_it(outcomes_of):
    found, _ = outcomes_of({"3": "dies"}, limit=TimeLimit(1e-9))
    assert found["3"].error == "time_limit"
    assert FakeActor.seen.count("3") == 1
    assert sorted(one.status for one in found.values()) == ["done"] * 9 + ["failed"]


def test_a_worker_that_loses_its_graphics_card_is_replaced(outcomes_of):
    rules = {"3": DeviceLostError("the card stopped")}
    original = FakeActor.put

    def once(actor, task):
        original(actor, task)
        if task is not None and task.exam.name == "3":
            rules.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeActor, "put", once)
        found, _ = outcomes_of(rules)
    assert [one.status for one in found.values()] == ["done"] * 10
    assert FakeActor.starts == 3


def test_a_full_disk_ends_the_run(outcomes_of):
    with pytest.raises(OutputLostError, match="the disk is full"):
        outcomes_of({"3": OutputLostError("the disk is full")})


def test_workers_that_do_not_stay_end_the_run(outcomes_of):
    with pytest.raises(ClusterError, match=f"{MAX_DEATHS} workers died one after the other"):
        outcomes_of({"start": "dies"})


def test_an_exam_that_killed_a_reader_is_recorded_by_the_leader(outcomes_of):
    found, steps = outcomes_of({"3": "reader"})
    assert found["3"].status == "failed"
    assert steps.attempts.killer("3") == ("times", "it crashed")


def test_what_was_done_before_travels_with_its_exam(outcomes_of):
    found, _ = outcomes_of({}, done=DoneBefore({"4": DoneExam({}, {})}))
    assert [name for name, one in found.items() if one.status == "skipped"] == ["4"]


def test_no_more_exams_are_given_than_workers_have_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_engine, "Actor", FakeActor)
    monkeypatch.setattr(FakeActor, "rules", {})
    taken, reported, excess = 0, 0, []

    def source():
        nonlocal taken
        for number in range(50):
            taken += 1
            excess.append(taken - reported)
            yield Exam(str(number), tmp_path)

    steps = ExamSteps(tmp_path, CLASSICAL, Attempts(tmp_path))
    with ClusterEngine(FakeRay(), steps, RunOptions(readers=1), 2) as engine:
        for _ in engine.outcomes(source()):
            reported += 1
        assert max(excess) <= 2 * engine._room
    assert reported == 50


def test_a_stop_reports_what_workers_publish_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_engine, "Actor", FakeActor)
    monkeypatch.setattr(FakeActor, "rules", {})
    options = RunOptions(readers=1)
    steps = ExamSteps(tmp_path, CLASSICAL, Attempts(tmp_path))
    found = []

    def stop_after_the_first():
        with ClusterEngine(FakeRay(), steps, options, 1) as engine:
            for outcome in engine.outcomes(Exam(str(number), tmp_path) for number in range(50)):
                found.append(outcome.exam.name)
                options.stop.set()

    with pytest.raises(CancelledError):
        stop_after_the_first()
    assert found == FakeActor.seen[-len(found) :]
    assert 1 < len(found) < 50
