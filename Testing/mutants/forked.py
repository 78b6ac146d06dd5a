"""pytest without its start: a server that has imported torch once forks a process for each run of the tests.

`forked.py serve SOCKET` waits for runs, `forked.py SOCKET ARGUMENTS` asks for one in the working folder and takes over
its exit code. A wrong change is tried in the time of its tests alone. Nothing of the project is imported before the
fork, and no bytecode is read or written, so every run sees the sources as they are.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

SLOW_IMPORTS = ("torch", "torchvision", "timm", "lightning.pytorch", "torchmetrics", "monai.losses", "scipy.ndimage")
FAILED = 1
START_S = 120.0


def serve(path: Path) -> None:
    """Run tests for whoever connects, one run after the other."""
    sys.dont_write_bytecode = True
    importlib.import_module("pytest")
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        while True:
            with server.accept()[0] as client:
                run = json.loads(client.makefile("rb").readline())
                _answer(client, run["folder"], run["arguments"])


def _answer(client: socket.socket, folder: str, arguments: list[str]) -> None:
    """Fork, and kill the tests when the client is gone: cosmic-ray ends one whose time is up."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os._exit(_tests(folder, arguments))
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            client.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            return
        readable, _, _ = select.select([client], [], [], 0.02)
        if readable and not client.recv(1):
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return


def _tests(folder: str, arguments: list[str]) -> int:
    """Exit code of pytest, all of whose output is thrown away."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.chdir(folder)
    sys.path.insert(0, folder)
    import pytest

    return int(pytest.main(arguments))


def ask(path: Path, arguments: list[str]) -> int:
    """Exit code of one run."""
    with socket.socket(socket.AF_UNIX) as client:
        _connect(client, path)
        client.sendall(json.dumps({"folder": os.getcwd(), "arguments": arguments}).encode() + b"\n")  # noqa: PTH109
        answer = client.recv(16)
    return int(answer or FAILED)


def _connect(client: socket.socket, path: Path) -> None:
    """Wait for a server that still imports."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return client.connect(str(path))
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]))
    sys.exit(ask(Path(sys.argv[1]), sys.argv[2:]))
