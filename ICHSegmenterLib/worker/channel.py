"""The worker's answers: JSON objects, one a line, UTF-8, from any thread."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, BinaryIO

import numpy as np

from ICHSegmenterLib.protocol import Message, Stage, progress_message

PROGRESS_INTERVAL_S = 0.05
"""Progress of one phase is not sent more often."""


class Channel:
    """Writes whole lines, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._last_progress: tuple[str, Stage | None, float] = ("", None, 0.0)

    def send(self, message: Message) -> None:
        """Write one message.

        Raises:
            OSError: The reader has gone.
        """
        line = json.dumps(message, ensure_ascii=False, allow_nan=False, default=_plain)
        data = memoryview(line.encode("utf-8", errors="replace") + b"\n")
        with self._lock:
            while data:  # a raw stream may take a part only
                data = data[self._stream.write(data) :]

    def progress(self, request_id: str, done: int, total: int, stage: Stage) -> None:
        """Send how far a request is; steps that follow too fast are left out, the first and last of a phase never."""
        now = time.monotonic()
        previous_id, previous_stage, sent = self._last_progress
        is_same_phase = (previous_id, previous_stage) == (request_id, stage)
        if is_same_phase and done < total and now - sent < PROGRESS_INTERVAL_S:
            return
        self._last_progress = (request_id, stage, now)
        self.send(progress_message(request_id, done, total, stage))


def parse(line: bytes) -> dict[str, Any]:
    """One request.

    Raises:
        ValueError: It is not a JSON object with a "type".
    """
    try:
        message = json.loads(line.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("its lists and objects are nested too deep") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError('a request is a JSON object with a "type"')
    return message


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as JSON knows them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent")
