"""Network inputs that were computed once and are read again at later epochs, in a scratch file of one training.

Decoding, windows and resampling give the same pixels at every epoch; only the random changes differ. The file is
sparse: places that nobody filled take no room. It goes with the training, and one that a killed training left behind
goes with the next.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ICHSegmenterLib.weights.lock import turn

PREFIX, SUFFIX = "inputs-", ".kept"
MAX_SHARE_OF_FREE_DISK = 0.5
_FILLED = b"\x01"

Kept = TypeVar("Kept")

logger = logging.getLogger(__name__)


class _InUseError(Exception):
    """Another training holds the file."""


class KeptInputs:
    """Arrays by number, computed at most once by each process that needs one first.

    Loading processes share the file: it is opened by each on its own, and an array counts as kept only after it was
    written as a whole.

    Args:
        folder: The scratch file is made here.
        count: Arrays there may be.
        bytes_each: The most that one takes.
        budget_bytes: Arrays beyond this, or beyond half of the free disk, are computed anew each time.
    """

    def __init__(self, folder: Path, count: int, bytes_each: int, budget_bytes: int) -> None:
        self._bytes_each, self._count, self._path = bytes_each, 0, Path()
        self._streams: dict[int, io.FileIO] = {}
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

    def array(
        self, number: int, shape: tuple[int, ...], dtype: DTypeLike, compute: Callable[[], NDArray[Any]]
    ) -> NDArray[Any]:
        """The array of this number, read if it is kept, else computed and kept; the caller may change it.

        Args:
            number: 0 to count - 1.
            shape, dtype: Of what `compute` returns, always the same for a number.
            compute: Makes it.
        """
        number = self._number_in_file(number)
        kept = self._tried(lambda: self._read(number, np.empty(shape, dtype)), number)
        if kept is not None:
            return kept
        values = compute()
        self._tried(lambda: self._write(number, values), number)
        return values

    def is_kept(self, number: int) -> bool:
        """Whether the array of this number can be read."""
        number = self._number_in_file(number)
        return bool(self._tried(lambda: self._is_filled(number), number))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_streams": {}}  # open files do not travel to other processes

    def _number_in_file(self, number: int) -> int:
        return number

    def _tried(self, step: Callable[[], Kept], number: int) -> Kept | None:
        """Outcome of reading or writing; None where nothing is kept, as from now on if the disk fails."""
        if number >= self._count:
            return None
        try:
            return step()
        except OSError as error:
            logger.info("inputs are no longer kept: %s", error)
            self._count = 0
            return None

    def _read(self, number: int, values: NDArray[Any]) -> NDArray[Any] | None:
        if not self._is_filled(number):
            return None
        stream = self._stream()
        stream.seek(self._place(number))
        return values if stream.readinto(values.data) == values.nbytes else None

    def _is_filled(self, number: int) -> bool:
        stream = self._stream()
        stream.seek(number)
        return stream.read(1) == _FILLED

    def _write(self, number: int, values: NDArray[Any]) -> None:
        if values.nbytes > self._bytes_each:
            return
        stream = self._stream()
        stream.seek(self._place(number))
        if stream.write(np.ascontiguousarray(values).data) == values.nbytes:
            stream.seek(number)
            stream.write(_FILLED)

    def _place(self, number: int) -> int:
        return self._count + number * self._bytes_each

    def _stream(self) -> io.FileIO:
        """The file as this process opened it; a forked one must not move the place of its parent."""
        stream = self._streams.get(os.getpid())
        if stream is None:
            self._streams.clear()
            stream = self._streams[os.getpid()] = io.FileIO(self._path, "r+")
        return stream


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
