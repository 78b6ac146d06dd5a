"""NIfTI files by nibabel, as ITK refuses the sheared affine of a tilted gantry. NIfTI is RAS, everything here LPS."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import DependencyError, VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.limits import check_promised_bytes, check_voxels

SCANNER_ANATOMICAL = 1
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
BEST_FIT_NOTE = "Unequal or sheared slices: best-fit affine"
SHEAR_NOTE = "Gantry tilt: sform has shear, qform is upright"
MAX_DESCRIPTION = 79
_UNIT_BITS = 7  # of xyzt_units; the higher ones are the unit of time
_MILLIMETERS_OF_UNIT = {1: 1000.0, 3: 0.001}  # meter, micrometer; nibabel leaves the unit to the caller

SAME_GRID_MM = 0.1
"""sform and qform say the same if corners lie this near: a quaternion of floats is no more exact for a head."""
HEADER_BYTES = 540


def _layout(*, real: str, whole: str, code: str, units: str, offsets: tuple[int, ...]) -> np.dtype[Any]:
    """Where a header has the fields that say where the voxels are."""
    forms = {
        "dim": (whole, 8),
        "pixdim": (real, 8),
        "units": units,
        "qform_code": code,
        "sform_code": code,
        "quaternion": (real, 3),
        "offset": (real, 3),
        "sform": (real, (3, 4)),
    }
    return np.dtype({"names": list(forms), "formats": list(forms.values()), "offsets": offsets})


_HEADERS = {
    348: _layout(real="f4", whole="i2", code="i2", units="u1", offsets=(40, 76, 123, 252, 254, 256, 268, 280)),
    540: _layout(real="f8", whole="i8", code="i4", units="i4", offsets=(16, 104, 500, 344, 348, 352, 376, 400)),
}
"""Of NIfTI-1 and NIfTI-2, by the size that stands first."""


@dataclass(frozen=True, eq=False)
class NiftiImage:
    """Content of a NIfTI file.

    Attributes:
        values: (slices, rows, columns), scaled by scl_slope and scl_inter if the file has them.
        geometry: From sform, or qform if there is no sform.
        has_orientation: False if the file has neither; axes are then taken as RAS.
    """

    values: NDArray[Any]
    geometry: VolumeGeometry
    has_orientation: bool


def read_nifti(path: Path) -> NiftiImage:
    """One 3-D image: NIfTI-1 or NIfTI-2, one file or the .hdr of a pair, of any byte order.

    Raises:
        VolumeError: No NIfTI file, truncated, or not one 3-D volume of numbers.
        DependencyError: nibabel is not installed.
    """
    nibabel = _nibabel(path)
    try:
        image = nibabel.load(path, mmap=False)
        if not isinstance(image, nibabel.Nifti1Pair):
            raise nibabel.filebasedimages.ImageFileError("Analyze 7.5")
        shape = _shape(image, path)
        check_voxels(shape, path.name)
        _check_size(image, path)
        values = np.asarray(image.dataobj).T.reshape(shape)
        affine, has_orientation = _affine(image)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
        raise VolumeError(
            f"{path.name}: no NIfTI image, or a damaged header (Analyze 7.5, which does not say left from right, is "
            "not read). Convert it, or load the DICOM files.",
            Cause.DAMAGED_FILE,
        ) from error
    except (VolumeError, MemoryError):
        raise
    except Exception as error:  # a damaged file fails in many ways: OSError, EOFError, zlib.error, OverflowError
        raise VolumeError(
            f"{path.name}: the file is truncated or damaged, or the .img of its .hdr is missing; copy it again.",
            Cause.DAMAGED_FILE,
        ) from error
    return NiftiImage(values, VolumeGeometry.from_affine(shape, RAS_FROM_LPS @ affine), has_orientation)


def is_upright(path: Path) -> bool:
    """True if ITK, which takes qform where sform has shear, puts a NIfTI file on the grid that `read_nifti` finds.

    Only the header is read, without nibabel. What cannot be read, or does not say where it lies, is not upright.
    """
    try:
        with path.open("rb") as file:
            is_compressed = path.name.lower().endswith(".gz")
            header = (gzip.GzipFile(fileobj=file) if is_compressed else file).read(HEADER_BYTES)
        return _is_upright(header)
    except (OSError, EOFError, ValueError, StopIteration, struct.error, zlib.error):
        return False


def encode_nifti(array: NDArray[Any], geometry: VolumeGeometry, description: str) -> bytes:
    """A NIfTI-1 file in memory.

    sform is the affine of the geometry, with shear if the gantry was tilted; where slices are unequal, the best
    fit. Readers that know no shear (ITK, so Slicer) fall back to qform: the nearest grid without shear.
    """
    nibabel = _nibabel(Path("NIfTI"))
    affine = RAS_FROM_LPS @ geometry.affine
    image = nibabel.Nifti1Image(array.T, affine)
    image.set_sform(affine, SCANNER_ANATOMICAL)
    image.set_qform(_upright(affine, array.shape[::-1]), SCANNER_ANATOMICAL, strip_shears=False)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = _description(description, geometry)
    image.header["intent_name"] = b"" if geometry.is_regular else b"best-fit affine"
    return bytes(image.to_bytes())


def _is_upright(header: bytes) -> bool:
    """True if the two forms of a header put the corners at the same place, in millimeters, or only one is there."""
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    size, order = next(
        (size, order) for order in orders if (size := struct.unpack_from(f"{order}i", header)[0]) in _HEADERS
    )
    fields = np.frombuffer(header, _HEADERS[size].newbyteorder(order), count=1)[0]
    if int(fields["units"]) & _UNIT_BITS in _MILLIMETERS_OF_UNIT:
        return False
    if fields["sform_code"] <= 0:
        return bool(fields["qform_code"] > 0)
    sform = np.array(fields["sform"], dtype=np.float64)
    steps = sform[:, :3]
    if not np.allclose(steps.T @ steps, np.diag(np.square(fields["pixdim"][1:4], dtype=np.float64)), 1e-4, 1e-4):
        return False
    if fields["qform_code"] <= 0:
        return True
    corners = np.array([*product(*((0.0, size - 1.0) for size in fields["dim"][1:4]), (1.0,))])
    return bool(np.abs(corners @ (sform - _qform(fields)).T).max() <= SAME_GRID_MM)


def _qform(fields: Any) -> NDArray[np.float64]:
    """3x4 ijk to RAS of the quaternion in a header."""
    vector = np.array(fields["quaternion"], dtype=np.float64)
    scalar = np.sqrt(max(0.0, 1.0 - float(vector @ vector)))
    spacing = np.array(fields["pixdim"][1:4], dtype=np.float64) * (1, 1, -1 if fields["pixdim"][0] < 0 else 1)
    from scipy.spatial.transform import Rotation  # 0.1 s, for files that turn their axes by a quaternion

    steps = Rotation.from_quat([*vector, scalar]).as_matrix() * spacing
    return np.column_stack((steps, np.array(fields["offset"], dtype=np.float64)))


def _nibabel(path: Path) -> Any:
    try:
        import nibabel  # not at the top: Slicer's Python has it only once a batch installed it
    except ImportError as error:
        raise DependencyError(
            ErrorNotice(ErrorCode.FILE_NEEDS_PACKAGE, {"file": path.name, "package": "nibabel"})
        ) from error
    return nibabel


def _shape(image: Any, path: Path) -> tuple[int, int, int]:
    """(slices, rows, columns) of one 3-D image of real numbers."""
    if image.get_data_dtype().kind not in "iuf":
        code = int(image.header["datatype"])
        raise VolumeError(
            f"{path.name}: NIfTI data type {code} (color or complex) is no CT. Load the original CT.",
            Cause.NOT_ONE_VOLUME,
        )
    sizes = list(image.shape) + [1] * (3 - len(image.shape))
    if min(sizes) < 1 or any(size != 1 for size in sizes[3:]):
        raise VolumeError(
            f"{path.name}: the image has dimensions {sizes}; a CT is one 3-D volume.", Cause.NOT_ONE_VOLUME
        )
    return sizes[2], sizes[1], sizes[0]


def _check_size(image: Any, path: Path) -> None:
    """A header may promise more voxels than there is memory."""
    data = Path(image.file_map["image"].filename)
    promised = int(np.prod(image.shape, dtype=object)) * image.get_data_dtype().itemsize
    check_promised_bytes(promised, data.stat().st_size, path.name, is_compressed=data.suffix.lower() != ".nii")


def _affine(image: Any) -> tuple[NDArray[np.float64], bool]:
    """4x4 ijk to RAS in mm, and whether the file says so."""
    header = image.header
    has_orientation = bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    if has_orientation:
        affine = np.array(image.affine, dtype=np.float64)
    else:  # nibabel would assume that x runs to the left, which the standard does not say
        zooms = [abs(float(step)) or 1.0 for step in header["pixdim"][1:4]]
        affine = np.diag([*zooms, 1.0])
    affine[:3] *= _MILLIMETERS_OF_UNIT.get(int(header["xyzt_units"]) & _UNIT_BITS, 1.0)
    return affine, has_orientation


def _description(text: str, geometry: VolumeGeometry) -> bytes:
    if not geometry.is_regular:
        text = f"{text}. {BEST_FIT_NOTE}"
    elif geometry.tilt_deg > 0:
        text = f"{text}. {SHEAR_NOTE}"
    return text.encode("ascii", "replace")[:MAX_DESCRIPTION]


def _upright(affine: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """4x4 without shear: columns and rows as they are, slices along their normal, the same center.

    nibabel's own strip_shears would turn the slices too.
    """
    column, row = affine[:3, 0], affine[:3, 1]
    row = row - column * (row @ column) / (column @ column)
    normal = np.cross(column, row)
    normal /= np.linalg.norm(normal)
    upright = np.eye(4)
    upright[:3, :3] = np.column_stack((column, row, normal * (normal @ affine[:3, 2])))
    center = (np.array(size) - 1) / 2
    upright[:3, 3] = affine[:3, 3] + (affine[:3, :3] - upright[:3, :3]) @ center
    return upright
