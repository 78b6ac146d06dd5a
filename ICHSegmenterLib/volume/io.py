"""Reading CT volumes and masks: DICOM folder or file, NIfTI, NRRD, MetaImage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.dicom.files import is_dicom
from ICHSegmenterLib.volume.dicom.scan import list_series, read_dicom_file, read_dicom_folder, read_dicom_series
from ICHSegmenterLib.volume.dicom.series import SeriesSummary
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.hounsfield import with_air_for_padding
from ICHSegmenterLib.volume.image_files import read_image_file
from ICHSegmenterLib.volume.input_files import FORMATS, format_of
from ICHSegmenterLib.volume.nifti import read_nifti
from ICHSegmenterLib.volume.reader.reader_warning import ReaderCode, ReaderWarning
from ICHSegmenterLib.volume.volume import Volume, VolumeSource

__all__ = ["SeriesSummary", "list_series", "read_labelmap", "read_mask", "read_volume"]

Scalar = TypeVar("Scalar", bound=np.generic)

MASK_TOLERANCE_MM = 0.1
"""A mask file is on the same grid if its voxels lie this near: other programs write positions with few digits."""


def read_volume(path: Path | str, *, series_uid: str | None = None, files: Sequence[str] = ()) -> Volume:
    """A CT volume in Hounsfield units on its acquired grid.

    DICOM slices come in ascending position along the normal; the array of another file stays as it is stored.

    Args:
        path: A folder with DICOM files (nested folders are searched), one DICOM file (its series is read from its
            folder), or a NIfTI, NRRD or MetaImage file.
        series_uid: SeriesInstanceUID of the DICOM series to read, if a folder holds several.
        files: Names of that series' files in the folder, if they are known; no others are looked at.

    Raises:
        VolumeError: What is at `path` cannot be read as one CT volume; the message says why and what to do.
    """
    path = Path(path)
    if files and series_uid:
        return read_dicom_series([path / name for name in files], series_uid)
    if path.is_dir():
        return read_dicom_folder(path, series_uid=series_uid)
    _check_exists(path)
    if format_of(path):
        return _read_image(path)
    if is_dicom(path):
        return read_dicom_file(path, series_uid=series_uid)
    raise VolumeError(
        f"{path.name}: neither DICOM nor a file that ends in {', '.join(FORMATS)}. Choose the DICOM folder.",
        Cause.UNKNOWN_FORMAT,
    )


def read_mask(path: Path | str, geometry: VolumeGeometry, *, allow_empty: bool = False) -> NDArray[np.bool_]:
    """Voxels above 0.5 of a mask file on the grid of a volume: bool (slices, rows, columns).

    Axes stored in the other direction are turned back. Of an irregular grid the best-fit affine is accepted, as
    this program writes it.

    Raises:
        VolumeError: The file cannot be read, lies on another grid, or is empty though that is not allowed.
    """
    path = Path(path)
    _check_exists(path)
    if not format_of(path):
        raise VolumeError(
            f"{path.name}: a mask must be a file that ends in {', '.join(FORMATS)}.", Cause.UNKNOWN_FORMAT
        )
    values, mask_geometry, _ = _load(path)
    mask = _on_grid(values > 0.5, mask_geometry, geometry)
    if mask is None:
        raise VolumeError(
            f"{path.name}: the mask lies on another grid: it has {_grid(mask_geometry)}, the CT {_grid(geometry)}. "
            "Draw or resample it on the CT.",
            Cause.OTHER_GRID,
        )
    if not mask.any() and not allow_empty:
        raise VolumeError(f"{path.name}: the mask is empty. Draw the brain, or leave the mask out.", Cause.OTHER_GRID)
    return mask


def read_labelmap(path: Path | str, geometry: VolumeGeometry) -> NDArray[np.uint8]:
    """The values of a labelmap file on the grid of a volume: uint8 (slices, rows, columns); see `read_mask`.

    Raises:
        VolumeError: The file cannot be read, holds no small whole numbers, or lies on another grid.
    """
    path = Path(path)
    _check_exists(path)
    if not format_of(path):
        raise VolumeError(
            f"{path.name}: a labelmap must be a file that ends in {', '.join(FORMATS)}.", Cause.UNKNOWN_FORMAT
        )
    values, own_geometry, _ = _load(path)
    labels = np.asarray(np.clip(np.nan_to_num(values), 0, 255), dtype=np.uint8)
    if not np.array_equal(labels, values):
        raise VolumeError(
            f"{path.name}: a labelmap holds whole numbers from 0 to 255, this file others.", Cause.OTHER_GRID
        )
    turned = _on_grid(labels, own_geometry, geometry)
    if turned is None:
        raise VolumeError(
            f"{path.name}: the labelmap lies on another grid: it has {_grid(own_geometry)}, the CT {_grid(geometry)}. "
            "Give the CT that it was made of.",
            Cause.OTHER_GRID,
        )
    return turned


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise VolumeError(f"{path.name}: there is no such file or folder. Check the path.", Cause.OUT_OF_REACH)


def _read_image(path: Path) -> Volume:
    values, geometry, warnings = _load(path)
    if np.issubdtype(values.dtype, np.complexfloating):
        raise VolumeError(
            f"{path.name}: the voxels are complex numbers, not Hounsfield units. Load the original CT.",
            Cause.NOT_ONE_VOLUME,
        )
    hu = np.asarray(values, dtype=np.float32)
    if not np.isfinite(hu).all():
        warnings = (*warnings, ReaderWarning(ReaderCode.NO_NUMBER))
        hu = np.where(np.isfinite(hu), hu, -np.inf).astype(np.float32)
    return Volume(with_air_for_padding(hu), geometry, VolumeSource(format=format_of(path), reader_warnings=warnings))


def _load(path: Path) -> tuple[NDArray[Any], VolumeGeometry, tuple[ReaderWarning, ...]]:
    """Values (slices, rows, columns), geometry, warnings."""
    try:
        if format_of(path) != "NIfTI":
            image = read_image_file(path)
            return image.values, image.geometry, ()
        nifti = read_nifti(path)
    except (ValueError, ArithmeticError) as error:
        raise VolumeError(
            f"{path.name}: the header's orientation or spacing makes no grid. Load the DICOM files.", Cause.NO_POSITION
        ) from error
    if nifti.has_orientation:
        return nifti.values, nifti.geometry, ()
    return nifti.values, nifti.geometry, (ReaderWarning(ReaderCode.NO_ORIENTATION),)


def _on_grid(
    mask: NDArray[Scalar], mask_geometry: VolumeGeometry, ct_geometry: VolumeGeometry
) -> NDArray[Scalar] | None:
    """The mask in the array order of the CT, turned if its axes run the other way; None if the grids differ."""
    if mask.shape != ct_geometry.shape:
        return None
    targets = [ct_geometry]
    if not ct_geometry.is_regular:
        targets.append(VolumeGeometry.from_affine(ct_geometry.shape, ct_geometry.affine))
    for flips in product((False, True), repeat=3):
        turned = _flipped(mask_geometry, flips)
        if any(turned.matches(target, tolerance_mm=MASK_TOLERANCE_MM) for target in targets):
            return np.ascontiguousarray(mask[tuple(slice(None, None, -1 if flip else 1) for flip in flips)])
    return None


def _flipped(geometry: VolumeGeometry, flips: tuple[bool, ...]) -> VolumeGeometry:
    """The geometry of an array whose (slice, row, column) axes are reversed where flips says so."""
    _, rows, columns = geometry.shape
    origins, row_step, column_step = geometry.slice_origins, geometry.row_step, geometry.column_step
    if flips[0]:
        origins = origins[::-1]
    if flips[1]:
        origins, row_step = origins + (rows - 1) * row_step, -row_step
    if flips[2]:
        origins, column_step = origins + (columns - 1) * column_step, -column_step
    return VolumeGeometry(geometry.shape, column_step, row_step, origins)


def _grid(geometry: VolumeGeometry) -> str:
    slices, rows, columns = geometry.shape
    spacing = " x ".join(f"{step:.3g}" for step in (*geometry.pixel_spacing_mm[::-1], geometry.slice_step_mm))
    origin = ", ".join(f"{number:.1f}" for number in geometry.slice_origins[0])
    return f"{columns} x {rows} x {slices} voxels of {spacing} mm from LPS ({origin})"
