"""Slices of a DICOM series: position, orientation and rescale of every frame, in order along the normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom_files import DicomFile, base_names
from ICHSegmenterLib.volume.geometry import VolumeGeometry

ORIENTATION_TOLERANCE = 1e-3
"""Direction cosines that differ by less are rounding: 0.06 degrees, a quarter of a millimeter across the head."""

SPACING_TOLERANCE_MM = 1e-4
"""PixelSpacing is written with few digits; 1e-4 mm adds up to 0.05 mm over 512 columns."""


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
        slope, intercept: Stored value to Hounsfield units; None if the file has no rescale.
        padding: Lowest and highest stored value that mean "no measurement"; None if not given.
        recency: Grows with later acquisition, to choose between repeated slices.
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
    padding: tuple[float, float] | None
    recency: tuple[float, ...]

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) direction of a row x direction of a column."""
        return np.asarray(np.cross(self.orientation[:3], self.orientation[3:]))


def slices_of(file: DicomFile) -> list[DicomSlice]:
    """The slices that one file holds: one, or a slice for each frame of an enhanced multi-frame file.

    Raises:
        VolumeError: Position, orientation or pixel spacing is missing or unusable.
    """
    header = file.header
    if "PerFrameFunctionalGroupsSequence" not in header:
        return [_slice_from(file, 0, [header])]
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    frames = header.PerFrameFunctionalGroupsSequence
    return [_slice_from(file, number, [frame, *shared, header]) for number, frame in enumerate(frames)]


def ordered(slices: Sequence[DicomSlice]) -> list[DicomSlice]:
    """Slices in ascending position along the normal, whatever the files are called.

    Raises:
        VolumeError: Orientations, sizes or pixel spacings differ.
    """
    _check_one_grid(slices)
    normal = slices[len(slices) // 2].normal
    return sorted(slices, key=lambda item: float(item.position @ normal))


def geometry_of(slices: Sequence[DicomSlice]) -> VolumeGeometry:
    """The grid of ordered slices; direction cosines are taken as written, so positions equal DICOM's formula."""
    first = slices[0]
    between_rows, between_columns = first.spacing_mm
    return VolumeGeometry(
        (len(slices), *first.shape),
        first.orientation[:3] * between_columns,
        first.orientation[3:] * between_rows,
        np.stack([item.position for item in slices]),
    )


def _check_one_grid(slices: Sequence[DicomSlice]) -> None:
    reference = slices[len(slices) // 2]
    others = [s for s in slices if np.abs(s.orientation - reference.orientation).max() > ORIENTATION_TOLERANCE]
    if others:
        raise VolumeError(
            f"The series mixes orientations: {len(others)} of {len(slices)} slices are not parallel to the rest "
            f"({base_names(s.path for s in others)}). Remove the localizer or reformatted images."
        )
    others = [s for s in slices if s.shape != reference.shape]
    if others:
        raise VolumeError(
            f"The series mixes image sizes: {others[0].path.name} has {_size(others[0])} pixels, "
            f"{reference.path.name} has {_size(reference)}. Select slices of one size."
        )
    others = [s for s in slices if np.abs(np.subtract(s.spacing_mm, reference.spacing_mm)).max() > SPACING_TOLERANCE_MM]
    if others:
        raise VolumeError(
            f"The series mixes pixel spacings: {others[0].path.name} has {others[0].spacing_mm[0]:g} mm, "
            f"{reference.path.name} has {reference.spacing_mm[0]:g} mm. Select slices of one reconstruction."
        )


def _size(item: DicomSlice) -> str:
    return f"{item.shape[1]} x {item.shape[0]}"


def _slice_from(file: DicomFile, frame: int, groups: Sequence[Dataset]) -> DicomSlice:
    """groups: where to look for each element, most specific first."""
    header, name = file.header, file.path.name
    slope, intercept = _number(_look_up(groups, "RescaleSlope")), _number(_look_up(groups, "RescaleIntercept"))
    padding = header.get("PixelPaddingValue")
    limit = header.get("PixelPaddingRangeLimit", padding)
    orientation = _vector(_look_up(groups, "ImageOrientationPatient"), 6, name, "orientation (ImageOrientationPatient)")
    spacing = _vector(_look_up(groups, "PixelSpacing"), 2, name, "pixel spacing (PixelSpacing)")
    _check_plane(orientation, spacing, name)
    return DicomSlice(
        path=file.path,
        frame=frame,
        uid=str(header.get("SOPInstanceUID", "")),
        shape=(int(header.get("Rows", 0)), int(header.get("Columns", 0))),
        position=_vector(_look_up(groups, "ImagePositionPatient"), 3, name, "position (ImagePositionPatient)"),
        orientation=orientation,
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        thickness_mm=_number(_look_up(groups, "SliceThickness")) or 0.0,
        slope=slope,
        intercept=intercept,
        padding=None if padding is None else (float(min(padding, limit)), float(max(padding, limit))),
        recency=_recency(header, frame),
    )


_MACROS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "ConvolutionKernel": "CTReconstructionSequence",
}
"""Functional group of each element in enhanced multi-frame CT (DICOM PS3.3, section C.7.6.16)."""


def _look_up(groups: Sequence[Dataset], keyword: str) -> Any:
    """The element in the first group that has it, directly or in its functional group; None if nowhere."""
    for group in groups:
        if group.get(keyword) is not None:
            return group.get(keyword)
        sequence = group.get(_MACROS[keyword])
        if sequence and sequence[0].get(keyword) is not None:
            return sequence[0].get(keyword)
    return None


def _vector(value: Any, length: int, name: str, what: str) -> NDArray[np.float64]:
    try:
        vector = np.array([float(number) for number in value], dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (length,) or not np.isfinite(vector).all():
        raise VolumeError(
            f"{name}: the {what} is missing or unreadable, so the slice has no place in the patient. "
            "Export the original axial images, not screenshots."
        )
    return vector


def _check_plane(orientation: NDArray[np.float64], spacing: NDArray[np.float64], name: str) -> None:
    along_row, along_column = orientation[:3], orientation[3:]
    lengths = np.array([along_row @ along_row, along_column @ along_column])
    if np.abs(lengths - 1).max() > 10 * ORIENTATION_TOLERANCE or abs(along_row @ along_column) > ORIENTATION_TOLERANCE:
        raise VolumeError(f"{name}: ImageOrientationPatient does not hold two perpendicular unit vectors.")
    if spacing.min() <= 0:
        raise VolumeError(f"{name}: PixelSpacing is {spacing[0]:g} x {spacing[1]:g} mm; it must be positive.")


def _number(value: Any) -> float | None:
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None


def _recency(header: Dataset, frame: int) -> tuple[float, ...]:
    keywords = ("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "InstanceNumber")
    return (*(_number(header.get(keyword)) or 0.0 for keyword in keywords), float(frame))
