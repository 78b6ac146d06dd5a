"""Start of a worker process: own streams, own process group, calm environment."""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import sys
from typing import BinaryIO

GOMP_SPINS = "10000"
"""How often an idle thread of torch looks for work before it sleeps; GNU OpenMP's own 300 000 burn a core.

BLAST-CT, two cores, two other busy processes: 11 s instead of 18 to 22 s; alone on the machine within 3 %.
"""


def take_streams() -> tuple[BinaryIO, BinaryIO]:
    """(requests, answers): private copies of stdin and stdout.

    What a library prints goes to stderr afterwards, and what it reads is empty, so that neither breaks the protocol.
    """
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    return requests, answers


def leave_parent() -> None:
    """Lead a process group of our own, so that the whole tree can be killed, and Ctrl+C does not reach us."""
    if hasattr(os, "setsid"):
        try:
            os.setsid()
        except PermissionError:
            logging.getLogger(__name__).debug("already the leader of a process group")


def calm_environment() -> None:
    """Slicer's ITK plugins do not load outside Slicer; a crash in C++ shall leave its stack in the log."""
    os.environ.pop("ITK_AUTOLOAD_PATH", None)
    os.environ.setdefault("GOMP_SPINCOUNT", GOMP_SPINS)  # read when torch is imported
    faulthandler.enable()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
