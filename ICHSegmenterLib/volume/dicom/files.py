"""DICOM files on disk: which files of a folder are DICOM, and their headers without pixels or patient data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.deflated import META_BYTES, check_inflated_size

READ_THREADS = min(8, os.cpu_count() or 1)
"""Files are read concurrently: hospital folders lie on network drives, where waiting dominates."""

Seen = Callable[[int], None]

DICOM_SUFFIXES = (".dcm", ".ima")
"""Only these names promise DICOM; most files from hospitals have no suffix at all."""

PREAMBLE_BYTES = 128
_BARE_STARTS = (b"\x02\x00", b"\x08\x00")  # files without preamble begin with group 0002 or 0008, little endian
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"

_TAGS: list[Any] = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "ImageType",
    "SeriesNumber",
    "InstanceNumber",
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentTime",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence",
    "ConvolutionKernel",
    "KVP",
    "SliceThickness",
    "LossyImageCompression",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PixelRepresentation",
    "BitsAllocated",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
"""All that is read of a header. Name, identifier and birth date of the patient are not among them, nor texts that
people type, such as SeriesDescription, where some sites write names."""

GROUPING_TAGS: tuple[str, ...] = (
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "ImageType",
    "SeriesNumber",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence",
    "ConvolutionKernel",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "NumberOfFrames",
    "SamplesPerPixel",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""The part of them by which files are grouped and a series is chosen; half as long to read."""


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One DICOM file and the part of its header that this program needs.

    Attributes:
        path: Where it lies. Messages show only its base name, since folders are often named after patients.
        header: The elements of `_TAGS` that the file has.
        has_pixels: False if the file ends with the header.
    """

    path: Path
    header: Dataset
    has_pixels: bool = True

    @property
    def sop_class(self) -> str:
        """SOPClassUID; that of the file's meta header if there is one, which survives truncation."""
        meta = getattr(self.header, "file_meta", None) or {}
        return str(meta.get("MediaStorageSOPClassUID", "") or self.header.get("SOPClassUID", ""))

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID."""
        return str(self.header.get("SeriesInstanceUID", ""))


@dataclass(frozen=True)
class FolderListing:
    """Content of a folder: DICOM files in order of their paths, and the number of all files."""

    files: tuple[DicomFile, ...]
    file_count: int


def is_dicom(path: Path) -> bool:
    """True if the file begins like DICOM: "DICM" after the preamble, or bare elements of group 0002 or 0008."""
    try:
        return _begins_like_dicom(_start_of(path))
    except OSError:
        return False


def list_dicom_files(folder: Path, *, nested: bool = True, progress: Seen = lambda files: None) -> FolderListing:
    """Headers of all DICOM files in a folder, and with `nested` in the folders below it.

    Args:
        folder: To search.
        nested: Below it too.
        progress: Called with the number of files seen, after each.

    Raises:
        VolumeError: The folder does not exist, or a DICOM file is broken.
    """
    paths = _files_in(folder, nested=nested)
    headers: list[DicomFile] = []
    with ThreadPoolExecutor(READ_THREADS) as pool:
        for seen, header in enumerate(pool.map(_read_if_dicom, paths), start=1):
            headers += [] if header is None else [header]
            progress(seen)
    return FolderListing(tuple(headers), len(paths))


def listing_of(paths: Sequence[Path]) -> FolderListing:
    """Headers of files that are known to be DICOM.

    Raises:
        VolumeError: One of them has gone, or is broken.
    """
    with ThreadPoolExecutor(READ_THREADS) as pool:
        headers = list(pool.map(_read_if_dicom, paths))
    gone = [path for path, header in zip(paths, headers, strict=True) if header is None]
    if gone:
        raise VolumeError(
            f"{base_names(gone)}: no DICOM file any more; it was moved or changed. Run again.", Cause.OUT_OF_REACH
        )
    return FolderListing(tuple(header for header in headers if header is not None), len(paths))


def read_header(path: Path, tags: Sequence[str] = tuple(_TAGS)) -> DicomFile | None:
    """The header of one DICOM file; None for a DICOMDIR, which only points at other files, or for no DICOM at all.

    Args:
        path: The file.
        tags: Keywords of the elements that are wanted, SOPClassUID and SeriesInstanceUID among them.

    Raises:
        VolumeError: The header is truncated or damaged.
    """
    return _read_header(path, _start_of(path), tags)


def _read_header(path: Path, start: bytes, tags: Sequence[str] = tuple(_TAGS)) -> DicomFile | None:
    whole = _has_preamble(start)
    if DeflatedExplicitVRLittleEndian.encode() in start:
        check_inflated_size(path)
    try:
        with path.open("rb") as file:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(tags))
            at_end = file.tell() >= os.fstat(file.fileno()).st_size
    except Exception as error:  # a damaged header fails in many ways, RecursionError and zlib.error among them
        if not whole:
            return None
        raise VolumeError(
            f"{path.name}: the DICOM header cannot be read; copy the file again.", Cause.DAMAGED_FILE
        ) from error
    drop_unreadable(header)
    drop_unreadable(header.file_meta)
    if header.file_meta.get("MediaStorageSOPClassUID") == _MEDIA_DIRECTORY:
        return None
    if "SOPClassUID" not in header or "SeriesInstanceUID" not in header:
        if not whole:
            return None
        raise VolumeError(
            f"{path.name}: the DICOM header ends too early; the file is truncated, copy it again.", Cause.DAMAGED_FILE
        )
    deflated = header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian  # read to its end at once
    return DicomFile(path, header, has_pixels=deflated or not at_end)


def _files_in(folder: Path, *, nested: bool) -> list[Path]:
    if not folder.is_dir():
        raise VolumeError(f"{folder.name}: there is no such folder.", Cause.OUT_OF_REACH)
    if not nested:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    files: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        files.extend(path for path in paths if path.is_file())  # a pipe would be waited for without end
    return files


def _read_if_dicom(path: Path) -> DicomFile | None:
    """The header of a file that begins like DICOM; a slice that may not be read must not silently be missing."""
    try:
        start = _start_of(path)
    except PermissionError as error:
        raise VolumeError(
            f"{path.name}: no right to read this file, which may be a slice. Copy the folder, or ask for the right.",
            Cause.OUT_OF_REACH,
        ) from error
    except OSError:  # a link to nowhere and the like
        start = b""
    if _begins_like_dicom(start):
        return _read_header(path, start)
    if path.suffix.lower() in DICOM_SUFFIXES:
        raise VolumeError(
            f"{path.name}: the file is named like DICOM but is not; it is empty or damaged, copy it again.",
            Cause.DAMAGED_FILE,
        )
    return None


def drop_unreadable(header: Dataset) -> None:
    """Remove elements whose value makes no sense, such as a number that is text: as good as absent."""
    for tag in list(header.keys()):
        try:
            header[tag]
        except Exception:  # as above
            del header[tag]


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(META_BYTES)


def _begins_like_dicom(start: bytes) -> bool:
    return _has_preamble(start) or (start[:2] in _BARE_STARTS and len(start) > 8 and start[3] == 0)


def _has_preamble(start: bytes) -> bool:
    return start[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM"


def base_names(files: Iterable[Path], *, at_most: int = 3) -> str:
    """Names for a message: `a.dcm, b.dcm, c.dcm and 4 more`."""
    names = [path.name for path in files]
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
