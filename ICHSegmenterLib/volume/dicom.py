"""DICOM to `Volume`: a folder, nested folders, or one file of a series."""

from __future__ import annotations

from pathlib import Path

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom_files import FolderListing, list_dicom_files, read_header
from ICHSegmenterLib.volume.dicom_pixels import read_hu
from ICHSegmenterLib.volume.dicom_series import Series, SeriesSummary, choose_series, group_series, preferred
from ICHSegmenterLib.volume.dicom_slices import geometry_of, ordered, slices_of
from ICHSegmenterLib.volume.volume import Volume, VolumeSource


def list_series(folder: Path | str) -> list[SeriesSummary]:
    """Every series in a folder and the folders below it, those that are no CT scan included, with the reason."""
    return [item.summary for item in group_series(list_dicom_files(Path(folder)).files)]


def scans_in(folder: Path) -> list[SeriesSummary]:
    """The series of this folder alone (not below) that a batch should analyze: what `read_volume` would choose from.

    Raises:
        VolumeError: A DICOM file is broken.
    """
    every = group_series(list_dicom_files(folder, nested=False).files)
    return [item.summary for item in preferred([item for item in every if not item.summary.rejected])]


def read_dicom_folder(folder: Path, *, series_uid: str | None = None) -> Volume:
    """The head CT in a folder and the folders below it.

    Raises:
        VolumeError: No CT scan, several, or one that is broken.
    """
    series, warnings = choose_series(list_dicom_files(folder), series_uid=series_uid)
    return _read(series, warnings)


def read_dicom_file(path: Path) -> Volume:
    """The series that one file belongs to, from the file's folder; a multi-frame file alone."""
    file = read_header(path)
    if file is None:
        return read_dicom_folder(path.parent)
    if int(file.header.get("NumberOfFrames") or 1) > 1:
        listing = FolderListing((file,), 1)
    else:
        listing = list_dicom_files(path.parent, nested=False)
    series, warnings = choose_series(listing, series_uid=file.series_uid)
    return _read(series, warnings)


def _read(series: Series, warnings: tuple[str, ...]) -> Volume:
    slices = ordered([item for file in series.files for item in slices_of(file)])
    if len(slices) < 2:
        raise VolumeError("The series holds one slice; a head CT needs the whole stack. Export all its images.")
    header = series.files[0].header
    source = VolumeSource(
        format="DICOM",
        series_uid=series.summary.uid,
        study_uid=str(header.get("StudyInstanceUID", "")),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID", "")),
        kernel=series.summary.kernel,
        warnings=warnings,
        instance_uids=tuple(item.uid for item in slices),
    )
    return Volume(read_hu(slices), geometry_of(slices), source)
