"""One batch at a time writes an output folder: two of them would mix their numbers."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ICHSegmenterLib.batch.summary import SUMMARY_FILE
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.weights.lock import turn

OWNER_FILE = ".ichsegmenter-owner.json"
HEARTBEAT_S = 20.0
STALE_S = 120.0
"""An owner on another computer that was silent for so long has died."""


@contextmanager
def owned(output: Path) -> Iterator[None]:
    """The output belongs to this process until the block ends.

    The operating system's lock decides on one computer, and goes with a process that dies. On a share it may not reach
    other computers; there the file counts that the owner touches every `HEARTBEAT_S`.

    Raises:
        OutputError: Another batch writes there, or the folder cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{SUMMARY_FILE} cannot be written ({error.strerror}). Choose another output folder."
        ) from error
    file = output / OWNER_FILE

    def refuse() -> None:
        raise _taken(output, _read(file))

    with turn(file, refuse) as has_lock:
        owner = _read(file)
        is_elsewhere = owner.get("host") != platform.node() or (not has_lock and owner.get("pid") != os.getpid())
        if owner and is_elsewhere and _age_s(file) < STALE_S:
            refuse()
        _write(file)
        stopped = threading.Event()
        beat = threading.Thread(target=_beat, args=(file, stopped), name="owner", daemon=True)
        beat.start()
        try:
            yield
        finally:
            stopped.set()
            beat.join()
            with contextlib.suppress(OSError):  # a share that has gone; the file counts no more in a while
                file.unlink()


def _taken(output: Path, owner: dict[str, Any]) -> OutputError:
    who = ""
    if owner:
        who = f" (process {owner.get('pid')} on {owner.get('host')}, begun {owner.get('started')})"
    return OutputError(
        f"Another batch writes to {output}{who}. Wait for its end, stop it, or name another --output folder."
    )


def _write(file: Path) -> None:
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    content = {"pid": os.getpid(), "host": platform.node(), "started": started}
    with replacing(file) as draft:
        draft.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _age_s(file: Path) -> float:
    with contextlib.suppress(OSError):
        return time.time() - file.stat().st_mtime
    return STALE_S


def _beat(file: Path, stopped: threading.Event) -> None:
    while not stopped.wait(HEARTBEAT_S):
        with contextlib.suppress(OSError):  # a share that is away for a moment
            os.utime(file)
