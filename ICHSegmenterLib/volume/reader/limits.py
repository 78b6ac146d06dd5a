"""Limits of time and memory for reading one exam, by the size of its files."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEMORY_BYTES = 2 << 30
MEMORY_FACTOR = 16
"""Memory for each byte of the files: compressed slices become float32 by way of a copy or two."""
SECONDS = 30.0
SECONDS_PER_MB = 1.0
"""A slow share."""
GRACE_S = 10.0
"""How much longer a process lives that nobody watches any more."""


@dataclass(frozen=True)
class Limits:
    """Time and memory that one exam may take."""

    seconds: float = SECONDS
    memory_bytes: int = MEMORY_BYTES

    def of_files(self, size: int) -> Limits:
        """The limits for files of so many bytes."""
        return Limits(self.seconds + SECONDS_PER_MB * size / 1e6, self.memory_bytes + MEMORY_FACTOR * size)


def limit_this_process(limits: Limits) -> None:
    """Have the system end this process when it takes too long, and refuse it more memory; on Windows only the first.

    The watching process does both as well, but it may be gone.
    """
    seconds = limits.seconds + GRACE_S
    if sys.platform == "win32":
        end_this_process_after(seconds)
        return
    import resource
    import signal

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with contextlib.suppress(ValueError, OSError):  # the administrator's own limit may be lower
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, hard))


def lift_time_limit() -> None:
    """After an exam: waiting for the next one takes as long as it takes."""
    if sys.platform == "win32":
        faulthandler.cancel_dump_traceback_later()
        return
    import signal

    signal.setitimer(signal.ITIMER_REAL, 0)


def end_this_process_after(seconds: float) -> None:
    """End this process with exit code 1, where no signal can: a thread that needs nothing of Python does it."""
    faulthandler.dump_traceback_later(seconds, exit=True)


def resident_bytes(process: subprocess.Popen[bytes]) -> int:
    """Memory that a process holds; 0 if the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        if sys.platform == "win32":
            return bytes_by_windows(int(process._handle), ctypes.windll.kernel32)
        if sys.platform == "darwin":
            said = subprocess.run(["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, check=False)
            return 1024 * int(said.stdout)
        import resource

        pages = Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * resource.getpagesize()
    return 0


class _MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of the Windows API."""

    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        *((name, ctypes.c_size_t) for name in ("PeakWorkingSetSize", "WorkingSetSize")),
        *((f"Quota{number}", ctypes.c_size_t) for number in range(4)),
        *((name, ctypes.c_size_t) for name in ("PagefileUsage", "PeakPagefileUsage")),
    )


def bytes_by_windows(handle: int, kernel32: Any) -> int:
    """Memory of a process, that which was swapped out too.

    Args:
        handle: Of the process.
        kernel32: The library of Windows.

    Raises:
        OSError: Windows does not say.
    """
    counters = _MemoryCounters()
    counters.cb = ctypes.sizeof(counters)
    if not kernel32.K32GetProcessMemoryInfo(ctypes.c_void_p(handle), ctypes.byref(counters), counters.cb):
        raise OSError("K32GetProcessMemoryInfo failed")
    return int(max(counters.WorkingSetSize, counters.PagefileUsage))
