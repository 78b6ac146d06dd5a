"""A sparse file of arrays by number, each filled by whoever needs it first; places that nobody filled take no room."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

_FILLED = b"\x01"

Kept = TypeVar("Kept")

logger = logging.getLogger(__name__)


class ArrayFile:
    """Arrays by number, computed at most once by each process that needs one first.

    Loading processes share the file: it is opened by each on its own, and an array counts as kept only after it was
    written as a whole.

    Args:
        path: The file.
        count: Arrays that have a place in it.
        bytes_each: The most that one takes.
    """

    def __init__(self, path: Path, count: int, bytes_each: int) -> None:
        self._path, self._count, self._bytes_each = path, count, bytes_each
        self._streams: dict[int, io.FileIO] = {}

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
