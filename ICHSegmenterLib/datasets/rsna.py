"""RSNA 2019 stage 2: `stage_2_train/ID_*.dcm` and `stage_2_train.csv` with six rows for each image.

Data: Flanders et al., Radiology: AI 2020, doi 10.1148/ryai.2020190211 (non-commercial terms).
"""

from __future__ import annotations

import csv
import hashlib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom

from ICHSegmenterLib.datasets.case import Case, split_labels
from ICHSegmenterLib.datasets.rsna_headers import Header, read_headers
from ICHSegmenterLib.datasets.slices import SliceItem
from ICHSegmenterLib.datasets.sources import (
    BadFile,
    ReadOptions,
    SeriesContent,
    SeriesPlan,
    Source,
    existing_file,
    existing_folder,
)
from ICHSegmenterLib.errors import TrainingDataError, VolumeError
from ICHSegmenterLib.files import replacing, typed_reader
from ICHSegmenterLib.labels import SUBTYPE_LABELS, HemorrhageSubtype
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.dicom.pixels import read_stored_values
from ICHSegmenterLib.volume.exam_name import exam_name
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.hounsfield import with_air_for_padding

if TYPE_CHECKING:
    from ICHSegmenterLib.synthesis.exam import SyntheticExam

HAS_SUBTYPE_MASKS = True
"""There are no masks at all, which training says itself."""
IMAGES, CSV = ("stage_2_train", "stage_2_train_images"), "stage_2_train.csv"
_COLUMN_OF = {subtype.value: column for column, subtype in enumerate(HemorrhageSubtype)}

Labels = tuple[int, ...]
"""Six of a slice, in the order of `SUBTYPE_LABELS`: 1, 0 or `UNKNOWN`."""


@dataclass(frozen=True)
class RsnaPlan(SeriesPlan):
    """The files of one series, lowest slice first, with the labels of each; or a file whose header is unreadable."""

    files: tuple[tuple[Header, Labels], ...] = ()
    bad_file: BadFile | None = None


def source(folder: Path, options: ReadOptions) -> Source[RsnaPlan]:
    """The series of the training images.

    Raises:
        TrainingDataError: The CSV or the images are absent, or labels have no files.
    """
    labels = read_labels(existing_file(folder, CSV, what="the labels"))
    images = existing_folder(folder, *IMAGES)
    names = dicom_names(images)
    present = {Path(name).stem for name in names}
    missing = sorted(set(labels) - present)
    if missing and (not options.allow_missing or len(missing) == len(labels)):
        raise TrainingDataError(
            f"{len(missing)} of {len(labels)} labeled images have no file in {images} ({', '.join(missing[:3])} ...). "
            "Finish the download, or give --allow-missing to prepare what is there."
        )
    labeled = [name for name in names if Path(name).stem in labels]
    notes = [f"{len(missing)} labels have no file"] * bool(missing)
    notes += [f"{len(names) - len(labeled)} files have no label and are left out"] * (len(labeled) < len(names))
    return Source(plan_series(images, labeled, labels, options), partial(read_series, images), tuple(notes))


