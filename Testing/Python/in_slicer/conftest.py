"""Tests inside the Slicer stand-in: the `shell` fixture boots it once and fails a test whose slots raised."""

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
for folder in (REPOSITORY, REPOSITORY / "Testing"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import SlicerShell  # noqa: E402


@pytest.fixture(scope="session")
def parts_of_the_shell():
    """Skips, and in CI fails, where a part of the stand-in is missing."""
    reason = SlicerShell.missingReason()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def running_shell(parts_of_the_shell):
    # Mesa's LLVM, loaded by the first picture, and the one inside Triton, which torchvision imports, have the same
    # symbols: Triton after Mesa ends the process, Mesa after Triton works.
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401
    shell = SlicerShell.boot()
    yield shell
    shell.close()


@pytest.fixture
def shell(running_shell):
    """The stand-in with an empty scene. `shell.errors.clear()` in a test accepts the errors so far."""
    running_shell.reset()
    yield running_shell
    running_shell.process()
    errors, inert = list(running_shell.errors), list(running_shell.inertCalls)
    running_shell.reset()
    assert not errors, "a slot, observer or event handler raised:\n" + "\n".join(errors)
    assert not inert, f"the stand-in has no behavior for: {', '.join(sorted(set(inert)))}"


@pytest.fixture(scope="session")
def run_apart(parts_of_the_shell):
    """Runs statements in a process of its own, with a stand-in `shell` that it has booted; returns what it printed.

    For what changes the process for good: its path, or which classes the library's modules hold.
    """

    def run(statements, before_boot=""):
        lines = (
            f"import os, sys; sys.path[:0] = [{str(REPOSITORY / 'Testing')!r}]",
            before_boot,
            "import SlicerShell; shell = SlicerShell.boot()",
            statements,
            "assert not shell.errors, shell.errors",
            "sys.stdout.flush(); os._exit(0)",
        )
        process = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=120)
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run


@pytest.fixture
def open_panel(shell, monkeypatch):
    """Opens the panel with a folder of weights; a run that a test leaves on is cancelled, the worker stays warm."""
    opened = []

    def open_(weights):
        import slicer

        from ICHSegmenterLib.weights.cache import FOLDER_VARIABLE

        monkeypatch.setenv(FOLDER_VARIABLE, str(weights))
        if not hasattr(slicer.modules, "ichsegmenter"):
            shell.loadModule(REPOSITORY / "ICHSegmenter" / "ICHSegmenter.py")
        opened.append(shell.openModule("ICHSegmenter"))
        opened[-1].methods.choose("hu-threshold", "cpu")
        opened[-1]._onMethodSelected()
        return opened[-1]

    yield open_
    for panel in opened:
        if panel.analysis is not None:
            panel.analysis.cancel()
            shell.waitUntil(lambda one=panel: one.analysis is None, 10)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An empty folder of weights; a test file may have its own."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture
def panel(open_panel, weights):
    """The panel with the folder of weights."""
    return open_panel(weights)


@pytest.fixture
def phantom(panel):
    """A head with a bleed, chosen as input."""
    from ICHSegmenterSlicer.scene.sample import addPhantom

    sample = addPhantom(slices=14)
    panel.ui.inputSelector.setCurrentNode(sample.volumeNode)
    return sample


@pytest.fixture(scope="module")
def one_worker(running_shell):
    """The worker stays warm from test to test of a module, which begins with none: importing torch takes seconds."""
    _endWorker(running_shell)
    yield
    _endWorker(running_shell)


def _endWorker(shell):
    import slicer

    if not hasattr(slicer.modules, "ichsegmenter"):
        return  # the tests that ran needed no panel
    from ICHSegmenterSlicer.client import worker_process

    client = slicer.util.getModuleWidget("ICHSegmenter").logic.client
    client.shutdown()
    # Else the worker may end while Qt is taken down, and its last signals reach an object that is gone.
    shell.waitUntil(lambda: not worker_process.isRunning(), 30, "the end of the worker")


@pytest.fixture
def watch_window(shell, record_property):
    """Clicks a button and watches the event loop until the panel is done.

    Returns how many turns the loop took under each text of the status line. The longest time between two
    turns, for which the window was held, is recorded and printed; it depends on what else the machine does.
    """
    import qt
    import slicer

    def watch(panel, button):
        turns, longest, last = Counter(), 0.0, None

        def turn():
            nonlocal longest, last
            now = time.perf_counter()
            longest = max(longest, now - (last or now))
            last = now
            turns[panel.ui.statusLabel.text] += 1

        timer = qt.QTimer()
        timer.setInterval(0)
        timer.connect("timeout()", turn)
        timer.start()
        shell.click(button)
        while panel.analysis is not None:
            slicer.app.processEvents()
        timer.stop()
        record_property("longest_gap_ms", 1000 * longest)
        print(f"longest gap between turns of the event loop: {1000 * longest:.0f} ms")
        return turns

    return watch
