"""Record of exams that kill: the reader process or the batch itself. Each is tried, recorded and then passed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.volume.input_files import InputDigest

ATTEMPTS_FILE = ".ichsegmenter-attempts.json"
MAX_UNFINISHED = 3
"""A batch that ended in the middle of an exam so often was ended by it, not by a power cut."""


class PassedError(VolumeError):
    """An exam that is not tried again."""


class Attempts:
    """The record of one output folder; damaged ones count as empty.

    Args:
        output: The folder.
        forget: Begin anew, to try everything again.
    """

    def __init__(self, output: Path, *, forget: bool = False) -> None:
        self._path = output / ATTEMPTS_FILE
        recorded = {} if forget else _read(self._path)
        self._killers: dict[str, Any] = dict(_object(recorded, "killers"))
        self._unfinished: dict[str, Any] = dict(_object(recorded, "unfinished"))
        self._is_kept = bool(recorded) or self._path.exists()

    def begin(self, name: str, digest: InputDigest) -> None:
        """Note that an exam is begun; on the disk before it can do harm.

        Raises:
            PassedError: It killed before, and its files are still the same.
            OutputError: The record cannot be written.
        """
        killer = self._killers.get(name)
        if isinstance(killer, dict) and killer.get("times") == digest.times:
            raise PassedError(f"{killer.get('message')} It is not tried again, except with --overwrite.")
        before = self._unfinished.get(name)
        number, times = (before.get("number"), before.get("times")) if isinstance(before, dict) else (0, "")
        number = number if isinstance(number, int) and times == digest.times else 0
        if number >= MAX_UNFINISHED:
            message = f"The batch ended {number} times in the middle of this exam."
            self._killers[name] = {"times": digest.times, "message": message}
            self._unfinished.pop(name)
            self._write()
            raise PassedError(f"{message} It is not tried again, except with --overwrite.")
        self._killers.pop(name, None)
        self._unfinished[name] = {"number": number + 1, "times": digest.times}
        self._write()

    def end(self, name: str) -> None:
        """Note that an exam came to an end, good or bad; it is written with the next one."""
        self._unfinished.pop(name, None)

    def killed(self, name: str, digest: InputDigest, message: str) -> None:
        """Note that an exam killed the reader.

        Raises:
            OutputError: The record cannot be written.
        """
        self._killers[name] = {"times": digest.times, "message": message}
        self.end(name)
        self._write()

    def close(self) -> None:
        """Write what ended last."""
        if self._is_kept:
            self._write()

    def _write(self) -> None:
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
