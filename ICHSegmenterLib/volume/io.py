"""Reading CT volumes: DICOM folder or file, NIfTI, NRRD, MetaImage."""

from __future__ import annotations

from pathlib import Path

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom import list_series, read_dicom_file, read_dicom_folder
from ICHSegmenterLib.volume.dicom_files import is_dicom
from ICHSegmenterLib.volume.volume import Volume

__all__ = ["list_series", "read_volume"]


def read_volume(path: Path | str, *, series_uid: str | None = None) -> Volume:
    """A CT volume in Hounsfield units on its acquired grid.

    Raises:
        VolumeError: What is at `path` cannot be read as one CT volume; the message says why and what to do.
    """
    path = Path(path)
    if path.is_dir():
        return read_dicom_folder(path, series_uid=series_uid)
    if not path.exists():
        raise VolumeError(f"{path.name}: there is no such file or folder.")
    if is_dicom(path):
        return read_dicom_file(path)
    raise VolumeError(f"{path.name}: not a DICOM file, and no NIfTI, NRRD or MetaImage file by its name.")
