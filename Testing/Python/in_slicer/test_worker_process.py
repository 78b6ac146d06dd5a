"""Worker processes under Qt: the real one, and small scripts that misbehave on purpose."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ICHSegmenterLib import __version__
from ICHSegmenterLib.protocol import PROTOCOL_VERSION

WAIT_S = 120
REPOSITORY = Path(__file__).resolve().parents[3]
HELLO = (
    f'print(json.dumps({{"type": "hello", "protocol": {PROTOCOL_VERSION}, "version": "0", "pid": os.getpid()}}), '
    "flush=True)\n"
)

pytestmark = [
    pytest.mark.slicer,
    pytest.mark.skipif(sys.platform == "win32", reason="the scripts start with a POSIX shebang line"),
]


@pytest.fixture
def root(shell):
    from ICHSegmenterSlicer.paths import rootPath

    return rootPath()


@pytest.fixture
def clients(shell, root):
    """Makes clients of the real worker, or of a script in its place; lets them go at the end."""
    from ICHSegmenterSlicer.client.worker_client import WorkerClient
    from ICHSegmenterSlicer.client.worker_process import QtTimer, WorkerProcess

    made = []

    def make(program=None):
        log = []
        client = WorkerClient(lambda events: WorkerProcess(events, root, program), QtTimer, log=log.append)
        made.append(client)
        return client, log

    yield make
    for client in made:
        client.shutdown()


@pytest.fixture
def script(tmp_path):
    """Writes an executable Python script that stands for the worker."""

    def write(body, hello=HELLO):
        path = tmp_path / "worker"
        path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{hello}{body}", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


@pytest.fixture
def outcome(shell):
    """Submits a request and waits for its end: ("done", message) or ("failed", failure)."""

    def ask(client, message):
        ends = []
        client.submit(
            message, done=lambda answer: ends.append(("done", answer)), failed=lambda why: ends.append(("failed", why))
        )
        shell.waitUntil(lambda: ends, WAIT_S, "an answer")
        return ends[0]

    return ask


def isAlive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):  # it ended in between
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"  # a zombie still answers signals


def test_the_real_worker_says_hello_and_leads_its_own_process_group(shell, clients):
    client, _ = clients()
    client.start()
    shell.waitUntil(lambda: client.hello, WAIT_S, "the hello")
    assert client.hello["version"] == __version__
    assert os.getpgid(client.hello["pid"]) == client.hello["pid"]


def test_the_real_worker_describes_its_methods(clients, outcome):
    end, message = outcome(clients()[0], {"type": "describe"})
    assert end == "done"
    assert "hu-threshold" in [method["name"] for method in message["methods"]]


def test_the_real_worker_ends_with_its_client(shell, clients):
    client, _ = clients()
    client.start()
    shell.waitUntil(lambda: client.hello, WAIT_S, "the hello")
    pid = client.hello["pid"]
    client.shutdown()
    shell.waitUntil(lambda: not isAlive(pid), WAIT_S, "the end of the worker")


def test_the_worker_finds_our_library_first_and_no_itk_plugins(shell, root, monkeypatch):
    from ICHSegmenterSlicer.client.worker_process import workerEnvironment

    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("ITK_AUTOLOAD_PATH", "/plugins")
    environment = workerEnvironment(root)
    assert environment.value("PYTHONPATH").split(os.pathsep) == [str(root), "/elsewhere"]
    assert environment.value("ITK_AUTOLOAD_PATH") == ""
    assert os.environ["PYTHONPATH"] == "/elsewhere"
    assert os.environ["ITK_AUTOLOAD_PATH"] == "/plugins"


def test_a_worker_that_dies_with_a_traceback_leaves_it_in_the_details(clients, script, outcome):
    client, log = clients(script("".join(f"print('line {n}', file=sys.stderr)\n" for n in range(20)) + "1/0\n"))
    end, failure = outcome(client, {"type": "analyze"})
    assert (end, failure.kind) == ("failed", "crashed")
    assert "ZeroDivisionError" in failure.details
    assert "line 0" in failure.details.splitlines()
    assert "exit code 1" in failure.message
    assert any("ZeroDivisionError" in line for line in log)


def test_a_worker_that_is_killed_is_told_from_one_that_exits(clients, script, outcome):
    _, failure = outcome(clients(script("import signal; os.kill(os.getpid(), signal.SIGSEGV)"))[0], {"type": "analyze"})
    assert "was killed or crashed" in failure.message


def test_the_last_answer_of_a_worker_that_exits_at_once_is_not_lost(clients, script, outcome):
    body = (
        "request = json.loads(sys.stdin.readline())\n"
        'answer = json.dumps({"type": "done", "id": request["id"], "filler": "ü" * 300000}, ensure_ascii=False)\n'
        "sys.stdout.buffer.write(answer.encode()); sys.stdout.flush(); os._exit(0)\n"
    )
    end, message = outcome(clients(script(body))[0], {"type": "describe"})
    assert end == "done"
    assert len(message["filler"]) == 300_000


def test_a_program_that_does_not_exist_is_explained(clients, outcome):
    end, failure = outcome(clients("/nowhere/PythonSlicer")[0], {"type": "analyze"})
    assert end == "failed"
    assert "could not be started" in failure.message


def test_a_worker_that_ignores_cancelling_dies_with_its_children(shell, clients, script, tmp_path):
    pids = tmp_path / "pids.json"
    body = (
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"json.dump([os.getpid(), child.pid], open({str(pids)!r}, 'w'))\n"
        "time.sleep(600)\n"
    )
    client, _ = clients(script(body, hello="os.setsid()\n" + HELLO))
    failures = []
    requestId = client.submit({"type": "analyze"}, failed=failures.append)
    # The hello tells the pid of the tree; until it is read, only the process that Qt started is known.
    shell.waitUntil(lambda: client.hello and pids.exists() and pids.stat().st_size, WAIT_S, "hello and child")
    worker, child = json.loads(pids.read_text())
    client.cancel(requestId)
    assert failures[0].kind == "cancelled"
    assert isAlive(child)
    shell.waitUntil(lambda: not isAlive(worker) and not isAlive(child), WAIT_S, "the end of the tree")
    assert not client.isRunning


def test_killing_a_worker_in_our_own_process_group_spares_us(shell, script):
    from ICHSegmenterSlicer.client.worker_process import killTree

    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    killTree(process.pid)
    assert process.wait(WAIT_S) < 0
    killTree(process.pid)  # gone already


def test_a_worker_ends_with_slicer_and_says_nothing_after_that(shell, clients, script):
    from ICHSegmenterSlicer.client import worker_process

    told = []
    client, _log = clients(script("for line in sys.stdin: pass\ntime.sleep(60)\n"))
    before = {one for one in worker_process._alive if isinstance(one, worker_process.WorkerProcess)}
    client.submit({"type": "describe"}, done=told.append, failed=told.append)
    shell.waitUntil(lambda: client._connection is not None and client._connection.hello is not None, WAIT_S)
    (process,) = {one for one in worker_process._alive if isinstance(one, worker_process.WorkerProcess)} - before
    process._onQuit()  # as Slicer's application invokes it
    assert process._process.state() == 0
    assert process.isOver
    shell.process(0.2)
    assert told == []
    worker_process._alive.discard(process)


def test_a_worker_that_outlives_slicer_sends_nothing_to_what_is_gone(parts_of_the_shell, script):
    """Qt ends a running child in the destructor of its QProcess, whose slots would use the object that is going."""
    program = script("while True: time.sleep(1)\n")  # deaf to the end of its input
    statements = f"""
import sys
sys.path[:0] = {[str(REPOSITORY / name) for name in ("Testing", "ICHSegmenter", "")]!r}
import SlicerShell
shell = SlicerShell.boot()
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.client.worker_process import QtTimer, WorkerProcess, isRunning
from ICHSegmenterSlicer.paths import rootPath
client = WorkerClient(lambda events: WorkerProcess(events, rootPath(), {program!r}), QtTimer)
client.start()
shell.waitUntil(lambda: client.hello, {WAIT_S})
client.shutdown()
assert isRunning()
print(client.hello or "let go")
"""
    ended = subprocess.run([sys.executable, "-c", statements], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "let go" in ended.stdout
    assert "already deleted" not in ended.stderr
    assert "still running" not in ended.stderr
