"""Tests inside the Slicer stand-in: the `shell` fixture boots it once and fails a test whose slots raised."""

import os
import sys
import time
from pathlib import Path

import numpy as np
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
def longest_gap_ms(shell, record_property):
    """Clicks a button and measures how long the window is held at most until the panel is done; recorded, printed."""
    import qt
    import slicer

    def measure(panel, button):
        ticks = []
        timer = qt.QTimer()
        timer.setInterval(1)
        timer.connect("timeout()", lambda: ticks.append(time.perf_counter()))
        timer.start()
        shell.click(button)
        while panel.analysis is not None:
            slicer.app.processEvents()
        timer.stop()
        longest = float(np.diff(ticks).max() * 1000)
        record_property("longest_gap_ms", longest)
        print(f"longest gap between timer ticks: {longest:.0f} ms over {len(ticks)} ticks")
        return longest

    return measure
