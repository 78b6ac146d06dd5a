"""`python -u -m ICHSegmenterLib.worker [--idle-seconds 600]`: see the package for the protocol."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import threading
from importlib import metadata

from ICHSegmenterLib import __version__
from ICHSegmenterLib.protocol import PROTOCOL_VERSION, MessageType
from ICHSegmenterLib.worker import process

IDLE_S = 600.0


def main() -> int:
    """Say hello, then serve; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ICHSegmenterLib.worker", description=main.__doc__)
    parser.add_argument("--idle-seconds", type=float, default=IDLE_S, help="stop after so long without work, 0 never")
    idle_s = parser.parse_args().idle_seconds
    requests, answers = process.take_streams()
    process.leave_parent()
    process.calm_environment()

    from ICHSegmenterLib.worker.channel import Channel

    channel = Channel(answers)
    channel.send(_hello())

    # After the hello, because NumPy, SciPy and the engine take their time and Slicer waits for the first line.
    from ICHSegmenterLib.worker.jobs import Jobs
    from ICHSegmenterLib.worker.server import Server

    server = Server(channel, Jobs().handlers(), idle_s=idle_s)
    reader = threading.Thread(target=server.read, args=(requests, _end), name="requests", daemon=True)
    reader.start()
    try:
        return server.work()
    except OSError:
        return 1  # nobody listens any more


def _hello() -> dict[str, object]:
    try:
        torch: str | None = metadata.version("torch")  # not imported: that takes seconds
    except metadata.PackageNotFoundError:
        torch = None
    return {
        "type": MessageType.HELLO,
        "protocol": PROTOCOL_VERSION,
        "version": __version__,
        "pid": os.getpid(),
        "python": platform.python_version(),
        "torch": torch,
    }


def _end(code: int = 0) -> None:
    """End at once, whatever the other thread computes."""
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    _end(main())
