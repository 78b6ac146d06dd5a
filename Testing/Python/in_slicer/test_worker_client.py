"""The worker client survives everything a process can do to it. No Slicer, no real process, no real clock."""

import json

import pytest

from ICHSegmenterLib.protocol import PROTOCOL_VERSION, Phase, Stage
from ICHSegmenterSlicer.client.connection import HELLO_TIMEOUT_S, STDERR_LINES
from ICHSegmenterSlicer.client.worker_client import CANCEL_GRACE_S, State, WorkerClient

HELLO = {
    "type": "hello",
    "protocol": PROTOCOL_VERSION,
    "version": "0.1.0",
    "pid": 4711,
    "python": "3.12",
    "torch": None,
}


class FakeTimer:
    def __init__(self, due, function):
        self.due, self.function, self.isOn = due, function, True

    def stop(self):
        self.isOn = False


class FakeProcess:
    def __init__(self, events):
        self.events, self.lines, self.killedPid, self.isKilled, self.isClosed = events, [], None, False, False

    def write(self, data):
        self.lines += [json.loads(line) for line in data.splitlines()]

    def closeInput(self):
        self.isClosed = True

    def kill(self, pid):
        self.isKilled, self.killedPid = True, pid

    def say(self, *messages):
        for message in messages:
            self.events.output(json.dumps(message).encode() + b"\n")

    def sent(self, kind):
        return [line for line in self.lines if line["type"] == kind]


class World:
    """A client with fake processes and a fake clock, and what one analysis heard."""

    def __init__(self):
        self.now, self.timers, self.processes, self.states, self.log = 0.0, [], [], [], []
        self.progress, self.results, self.failures = [], [], []
        self.launchError = None
        self.client = WorkerClient(self._launch, self._after, stateChanged=self.states.append, log=self.log.append)

    def _launch(self, events):
        if self.launchError:
            raise self.launchError
        self.processes.append(FakeProcess(events))
        return self.processes[-1]

    def _after(self, seconds, function):
        self.timers.append(FakeTimer(self.now + seconds, function))
        return self.timers[-1]

    @property
    def process(self):
        return self.processes[-1]

    def wait(self, seconds):
        self.now += seconds
        for timer in [one for one in self.timers if one.isOn and one.due <= self.now]:
            timer.isOn = False
            timer.function()

    def analyze(self):
        return self.client.submit(
            {"type": "analyze"},
            progress=lambda *told: self.progress.append(told),
            done=self.results.append,
            failed=self.failures.append,
        )

    def running(self):
        """An analysis that has started to predict; returns its id."""
        requestId = self.analyze()
        self.process.say(HELLO, {"type": "progress", "id": requestId, "done": 3, "total": 10, "phase": "predicting"})
        return requestId


@pytest.fixture
def world():
    return World()


def test_an_analysis_goes_through_all_states(world):
    requestId = world.analyze()
    world.process.say(HELLO)
    world.process.say({"type": "progress", "id": requestId, "done": 0, "total": 1, "phase": "loading"})
    world.process.say({"type": "progress", "id": requestId, "done": 3, "total": 10, "phase": "predicting"})
    world.process.say({"type": "result", "id": requestId, "result": {"positive": True}})
    world.client.finish(State.DONE)
    assert world.states == [State.STARTING, State.LOADING, State.RUNNING, State.IMPORTING, State.DONE]
    assert world.progress == [(0, 1, Stage(Phase.LOADING)), (3, 10, Stage(Phase.PREDICTING))]
    assert world.results[0]["result"] == {"positive": True}
    assert not world.failures


def test_nothing_is_sent_before_the_worker_says_hello(world):
    world.analyze()
    assert world.process.lines == []
    world.process.say(HELLO)
    assert len(world.process.sent("analyze")) == 1


def test_a_second_analysis_uses_the_same_process(world):
    first = world.analyze()
    world.process.say(HELLO, {"type": "result", "id": first, "result": {}})
    world.client.finish(State.DONE)
    world.analyze()
    assert len(world.processes) == 1
    assert len(world.process.sent("analyze")) == 2


def test_two_analyses_at_a_time_are_refused(world):
    world.running()
    with pytest.raises(RuntimeError, match="running already"):
        world.analyze()


def test_a_line_that_arrives_in_pieces_is_put_together_even_within_a_character(world):
    requestId = world.analyze()
    world.process.say(HELLO)
    line = json.dumps(
        {"type": "progress", "id": requestId, "done": 1, "total": 2, "phase": "predicting", "method": "Größe µ"},
        ensure_ascii=False,
    )
    data = line.encode() + b"\n"
    for n in range(len(data)):
        world.process.events.output(data[n : n + 1])
    assert world.progress == [(1, 2, Stage(Phase.PREDICTING, "Größe µ"))]


def test_output_that_is_not_json_goes_to_the_log_and_does_not_break_the_run(world):
    requestId = world.running()
    world.process.events.output(b"a library prints\n[1, 2]\n\n")
    world.process.say({"type": "result", "id": requestId, "result": {}})
    assert world.log == ["a library prints", "[1, 2]"]
    assert len(world.results) == 1


def test_an_error_of_the_worker_reaches_the_caller_with_its_kind(world):
    requestId = world.running()
    world.process.say(
        {"type": "error", "id": requestId, "kind": "weights_missing", "message": "Get them.", "details": ""}
    )
    assert world.failures[0].kind == "weights_missing"
    assert world.client.state is State.FAILED


def test_cancelling_before_the_hello_sends_nothing_and_keeps_the_worker(world):
    requestId = world.analyze()
    world.client.cancel(requestId)
    world.process.say(HELLO)
    assert world.client.state is State.CANCELLED
    assert world.process.lines == []
    assert not world.process.isKilled


