"""Small heads for the tests of reading and writing: an ellipsoid of skull and brain in air, on any grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import ArrayLike

from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

HEAD_SEMIAXES_MM = np.array([70.0, 88.0, 62.0])
SKULL_MM = 7.0


def gantry_geometry(
    *,
    slices: int = 12,
    size: int = 64,
    pixel_mm: float = 3.2,
    tilt_deg: float = 0.0,
    steps_mm: float | Sequence[float] = 10.0,
) -> VolumeGeometry:
    """A sequential scan: slices leaned by `tilt_deg` about the left-right axis, the table moving along z by `steps_mm`.

    The middle of the stack lies at the origin of the patient.
    """
    angle = np.radians(tilt_deg)
    row_direction = np.array([0.0, np.cos(angle), -np.sin(angle)])
    steps = np.full(slices - 1, steps_mm) if np.isscalar(steps_mm) else np.asarray(steps_mm, dtype=float)
    z = np.concatenate(([0.0], np.cumsum(steps)))
    corner = -(size - 1) / 2 * pixel_mm * (np.array([1.0, 0.0, 0.0]) + row_direction)
    origins = corner + np.stack((np.zeros(slices), np.zeros(slices), z - z.mean()), axis=1)
    return VolumeGeometry((slices, size, size), pixel_mm * np.array([1.0, 0.0, 0.0]), pixel_mm * row_direction, origins)


def head(geometry: VolumeGeometry | None = None, *, seed: int = 0) -> Volume:
    """A head in HU: air -1000, skull 1000, brain 30 with 3 HU of noise, and a denser left side to tell the flips."""
    geometry = geometry or gantry_geometry()
    points = lps_of_voxels(geometry)
    hu = np.full(geometry.shape, -1000.0, dtype=np.float32)
    outer = (points / HEAD_SEMIAXES_MM) ** 2
    inner = (points / (HEAD_SEMIAXES_MM - SKULL_MM)) ** 2
    noise = np.random.default_rng(seed).normal(0.0, 3.0, geometry.shape)
    brain = inner.sum(axis=-1) < 1
    hu[outer.sum(axis=-1) < 1] = 1000.0
    hu[brain] = np.rint(30.0 + noise)[brain]
    hu[brain & (points[..., 0] > 20) & (points[..., 1] < -20)] += 12.0
    return Volume(hu, geometry)


def lps_of_voxels(geometry: VolumeGeometry) -> np.ndarray:
    """(slices, rows, columns, 3) positions in mm."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    return geometry.ijk_to_lps(np.stack((i, j, k), axis=-1))


def vessels(hu: np.ndarray, grid: VolumeGeometry, value: float, width_mm: float = 2.2, apart_mm: float = 16.0) -> None:
    """Puts upright tubes through the whole brain of `head`; half their width is `width_mm`."""
    points = lps_of_voxels(grid)
    x, y = (np.mod(points[..., axis] + apart_mm / 2, apart_mm) - apart_mm / 2 for axis in (0, 1))
    inner = ((points / (HEAD_SEMIAXES_MM - SKULL_MM - 6)) ** 2).sum(axis=-1) < 1
    hu[inner & (np.hypot(x, y) < width_mm)] = value


def edit(path: Path, change: Callable[[pydicom.Dataset], None]) -> None:
    """Change the header or pixels of a DICOM file."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)


def set_elements(paths: Sequence[Path], **elements: object) -> None:
    """Set DICOM elements by keyword in all files; None removes the element."""

    def change(dataset: pydicom.Dataset) -> None:
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if "SOPClassUID" in elements:
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID

    for path in paths:
        edit(path, change)


def write_head(folder: Path, geometry: VolumeGeometry | None = None, **options: object) -> list[Path]:
    """The small head as a DICOM series; options as in `write_dicom_series`."""
    return write_dicom_series(head(geometry), folder, **options)  # type: ignore[arg-type]


def affine(columns: ArrayLike, origin: ArrayLike) -> np.ndarray:
    """4x4 matrix from three column vectors and an origin."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.transpose(columns), origin
    return matrix