@typed_reader(TrainingDataError)
def read_labels(path: Path) -> dict[str, Labels]:
    """Image id to six labels in the order of `SUBTYPE_LABELS`; rows that stand twice count once.

    Raises:
        TrainingDataError: Other columns, a row that cannot be read, or rows of one image that contradict each other.
    """
    labels: dict[str, list[int | None]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        lines = csv.reader(stream)
        header = next(lines, [])
        if header != ["ID", "Label"]:
            raise TrainingDataError(
                f"{path.name}: expected the columns ID,Label, found {','.join(header) or 'nothing'}."
            )
        for number, line in enumerate(lines, start=2):
            image, _, kind = line[0].rpartition("_")
            if kind not in _COLUMN_OF or line[1] not in ("0", "1"):
                raise TrainingDataError(f"{path.name}, line {number}: {','.join(line)} is no ID_image_subtype,0 or 1.")
            values = labels.setdefault(image, [None] * len(SUBTYPE_LABELS))
            column = _COLUMN_OF[kind]
            if values[column] not in (None, int(line[1])):
                raise TrainingDataError(f"{path.name}, line {number}: {line[0]} was labeled otherwise before.")
            values[column] = int(line[1])
    incomplete = next((image for image, values in labels.items() if None in values), None)
    if incomplete is not None:
        raise TrainingDataError(f"{path.name}: {incomplete} does not have all six labels; the file is incomplete.")
    return {image: tuple(int(value or 0) for value in values) for image, values in labels.items()}


def dicom_names(images: Path) -> list[str]:
    """Names of the DICOM files in a folder, in their order."""
    return sorted(path.name for path in images.iterdir() if path.suffix.lower() == ".dcm")


def plan_series(images: Path, names: list[str], labels: Mapping[str, Labels], options: ReadOptions) -> list[RsnaPlan]:
    """Files grouped into series by their headers; each unreadable one is a plan of its own.

    Raises:
        TrainingDataError: A series belongs to several patients.
    """
    headers, bad_files = read_headers(images, names, options)
    unreadable = [RsnaPlan("", f"unreadable-{number:06d}", 0, (), bad) for number, bad in enumerate(bad_files)]
    return _plans(headers, labels) + unreadable


def read_series(images: Path, plan: RsnaPlan) -> SeriesContent:
    """The slices of one series in axial display, lowest first, and the files that could not be read."""
    if plan.bad_file is not None:
        return SeriesContent(bad_files=[plan.bad_file])
    content = SeriesContent()
    for number, (header, labels) in enumerate(plan.files):
        try:
            content.items.append(_read(images / header.name, header, number, labels))
        except VolumeError as error:
            content.bad_files.append(BadFile(header.name, str(error)))
    return content


def cases(folder: Path, cache: Path) -> list[Case]:
    """The series with the labels of their slices; files that cannot be read are no slices of any."""
    images = existing_folder(folder, *IMAGES)
    return [_case(plan, images) for plan in source(folder, ReadOptions(cache)).plans if plan.files]


def write(exams: Iterable[SyntheticExam], folder: Path) -> int:
    """Write `stage_2_train/ID_*.dcm` and the CSV of six rows for each image; returns the number of exams."""
    from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series

    images = folder / IMAGES[0]
    images.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, int]] = []
    count = 0
    for number, exam in enumerate(exams):
        series = images / f".{number}"
        paths = write_dicom_series(exam.volume, series, seed=exam.seed, description="Synthetic head CT")
        patient, study, series_id = (
            "ID_" + _identifier(exam.seed, number, what) for what in ("patient", "study", "series")
        )
        for index, (path, labels) in enumerate(zip(paths, exam.slice_labels, strict=True)):
            name = "ID_" + _identifier(exam.seed, number, index)
            _save_renamed(path, images / f"{name}.dcm", name, (patient, study, series_id))
            path.unlink()
            rows += [(f"{name}_{kind}", int(value)) for kind, value in zip(_COLUMN_OF, labels, strict=True)]
        series.rmdir()
        count += 1
    with replacing(folder / CSV) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("ID", "Label"))
        writer.writerows(rows)
    return count


def _save_renamed(path: Path, target: Path, name: str, owner: tuple[str, str, str]) -> None:
    """The image under RSNA's names, which are no UIDs: file, image, study and series are all called ID_ and digits."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Invalid value for VR UI")
        file = pydicom.dcmread(path)
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = name
        file.PatientID, file.StudyInstanceUID, file.SeriesInstanceUID = owner
        file.PatientName = ""
        file.save_as(target, enforce_file_format=True)


def _case(plan: RsnaPlan, images: Path) -> Case:
    files = tuple(images / header.name for header, _ in plan.files)
    any_blood, subtypes = split_labels([labels for _, labels in plan.files])
    return Case(exam_name(plan.series, images), plan.patient, files, None, any_blood, subtypes)


def _read(path: Path, header: Header, number: int, labels: Labels) -> SliceItem:
    stored = read_stored_values(path)[0]
    hu = with_air_for_padding(stored.astype(np.float32) * np.float32(header.rescale[0]) + np.float32(header.rescale[1]))
    cosines = np.array(header.orientation)
    geometry = VolumeGeometry(
        (1, *stored.shape), cosines[:3] * header.spacing[1], cosines[3:] * header.spacing[0], np.zeros((1, 3))
    )
    view = AxialView.of(geometry)
    turned = np.ascontiguousarray(view.apply_to_slices(np.rint(hu).astype(np.int16)))
    spacing = header.spacing if view.axes[1] == 1 else header.spacing[::-1]
    window = (header.window[0], header.window[1])
    return SliceItem(
        path.stem,
        header.patient,
        header.series,
        number,
        turned,
        None,
        labels,
        (spacing[0], spacing[1]),
        window,
        header.position,
    )


def _plans(headers: list[Header], labels: Mapping[str, Labels]) -> list[RsnaPlan]:
    of_series: dict[str, list[Header]] = {}
    for header in headers:
        of_series.setdefault(header.series, []).append(header)
    plans = []
    for series, several in sorted(of_series.items()):
        patients = {header.patient for header in several}
        if len(patients) > 1:
            raise TrainingDataError(f"Series {series} belongs to several patients ({', '.join(sorted(patients))}).")
        ordered = sorted(several, key=lambda header: (header.position, header.name))
        files = tuple((header, labels[Path(header.name).stem]) for header in ordered)
        plans.append(RsnaPlan(several[0].patient, series, len(files), files))
    return plans


def _identifier(*parts: object) -> str:
    """Nine hexadecimal digits, as RSNA's."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:9]
