"""The weights folder as a place to write, and the size of files in words."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ICHSegmenterLib.cards.folders import FOLDER_VARIABLE, bundled_folder, weights_folder
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.notices.cause_notice import Cause

__all__ = ["FOLDER_VARIABLE", "bundled_folder", "in_megabytes", "weights_folder", "writable_weights_folder"]


def writable_weights_folder(needed_bytes: int = 0) -> Path:
    """`weights_folder`, made if absent.

    Raises:
        OutputError: It cannot be written, or its disk has fewer than `needed_bytes` left.
    """
    folder = weights_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(
            f"The weights folder {folder} cannot be written ({error.strerror or error}). "
            f"Set {FOLDER_VARIABLE} to a folder that you may write to, then try again.",
            Cause.DISK,
        ) from error
    if free_bytes < needed_bytes:
        raise OutputError(
            f"The disk of {folder} has {in_megabytes(free_bytes)} left, {in_megabytes(needed_bytes)} are needed. "
            f"Make room, or set {FOLDER_VARIABLE} to a folder on another disk.",
            Cause.DISK,
        )
    return folder


def in_megabytes(size: int) -> str:
    """A size for people: bytes to "4.2 MB"."""
    return f"{size / 1e6:.1f} MB"