def test_a_worker_that_obeys_a_cancellation_stays_alive(world):
    requestId = world.running()
    world.client.cancel(requestId)
    assert world.process.sent("cancel")[0]["id"] == requestId
    assert world.client.state is State.CANCELLED
    world.process.say({"type": "error", "id": requestId, "kind": "cancelled", "message": "", "details": ""})
    world.wait(CANCEL_GRACE_S + 1)
    assert world.failures[0].kind == "cancelled"
    assert not world.process.isKilled


def test_a_worker_that_ignores_a_cancellation_is_killed_with_its_tree_and_replaced(world):
    world.client.cancel(world.running())
    world.wait(CANCEL_GRACE_S - 0.1)
    assert not world.process.isKilled
    world.wait(0.2)
    assert world.process.killedPid == HELLO["pid"]
    assert world.client.state is State.CANCELLED
    world.analyze()
    assert len(world.processes) == 2


def test_an_analysis_that_waits_behind_a_stuck_one_goes_to_the_fresh_worker(world):
    world.client.cancel(world.running())
    second = world.analyze()
    assert [line["id"] for line in world.process.sent("analyze")][1] == second
    world.wait(CANCEL_GRACE_S)
    assert len(world.processes) == 2
    world.process.say(HELLO)
    assert [line["id"] for line in world.process.sent("analyze")] == [second]
    world.process.say({"type": "result", "id": second, "result": {}})
    assert len(world.results) == 1
    assert [failure.kind for failure in world.failures] == ["cancelled"]


def test_a_result_that_overtakes_the_cancellation_is_dropped(world):
    requestId = world.running()
    world.client.cancel(requestId)
    world.process.say({"type": "result", "id": requestId, "result": {}})
    assert world.results == []
    assert world.client.state is State.CANCELLED


def test_the_late_end_of_a_killed_worker_does_not_touch_its_successor(world):
    world.client.cancel(world.running())
    world.wait(CANCEL_GRACE_S)
    killed = world.process
    requestId = world.running()
    killed.events.finished(9, True)
    killed.say({"type": "error", "id": requestId, "kind": "failed", "message": "", "details": ""})
    assert world.client.state is State.RUNNING


def test_a_crash_tells_what_to_do_and_keeps_the_last_lines_of_the_log(world):
    world.running()
    world.process.events.errorOutput(b"".join(b"line %d\n" % n for n in range(50)) + b"the last words")
    world.process.events.finished(11, True)
    failure = world.failures[0]
    assert failure.kind == "crashed"
    assert "Click again" in failure.message
    assert failure.details.splitlines() == [*(f"line {n}" for n in range(50 - STDERR_LINES + 1, 50)), "the last words"]
    assert world.client.state is State.FAILED


def test_a_crash_out_of_memory_says_so(world):
    world.running()
    world.process.events.errorOutput(b"MemoryError\n")
    world.process.events.finished(1, False)
    assert "out of memory" in world.failures[0].message


def test_a_result_without_line_end_before_the_process_ends_still_counts(world):
    requestId = world.running()
    world.process.events.output(json.dumps({"type": "result", "id": requestId, "result": {}}).encode())
    world.process.events.finished(0, False)
    assert len(world.results) == 1
    assert not world.failures


def test_after_a_crash_the_next_analysis_gets_a_fresh_worker(world):
    world.running()
    world.process.events.finished(1, False)
    requestId = world.running()
    world.process.say({"type": "result", "id": requestId, "result": {}})
    assert len(world.processes) == 2
    assert len(world.results) == 1


def test_an_idle_worker_may_end_unnoticed(world):
    requestId = world.running()
    world.process.say({"type": "result", "id": requestId, "result": {}})
    world.client.finish(State.DONE)
    world.process.events.finished(0, False)
    assert world.client.state is State.DONE
    assert not world.client.isRunning


def test_a_worker_without_hello_is_given_up_after_a_minute(world):
    world.analyze()
    world.wait(HELLO_TIMEOUT_S - 1)
    assert not world.failures
    world.wait(1)
    assert world.process.isKilled
    assert "did not answer" in world.failures[0].message


def test_the_hello_timer_does_not_kill_a_worker_that_has_answered(world):
    world.running()
    world.wait(HELLO_TIMEOUT_S + 1)
    assert not world.process.isKilled


def test_a_worker_of_another_version_is_refused(world):
    world.analyze()
    world.process.say({**HELLO, "protocol": PROTOCOL_VERSION + 1})
    assert "Reinstall" in world.failures[0].message
    assert world.process.isKilled


def test_a_process_that_cannot_start_is_explained(world):
    world.launchError = FileNotFoundError("PythonSlicer is not in PATH")
    world.analyze()
    assert "could not be started (PythonSlicer is not in PATH)" in world.failures[0].message
    assert world.client.state is State.FAILED


def test_shutdown_asks_politely_and_ends_what_waits(world):
    world.running()
    world.client.shutdown()
    assert world.process.sent("shutdown")
    assert world.process.isClosed
    assert world.failures[0].kind == "cancelled"


def test_a_download_does_not_change_the_state_of_the_analysis(world):
    told = []
    requestId = world.client.submit({"type": "download", "method": "blast-ct"}, done=told.append)
    world.process.say(
        HELLO,
        {"type": "progress", "id": requestId, "done": 5, "total": 9, "phase": "downloading", "method": "blast-ct"},
    )
    world.process.say({"type": "done", "id": requestId, "names": ["x"]})
    assert told[0]["names"] == ["x"]
    assert world.states == []
