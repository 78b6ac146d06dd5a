"""What the stand-in needs, and why it cannot run."""

import importlib.util
from pathlib import Path

PACKAGES = {"slicer": "slicer-core", "PySide6": "PySide6-Essentials==6.11.3"}
NAMES = Path(__file__).resolve().parents[1] / "Data" / "pythonqt_names.json.gz"
"""For each Qt-side class of Slicer and CTK the names that Slicer's Python can see."""


def missingReason() -> str:
    """Empty, or what to install."""
    missing = [pip for module, pip in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        return f"the Slicer stand-in needs: pip install {' '.join(missing)}"
    return ""
