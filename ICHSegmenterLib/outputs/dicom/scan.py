"""Headers of the scan that DICOM objects refer to: one a slice, found by their identifiers or by their positions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.volume.dicom.files import list_dicom_files
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

POSITION_TOLERANCE_MM = 0.1
"""A slice of the volume is that of a file if all its corners lie this near: headers round, and so do transforms."""

NOT_FROM_DICOM = ErrorNotice(ErrorCode.NOT_FROM_DICOM)

_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


def scan_headers(volume: Volume, source: Path | None, slice_files: Sequence[Path] = ()) -> list[Dataset]:
    """Headers without pixels of the volume's slices, in array order.

    Args:
        volume: As acquired.
        source: File or folder that it was read from; its slices are known by their identifiers.
        slice_files: The files of its slices in any order, if it came from elsewhere; they are known by their positions.

    Raises:
        OutputError: The volume did not come from these files.
    """
    if slice_files:
        return _at_positions(volume.geometry, [_header(path) for path in slice_files])
    if source is None or not is_one_slice_a_file(volume):
        raise OutputError(NOT_FROM_DICOM)
    return [_header(path) for path in files_of(volume.source.instance_uids, source)]


def files_of(uids: Sequence[str], source: Path) -> list[Path]:
    """The files of slices, in the order of their identifiers.

    Args:
        uids: SOPInstanceUID of each slice.
        source: The folder of their files, or one of them.

    Raises:
        OutputError: They are not all there.
    """
    listing = list_dicom_files(source if source.is_dir() else source.parent)
    paths = {str(file.header.get("SOPInstanceUID", "")): file.path for file in listing.files}
    missing = [uid for uid in uids if uid not in paths]
    if missing:
        raise OutputError(
            f"{len(missing)} of {len(uids)} slices are not in the given folder. Give the folder that was read.",
            Cause.OTHER_DICOM_FILES,
        )
    return [paths[uid] for uid in uids]


def is_one_slice_a_file(volume: Volume) -> bool:
    """True if each slice of the volume is a DICOM file of its own."""
    uids = volume.source.instance_uids
    return len(uids) > 0 and len(set(uids)) == len(uids)


def _at_positions(geometry: VolumeGeometry, headers: Sequence[Dataset]) -> list[Dataset]:
    """The header whose slice lies where each slice of the volume lies."""
    try:
        corners = np.stack([_corners(header) for header in headers])
    except (AttributeError, TypeError, ValueError) as error:
        raise OutputError(f"{NOT_FROM_DICOM} ({error})", Cause.NO_DICOM_OBJECT) from error
    slices, rows, columns = geometry.shape
    wanted = geometry.ijk_to_lps([[(0, 0, k), (columns - 1, 0, k), (0, rows - 1, k)] for k in range(slices)])
    found = []
    for positions in wanted:
        apart = np.linalg.norm(corners - positions, axis=-1).max(axis=-1)
        nearest = int(apart.argmin())
        if apart[nearest] > POSITION_TOLERANCE_MM:
            raise OutputError(
                f"The volume does not lie where its DICOM files say: a slice is {apart[nearest]:.1f} mm away. It was "
                "moved, cropped or resampled. Take it out of its transform, or load the series again.",
                Cause.OTHER_DICOM_FILES,
            )
        found.append(headers[nearest])
    return found


def _corners(header: Dataset) -> NDArray[np.float64]:
    """(3 corners, 3) LPS mm: the centers of the first voxel, of the last one in its row, and of that in its column."""
    position = np.array(header.ImagePositionPatient, dtype=np.float64)
    directions = np.array(header.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    between_rows, between_columns = (float(step) for step in header.PixelSpacing)
    along_row = (int(header.Columns) - 1) * between_columns * directions[0]
    along_column = (int(header.Rows) - 1) * between_rows * directions[1]
    return np.stack([position, position + along_row, position + along_column])


def _header(path: Path) -> Dataset:
    """The header with empty elements where anonymization removed what DICOM requires."""
    try:
        image = pydicom.dcmread(path, stop_before_pixels=True)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise OutputError(
            f"{path.name}: the DICOM file cannot be read any more. Load the series again.", Cause.OTHER_DICOM_FILES
        ) from error
    for keyword in _MAY_BE_EMPTY:
        if keyword not in image:
            setattr(image, keyword, "")
    return image
