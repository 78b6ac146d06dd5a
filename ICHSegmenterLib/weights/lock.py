"""One process at a time writes a file: a lock of the operating system, which also lets go of processes that died."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

PAUSE_S = 0.1
"""Between two looks whether the other process is done."""


class LockingUnknownError(Exception):
    """This disk or folder gives no locks."""


@contextlib.contextmanager
def turn(target: Path, while_waiting: Callable[[], None]) -> Iterator[bool]:
    """Wait until no other process or thread works on a file, and keep others waiting meanwhile.

    Args:
        target: The file; the lock lies beside it, hidden, and goes with the turn.
        while_waiting: Called again and again; it may raise to give up.

    Yields:
        False if the disk knows no locks (some shares), so that others may work on the file too.
    """
    lock = target.with_name(f".{target.name}.lock")
    try:
        while (number := _take(lock)) is None:
            while_waiting()
            time.sleep(PAUSE_S)
    except LockingUnknownError as error:
        logger.info("%s: no lock (%s)", target.name, error)
        yield False
        return
    try:
        yield True
    finally:
        _let_go(lock, number)


if sys.platform == "win32":
    import msvcrt

    def _take(lock: Path) -> int | None:
        """A descriptor of the locked file; None while another one holds it."""
        number = _opened(lock)
        try:
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except OSError:
            os.close(number)
            return None
        return number

    def _let_go(lock: Path, number: int) -> None:
        os.close(number)
        with contextlib.suppress(OSError):  # who waits has it open
            lock.unlink()

else:
    import fcntl

    def _take(lock: Path) -> int | None:
        """A descriptor of the locked file; None while another one holds it."""
        number = _opened(lock)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(number), lock.stat()):
                return number
        except (BlockingIOError, FileNotFoundError):  # held, or taken away by the one before
            pass
        except OSError as error:
            os.close(number)
            raise LockingUnknownError(error.strerror) from error
        os.close(number)
        return None

    def _let_go(lock: Path, number: int) -> None:
        with contextlib.suppress(OSError):
            lock.unlink()  # before another one can hold it; who has it open finds it gone and looks again
        os.close(number)


def _opened(lock: Path) -> int:
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise LockingUnknownError(error.strerror) from error
