"""One DICOM slice: position, orientation and rescale, from a single-frame file or a frame of a multi-frame file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.files import DicomFile
from ICHSegmenterLib.volume.dicom.frames import count_of, frames_of, look_up, number_of, text_of, values_of

ORIENTATION_TOLERANCE = 1e-3
"""Direction cosines that differ by less are rounding: 0.06 degrees, a quarter of a millimeter across the head."""

SAME_POSITION_MM = 0.01
"""Slices nearer than this lie at one position; the thinnest CT slices are 0.2 mm apart."""

_NO_AGENT = {"", "NO", "NONE", "N", "NIL", "NEG", "WITHOUT", "NATIVE", "NO CONTRAST", "NON CONTRAST", "0"}


@dataclass(frozen=True, eq=False)
class DicomSlice:
    """One slice: a single-frame file, or one frame of an enhanced multi-frame file.

    Attributes:
        path, frame: Where its pixels are; frame counts from 0.
        uid: SOPInstanceUID.
        shape: (rows, columns).
        position: (3,) mm LPS, center of the first voxel.
        orientation: (6,) direction cosines: along a row (column index grows), then along a column.
        spacing_mm: (between rows, between columns).
        thickness_mm: Nominal SliceThickness, 0 if unknown.
        slope, intercept: Stored value to Hounsfield units; None if the file does not say.
        rescale_type: "HU", "US" (unspecified), something else, or empty.
        padding: Lowest and highest stored value that mean "no measurement"; None if not given.
        recency: Grows with later acquisition, to choose between repeated slices; begins with AcquisitionNumber.
        kernel: Reconstruction kernel, empty if unknown.
        tube_kv: Tube voltage, 0 if unknown.
        has_contrast: Made with contrast agent.
    """

    path: Path
    frame: int
    uid: str
    shape: tuple[int, int]
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    thickness_mm: float
    slope: float | None
    intercept: float | None
    rescale_type: str
    padding: tuple[float, float] | None
    recency: tuple[float, ...]
    kernel: str
    tube_kv: float
    has_contrast: bool

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) direction of a row x direction of a column."""
        return np.asarray(np.cross(self.orientation[:3], self.orientation[3:]))


def slices_of(file: DicomFile) -> list[DicomSlice]:
    """The slices that one file holds: one, or a slice for each frame of an enhanced multi-frame file.

    Raises:
        VolumeError: Position, orientation or pixel spacing is missing or unusable.
    """
    frames = frames_of(file.header)
    claimed = count_of(file.header.get("NumberOfFrames"), default=1)
    if claimed != len(frames):
        raise VolumeError(
            f"{file.path.name}: the file holds {claimed} frames, but positions of {len(frames)}. "
            "Export the series as enhanced CT or as one file a slice.",
            Cause.NO_POSITION,
        )
    return [_slice(file, number, places) for number, places in enumerate(frames)]


def _slice(file: DicomFile, frame: int, places: Sequence[Dataset]) -> DicomSlice:
    header, name = file.header, file.path.name
    orientation = _vector(places, "ImageOrientationPatient", 6, "orientation", name)
    spacing = _vector(places, "PixelSpacing", 2, "pixel spacing", name)
    _check_plane(orientation, spacing, name)
    return DicomSlice(
        path=file.path,
        frame=frame,
        uid=str(header.get("SOPInstanceUID", "")),
        shape=_shape(header, name),
        position=_vector(places, "ImagePositionPatient", 3, "position", name),
        orientation=orientation,
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        thickness_mm=number_of(look_up(places, "SliceThickness")) or 0.0,
        slope=number_of(look_up(places, "RescaleSlope")),
        intercept=number_of(look_up(places, "RescaleIntercept")),
        rescale_type=text_of(look_up(places, "RescaleType")).upper(),
        padding=_padding(header),
        recency=_recency(header, frame),
        kernel=text_of(look_up(places, "ConvolutionKernel")),
        tube_kv=number_of(look_up(places, "KVP")) or 0.0,
        has_contrast=has_contrast(header),
    )


def has_contrast(header: Dataset) -> bool:
    """True if the header names a contrast agent; some sites write "none" there."""
    agent = text_of(header.get("ContrastBolusAgent")).upper()
    return agent not in _NO_AGENT or bool(values_of(header.get("ContrastBolusAgentSequence")))


def _shape(header: Dataset, name: str) -> tuple[int, int]:
    rows, columns = count_of(header.get("Rows")), count_of(header.get("Columns"))
    if rows < 1 or columns < 1:
        raise VolumeError(
            f"{name}: the image size (Rows, Columns) is missing or unreadable; copy the file again.", Cause.DAMAGED_FILE
        )
    return rows, columns


def _vector(places: Sequence[Dataset], keyword: str, length: int, what: str, name: str) -> NDArray[np.float64]:
    value: Any = look_up(places, keyword)
    try:
        vector = np.array([float(number) for number in value], dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (length,) or not np.isfinite(vector).all():
        raise VolumeError(
            f"{name}: the {what} ({keyword}) is missing or unreadable, so the slice has no place in the patient. "
            "Export the original axial images, not screenshots.",
            Cause.NO_POSITION,
        )
    return vector


def _check_plane(orientation: NDArray[np.float64], spacing: NDArray[np.float64], name: str) -> None:
    along_row, along_column = orientation[:3], orientation[3:]
    lengths = np.array([along_row @ along_row, along_column @ along_column])
    if np.abs(lengths - 1).max() > 2 * ORIENTATION_TOLERANCE or abs(along_row @ along_column) > ORIENTATION_TOLERANCE:
        raise VolumeError(
            f"{name}: ImageOrientationPatient does not hold two perpendicular unit vectors. Export the images again.",
            Cause.NO_POSITION,
        )
    if spacing.min() <= 0:
        raise VolumeError(
            f"{name}: PixelSpacing is {spacing[0]:g} x {spacing[1]:g} mm; it must be positive. Export them again.",
            Cause.NO_POSITION,
        )


def _padding(header: Dataset) -> tuple[float, float] | None:
    first = number_of(header.get("PixelPaddingValue"))
    if first is None:
        return None
    limit = number_of(header.get("PixelPaddingRangeLimit"))
    last = first if limit is None else limit
    return min(first, last), max(first, last)


def _recency(header: Dataset, frame: int) -> tuple[float, ...]:
    keywords = ("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "InstanceNumber")
    return (*(number_of(header.get(keyword)) or 0.0 for keyword in keywords), float(frame))
