"""Names of results that hold no patient data."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ICHSegmenterLib.volume.input_files import FORMATS

VOLUME_SUFFIXES = tuple(sorted(FORMATS, key=len, reverse=True))
"""Endings of scans that are one file; longest first, so that .nii.gz is cut off whole."""

DIGITS = 12
"""Digits of a SHA-256 in names."""


def exam_name(series_uid: str, path: Path) -> str:
    """A name without patient data for results: the series' digest for DICOM, the file's own name otherwise."""
    if series_uid:
        return exam_digest(series_uid, path)
    name = path.name
    for suffix in VOLUME_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return path.stem


def exam_digest(series_uid: str, path: Path) -> str:
    """Identity of an exam: the series' digest for DICOM, that of the file's whole path otherwise."""
    if series_uid:
        return "series-" + hashlib.sha256(series_uid.encode()).hexdigest()[:DIGITS]
    return "file-" + hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
