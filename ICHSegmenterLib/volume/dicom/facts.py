"""Facts of one DICOM file by which files are grouped and a series is chosen; nothing of the patient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom.files import GROUPING_TAGS, is_dicom, read_header
from ICHSegmenterLib.volume.dicom.frames import frames_of, look_up
from ICHSegmenterLib.volume.dicom.series import group_series


@dataclass(frozen=True)
class FileFacts:
    """What one file says of its series.

    Attributes:
        study, series: UIDs; both empty if the file is no DICOM image.
        number: SeriesNumber, 0 if unknown.
        slices: Frames that are CT slices; 0 if the file is none.
        plane, kernel, thickness_mm, has_contrast: As in `SeriesSummary`.
        low_mm, high_mm: Positions of the first and last frame along the normal; None if unknown.
        rejected: Why the file is no CT slice.
        problem: Why the file cannot be read.
    """

    study: str = ""
    series: str = ""
    number: int = 0
    slices: int = 0
    plane: str = ""
    kernel: str = ""
    thickness_mm: float = 0.0
    has_contrast: bool = False
    low_mm: float | None = None
    high_mm: float | None = None
    rejected: str = ""
    problem: str = ""


def facts_of(path: Path) -> FileFacts:
    """Facts of a file; a file that cannot be read has a problem, and one that is no DICOM image has no series."""
    try:
        file = read_header(path, GROUPING_TAGS) if is_dicom(path) else None
        if file is None:
            return FileFacts()
        series = group_series([file])[0]
        summary = series.summary
        low, high = _extent_mm(frames_of(file.header)) if series.files else (None, None)
    except VolumeError as error:
        return FileFacts(problem=str(error))
    except OSError as error:
        return FileFacts(
            problem=f"{path.name}: {error.strerror or type(error).__name__}. Check the disk and the rights."
        )
    return FileFacts(
        study=str(file.header.get("StudyInstanceUID", "")),
        series=summary.uid,
        number=summary.number,
        slices=summary.slices if series.files else 0,
        plane=summary.plane,
        kernel=summary.kernel,
        thickness_mm=summary.thickness_mm,
        has_contrast=summary.has_contrast,
        low_mm=low,
        high_mm=high,
        rejected="" if series.files else summary.rejected,
    )


def _extent_mm(frames: Iterable[Sequence[Dataset]]) -> tuple[float | None, float | None]:
    positions = []
    for places in frames:
        cosines = _numbers(look_up(places, "ImageOrientationPatient"))
        point = _numbers(look_up(places, "ImagePositionPatient"))
        if len(cosines) == 6 and len(point) == 3:
            positions.append(float(point @ np.cross(cosines[:3], cosines[3:])))
    return (min(positions), max(positions)) if positions else (None, None)


def _numbers(value: Any) -> NDArray[np.float64]:
    return np.array(() if value is None else value, dtype=np.float64).reshape(-1)
