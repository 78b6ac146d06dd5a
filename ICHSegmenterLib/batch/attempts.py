"""Record of exams that kill: the reader process or the batch itself. Each is tried, recorded and then passed."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ICHSegmenterLib.errors import OutputError, VolumeError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.volume.input_files import InputDigest

ATTEMPTS_FILE = ".ichsegmenter-attempts.json"
MAX_UNFINISHED = 10
"""A batch that ended in the middle of an exam so often was ended by it, not by power cuts: they hit others too, as an
unfinished exam is tried after the rest, and alone. Five kills in a row at random moments did hit one of four exams."""


class PassedError(VolumeError):
    """An exam that is not tried again."""


class Attempts:
    """The record of one output folder, for several threads; damaged ones count as empty. A context manager.

    Args:
        output: The folder; None: nothing is written.
        forget: Begin anew, to try everything again.
    """

    def __init__(self, output: Path | None, *, forget: bool = False) -> None:
        self._path = None if output is None else output / ATTEMPTS_FILE
        self._lock = threading.Lock()
        recorded = {} if forget or self._path is None else _read(self._path)
        self._killers: dict[str, Any] = dict(_object(recorded, "killers"))
        self._unfinished: dict[str, Any] = dict(_object(recorded, "unfinished"))
        self._is_kept = bool(recorded) or (self._path is not None and self._path.exists())

    def __enter__(self) -> Attempts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with nullcontext() if error is None else suppress(OutputError):  # a full disk has been told of already
            self.close()

    def unfinished(self, name: str) -> int:
        """How often a batch ended in the middle of this exam."""
        number = _object(self._unfinished, name).get("number")
        return number if isinstance(number, int) else 0

    def is_suspect(self, name: str) -> bool:
        """It, or another exam beside it, ended a batch."""
        return self.unfinished(name) > 0

    def killer(self, name: str) -> tuple[str, str] | None:
        """Times of the files of an exam that killed before, and the message; None of the others."""
        killer = _object(self._killers, name)
        return (str(killer.get("times")), str(killer.get("message"))) if killer else None

    def check(self, name: str, digest: InputDigest) -> None:
        """Pass an exam that killed before, and whose files are still the same.

        Raises:
            PassedError: It did.
            OutputError: The record cannot be written.
        """
        with self._lock:
            killer = self._killers.get(name)
            if isinstance(killer, dict) and killer.get("times") == digest.times:
                raise PassedError(f"{killer.get('message')} It is not tried again, except with --overwrite.")
            number = self._number(name, digest)
            if number < MAX_UNFINISHED:
                return
            message = f"The batch ended {number} times in the middle of this exam."
            self._killers[name] = {"times": digest.times, "message": message}
            self._unfinished.pop(name)
            self._write()
            raise PassedError(f"{message} It is not tried again, except with --overwrite.")

    def begin(self, name: str, digest: InputDigest) -> None:
        """Note that an exam is begun; on the disk before it can do harm.

        Raises:
            OutputError: The record cannot be written.
        """
        with self._lock:
            self._killers.pop(name, None)
            self._unfinished[name] = {"number": self._number(name, digest) + 1, "times": digest.times}
            self._write()

    def end(self, name: str) -> None:
        """Note that an exam came to an end, good or bad; it is written with the next one."""
        with self._lock:
            self._unfinished.pop(name, None)

    def killed(self, name: str, digest: InputDigest, message: str) -> None:
        """Note that an exam killed the reader.

        Raises:
            OutputError: The record cannot be written.
        """
        with self._lock:
            self._killers[name] = {"times": digest.times, "message": message}
            self._unfinished.pop(name, None)
            self._write()

    def close(self) -> None:
        """Write what ended last."""
        with self._lock:
            if self._is_kept:
                self._write()

    def _number(self, name: str, digest: InputDigest) -> int:
        """How often a batch ended in the middle of an exam whose files are still the same."""
        return self.unfinished(name) if _object(self._unfinished, name).get("times") == digest.times else 0

    def _write(self) -> None:
        if self._path is None:
            return
        if not self._killers and not self._unfinished:
            self._path.unlink(missing_ok=True)
            return
        self._is_kept = True
        with replacing(self._path) as draft:
            draft.write_text(json.dumps({"killers": self._killers, "unfinished": self._unfinished}), encoding="utf-8")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _object(recorded: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = recorded.get(key)
    return value if isinstance(value, dict) else {}
