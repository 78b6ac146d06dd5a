"""Network inputs that were computed once and are read again at later epochs, in a scratch file of one training.

Decoding, windows and resampling give the same pixels at every epoch; only the random changes differ. The file is
sparse: places that nobody filled take no room. It goes with the training, and one that a killed training left behind
goes with the next.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import weakref
from contextlib import ExitStack, suppress
from pathlib import Path

from ICHSegmenterLib.learning.array_file import ArrayFile
from ICHSegmenterLib.weights.lock import turn

PREFIX, SUFFIX = "inputs-", ".kept"
MAX_SHARE_OF_FREE_DISK = 0.5

logger = logging.getLogger(__name__)


class _InUseError(Exception):
    """Another training holds the file."""


class KeptInputs(ArrayFile):
    """Arrays of one training.

    Args:
        folder: The scratch file is made here.
        count: Arrays there may be.
        bytes_each: The most that one takes.
        budget_bytes: Arrays beyond this, or beyond half of the free disk, are computed anew each time.
    """

    def __init__(self, folder: Path, count: int, bytes_each: int, budget_bytes: int) -> None:
        super().__init__(Path(), 0, bytes_each)
        try:
            _remove_leftovers(folder)
            budget = min(budget_bytes, int(shutil.disk_usage(folder).free * MAX_SHARE_OF_FREE_DISK))
            if budget < bytes_each:
                return
            number, name = tempfile.mkstemp(SUFFIX, PREFIX, folder)
            os.close(number)
            self._path, self._count = Path(name), min(count, budget // bytes_each)
            weakref.finalize(self, _close, _hold(self._path), os.getpid())
            os.truncate(self._path, self._count * (1 + bytes_each))
        except OSError as error:  # a folder that cannot be written, a disk that is full
            logger.info("no inputs are kept: %s", error)
            self._count = 0


def _hold(path: Path) -> ExitStack:
    """Keep other trainings from removing the file until this is closed, which removes it."""
    held = ExitStack()
    held.callback(_remove, path)
    held.enter_context(turn(path, _give_up))
    return held


def _close(held: ExitStack, process: int) -> None:
    """Forked loading processes drop their copies without touching the file."""
    if os.getpid() == process:
        held.close()


def _remove(path: Path) -> None:
    with suppress(OSError):  # Windows: a loading process still has it open; the next training removes it
        path.unlink(missing_ok=True)


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        try:
            with turn(path, _give_up) as is_locked:
                if is_locked:
                    _remove(path)
        except _InUseError:
            continue


def _give_up() -> None:
    raise _InUseError
