"""Folders of weight files and cards: one for each user and every Slicer version, and what ships with the code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER_VARIABLE = "ICHSEGMENTER_WEIGHTS"
"""Environment variable that names another folder, for example a share of the hospital; it may be read-only."""

_APPLICATION = "ICHSegmenter"


def weights_folder() -> Path:
    """Folder of downloaded and imported files; it may not exist yet."""
    named = os.environ.get(FOLDER_VARIABLE, "").strip()
    return Path(named).expanduser() if named else user_folder() / "weights"


def user_folder() -> Path:
    """Folder of what belongs to this user of this computer; it may not exist yet."""
    return _user_data_folder() / _APPLICATION


def bundled_folder() -> Path:
    """Folder of the small files that ship with the program; it is never written.

    A wheel carries it inside the library (setup.py), a clone and Slicer beside it.
    """
    library = Path(__file__).resolve().parents[1]
    inside, beside = (folder / "Resources" / "Models" for folder in (library, library.parent))
    return inside if inside.is_dir() else beside


def _user_data_folder() -> Path:
    """Per-user data that does not roam between computers. Python keeps non-ASCII user names intact."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
