"""A worker process behind its pipes: bytes to lines to messages, and its last lines of stderr."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.protocol import Message, MessageType

HELLO_TIMEOUT_S = 60.0
"""Slow disks and virus scanners: the first start of Python may take long."""
STDERR_LINES = 30


class Process(Protocol):
    """A running child process with pipes."""

    def write(self, data: bytes) -> None:
        """Send to its standard input."""

    def closeInput(self) -> None:
        """End of file: a worker exits by itself."""

    def kill(self, pid: int | None) -> None:
        """End it and its children now; pid is the worker's own, where the process is only a launcher."""


class ProcessEvents(Protocol):
    """Events of a process; all output arrives before `finished`."""

    def output(self, data: bytes) -> None: ...

    def errorOutput(self, data: bytes) -> None: ...

    def finished(self, exitCode: int, crashed: bool) -> None: ...

    def failedToStart(self, reason: str) -> None: ...


class Timer(Protocol):
    """One call that is due later."""

    def stop(self) -> None: ...


Launch = Callable[[ProcessEvents], Process]
After = Callable[[float, Callable[[], None]], Timer]


class Owner(Protocol):
    """The receiver of a connection's events."""

    def receive(self, connection: Connection, message: Message) -> None: ...

    def lost(self, connection: Connection, failure: Failure) -> None: ...

    def unresponsive(self, connection: Connection, failure: Failure) -> None: ...

    def logLine(self, line: str) -> None: ...


class Connection:
    """A worker process and its messages; implements `ProcessEvents`."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._buffers = {"out": b"", "error": b""}
        self._lastLines: deque[str] = deque(maxlen=STDERR_LINES)
        self._process: Process | None = None
        self._helloTimer: Timer | None = None
        self.hello: Message | None = None

    def open(self, launch: Launch, after: After) -> None:
        self._helloTimer = after(HELLO_TIMEOUT_S, self._noHello)
        try:
            self._process = launch(self)
        except OSError as error:
            self.failedToStart(str(error))

    def greeted(self, hello: Message) -> None:
        self.hello = hello
        self._stopTimer()

    def send(self, message: Message) -> None:
        self._process.write(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        self._stopTimer()
        if self.hello:
            self.send({"type": MessageType.SHUTDOWN})
        self._process.closeInput()

    def kill(self) -> None:
        self._stopTimer()
        self._process.kill(self.hello.get("pid") if self.hello else None)

    # ---- ProcessEvents

    def output(self, data: bytes) -> None:
        for line in self._lines("out", data):
            self._decode(line)

    def errorOutput(self, data: bytes) -> None:
        for line in self._lines("error", data):
            self._log(line.decode("utf-8", "replace"))

    def finished(self, exitCode: int, crashed: bool) -> None:
        self._stopTimer()
        for name, handle in (("out", self.output), ("error", self.errorOutput)):
            if self._buffers[name]:
                handle(b"\n")  # the last line may lack its end
        self._owner.lost(self, _failure(_death(exitCode, crashed, self._lastLines), self._details()))

    def failedToStart(self, reason: str) -> None:
        self._stopTimer()
        self._owner.lost(self, _failure(ErrorNotice(ErrorCode.WORKER_NOT_STARTED, {"reason": reason})))

    def _lines(self, name: str, data: bytes) -> list[bytes]:
        """Complete lines; the rest waits for its end, so that a character cut in two is whole again."""
        *lines, self._buffers[name] = (self._buffers[name] + data).split(b"\n")
        return [line.rstrip(b"\r") for line in lines]

    def _decode(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if isinstance(message, dict):
            self._owner.receive(self, message)
        else:  # a library that printed past all guards; it must not break the run
            self._log(line.decode("utf-8", "replace"))

    def _log(self, line: str) -> None:
        self._lastLines.append(line)
        self._owner.logLine(line)

    def _details(self) -> str:
        return "\n".join(self._lastLines)

    def _noHello(self) -> None:
        notice = ErrorNotice(ErrorCode.WORKER_SILENT, {"seconds": HELLO_TIMEOUT_S})
        self._owner.unresponsive(self, _failure(notice, self._details()))

    def _stopTimer(self) -> None:
        if self._helloTimer is not None:
            self._helloTimer.stop()
            self._helloTimer = None


def _failure(notice: ErrorNotice, details: str = "") -> Failure:
    return Failure("crashed", notice.text, details, notice=notice)


def _death(exitCode: int, crashed: bool, lastLines: deque[str]) -> ErrorNotice:
    """The probable cause of an unexpected end, and what to do."""
    log = "\n".join(lastLines)
    if "No module named 'ICHSegmenterLib'" in log:
        return ErrorNotice(ErrorCode.WORKER_INCOMPLETE)
    if "MemoryError" in log or "out of memory" in log.lower():
        return ErrorNotice(ErrorCode.WORKER_OUT_OF_MEMORY)
    return ErrorNotice(ErrorCode.WORKER_CRASHED) if crashed else ErrorNotice(ErrorCode.WORKER_ENDED, {"code": exitCode})
