"""Tiny data sets in the real layouts: a round head of 40 pixels with or without a bright ball."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.nifti import encode_nifti
from ICHSegmenterLib.volume.volume import Volume

SIDE, SLICES = 40, 4
RSNA_NAMES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
PHYSIONET_COLUMNS = (
    "PatientNumber",
    "SliceNumber",
    "Intraventricular",
    "Intraparenchymal",
    "Subarachnoid",
    "Epidural",
    "Subdural",
    "No_Hemorrhage",
    "Fracture_Yes_No",
)


def geometry(slices: int = SLICES, side: int = SIDE) -> VolumeGeometry:
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    affine[:3, 3] = -side * 2.5, -side * 2.5, 0.0
    return VolumeGeometry.from_affine((slices, side, side), affine)


def head(number: int, *, bleeds: bool, slices: int = SLICES, side: int = SIDE) -> tuple[Volume, NDArray[np.uint8]]:
    """A volume and its outline (parenchymal, value 2 on slices 1 and 2, where it bleeds)."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(rows, columns)
    hu = np.where(radius < side * 0.42, 30.0, -1000.0) + np.where(np.abs(radius - side * 0.42) < 1.5, 900.0, 0.0)
    hu = np.repeat(hu[None], slices, axis=0) + random.normal(0, 3, (slices, side, side))
    mask = np.zeros(hu.shape, dtype=np.uint8)
    if bleeds:
        ball = np.hypot(rows - random.uniform(-6, 6), columns - random.uniform(-6, 6)) < 5
        mask[1:3, ball] = 2
        hu[mask > 0] = 70.0
    hu = np.rint(np.maximum(hu, -1000)).astype(np.float32)
    return Volume(hu, geometry(slices, side)), mask


def write_physionet(folder: Path, patients: int = 10) -> Path:
    """Every second patient bleeds."""
    lines = []
    for number in range(1, patients + 1):
        volume, mask = head(number, bleeds=number % 2 == 0)
        save_nifti(folder / "ct_scans" / f"{number:03d}.nii", volume.hu.astype(np.int16), volume.geometry)
        save_nifti(folder / "masks" / f"{number:03d}.nii", (mask > 0).astype(np.uint8) * 255, volume.geometry)
        for place, outline in enumerate(mask, start=1):
            blood = int(outline.any())
            lines.append((number, place, 0, blood, 0, 0, 0, 1 - blood, 0))
    write_csv(folder / "hemorrhage_diagnosis_raw_ct.csv", PHYSIONET_COLUMNS, lines)
    return folder


def write_nifti_folder(folder: Path, scans: int = 4) -> Path:
    for number in range(scans):
        volume, mask = head(number, bleeds=number % 2 == 0)
        save_nifti(folder / "images" / f"scan.{number}.nii.gz", volume.hu.astype(np.int16), volume.geometry)
        save_nifti(folder / "masks" / f"scan.{number}.nii.gz", mask, volume.geometry)
    return folder


def write_rsna(folder: Path, patients: int = 8, *, side: int = SIDE) -> Path:
    """DICOM files named by their image id, and the CSV of six rows for each."""
    images = folder / "stage_2_train"
    images.mkdir(parents=True)
    lines = []
    for number in range(patients):
        volume, mask = head(number, bleeds=number % 2 == 0, side=side)
        for place, path in enumerate(write_dicom_series(volume, folder / "series", seed=number)):
            image = f"ID_{number:04x}{place:04x}"
            _name_patient(path, images / f"{image}.dcm", f"ID_patient{number}")
            blood = int(mask[place].any())
            values = {"intraparenchymal": blood, "any": blood}
            lines += [(f"{image}_{name}", values.get(name, 0)) for name in RSNA_NAMES]
    write_csv(folder / "stage_2_train.csv", ("ID", "Label"), lines)
    return folder


def write_unlabeled_rsna(folder: Path, patients: int = 2, *, first: int = 100) -> Path:
    """The test images of RSNA: other patients, no labels."""
    images = folder / "stage_2_test"
    images.mkdir(parents=True)
    for number in range(first, first + patients):
        volume, _ = head(number, bleeds=number % 2 == 0)
        for place, path in enumerate(write_dicom_series(volume, folder / "series", seed=number)):
            _name_patient(path, images / f"ID_{number:04x}{place:04x}.dcm", f"ID_patient{number}")
    return folder


def _name_patient(path: Path, target: Path, patient: str) -> None:
    import pydicom

    file = pydicom.dcmread(path)
    file.PatientID = patient
    file.save_as(target)
    path.unlink()


def save_nifti(path: Path, array: NDArray[np.generic], grid: VolumeGeometry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = encode_nifti(array, grid, "test")
    if path.name.endswith(".gz"):
        import gzip

        data = gzip.compress(data)
    path.write_bytes(data)


def write_csv(path: Path, header: tuple[str, ...], lines: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(lines)
