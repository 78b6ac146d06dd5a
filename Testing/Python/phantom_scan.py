"""A phantom scanned as the real head CT of the shared folder was: it stands in where anatomy does not matter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom

from head_volumes import edit
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

SIZE, PIXEL_MM, TILT_DEG = 512, 0.4882812, 18.5
FIRST_POSITION = (-125.0, -123.5404569, 5.8360586)
STEPS_MM = (4.22,) * 13 + (1.14,) + (7.38,) * 13
"""Of the table along z, while y stays: the stack is sheared, and unequal in two blocks."""
HEAD_CENTER = np.array((0.0, -5.0, 34.0))
"""Middle of the cranial cavity, LPS mm, which puts the brain into the same slices as in the real scan."""
PADDING = -1500
"""Stored outside the circle that the scanner reconstructs."""


def scan_geometry() -> VolumeGeometry:
    """28 slices of 512 x 512 pixels."""
    tilt = np.radians(TILT_DEG)
    heights = np.concatenate(([0.0], np.cumsum(STEPS_MM)))
    origins = np.array(FIRST_POSITION) + heights[:, None] * np.array([0.0, 0.0, 1.0])
    columns, rows = np.array([PIXEL_MM, 0.0, 0.0]), PIXEL_MM * np.array([0.0, np.cos(tilt), -np.sin(tilt)])
    return VolumeGeometry((len(origins), SIZE, SIZE), columns, rows, origins)


def write_phantom_scan(folder: Path) -> Path:
    """Write the DICOM files, signed and padded as the real ones; returns the folder."""
    geometry = scan_geometry()
    centered = replace(geometry, slice_origins=geometry.slice_origins - HEAD_CENTER)
    hu = make_phantom(centered, subsamples=(1, 1, 1)).volume.hu
    for path in write_dicom_series(Volume(hu, geometry), folder, kernel="STD+"):
        edit(path, _pad)
    return folder


def _pad(dataset: pydicom.Dataset) -> None:
    """Stored values become HU, signed, with padding around the reconstructed circle."""
    hu = dataset.pixel_array.astype("<i2") + np.int16(dataset.RescaleIntercept)
    offset = np.arange(SIZE) - (SIZE - 1) / 2
    hu[np.hypot(offset[:, None], offset) > SIZE / 2] = PADDING
    dataset.RescaleIntercept, dataset.PixelRepresentation = "0", 1
    dataset.BitsStored, dataset.HighBit = 16, 15
    dataset.add_new("PixelPaddingValue", "SS", PADDING)
    dataset.PixelData = hu.tobytes()
