"""DICOM series: grouping of files, what each series is, and which one is the head CT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.files import DicomFile, FolderListing
from ICHSegmenterLib.volume.dicom.frames import count_of, frames_of, look_up, number_of, text_of, values_of
from ICHSegmenterLib.volume.dicom.slices import SAME_POSITION_MM, has_contrast
from ICHSegmenterLib.volume.kernels import is_sharp_kernel
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning, series_words

MIN_SERIES_SLICES = 3
"""A series of fewer images is a localizer, a dose page or a single picture, not a scan."""

_CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image Storage
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image Storage
}
_CAPTURE_CLASSES = "1.2.840.10008.5.1.4.1.1.7"
_LOCALIZER_WORDS = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"}
_SCREEN_WORDS = {"SCREEN SAVE", "SCREEN_SAVE", "DOSE", "DOSE_INFO", "PROTOCOL"}


@dataclass(frozen=True)
class SeriesSummary:
    """One series of a folder, for choosing; nothing of the patient.

    SeriesDescription and other free text is not read: people type anything there, names of patients included.

    Attributes:
        uid: SeriesInstanceUID: what `--series` takes.
        number: SeriesNumber, 0 if unknown.
        modality: "CT", "MR", ...
        slices: Images that can be slices (localizers and captures not counted).
        plane: "axial", "coronal", "sagittal", or empty if unknown.
        kernel: Reconstruction kernel, empty if unknown.
        thickness_mm: Nominal slice thickness, 0 if unknown.
        step_mm: Usual distance between slices, 0 if unknown.
        has_contrast: Made with contrast agent.
        rejected: Why it is no CT scan, empty if it may be one.
    """

    uid: str
    number: int
    modality: str
    slices: int
    plane: str
    kernel: str
    thickness_mm: float
    step_mm: float
    has_contrast: bool
    rejected: str

    def __str__(self) -> str:
        return series_words(asdict(self))


class SeveralSeriesError(VolumeError):
    """Several series could be the head CT; one must be chosen by its UID.

    Attributes:
        series: The summaries of those that could be, in order of series number.
    """

    def __init__(self, message: str, series: Sequence[SeriesSummary]) -> None:
        super().__init__(message, Cause.SEVERAL_SERIES)
        self.series = tuple(series)


@dataclass(frozen=True, eq=False)
class Series:
    """Files of one SeriesInstanceUID that are slices, and the summary."""

    summary: SeriesSummary
    files: tuple[DicomFile, ...]


def group_series(files: Sequence[DicomFile]) -> list[Series]:
    """One `Series` for each SeriesInstanceUID, in order of series number, then UID."""
    by_uid: dict[str, list[DicomFile]] = {}
    for file in files:
        by_uid.setdefault(file.series_uid, []).append(file)
    series = [_series(uid, members) for uid, members in by_uid.items()]
    return sorted(series, key=lambda item: (item.summary.number, item.summary.uid))


def choose_series(listing: FolderListing, *, series_uid: str | None) -> tuple[Series, tuple[ReaderWarning, ...]]:
    """The series to read, and warnings about those left out.

    With `series_uid` that one. Otherwise the only one left after dropping, in this order and only as long as
    something remains: what is no CT scan, coronal and sagittal reformats, sharp (bone, lung) kernels.

    Raises:
        SeveralSeriesError: Several remain.
        VolumeError: Nothing is a CT scan, or there is no such series.
    """
    every = group_series(listing.files)
    if not every:
        raise VolumeError(_nothing_found(listing), Cause.NO_CT)
    if series_uid is not None:
        return _named_series(every, series_uid), ()
    scans = [item for item in every if not item.summary.rejected]
    if not scans:
        raise VolumeError(
            f"No CT scan among {listing.file_count} files, {len(listing.files)} of them DICOM: {_listed(every)}. "
            "Export the original slices of the head CT.",
            Cause.NO_CT,
        )
    remaining = preferred(scans)
    if len(remaining) > 1:
        raise SeveralSeriesError(
            f"{len(remaining)} series could be the head CT: {_listed(remaining, uids=True)}. "
            "Choose one with --series and its UID.",
            [item.summary for item in remaining],
        )
    left_out = [item for item in scans if item is not remaining[0]]
    if not left_out:
        return remaining[0], ()
    read, *others = ({**asdict(item.summary), "uid": ""} for item in (remaining[0], *left_out))
    return remaining[0], (ReaderWarning(ReaderCode.OTHER_SERIES, {"series": read, "others": others}),)


def _nothing_found(listing: FolderListing) -> str:
    if not listing.file_count:
        return "The folder is empty. Choose the folder that holds the DICOM files of the head CT."
    return (
        f"No DICOM images: the folder holds {listing.file_count} files, 0 of them DICOM. "
        "Choose the folder of the head CT; give a NIfTI, NRRD or MHA file by its own name."
    )


def _named_series(every: Sequence[Series], series_uid: str) -> Series:
    for item in every:
        if item.summary.uid == series_uid:
            if not item.files:
                raise VolumeError(
                    f"The chosen series is no CT scan: {item.summary}. Choose another one.", Cause.WRONG_SERIES
                )
            return item
    raise VolumeError(f"There is no series {series_uid}. Found: {_listed(every, uids=True)}.", Cause.WRONG_SERIES)


def preferred(scans: list[Series]) -> list[Series]:
    """Axial ones if there are any, and of these the ones without a sharp kernel if there are any."""
    axial = [item for item in scans if item.summary.plane in ("axial", "")] or scans
    soft = [item for item in axial if not is_sharp_kernel(item.summary.kernel)]
    return soft or axial


def _listed(series: Sequence[Series], *, uids: bool = False) -> str:
    return "; ".join(f"{item.summary}, UID {item.summary.uid}" if uids else str(item.summary) for item in series)


def _series(uid: str, members: list[DicomFile]) -> Series:
    reasons = [_why_no_slice(file) for file in members]
    files = tuple(file for file, reason in zip(members, reasons, strict=True) if not reason)
    header = (files or members)[0].header
    places = frames_of(header)[0]
    slices = sum(count_of(file.header.get("NumberOfFrames"), default=1) for file in files)
    rejected = "" if files else next(reason for reason in reasons if reason)
    if files and slices < MIN_SERIES_SLICES:
        rejected = "too few slices"
    summary = SeriesSummary(
        uid=uid,
        number=count_of(header.get("SeriesNumber")),
        modality=text_of(header.get("Modality")),
        slices=slices,
        plane=_plane(places),
        kernel=text_of(look_up(places, "ConvolutionKernel")),
        thickness_mm=number_of(look_up(places, "SliceThickness")) or 0.0,
        step_mm=_step_mm(files),
        has_contrast=has_contrast(header),
        rejected=rejected,
    )
    return Series(summary, files)


def _why_no_slice(file: DicomFile) -> str:
    """Why a file is not a CT slice; empty if it is one."""
    header = file.header
    sop_class, modality = file.sop_class, text_of(header.get("Modality"))
    words = {str(word).upper() for word in values_of(header.get("ImageType"))}
    if sop_class.startswith(_CAPTURE_CLASSES) or words & _SCREEN_WORDS:
        return "screen capture"
    if sop_class in _CT_CLASSES and not file.has_pixels:
        raise VolumeError(
            f"{file.path.name}: there is no pixel data; the file is truncated, or only its header was exported. "
            "Copy it again, or remove it.",
            Cause.DAMAGED_FILE,
        )
    if "Rows" not in header:
        return "no images"
    if modality != "CT":
        return f"modality {modality or 'unknown'}, not CT"
    if words & _LOCALIZER_WORDS:
        return "localizer"
    if count_of(header.get("SamplesPerPixel"), default=1) != 1:
        return "color pictures"
    return ""


def _plane(places: Sequence[Dataset]) -> str:
    normal = _normal(places)
    return "" if normal is None else ("sagittal", "coronal", "axial")[int(np.abs(normal).argmax())]


def _normal(places: Sequence[Dataset]) -> NDArray[np.float64] | None:
    cosines = _numbers(look_up(places, "ImageOrientationPatient"))
    return np.asarray(np.cross(cosines[:3], cosines[3:])) if len(cosines) == 6 else None


def _step_mm(files: Sequence[DicomFile]) -> float:
    """Median distance of neighbors along the normal; 0 if fewer than two slices have a place."""
    every = [places for file in files for places in frames_of(file.header)]
    normal = _normal(every[0]) if len(every) > 1 else None
    if normal is None:
        return 0.0
    points = [point for places in every if len(point := _numbers(look_up(places, "ImagePositionPatient"))) == 3]
    steps = np.diff(np.sort([float(point @ normal) for point in points]))
    steps = steps[steps > SAME_POSITION_MM]
    return float(np.median(steps)) if len(steps) else 0.0


def _numbers(value: Any) -> NDArray[np.float64]:
    """The values that are numbers."""
    numbers = [number_of(one) for one in values_of(value)]
    return np.array([number for number in numbers if number is not None], dtype=np.float64)
