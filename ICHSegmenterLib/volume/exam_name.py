"""Names of results that hold no patient data."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ICHSegmenterLib.volume.io import FORMATS

VOLUME_SUFFIXES = tuple(sorted(FORMATS, key=len, reverse=True))
"""Endings of scans that are one file; longest first, so that .nii.gz is cut off whole."""


def exam_name(series_uid: str, path: Path) -> str:
    """A name without patient data for results: the series' digest for DICOM, the file's own name otherwise."""
    if series_uid:
        return "series-" + hashlib.sha256(series_uid.encode()).hexdigest()[:12]
    name = path.name
    for suffix in VOLUME_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem
