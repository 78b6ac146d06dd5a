"""Limits of the reader process where the system has no signals and no limits of its own: on Windows, by stand-ins."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from ICHSegmenterLib.volume.reader import limits, process
from ICHSegmenterLib.volume.reader.limits import bytes_by_windows
from ICHSegmenterLib.volume.reader.process import ReaderKilledError, ReaderProcess

REPOSITORY = Path(__file__).resolve().parents[3]


class Kernel32:
    """The function of Windows that says how much memory a process holds."""

    def __init__(self, working_set, pagefile, *, answers=True):
        self._sizes, self._answers = {"WorkingSetSize": working_set, "PagefileUsage": pagefile}, answers
        self.handle = None

    def K32GetProcessMemoryInfo(self, handle, counters, size):  # noqa: N802
        self.handle = handle.value
        assert counters._obj.cb == size == 8 + 8 * ctypes.sizeof(ctypes.c_size_t)
        for name, value in self._sizes.items():
            setattr(counters._obj, name, value)
        return self._answers


@pytest.mark.parametrize(("working_set", "pagefile"), [(5 << 30, 1 << 20), (1 << 20, 5 << 30)])
def test_windows_says_how_much_memory_the_reader_holds(working_set, pagefile):
    kernel32 = Kernel32(working_set, pagefile)
    assert bytes_by_windows(240, kernel32) == 5 << 30
    assert kernel32.handle == 240


def test_counters_lie_where_windows_writes_them():
    fields = {name: getattr(limits._MemoryCounters, name).offset for name, _ in limits._MemoryCounters._fields_}
    pointer = ctypes.sizeof(ctypes.c_size_t)
    assert (fields["cb"], fields["PageFaultCount"]) == (0, 4)
    assert (fields["WorkingSetSize"], fields["PagefileUsage"]) == (8 + pointer, 8 + 6 * pointer)


def test_a_process_of_which_windows_says_nothing_is_an_error_that_the_caller_suppresses():
    with pytest.raises(OSError, match="K32GetProcessMemoryInfo"):
        bytes_by_windows(240, Kernel32(0, 0, answers=False))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for a reader that grows")
def test_a_reader_that_only_the_watcher_limits_is_stopped_when_it_holds_too_much(tmp_path, monkeypatch):
    script = tmp_path / "growing"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr(process, "_interpreter", lambda: str(script))
    monkeypatch.setattr(process, "resident_bytes", lambda watched: bytes_by_windows(watched.pid, Kernel32(5 << 30, 0)))
    (tmp_path / "ct.nii").write_bytes(b"0")
    with ReaderProcess() as reader, pytest.raises(ReaderKilledError, match=r"needs more than 2\.1 GB"):
        reader.volume(tmp_path / "ct.nii")


@pytest.mark.skipif(sys.platform == "win32", reason="sleeps by a function of the C library")
@pytest.mark.parametrize("is_lifted", [False, True])
def test_a_reader_that_nobody_watches_ends_itself_without_signals_and_even_in_foreign_code(is_lifted):
    code = (
        "import ctypes, sys, time\n"
        "from ICHSegmenterLib.volume.reader import limits\n"
        "sys.platform = 'win32'\n"
        f"limits.limit_this_process(limits.Limits({0.05 - limits.GRACE_S}))\n"
        f"{'limits.lift_time_limit()' if is_lifted else ''}\n"
        "ctypes.PyDLL(None).usleep(300000)  # holds the lock of Python\n"
        "print('alive')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert (run.returncode, run.stdout) == ((0, "alive\n") if is_lifted else (1, ""))
