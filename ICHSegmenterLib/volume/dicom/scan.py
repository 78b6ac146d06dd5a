"""DICOM to `Volume`: a folder, nested folders, or one file of a series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ICHSegmenterLib.errors import ICHSegmenterError, VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.files import FolderListing, list_dicom_files, listing_of, read_header
from ICHSegmenterLib.volume.dicom.frames import count_of, text_of
from ICHSegmenterLib.volume.dicom.pixels import padding_is_tissue, read_hu
from ICHSegmenterLib.volume.dicom.series import Series, SeriesSummary, choose_series, group_series, preferred
from ICHSegmenterLib.volume.dicom.slices import DicomSlice, has_contrast, slices_of
from ICHSegmenterLib.volume.dicom.stack import geometry_of, stack
from ICHSegmenterLib.volume.hounsfield import HIGHEST_LOW_HU
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning
from ICHSegmenterLib.volume.volume import Volume, VolumeSource


def list_series(folder: Path | str) -> list[SeriesSummary]:
    """Every series in a folder and the folders below it, those that are no CT scan included, with the reason."""
    with _sensible_headers():
        return [item.summary for item in group_series(list_dicom_files(Path(folder)).files)]


def scans_in(folder: Path, *, all_series: bool = False) -> list[Series]:
    """The series of this folder alone (not below) that a batch should analyze: what `read_volume` would choose from.

    Args:
        folder: Of DICOM files, perhaps among others.
        all_series: Every CT scan, also those that others are preferred to.

    Raises:
        VolumeError: A DICOM file is broken.
    """
    with _sensible_headers():
        every = group_series(list_dicom_files(folder, nested=False).files)
    scans = [item for item in every if not item.summary.rejected]
    return scans if all_series else preferred(scans)


def read_dicom_series(files: Sequence[Path], series_uid: str) -> Volume:
    """A series whose files are known; no other header is read.

    Raises:
        VolumeError: A file has gone, or the series is no CT scan or broken.
    """
    return _chosen(listing_of(files), series_uid)


def read_dicom_folder(folder: Path, *, series_uid: str | None = None) -> Volume:
    """The head CT in a folder and the folders below it.

    Raises:
        VolumeError: No CT scan, several, or one that is broken.
    """
    return _chosen(list_dicom_files(folder), series_uid)


def read_dicom_file(path: Path, *, series_uid: str | None = None) -> Volume:
    """The series that one file belongs to, from the file's folder; a multi-frame file alone; a DICOMDIR's folder.

    Raises:
        VolumeError: The series is no CT scan, is broken, or is not `series_uid`.
    """
    file = read_header(path)
    if file is None:
        return read_dicom_folder(path.parent, series_uid=series_uid)
    if count_of(file.header.get("NumberOfFrames"), default=1) > 1:
        listing = FolderListing((file,), 1)
    else:
        listing = list_dicom_files(path.parent, nested=False)
    return _chosen(listing, series_uid or file.series_uid)


def _chosen(listing: FolderListing, series_uid: str | None) -> Volume:
    with _sensible_headers():
        series, warnings = choose_series(listing, series_uid=series_uid)
        return _read(series, warnings)


@contextmanager
def _sensible_headers() -> Iterator[None]:
    """Elements of any type and size can stand in a header; arithmetic with them may fail in any way."""
    try:
        yield
    except (ICHSegmenterError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # without a number it is pydicom's, of a sequence
            raise
        raise VolumeError(
            f"The DICOM headers make no sense ({type(error).__name__}); the files are damaged. Copy them again.",
            Cause.DAMAGED_FILE,
        ) from error


def _read(series: Series, warnings: Sequence[ReaderWarning]) -> Volume:
    slices, stack_warnings = stack([item for file in series.files for item in slices_of(file)])
    if len(slices) < 2:
        raise VolumeError(
            "The series holds one slice; a head CT needs the whole stack. Export all its images.", Cause.SINGLE_SLICE
        )
    hu = read_hu(slices)
    header = series.files[0].header
    codes = (_rescale(slices, hu), _padding(slices), _contrast(header), _loss(header))
    source = VolumeSource(
        format="DICOM",
        series_uid=series.summary.uid,
        series_number=series.summary.number,
        study_uid=str(header.get("StudyInstanceUID", "")),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID", "")),
        kernel=series.summary.kernel,
        reader_warnings=(*warnings, *stack_warnings, *(ReaderWarning(code) for code in codes if code is not None)),
        instance_uids=tuple(item.uid for item in slices),
        has_contrast_agent=has_contrast(header),
    )
    return Volume(hu, geometry_of(slices), source)


def _rescale(slices: Sequence[DicomSlice], hu: NDArray[np.float32]) -> ReaderCode | None:
    """A warning if the files do not say how stored values become HU, but look like HU.

    Raises:
        VolumeError: The values are no Hounsfield units.
    """
    for item in slices:
        if item.rescale_type and item.rescale_type not in ("HU", "US") and not item.rescale_type.startswith("HU_"):
            raise VolumeError(
                f"{item.path.name}: the values are of type {item.rescale_type}, not Hounsfield units "
                "(a material map?). Choose the ordinary CT series.",
                Cause.NOT_HOUNSFIELD,
            )
    without = [item for item in slices if item.slope is None or item.intercept is None]
    if not without:
        return None
    lowest, highest = float(hu.min()), float(hu.max())
    if len(without) < len(slices) or lowest >= HIGHEST_LOW_HU:
        raise VolumeError(
            f"{without[0].path.name}: RescaleSlope and RescaleIntercept are missing, and values span {lowest:.0f} to "
            f"{highest:.0f}, not Hounsfield units. Export the original CT images.",
            Cause.NOT_HOUNSFIELD,
        )
    return ReaderCode.NO_RESCALE


def _padding(slices: Sequence[DicomSlice]) -> ReaderCode | None:
    return ReaderCode.PADDING_IN_TISSUE if any(padding_is_tissue(item) for item in slices) else None


def _contrast(header: Dataset) -> ReaderCode | None:
    return ReaderCode.CONTRAST_AGENT if has_contrast(header) else None


def _loss(header: Dataset) -> ReaderCode | None:
    return ReaderCode.LOSSY if text_of(header.get("LossyImageCompression")) == "01" else None
