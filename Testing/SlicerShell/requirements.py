"""What the stand-in needs, and why it cannot run."""

import importlib.util
import os
from pathlib import Path

PACKAGES = {"slicer": "slicer-core", "PySide6": "PySide6-Essentials==6.11.3"}
ORACLE = "data/pythonqt_api.json"


def sharedData() -> Path:
    """The folder of test data beside the repository (or ICHSEGMENTER_SHARED)."""
    default = Path(__file__).resolve().parents[2].parent / "shared"
    return Path(os.environ.get("ICHSEGMENTER_SHARED") or default)


def missingReason() -> str:
    """Empty, or what to install."""
    missing = [pip for module, pip in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        return f"the Slicer stand-in needs: pip install {' '.join(missing)}"
    if not (sharedData() / ORACLE).is_file():
        return f"the Slicer stand-in needs {sharedData() / ORACLE} (set ICHSEGMENTER_SHARED)"
    return ""
