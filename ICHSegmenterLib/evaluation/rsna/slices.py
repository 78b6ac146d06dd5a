"""The slices of an RSNA 2019 folder in the authors' order, which is that of their meta files."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from ICHSegmenterLib.errors import VolumeError


@dataclass(frozen=True)
class RsnaSlice:
    """One image of the competition.

    Attributes:
        slice_id: "ID_" and hexadecimal digits: SOPInstanceUID, which is also the name of the file.
        series_uid: As RSNA renamed it.
        position: ImagePositionPatient, LPS mm.
        path: Its file.
    """

    slice_id: str
    series_uid: str
    position: tuple[float, float, float]
    path: Path


def rsna_slices(folder: Path) -> list[RsnaSlice]:
    """All slices of a folder, sorted by series, then x, y and z: z decides only where x and y are equal.

    The authors' order; where y changes from slice to slice it may run from the top to the bottom. The place in the
    list is the row of the meta file. For slices in true order read the series with `read_volume`.

    Raises:
        VolumeError: A file has no position, or there is no DICOM file.
    """
    slices = []
    for path in sorted(folder.glob("*.dcm")):
        try:
            slices.append(rsna_slice(path))
        except (AttributeError, InvalidDicomError, TypeError, ValueError) as error:
            raise VolumeError(f"{path.name}: is no DICOM slice with a position ({error}).") from error
    if not slices:
        raise VolumeError(f"{folder} holds no .dcm file. Choose the folder with the competition's images.")
    return sorted(slices, key=lambda one: (one.series_uid, *one.position))


def rsna_slice(path: Path) -> RsnaSlice:
    """One file by its header."""
    tags = ["SOPInstanceUID", "SeriesInstanceUID", "ImagePositionPatient"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Invalid value for VR UI")  # RSNA renamed all UIDs to ID_ and digits
        header = pydicom.dcmread(path, specific_tags=tags)
        x, y, z = (float(value) for value in header.ImagePositionPatient)
        return RsnaSlice(str(header.SOPInstanceUID), str(header.SeriesInstanceUID), (x, y, z), path)
