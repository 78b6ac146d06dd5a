"""PhysioNet CT-ICH: `ct_scans/NNN.nii`, `masks/NNN.nii` (0 and 255) and `hemorrhage_diagnosis_raw_ct.csv`.

Data: Hssayeni et al., Data 2020;5:14, doi 10.3390/data5010014 (registration needed). One exam a patient.
"""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.nifti_folder import read_label_mask
from ICHSegmenterLib.datasets.slices import SliceItem
from ICHSegmenterLib.datasets.sources import (
    BadFile,
    SeriesPlan,
    Source,
    axial_items,
    existing_file,
    existing_folder,
)
from ICHSegmenterLib.errors import TrainingDataError, VolumeError
from ICHSegmenterLib.volume.io import read_volume

CSV = "hemorrhage_diagnosis_raw_ct.csv"
SUBTYPE_COLUMNS = ("Epidural", "Intraparenchymal", "Intraventricular", "Subarachnoid", "Subdural")
"""In the order of `SUBTYPE_LABELS`."""
NUMBER_COLUMNS = ("PatientNumber", "SliceNumber")
NONE_COLUMN = "No_Hemorrhage"

Diagnoses = dict[int, dict[int, tuple[int, ...]]]


def source(folder: Path, *, allow_missing: bool) -> Source:
    """The exams of the data set.

    Raises:
        TrainingDataError: The CSV, the scans or the masks are absent, or labels have no scans.
    """
    diagnoses = read_diagnoses(existing_file(folder, CSV, what="the diagnosis of each slice"))
    scans, masks = existing_folder(folder, "ct_scans"), existing_folder(folder, "masks")
    plans, missing = [], []
    for patient, slices in sorted(diagnoses.items()):
        scan, mask = (_find(place, patient) for place in (scans, masks))
        if scan is None or mask is None:
            missing.append(f"{(scans if scan is None else masks).name}/{patient:03d}.nii")
        else:
            plans.append(SeriesPlan(f"{patient:03d}", f"{patient:03d}", len(slices), (scan, mask, slices)))
    if missing and (not allow_missing or not plans):
        raise TrainingDataError(
            f"{CSV} names {len(diagnoses)} patients, but {len(missing)} files are missing ({', '.join(missing[:3])}). "
            "Finish the download, or give --allow-missing to prepare what is there."
        )
    return Source(plans, partial(read_series), tuple(f"no file {name}" for name in missing))


def read_diagnoses(path: Path) -> Diagnoses:
    """Patient number, slice number (from 1) to six labels.

    Raises:
        TrainingDataError: Columns are missing, or a line is not whole numbers.
    """
    found: Diagnoses = {}
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
                patient, place = (int(line[names[name]]) for name in NUMBER_COLUMNS)
                subtypes = tuple(int(line[names[name]]) for name in SUBTYPE_COLUMNS)
                is_any = 1 - int(line[names[NONE_COLUMN]])
            except (TypeError, ValueError) as error:
                raise TrainingDataError(f"{path.name}, line {number}: not all whole numbers ({error}).") from error
            found.setdefault(patient, {})[place] = (*subtypes, is_any)
    return found


def read_series(plan: SeriesPlan) -> tuple[list[SliceItem], list[BadFile]]:
    """The slices of one exam in axial display; a file that cannot be read leaves the exam out.

    Raises:
        TrainingDataError: The mask lies on another grid, or the CSV has another number of slices than the scan.
    """
    scan, mask_file, slices = plan.files
    try:
        volume = read_volume(scan)
        mask = (read_label_mask(mask_file, volume) > 0).astype(np.uint8)
    except VolumeError as error:
        return [], [BadFile(scan.name, str(error))]
    labels = _labels(slices, mask, scan.name)
    return axial_items(plan, volume.hu, volume.geometry, mask, labels), []


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


def _find(folder: Path, patient: int) -> Path | None:
    names = (f"{patient:03d}.nii", f"{patient:03d}.nii.gz", f"{patient}.nii", f"{patient}.nii.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)
