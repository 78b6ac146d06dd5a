"""The worker's answers: JSON objects, one a line, UTF-8, from any thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

PROGRESS_INTERVAL_S = 0.05
"""Progress of one phase is not told more often."""

Message = Mapping[str, Any]


class Channel:
    """Writes whole lines; `on_closed` is called when nobody listens any more."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._last_progress = ("", "", 0.0)

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

    def progress(self, request_id: str, done: int, total: int, message: str) -> None:
        """Tell how far a request is; steps that follow too fast are left out, the first and last of a phase never."""
        now = time.monotonic()
        previous_id, previous_message, told = self._last_progress
        is_same_phase = (previous_id, previous_message) == (request_id, message)
        if is_same_phase and done < total and now - told < PROGRESS_INTERVAL_S:
            return
        self._last_progress = (request_id, message, now)
        self.send({"type": "progress", "id": request_id, "done": done, "total": total, "message": message})


def parse(line: bytes) -> dict[str, Any]:
    """One request.

    Raises:
        ValueError: It is not a JSON object with a "type".
    """
    message = json.loads(line.decode("utf-8"))
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError('a request is a JSON object with a "type"')
    return message


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as JSON knows them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent")
