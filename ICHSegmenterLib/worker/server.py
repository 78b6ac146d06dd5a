"""Requests in, one at a time to work, answers out. One thread reads and cancels, the main thread does all the work."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ICHSegmenterLib.errors import CancelledError, Failure
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.protocol import Message, MessageType
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.worker.channel import Channel, parse
from ICHSegmenterLib.worker.failures import explain

logger = logging.getLogger(__name__)

EXIT_DONE, EXIT_BROKEN = 0, 3

Handler = Callable[[Message, RunContext], Message]
"""Does the work of one request and returns its last answer, without the id."""


class Server:
    """Serves until told to stop, idle for too long, or broken.

    Attributes:
        channel: Where answers go.
        handlers: Request type to what does it.
        idle_s: Stop after so many seconds without work; 0 never.
    """

    def __init__(self, channel: Channel, handlers: Mapping[str, Handler], *, idle_s: float = 0.0) -> None:
        self.channel = channel
        self.handlers = handlers
        self.idle_s = idle_s
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self._running_id: Any = None
        self._cancelled = threading.Event()

    def read(self, requests: BinaryIO, on_end: Callable[[], None]) -> None:
        """Take requests until the stream ends or a shutdown comes, then call `on_end`. Runs in its own thread."""
        with contextlib.suppress(OSError):  # nobody listens to the answers any more
            # Whole lines of bytes are decoded, so a character that arrives in two pieces stays whole.
            for line in iter(requests.readline, b""):
                if line.strip() and not self._receive(line):
                    break
        on_end()

    def work(self) -> int:
        """Do requests in their order; returns the exit code of the process."""
        while (message := self._next()) is not None:
            failure = self._do(message)
            if failure is not None and failure.is_fatal:
                return EXIT_BROKEN
            gc.collect()  # closes the mapped input, which Windows could not delete otherwise
        logger.info("idle for %g s, stopping", self.idle_s)
        return EXIT_DONE

    def _receive(self, line: bytes) -> bool:
        """Answer or queue one request; False if it asks to stop."""
        try:
            message = parse(line)
        except ValueError as error:
            self._send_failure(None, Failure("failed", f"The worker did not understand a request: {error}."))
            return True
        kind, request_id = message["type"], message.get("id")
        if kind == MessageType.PING:
            self.channel.send({"type": MessageType.PONG})
        elif kind == MessageType.CANCEL:
            self._cancel(request_id)
        elif kind in self.handlers and (isinstance(request_id, str) or kind == MessageType.FREE):
            with self._changed:
                self._waiting.append(message)
                self._changed.notify()
        elif kind in self.handlers:
            self._send_failure(None, Failure("failed", f'The request {kind!r} has no "id".'))
        elif kind != MessageType.SHUTDOWN:
            self._send_failure(request_id, Failure("failed", f"The worker does not know the request {kind!r}."))
        return kind != MessageType.SHUTDOWN

    def _cancel(self, request_id: Any) -> None:
        """Stop the running request between two batches, or take a waiting one from the queue."""
        with self._changed:
            if request_id is not None and request_id == self._running_id:
                self._cancelled.set()
                return
            kept = [message for message in self._waiting if message.get("id") != request_id]
            was_waiting = len(kept) < len(self._waiting)
            self._waiting = deque(kept)
        if was_waiting:
            self._send_failure(request_id, explain(CancelledError(ErrorNotice(ErrorCode.CANCELLED_BEFORE))))

    def _next(self) -> Message | None:
        """The next request, None after idling for too long."""
        with self._changed:
            self._running_id = None
            if not self._changed.wait_for(lambda: bool(self._waiting), timeout=self.idle_s or None):
                return None
            message = self._waiting.popleft()
            self._running_id = message.get("id")
            self._cancelled.clear()
            return message

    def _do(self, message: Message) -> Failure | None:
        request_id = message.get("id")
        context = RunContext(
            progress=lambda done, total, stage: self.channel.progress(str(request_id), done, total, stage),
            cancelled=self._cancelled.is_set,
        )
        logger.info("%s begins", message["type"])
        try:
            answer = self.handlers[message["type"]](message, context)
            if request_id is not None:
                self.channel.send({"type": answer["type"], "id": request_id, **answer})
        except Exception as error:  # whatever happens in one request, the next one is served
            failure = explain(error)
            logger.warning("%s failed: %s", message["type"], failure.kind)
            self._send_failure(request_id, failure)
            return failure
        logger.info("%s is done", message["type"])
        return None

    def _send_failure(self, request_id: Any, failure: Failure) -> None:
        self.channel.send(
            {
                "type": MessageType.ERROR,
                "id": request_id,
                "kind": failure.kind,
                "message": failure.message,
                "details": failure.details,
                "notice": None if failure.notice is None else failure.notice.to_json(),
            }
        )
