"""Ends of a run: the errors after which no further exam could succeed, told apart from those of one exam."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.errors import DeviceLostError, ICHSegmenterError, OutputError, VolumeError
from ICHSegmenterLib.runtime.lost_device import is_device_lost

PROBE_BYTES = 16 << 20
"""About what the results of an exam take."""
VANISHED_IN_A_ROW = 5
"""So many exams after each other whose folders have gone: the share has, not they."""
GO_ON = "Then run the same command again: it goes on behind the exams that are done."

_OUTPUT_LOST = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ENOTCONN", "EHOSTDOWN", "ENODEV", "ENXIO", "ETIMEDOUT")
    if hasattr(errno, name)
)
_INPUT_LOST = _OUTPUT_LOST - {errno.ENOSPC, errno.EROFS}


class OutputLostError(OutputError):
    """The disk of the results is full, read-only, or has gone: nothing can be written any more."""


class InputLostError(VolumeError):
    """The share with the exams has gone."""


class Ends:
    """Tells of each failure whether the run ends by it.

    Args:
        output: Folder of the results.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._vanished = 0

    def succeeded(self) -> None:
        """An exam could be read."""
        self._vanished = 0

    def end_by(self, exam: Exam, error: Exception) -> ICHSegmenterError | None:
        """The error that ends the run, None if the failure is of this exam alone."""
        if is_device_lost(error):
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            return DeviceLostError(f"The graphics card stopped ({reason}). {GO_ON}")
        if isinstance(error, OutputError):
            return self._output_lost(error)
        return self._input_lost(exam, error)

    def _output_lost(self, error: OutputError) -> ICHSegmenterError | None:
        reason = _reason(error, _OUTPUT_LOST) or not_writable(self._output)
        if not reason:
            return None
        return OutputLostError(
            f"The results cannot be written any more ({reason}). Make room on that disk, or bring it back. {GO_ON}"
        )

    def _input_lost(self, exam: Exam, error: Exception) -> ICHSegmenterError | None:
        is_system = isinstance(error, OSError)
        is_lost = is_system and (
            _reason(error, _INPUT_LOST) or (_reason(error, {errno.ENOENT}) and _is_away(exam.path))
        )
        self._vanished = self._vanished + 1 if is_lost else 0
        if self._vanished < VANISHED_IN_A_ROW:
            return None
        return InputLostError(
            f"{self._vanished} exams in a row have gone together with their folders: the share with the exams seems "
            f"to be away. Bring it back. {GO_ON}"
        )


def not_writable(folder: Path) -> str:
    """Why a file of `PROBE_BYTES` has no place in a folder; empty if it has."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _reason(error: BaseException, numbers: frozenset[int] | set[int]) -> str:
    """What the system said, if it is one of these; of the error itself or of one that led to it."""
    return next(
        (
            cause.strerror or type(cause).__name__
            for cause in _causes(error)
            if isinstance(cause, OSError) and cause.errno in numbers
        ),
        "",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_away(path: Path) -> bool:
    """True if the folder around a path has gone, or is empty as the place of a share that is not mounted."""
    try:
        with os.scandir(path.parent) as entries:
            return next(entries, None) is None
    except OSError:
        return True
