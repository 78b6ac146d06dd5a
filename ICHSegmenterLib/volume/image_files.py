"""NRRD and MetaImage files, read by SimpleITK, which damaged ones crash: it works in the reader process only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import DependencyError, VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.volume.compressed import check_compressed
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.reader.process import READER_VARIABLE, ReaderProcess


@dataclass(frozen=True, eq=False)
class ImageFile:
    """values (slices, rows, columns) and where they lie."""

    values: NDArray[Any]
    geometry: VolumeGeometry


def read_image_file(path: Path) -> ImageFile:
    """One 3-D image with one number a voxel; a sheared grid stays sheared.

    Raises:
        VolumeError: The file is damaged, or not one 3-D image; of these `ReaderKilledError` if it crashed the reader.
        DependencyError: SimpleITK is not installed.
    """
    if READER_VARIABLE in os.environ:
        return _read_here(path)
    with ReaderProcess() as reader:
        return ImageFile(*reader.image(path))


def _read_here(path: Path) -> ImageFile:
    try:
        import SimpleITK as sitk  # noqa: N813  (loading it crashes PythonSlicer, which has its own ITK)
    except ImportError as error:
        raise DependencyError(
            ErrorNotice(ErrorCode.FILE_NEEDS_PACKAGE, {"file": path.name, "package": "SimpleITK"})
        ) from error
    check_compressed(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise VolumeError(
            f"{path.name}: the file is truncated, damaged, or its data file is missing; copy it again.",
            Cause.DAMAGED_FILE,
        ) from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise VolumeError(
            f"{path.name}: the image has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} "
            "numbers a voxel; a CT is one 3-D volume. Export a single volume.",
            Cause.NOT_ONE_VOLUME,
        )
    values = np.asarray(sitk.GetArrayFromImage(image))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    slices, rows, columns = values.shape
    return ImageFile(values, VolumeGeometry.from_affine((slices, rows, columns), affine))
