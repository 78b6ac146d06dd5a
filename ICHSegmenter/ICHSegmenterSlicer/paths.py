"""Paths of the extension's own files, in a source checkout and once installed."""

from __future__ import annotations

from pathlib import Path


def rootPath() -> Path:
    """Folder that holds ICHSegmenterLib and Resources: beside ICHSegmenter.py once installed, else its parent."""
    here = Path(__file__).resolve().parent.parent
    return here if (here / "ICHSegmenterLib").is_dir() else here.parent


def resourcePath(name: str) -> Path:
    """A file under Resources."""
    return rootPath() / "Resources" / name
