"""Headers of RSNA 2019's files, read once and kept, for 752 803 of them take a while.

They are kept in parts, so that a broken run continues where it stopped.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pydicom

from ICHSegmenterLib.datasets.sources import BadFile, ReadOptions
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.files import replacing, typed_reader

HEADERS_AT_ONCE = 5000
_TAGS = [
    "PatientID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
]


@dataclass(frozen=True)
class Header:
    """The tags of a file that matter: patient, position (mm along the normal), rescaling, window."""

    name: str
    patient: str
    series: str
    position: float
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    rescale: tuple[float, ...]
    window: tuple[int, ...]


def read_headers(images: Path, names: list[str], options: ReadOptions) -> tuple[list[Header], list[BadFile]]:
    """All headers; those of parts that were read before come from the cache."""
    parts = [names[start : start + HEADERS_AT_ONCE] for start in range(0, len(names), HEADERS_AT_ONCE)]
    run: Callable[..., Iterable[Path]] = map if options.pool is None else options.pool.map
    paths = [options.cache / "headers" / f"{number:05d}.csv" for number in range(len(parts))]
    list(run(partial(_read_headers, images), parts, paths))
    headers, bad = [], []
    for path in paths:
        read, unreadable = _read_part(path)
        headers += read
        bad += unreadable
    return headers, bad


@typed_reader(TrainingDataError)
def _read_part(path: Path) -> tuple[list[Header], list[BadFile]]:
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.reader(stream))
    return [_header_of(line) for line in lines if len(line) != 2], [BadFile(*line) for line in lines if len(line) == 2]


def _read_headers(images: Path, names: list[str], path: Path) -> Path:
    with (
        contextlib.suppress(OSError, ValueError, IndexError, csv.Error),  # absent or damaged: read again
        path.open(newline="", encoding="utf-8") as stream,
    ):
        if [line[0] for line in csv.reader(stream)] == names:
            return path
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        for name in names:
            try:
                writer.writerow(_line_of(images / name))
            except Exception as error:  # a damaged header fails in many ways
                writer.writerow([name, f"the header cannot be read ({error})"])
    return path


def _line_of(path: Path) -> list[object]:
    file = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    cosines = np.array(file.ImageOrientationPatient, dtype=float)
    position = float(np.array(file.ImagePositionPatient, dtype=float) @ np.cross(cosines[:3], cosines[3:]))
    numbers = [*cosines, *file.PixelSpacing, file.get("RescaleSlope", 1), file.get("RescaleIntercept", 0)]
    window = [_first(file.get("WindowCenter", 0)), _first(file.get("WindowWidth", 0))]
    return [path.name, file.PatientID, file.SeriesInstanceUID, position, *map(float, numbers), *window]


def _header_of(line: list[str]) -> Header:
    numbers = tuple(float(text) for text in line[4:14])
    window = (int(line[14]), int(line[15]))
    return Header(line[0], line[1], line[2], float(line[3]), numbers[:6], numbers[6:8], numbers[8:10], window)


def _first(value: object) -> int:
    """The first of several windows, as the authors take it."""
    several = isinstance(value, pydicom.multival.MultiValue)
    return int(float(str(value[0] if several else value) or 0))  # type: ignore[index]
