"""Pixels of DICOM slices: decompressed, rescaled to Hounsfield units, padding turned into air."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.deflated import check_inflated_size
from ICHSegmenterLib.volume.dicom.files import READ_THREADS, drop_unreadable
from ICHSegmenterLib.volume.dicom.slices import DicomSlice
from ICHSegmenterLib.volume.hounsfield import AIR_HU, LOWEST_HU
from ICHSegmenterLib.volume.limits import check_voxels

HIGHEST_PADDING_HU = -500.0
"""Padding that maps above this is a mistake in the header (0 in a file that stores HU): it would erase tissue."""


def read_hu(slices: Sequence[DicomSlice]) -> NDArray[np.float32]:
    """float32 (slices, rows, columns), Hounsfield units; pixel padding and values below -1024 become air, -1000.

    Raises:
        VolumeError: A file is truncated, has no pixels, or is compressed without a decoder for it.
    """
    rows, columns = slices[0].shape
    check_voxels((len(slices), rows, columns), slices[0].path.name)
    hu = np.empty((len(slices), rows, columns), dtype=np.float32)
    frames_of: dict[Path, list[int]] = {}
    for index, item in enumerate(slices):
        frames_of.setdefault(item.path, []).append(index)

    def fill(path: Path) -> None:
        stored = read_stored_values(path)
        frames_needed = 1 + max(slices[index].frame for index in frames_of[path])
        if len(stored) < frames_needed or stored.shape[1:] != (rows, columns):
            raise VolumeError(
                f"{path.name}: the header promises {frames_needed} x {rows} x {columns} pixels, the file holds "
                f"{' x '.join(str(size) for size in stored.shape)}; it is damaged, copy it again.",
                Cause.DAMAGED_FILE,
            )
        for index in frames_of[path]:
            hu[index] = to_hu(stored[slices[index].frame], slices[index])

    with ThreadPoolExecutor(READ_THREADS) as pool:
        list(pool.map(fill, frames_of))
    return hu


def read_stored_values(path: Path) -> NDArray[np.number[Any]]:
    """(frames, rows, columns) stored integers of one file, decompressed."""
    check_inflated_size(path)
    try:
        dataset = pydicom.dcmread(path, force=True)
    except Exception as error:  # a damaged file fails in many ways
        raise VolumeError(
            f"{path.name}: the file is truncated or damaged; copy it again.", Cause.DAMAGED_FILE
        ) from error
    drop_unreadable(dataset.file_meta)
    if "TransferSyntaxUID" not in dataset.file_meta:  # a file without meta header
        explicit = not dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
    if "PixelData" not in dataset:
        raise VolumeError(
            f"{path.name}: there is no pixel data; the file is truncated or only a header was exported.",
            Cause.DAMAGED_FILE,
        )
    stored = _decoded(dataset, path)
    return stored if stored.ndim == 3 else stored[None]


def to_hu(stored: NDArray[np.number[Any]], item: DicomSlice) -> NDArray[np.float32]:
    """float32 (rows, columns) Hounsfield units of one slice's stored values."""
    slope = 1.0 if item.slope is None else item.slope
    intercept = 0.0 if item.intercept is None else item.intercept
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if item.padding is not None and not padding_is_tissue(item):
        hu[(stored >= item.padding[0]) & (stored <= item.padding[1])] = AIR_HU
    hu[hu < LOWEST_HU] = AIR_HU
    return hu


def padding_is_tissue(item: DicomSlice) -> bool:
    """True if the header calls values padding that are tissue."""
    if item.padding is None:
        return False
    slope = 1.0 if item.slope is None else item.slope
    return item.padding[1] * slope + (item.intercept or 0.0) > HIGHEST_PADDING_HU


def _decoded(dataset: FileDataset, path: Path) -> NDArray[np.number[Any]]:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    try:
        return np.asarray(dataset.pixel_array)
    except (RuntimeError, NotImplementedError) as error:  # from a decoder, or there is none
        if syntax is None or not _is_compressed(syntax):
            raise VolumeError(
                f"{path.name}: the pixels cannot be read; the file is damaged.", Cause.DAMAGED_FILE
            ) from error
        raise VolumeError(
            f"{path.name}: the pixels are compressed ({syntax.name}) and cannot be "
            "decoded. The file is damaged, or a decoder is missing: install pylibjpeg, pylibjpeg-libjpeg and "
            "pylibjpeg-openjpeg.",
            Cause.UNKNOWN_COMPRESSION,
        ) from error
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a decoder that is written in Rust panics, which is no Exception
        raise VolumeError(
            f"{path.name}: pixels are missing; the file is truncated, copy it again.", Cause.DAMAGED_FILE
        ) from error


def _is_compressed(syntax: UID) -> bool:
    return bool(syntax.is_transfer_syntax and syntax.is_compressed)
