"""Synthetic exams as the public data sets are laid out, so that training reads them with the real loaders.

RSNA 2019 stage 2: `stage_2_train/ID_*.dcm`, `stage_2_train.csv`. PhysioNet CT-ICH: `ct_scans`, `masks`, `brainmask`,
`hemorrhage_diagnosis_raw_ct.csv`. NIfTI: `images` and `masks` (1 to 5 for EDH, IPH, IVH, SAH, SDH). Each exam is
another patient, and nobody's data.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pydicom

from ICHSegmenterLib.labels import HemorrhageSubtype
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.exam import SyntheticExam
from ICHSegmenterLib.synthesis.lesions import SUBTYPES
from ICHSegmenterLib.volume.export import write_nifti

RSNA_CSV, PHYSIONET_CSV, TRUTH_CSV = "stage_2_train.csv", "hemorrhage_diagnosis_raw_ct.csv", "truth.csv"
PHYSIONET_COLUMNS = {
    "Intraventricular": "IVH",
    "Intraparenchymal": "IPH",
    "Subarachnoid": "SAH",
    "Epidural": "EDH",
    "Subdural": "SDH",
}
"""Columns of the diagnosis table, in its order."""
PHYSIONET_MASK = 255

Row = tuple[object, ...]


def write_rsna(exams: Iterable[SyntheticExam], folder: Path, *, first: int = 0) -> int:
    """Write `stage_2_train/ID_*.dcm` and the CSV of six rows for each image; returns the number of exams."""
    images = folder / "stage_2_train"
    images.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    count = 0
    for number, exam in enumerate(exams, start=first):
        paths = write_dicom_series(exam.volume, images / f".{number}", seed=exam.seed, description="Synthetic head CT")
        for index, (path, labels) in enumerate(zip(paths, exam.slice_labels, strict=True)):
            name = "ID_" + _identifier(exam.seed, number, index)
            file = pydicom.dcmread(path)
            file.PatientID = "ID_" + _identifier(exam.seed, number, "patient")
            file.PatientName = ""
            file.save_as(images / f"{name}.dcm", enforce_file_format=True)
            path.unlink()
            rows += [
                (f"{name}_{kind.value}", int(value)) for kind, value in zip(HemorrhageSubtype, labels, strict=True)
            ]
        (images / f".{number}").rmdir()
        count += 1
    _write_csv(folder / RSNA_CSV, ("ID", "Label"), rows)
    return count


def write_physionet(exams: Iterable[SyntheticExam], folder: Path, *, first: int = 1) -> int:
    """Write `ct_scans/NNN.nii`, masks (0, 255), brain masks and the diagnosis table; returns the number of exams."""
    for name in ("ct_scans", "masks", "brainmask"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    count = 0
    for number, exam in enumerate(exams, start=first):
        geometry, name = exam.volume.geometry, f"{number:03d}.nii"
        write_nifti(exam.volume.hu.astype(np.int16), geometry, folder / "ct_scans" / name)
        write_nifti(((exam.labelmap > 0) * PHYSIONET_MASK).astype(np.uint8), geometry, folder / "masks" / name)
        write_nifti(exam.brain_mask, geometry, folder / "brainmask" / name)
        for place, labels in enumerate(exam.slice_labels, start=1):
            values = [int(labels[SUBTYPES.index(key)]) for key in PHYSIONET_COLUMNS.values()]
            rows.append((number, place, *values, 1 - int(labels[-1]), 0))
        count += 1
    columns = ("PatientNumber", "SliceNumber", *PHYSIONET_COLUMNS, "No_Hemorrhage", "Fracture_Yes_No")
    _write_csv(folder / PHYSIONET_CSV, columns, rows)
    return count


def write_nifti_folder(exams: Iterable[SyntheticExam], folder: Path, *, first: int = 0) -> int:
    """Write `images/NNNN.nii.gz`, `masks/NNNN.nii.gz` and the volumes as CSV; returns the number of exams."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    count = 0
    for number, exam in enumerate(exams, start=first):
        name = f"{number:04d}"
        write_nifti(exam.volume.hu.astype(np.int16), exam.volume.geometry, folder / "images" / f"{name}.nii.gz")
        write_nifti(exam.labelmap, exam.volume.geometry, folder / "masks" / f"{name}.nii.gz")
        rows.append((name, exam.seed, *(round(exam.blood_ml[key], 3) for key in SUBTYPES)))
        count += 1
    _write_csv(folder / TRUTH_CSV, ("exam", "seed", *(f"{key}_ml" for key in SUBTYPES)), rows)
    return count


LAYOUTS: dict[str, Callable[[Iterable[SyntheticExam], Path], int]] = {
    "rsna": write_rsna,
    "physionet": write_physionet,
    "nifti": write_nifti_folder,
}


def _identifier(*what: object) -> str:
    """Nine hexadecimal digits, as RSNA's."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:9]


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
