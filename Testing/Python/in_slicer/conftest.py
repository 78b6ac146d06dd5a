"""Tests inside the Slicer stand-in: the `shell` fixture boots it once and fails a test whose slots raised."""

import os
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
def running_shell():
    reason = SlicerShell.missingReason()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
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
        opened[-1]._onMethodChosen()
        return opened[-1]

    yield open_
    for panel in opened:
        if panel.analysis is not None:
            panel.analysis.cancel()
            shell.waitUntil(lambda one=panel: one.analysis is None, 10)


@pytest.fixture
def panel(open_panel, weights):
    """The panel with the folder of weights of the test file's own fixture `weights`."""
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
    """The worker stays warm from test to test of a module: importing torch takes seconds."""
    yield
    import slicer

    slicer.util.getModuleWidget("ICHSegmenter").logic.client.shutdown()
    running_shell.process(1.0)


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
