"""The client of the worker process: requests and answers are JSON lines, an analysis is a state machine.

Plain Python without Qt. The process and the clock are handed in, so that every crash can be tested without Slicer.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ICHSegmenterLib.errors import Failure, WorkerError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.protocol import Message, MessageType, Phase, Stage, check_version, read_notice, read_progress
from ICHSegmenterSlicer.client.connection import After, Connection, Launch

CANCEL_GRACE_S = 2.0
"""A cancelled worker that has not stopped by itself by then is killed."""
ANSWERS = (MessageType.RESULT, MessageType.DONE)
"""Messages that end a request well."""


ProgressCallback = Callable[[int, int, Stage], None]
"""(done, total, stage), as in `protocol.read_progress`."""


class State(Enum):
    """State of an analysis; the panel shows it."""

    IDLE = "idle"
    STARTING = "starting"
    LOADING = "loading"
    RUNNING = "running"
    IMPORTING = "importing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def isBusy(self) -> bool:
        return self in (State.STARTING, State.LOADING, State.RUNNING, State.IMPORTING)


@dataclass
class Request:
    """A message on its way, and the callbacks for its answer."""

    message: Message
    progress: ProgressCallback
    done: Callable[[Message], None]
    failed: Callable[[Failure], None]
    isSent: bool = False

    @property
    def id(self) -> str:
        return self.message["id"]

    @property
    def isAnalysis(self) -> bool:
        return self.message["type"] in (MessageType.ANALYZE, MessageType.COMPARE)


def _ignore(*_arguments: Any) -> None:
    """The callback of callers that need none."""


class WorkerClient:
    """The one client: starts the worker when it is needed, keeps it warm, replaces it when it died.

    Args:
        launch: Starts a worker process that reports to the given events.
        after: Calls a function later, on the same thread: after(seconds, function).
        stateChanged: Called with the new `State`.
        log: Called with each line of the worker's log.
    """

    def __init__(
        self,
        launch: Launch,
        after: After,
        *,
        stateChanged: Callable[[State], None] = _ignore,
        log: Callable[[str], None] = _ignore,
    ) -> None:
        self._launch = launch
        self._after = after
        self._stateChanged = stateChanged
        self._log = log
        self._connection: Connection | None = None
        self._requests: dict[str, Request] = {}
        self._leaving: set[str] = set()  # cancelled, but the worker has not confirmed yet that it stopped
        self.state = State.IDLE

    @property
    def hello(self) -> Message | None:
        """First message of the running worker (versions, pid), None before."""
        return self._connection.hello if self._connection else None

    @property
    def isRunning(self) -> bool:
        """True if a worker process exists."""
        return self._connection is not None

    def begin(self) -> None:
        """Claim the machine for one analysis and start the worker meanwhile; `submit` follows."""
        if self.state.isBusy:
            raise RuntimeError("An analysis is running already; cancel it first.")
        self._become(State.STARTING)
        self.start()

    def finish(self, state: State) -> None:
        """The caller has imported the result (DONE), could not (FAILED), or stopped (CANCELLED)."""
        self._become(state)

    def start(self) -> None:
        """Launch the worker if none runs."""
        if self._connection is None:
            self._connection = Connection(self)
            self._connection.open(self._launch, self._after)

    def submit(
        self,
        message: Message,
        *,
        progress: ProgressCallback = _ignore,
        done: Callable[[Message], None] = _ignore,
        failed: Callable[[Failure], None] = _ignore,
    ) -> str:
        """Send a request; exactly one of `done` and `failed` is called later. Returns its id.

        After `done` of an analysis the state is IMPORTING until `finish`.
        """
        request = Request({"id": uuid.uuid4().hex, **message}, progress, done, failed)
        if request.isAnalysis and self.state is not State.STARTING:
            self.begin()
        self._requests[request.id] = request
        self.start()
        self._sendWaiting()
        return request.id

    def cancel(self, requestId: str) -> None:
        """Stop a request; `failed` is called at once.

        The worker stops between two batches. If that takes longer than `CANCEL_GRACE_S`, its whole process tree is
        killed, and what waits behind goes to a fresh worker.
        """
        request = self._requests.get(requestId)
        if request is None:
            return
        if request.isSent:
            self._leave(requestId, self._connection)
        self._fail(request, _cancelled())

    def _leave(self, requestId: str, connection: Connection) -> None:
        """Ask a worker to stop a request, and see to it that it does."""
        self._leaving.add(requestId)
        connection.send({"type": MessageType.CANCEL, "id": requestId})

        def escalate() -> None:
            if requestId not in self._leaving or self._connection is not connection:
                return
            self._log("The worker did not stop by itself; it is ended.")
            self._drop(connection)
            for request in self._requests.values():
                request.isSent = False
            if self._requests:
                self.start()

        self._after(CANCEL_GRACE_S, escalate)

    def send(self, message: Message) -> None:
        """A message without answer ("free"), if a worker runs."""
        if self._connection and self._connection.hello:
            self._connection.send(message)

    def shutdown(self) -> None:
        """Let the worker go; pending requests fail as cancelled."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()
        self._failAll(_cancelled())

    # ---- answers

    def receive(self, connection: Connection, message: Message) -> None:
        """One decoded line of the worker."""
        if connection is not self._connection:
            return  # of a worker that was given up
        if message.get("type") == MessageType.HELLO:
            self._greet(connection, message)
            return
        requestId, kind = message.get("id") or "", message.get("type")
        request = self._requests.get(requestId)
        if request is None:
            if requestId in self._leaving and kind in (*ANSWERS, MessageType.ERROR):
                self._leaving.discard(requestId)
            elif kind == MessageType.ERROR:
                self._log(str(message.get("message", "")))
            return
        if kind == MessageType.PROGRESS:
            self._progress(request, message)
        elif kind in ANSWERS:
            self._succeed(request, message)
        elif kind == MessageType.ERROR:
            self._fail(request, _failure(message))

    def lost(self, connection: Connection, failure: Failure) -> None:
        """The worker has ended, whatever the reason."""
        if connection is not self._connection:
            return
        self._connection = None
        self._leaving.clear()
        self._failAll(failure)

    def unresponsive(self, connection: Connection, failure: Failure) -> None:
        """The worker must not be waited for any longer."""
        if connection is self._connection:
            self._drop(connection)
            self._failAll(failure)

    def logLine(self, line: str) -> None:
        self._log(line)

    def _greet(self, connection: Connection, message: Message) -> None:
        try:
            check_version(message)
        except WorkerError as error:
            self._drop(connection)
            self._failAll(Failure.of(error))
            return
        connection.greeted(message)
        self._sendWaiting()

    def _sendWaiting(self) -> None:
        """Send what waited for the worker's hello."""
        if self._connection is None or self._connection.hello is None:
            return
        for request in [request for request in self._requests.values() if not request.isSent]:
            request.isSent = True
            if request.isAnalysis:
                self._become(State.LOADING)
            self._connection.send(request.message)

    def _progress(self, request: Request, message: Message) -> None:
        done, total, stage = read_progress(message)
        if request.isAnalysis and self.state is State.LOADING and stage.phase is not Phase.LOADING:
            self._become(State.RUNNING)
        request.progress(done, total, stage)

    def _succeed(self, request: Request, message: Message) -> None:
        del self._requests[request.id]
        if request.isAnalysis:
            self._become(State.IMPORTING)
        request.done(message)

    def _fail(self, request: Request, failure: Failure) -> None:
        del self._requests[request.id]
        if request.isAnalysis:
            self._become(State.CANCELLED if failure.kind == "cancelled" else State.FAILED)
        request.failed(failure)

    def _failAll(self, failure: Failure) -> None:
        for request in list(self._requests.values()):
            self._fail(request, failure)

    def _drop(self, connection: Connection) -> None:
        """Kill the process tree; the next request starts a fresh worker."""
        self._connection = None
        self._leaving.clear()
        connection.kill()

    def _become(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._stateChanged(state)


def _failure(message: Message) -> Failure:
    """The failure that the worker sent."""
    kind, text = str(message.get("kind", "failed")), str(message.get("message", ""))
    return Failure(kind, text, str(message.get("details", "")), notice=read_notice(message.get("notice")))


def _cancelled() -> Failure:
    notice = ErrorNotice(ErrorCode.STOPPED_BY_USER)
    return Failure("cancelled", notice.text, notice=notice)
