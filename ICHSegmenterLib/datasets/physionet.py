"""PhysioNet CT-ICH: `ct_scans/NNN.nii`, `masks/NNN.nii` (0 and 255) and `hemorrhage_diagnosis_raw_ct.csv`.

Data: Hssayeni et al., Data 2020;5:14, doi 10.3390/data5010014 (registration needed). One exam a patient.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.brain_masks import AUTHORS_FOLDER
from ICHSegmenterLib.datasets.case import Case, split_labels
from ICHSegmenterLib.datasets.nifti_folder import read_label_mask
from ICHSegmenterLib.datasets.sources import (
    BadFile,
    ReadOptions,
    SeriesContent,
    SeriesPlan,
    Source,
    axial_items,
    existing_file,
    existing_folder,
)
from ICHSegmenterLib.errors import TrainingDataError, VolumeError
from ICHSegmenterLib.files import replacing, typed_reader
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.volume.exam_name import exam_name
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume

if TYPE_CHECKING:
    from ICHSegmenterLib.synthesis.exam import SyntheticExam

HAS_SUBTYPE_MASKS = False
SCANS, MASKS = "ct_scans", "masks"
CSV = "hemorrhage_diagnosis_raw_ct.csv"
COLUMNS = {
    "Intraventricular": "IVH",
    "Intraparenchymal": "IPH",
    "Subarachnoid": "SAH",
    "Epidural": "EDH",
    "Subdural": "SDH",
}
"""Columns of the diagnosis table in its order, and the subtypes that they stand for."""
SUBTYPE_COLUMNS = tuple(sorted(COLUMNS, key=lambda column: SUBTYPE_LABELS.index(COLUMNS[column])))
"""In the order of `SUBTYPE_LABELS`."""
NUMBER_COLUMNS = ("PatientNumber", "SliceNumber")
NONE_COLUMN, FRACTURE_COLUMN = "No_Hemorrhage", "Fracture_Yes_No"
MASK_VALUE = 255

Diagnoses = dict[int, dict[int, tuple[int, ...]]]


@dataclass(frozen=True)
class PhysionetPlan(SeriesPlan):
    """One scan, its mask, and the six labels of each of its slices, which are numbered from 1."""

    scan: Path
    mask: Path
    labels: dict[int, tuple[int, ...]]


def source(folder: Path, options: ReadOptions) -> Source[PhysionetPlan]:
    """The exams of the data set.

    Raises:
        TrainingDataError: The CSV, the scans or the masks are absent, or labels have no scans.
    """
    diagnoses = read_diagnoses(existing_file(folder, CSV, what="the diagnosis of each slice"))
    scans, masks = existing_folder(folder, SCANS), existing_folder(folder, MASKS)
    plans, missing = [], []
    for patient, labels in sorted(diagnoses.items()):
        scan, mask = _file_of(scans, patient), _file_of(masks, patient)
        if scan is None or mask is None:
            missing.append(f"{(scans if scan is None else masks).name}/{patient:03d}.nii")
        else:
            plans.append(PhysionetPlan(f"{patient:03d}", f"{patient:03d}", len(labels), scan, mask, labels))
    if missing and (not options.allow_missing or not plans):
        raise TrainingDataError(
            f"{CSV} names {len(diagnoses)} patients, but {len(missing)} files are missing ({', '.join(missing[:3])}). "
            "Finish the download, or give --allow-missing to prepare what is there."
        )
    return Source(plans, read_series, tuple(f"no file {name}" for name in missing))


@typed_reader(TrainingDataError)
def read_diagnoses(path: Path) -> Diagnoses:
    """Patient number, slice number (from 1) to six labels.

    Raises:
        TrainingDataError: Columns are missing, or a line is not whole numbers.
    """
    diagnoses: Diagnoses = {}
    with path.open(newline="", encoding="utf-8-sig") as stream:
        lines = csv.DictReader(stream)
        names = {name.strip(): name for name in lines.fieldnames or ()}
        absent = [name for name in (*NUMBER_COLUMNS, *SUBTYPE_COLUMNS, NONE_COLUMN) if name not in names]
        if absent:
            raise TrainingDataError(
                f"{path.name}: no column {', '.join(absent)}; found {', '.join(names) or 'nothing'}."
            )
        for number, line in enumerate(lines, start=2):
            try:
                patient, slice_number = (int(line[names[name]]) for name in NUMBER_COLUMNS)
                subtypes = tuple(int(line[names[name]]) for name in SUBTYPE_COLUMNS)
                is_any = 1 - int(line[names[NONE_COLUMN]])
            except (TypeError, ValueError) as error:
                raise TrainingDataError(f"{path.name}, line {number}: not all whole numbers ({error}).") from error
            diagnoses.setdefault(patient, {})[slice_number] = (*subtypes, is_any)
    return diagnoses


def read_series(plan: PhysionetPlan) -> SeriesContent:
    """The slices of one exam in axial display; a file that cannot be read or does not fit leaves the exam out.

    Raises:
        TrainingDataError: The CSV has another number of slices than the scan, so its labels may be of other scans.
    """
    try:
        volume = read_volume(plan.scan)
        mask = (read_label_mask(plan.mask, volume) > 0).astype(np.uint8)
    except (VolumeError, TrainingDataError) as error:  # one bad file must not stop a night's preparation
        return SeriesContent(bad_files=[BadFile(plan.scan.name, str(error))])
    labels = _labels(plan.labels, mask, plan.scan.name)
    try:
        return SeriesContent(axial_items(plan, volume.hu, volume.geometry, mask, labels))
    except TrainingDataError as error:  # sagittal or coronal slices
        return SeriesContent(bad_files=[BadFile(plan.scan.name, str(error))])


def cases(folder: Path, cache: Path) -> list[Case]:
    """The exams of the data set with their masks and the labels of their slices."""
    return [_case(plan) for plan in source(folder, ReadOptions(cache)).plans]


def write(exams: Iterable[SyntheticExam], folder: Path) -> int:
    """Write scans, masks (0, 255), brain masks as HGI-SAM's authors name them, and the diagnosis table.

    Rows run to anterior, columns to the left and slices upwards, as in the real set ("LAS").

    Returns:
        The number of exams.
    """
    for name in (SCANS, MASKS, AUTHORS_FOLDER):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[int, ...]] = []
    count = 0
    for count, exam in enumerate(exams, start=1):
        geometry, name = _rows_to_anterior(exam.volume.geometry), f"{count:03d}"
        masks = ((exam.labelmap > 0) * MASK_VALUE).astype(np.uint8)
        for values, path in (
            (exam.volume.hu.astype(np.int16), folder / SCANS / f"{name}.nii"),
            (masks, folder / MASKS / f"{name}.nii"),
            (exam.brain_mask.astype(np.uint8), folder / AUTHORS_FOLDER / f"{name}_mask.nii.gz"),
        ):
            write_nifti(np.ascontiguousarray(values[:, ::-1]), geometry, path)
        for slice_number, labels in enumerate(exam.slice_labels, start=1):
            subtypes = [int(labels[SUBTYPE_LABELS.index(key)]) for key in COLUMNS.values()]
            rows.append((count, slice_number, *subtypes, 1 - int(labels[-1]), 0))
    with replacing(folder / CSV) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow((*NUMBER_COLUMNS, *COLUMNS, NONE_COLUMN, FRACTURE_COLUMN))
        writer.writerows(rows)
    return count


def _rows_to_anterior(geometry: VolumeGeometry) -> VolumeGeometry:
    """The geometry of the array with its rows in reverse; synthetic exams have rows that run to posterior."""
    last_row = geometry.row_step * (geometry.shape[1] - 1)
    return VolumeGeometry(geometry.shape, geometry.column_step, -geometry.row_step, geometry.slice_origins + last_row)


def _case(plan: PhysionetPlan) -> Case:
    any_blood, subtypes = split_labels([plan.labels[number] for number in sorted(plan.labels)])
    return Case(exam_name("", plan.scan), plan.patient, (plan.scan,), plan.mask, any_blood, subtypes)


def _labels(slices: dict[int, tuple[int, ...]], mask: NDArray[np.uint8], name: str) -> NDArray[np.int64]:
    """(slices, 6); a slice with an outline bleeds, whatever the CSV says."""
    if sorted(slices) != list(range(1, len(mask) + 1)):
        raise TrainingDataError(
            f"{name}: the scan has {len(mask)} slices, {CSV} describes slices {min(slices)} to {max(slices)} "
            f"({len(slices)} of them). Are both of the same release?"
        )
    labels = np.array([slices[number] for number in range(1, len(mask) + 1)], dtype=np.int64)
    labels[mask.any(axis=(1, 2)), -1] = 1
    return labels


def _file_of(folder: Path, patient: int) -> Path | None:
    names = (f"{patient:03d}.nii", f"{patient:03d}.nii.gz", f"{patient}.nii", f"{patient}.nii.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)
