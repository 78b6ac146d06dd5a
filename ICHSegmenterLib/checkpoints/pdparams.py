"""PaddlePaddle's .pdparams: a pickle of named arrays, read by an unpickler that builds arrays and nothing else."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import WeightsCorruptError

BOOKKEEPING_MARK = "@@"
"""Ends the keys under which Paddle notes how it named things; they hold no weights."""

_ALLOWED = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("builtins", "tuple"),  # Paddle writes a tensor as a tuple of its name and its array
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),  # how pickle protocol 2 writes bytes
}
_NUMBERS = "biuf"
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")


def read_pdparams(path: Path) -> dict[str, NDArray[Any]]:
    """Name to array, without Paddle's bookkeeping.

    Raises:
        WeightsCorruptError: The file is truncated, would run code, or holds something other than named arrays.
    """
    content = read_plain_pickle(path, "PaddlePaddle weights")
    if not isinstance(content, dict):
        raise WeightsCorruptError(f"{path.name}: holds a {type(content).__name__}, not named arrays.")
    arrays = {key: _array(value) for key, value in content.items() if not str(key).endswith(BOOKKEEPING_MARK)}
    foreign = [str(key) for key, value in arrays.items() if value is None]
    if foreign or not arrays:
        keys = ", ".join(foreign[:3]) or "any key"
        raise WeightsCorruptError(f"{path.name}: holds no arrays of numbers under {keys}; it is no weight file.")
    return {str(key): value for key, value in arrays.items() if value is not None}


def read_plain_pickle(path: Path, what: str) -> Any:
    """The content of a pickle that holds arrays, numbers and containers of them, and nothing that runs.

    Raises:
        WeightsCorruptError: The file is truncated, would run code, or promises more than it holds; `what` names it.
    """
    try:
        with path.open("rb") as file:
            bounded = _BoundedFile(file, path.stat().st_size)
            _check_memo(bounded)
            bounded.rewind()
            return _ArrayUnpickler(bounded, path.name).load()
    except WeightsCorruptError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        raise WeightsCorruptError(
            f"{path.name}: cannot be read as {what} ({error}); it is incomplete or altered: download it again."
        ) from error


class _ArrayUnpickler(pickle.Unpickler):
    """Refuses every class and function that is not needed to build an array."""

    def __init__(self, file: Any, name: str) -> None:
        super().__init__(file, encoding="latin1")
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise WeightsCorruptError(
                f"{self._name}: asks for {module}.{name}; a weight file that runs code is refused. "
                "Get the file from its authors again."
            )
        return _SAFE.get(name) or super().find_class(module, name)


class _BoundedFile:
    """A file that refuses to promise more bytes than it has, for which an unpickler would take memory first."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left, self._size = file, size, size

    def read(self, size: int) -> bytes:
        """So many bytes."""
        if size > self._left:
            raise EOFError(f"{size} bytes are promised, {self._left} are left")
        return self._taken(self._file.read(size))

    def readline(self) -> bytes:
        """A line."""
        return self._taken(self._file.readline())

    def rewind(self) -> None:
        """Back to the start."""
        self._file.seek(0)
        self._left = self._size

    def _taken(self, data: bytes) -> bytes:
        self._left -= len(data)
        return data


def _check_memo(file: Any) -> None:
    """Refuse numbers of remembered objects beyond the objects there are: the memory for them is taken at once."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in _MEMO and int(argument or 0) > count:
            raise ValueError(f"object {argument} is remembered among {count}")


def _empty_array(kind: Any, shape: Any, code: Any) -> NDArray[Any]:
    """The array that a pickle fills afterwards; a large shape here would only take memory."""
    return np.empty(0)


def _encode(text: str, encoding: str) -> bytes:
    """Bytes that protocol 2 writes as text; other encodings would decompress."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes are encoded as {encoding}")
    return text.encode("latin1")


_SAFE = {"_reconstruct": _empty_array, "encode": _encode, "ndarray": object}
"""Stand-ins that take no memory for what they are asked to be."""


def _array(value: Any) -> NDArray[Any] | None:
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    return value if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS else None
