"""Where weight files lie: one folder for each user and every Slicer version, and those that ship with the code."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from ICHSegmenterLib.errors import OutputError

FOLDER_VARIABLE = "ICHSEGMENTER_WEIGHTS"
"""Environment variable that names another folder, for example a share of the hospital; it may be read-only."""

_APPLICATION = "ICHSegmenter"


def weights_folder() -> Path:
    """Folder of downloaded and imported files; it may not exist yet."""
    chosen = os.environ.get(FOLDER_VARIABLE, "").strip()
    return Path(chosen).expanduser() if chosen else _user_data_folder() / _APPLICATION / "weights"


def bundled_folder() -> Path:
    """Folder of the small files that ship with the program; it is never written.

    A wheel carries it inside the library (setup.py), a clone and Slicer beside it.
    """
    library = Path(__file__).resolve().parents[1]
    inside, beside = (folder / "Resources" / "Models" for folder in (library, library.parent))
    return inside if inside.is_dir() else beside


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
            f"Set {FOLDER_VARIABLE} to a folder that you may write to, then try again."
        ) from error
    if free_bytes < needed_bytes:
        raise OutputError(
            f"The disk of {folder} has {in_megabytes(free_bytes)} left, {in_megabytes(needed_bytes)} are needed. "
            f"Make room, or set {FOLDER_VARIABLE} to a folder on another disk."
        )
    return folder


def in_megabytes(size: int) -> str:
    """A size for people: bytes to "4.2 MB"."""
    return f"{size / 1e6:.1f} MB"


def _user_data_folder() -> Path:
    """Per-user data that does not roam between computers. Python keeps non-ASCII user names intact."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
