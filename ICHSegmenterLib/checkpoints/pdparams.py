"""PaddlePaddle's .pdparams: a pickle of named arrays, read by an unpickler that builds arrays and nothing else."""

from __future__ import annotations

import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import WeightsCorruptError
from ICHSegmenterLib.notices.cause_notice import Cause

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
_NUMBER_TYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")


def read_pdparams(path: Path) -> dict[str, NDArray[Any]]:
    """Name to array, without Paddle's bookkeeping.

    Raises:
        WeightsCorruptError: The file is truncated, would run code, or holds something other than named arrays.
    """
    content = read_plain_pickle(path, "PaddlePaddle weights")
    if not isinstance(content, dict):
        raise WeightsCorruptError(f"{path.name}: holds a {type(content).__name__}, not named arrays.", Cause.NO_WEIGHTS)
    arrays = {key: _array(value) for key, value in content.items() if not str(key).endswith(BOOKKEEPING_MARK)}
    foreign = [str(key) for key, value in arrays.items() if value is None]
    if foreign or not arrays:
        keys = ", ".join(foreign[:3]) or "any key"
        raise WeightsCorruptError(
            f"{path.name}: holds no arrays of numbers under {keys}; it is no weight file.", Cause.NO_WEIGHTS
        )
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
            content = _ArrayUnpickler(bounded, path.name).load()
            return content.values if isinstance(content, _StoredArray) else content
    except WeightsCorruptError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        raise WeightsCorruptError(
            f"{path.name}: cannot be read as {what} ({error}); it is incomplete or altered: download it again.",
            Cause.WEIGHTS_DAMAGED,
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
                "Get the file from its authors again.",
                Cause.WEIGHTS_WITH_CODE,
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


class _NumberType:
    """Stand-in of a dtype, whose own state crashes NumPy when it is damaged; None for what is no number."""

    def __init__(self, text: Any, *options: Any) -> None:
        is_number = isinstance(text, str) and _NUMBER_TYPE.fullmatch(text)
        self.dtype = np.dtype(text) if is_number else None

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise ValueError("a kind of number that is none")
        if self.dtype is not None:
            self.dtype = self.dtype.newbyteorder(order)


class _StoredArray:
    """Stand-in of an array, filled by its state: shape, kind of number, order and bytes, which must fit each other.

    Attributes:
        values: None if it holds no numbers.
    """

    def __init__(self, *options: Any) -> None:
        self.values: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, is_fortran, data = state
        if not isinstance(kind, _NumberType) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError("an array without shape or kind")
        if kind.dtype is not None:
            numbers = np.frombuffer(_bytes(data), kind.dtype)
            self.values = numbers.reshape(shape, order="F" if is_fortran else "C").copy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        if self.values is None:
            raise ValueError("an array without numbers")
        return np.asarray(self.values, dtype)


def _scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, _NumberType) or kind.dtype is None:
        raise ValueError("a number without kind")
    return np.frombuffer(_bytes(data), kind.dtype)[0]


def _bytes(data: Any) -> bytes:
    """Bytes, which Python 2 wrote as text."""
    return data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))


def _encode(text: str, encoding: str) -> bytes:
    """Bytes that protocol 2 writes as text; other encodings would decompress."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes are encoded as {encoding}")
    return text.encode("latin1")


_SAFE = {
    "_reconstruct": _StoredArray,
    "scalar": _scalar,
    "dtype": _NumberType,
    "encode": _encode,
    "ndarray": object,
}
"""Stand-ins that take no memory for what they are asked to be, and that no state can crash."""


def _array(value: Any) -> NDArray[Any] | None:
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]
    if isinstance(value, _StoredArray):
        return value.values
    return value if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS else None
