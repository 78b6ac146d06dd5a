"""NIfTI-1 files, read and written without ITK, which refuses the sheared affine of a tilted gantry.

Format: https://nifti.nimh.nih.gov/nifti-1 (public domain). NIfTI's axes are RAS; everything here is LPS.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.geometry import VolumeGeometry

HEADER_BYTES = 348
DATA_OFFSET = 352
SCANNER_ANATOMICAL = 1
MILLIMETERS = 2
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
BEST_FIT_NOTE = "Unequal or sheared slices: best-fit affine"
SHEAR_NOTE = "Gantry tilt: sform has shear, qform is upright"

_FIELDS = [
    ("sizeof_hdr", "i4"), ("unused1", "V36"), ("dim", "i2", 8), ("unused2", "V14"), ("datatype", "i2"),
    ("bitpix", "i2"), ("slice_start", "i2"), ("pixdim", "f4", 8), ("vox_offset", "f4"), ("scl_slope", "f4"),
    ("scl_inter", "f4"), ("slice_end", "i2"), ("slice_code", "i1"), ("xyzt_units", "i1"), ("cal_max", "f4"),
    ("cal_min", "f4"), ("unused3", "V16"), ("descrip", "S80"), ("aux_file", "S24"), ("qform_code", "i2"),
    ("sform_code", "i2"), ("quatern", "f4", 3), ("qoffset", "f4", 3), ("srow", "f4", (3, 4)),
    ("intent_name", "S16"), ("magic", "S4"),
]  # fmt: skip
_HEADER = np.dtype(_FIELDS)
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_CODES = {np.dtype(name): code for code, name in _TYPES.items()}
_MILLIMETERS_OF_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, meter, millimeter, micrometer


@dataclass(frozen=True, eq=False)
class NiftiImage:
    """What a NIfTI file says.

    Attributes:
        values: (slices, rows, columns), scaled by scl_slope and scl_inter if the file has them.
        geometry: From sform, or qform if there is no sform.
        has_orientation: False if the file has neither; axes are then taken as RAS.
        description: The header's `descrip`.
    """

    values: NDArray[Any]
    geometry: VolumeGeometry
    has_orientation: bool
    description: str


def read_nifti(path: Path) -> NiftiImage:
    """One 3-D image.

    Raises:
        VolumeError: No NIfTI-1 file, truncated, or not one 3-D volume of numbers.
    """
    content = _content(path)
    header = _header(content, path)
    columns, rows, slices = _dimensions(header, path)
    code = int(header["datatype"])
    if code not in _TYPES:
        raise VolumeError(f"{path.name}: NIfTI data type {code} (color or complex) is no CT. Load the original CT.")
    dtype = np.dtype(_TYPES[code]).newbyteorder("<" if header.dtype["sizeof_hdr"].str[0] == "<" else ">")
    offset, count = int(header["vox_offset"]), columns * rows * slices
    if len(content) < offset + count * dtype.itemsize:
        raise VolumeError(f"{path.name}: voxels are missing at the end; the file is truncated, copy it again.")
    values = np.frombuffer(content, dtype, count, offset).reshape(slices, rows, columns)
    affine, has_orientation = _affine(header)
    geometry = VolumeGeometry.from_affine((slices, rows, columns), RAS_FROM_LPS @ affine)
    return NiftiImage(_scaled(values, header), geometry, has_orientation, header["descrip"].item().decode("latin-1"))


def encode_nifti(array: NDArray[Any], geometry: VolumeGeometry, description: str) -> bytes:
    """A NIfTI-1 file in memory.

    sform is the affine of the geometry, with shear if the gantry was tilted; where slices are unequal, the best
    fit. Readers that know no shear (ITK, so Slicer) fall back to qform: the nearest grid without shear.
    """
    values = np.ascontiguousarray(array)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    affine = RAS_FROM_LPS @ geometry.affine
    rotation, spacing = _nearest_rotation(affine[:3, :3])
    header = np.zeros((), _HEADER.newbyteorder("<"))
    header["sizeof_hdr"] = HEADER_BYTES
    header["dim"] = (3, *values.shape[::-1], 1, 1, 1, 1)
    header["datatype"] = _CODES[values.dtype.newbyteorder("=")]
    header["bitpix"] = values.dtype.itemsize * 8
    determinant_sign = 1.0 if np.linalg.det(rotation) > 0 else -1.0
    header["pixdim"] = (determinant_sign, *spacing, 0, 0, 0, 0)
    header["vox_offset"], header["scl_slope"], header["xyzt_units"] = DATA_OFFSET, 1.0, MILLIMETERS
    header["descrip"] = _description(description, geometry)
    header["intent_name"] = b"" if geometry.is_regular else b"best-fit affine"
    header["qform_code"] = header["sform_code"] = SCANNER_ANATOMICAL
    header["quatern"] = _quaternion(rotation * np.array([1.0, 1.0, determinant_sign]))
    header["qoffset"] = affine[:3, 3] + _centering(affine[:3, :3], rotation * spacing, values.shape[::-1])
    header["srow"], header["magic"] = affine[:3], b"n+1\0"
    return header.tobytes() + b"\0" * (DATA_OFFSET - HEADER_BYTES) + values.tobytes()


def _description(text: str, geometry: VolumeGeometry) -> bytes:
    if not geometry.is_regular:
        text = f"{text}. {BEST_FIT_NOTE}"
    elif geometry.tilt_deg > 0:
        text = f"{text}. {SHEAR_NOTE}"
    return text.encode("ascii", "replace")[:79]


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise VolumeError(f"{path.name}: the file is truncated or damaged; copy it again.") from error


def _header(content: bytes, path: Path) -> NDArray[Any]:
    for order in "<>":
        layout = _HEADER.newbyteorder(order)  # type: ignore[arg-type]
        if len(content) < HEADER_BYTES:
            break
        header = np.frombuffer(content, layout, 1)[0]
        if header["sizeof_hdr"] == HEADER_BYTES and header["magic"] == b"n+1":
            return np.asarray(header)
    raise VolumeError(
        f"{path.name}: no single-file NIfTI-1 image (NIfTI-2, Analyze and .hdr/.img pairs are not read). "
        "Convert it, or load the DICOM files."
    )


def _dimensions(header: NDArray[Any], path: Path) -> tuple[int, int, int]:
    count = int(header["dim"][0])
    dimensions = [int(size) for size in header["dim"][1 : count + 1]] + [1] * (3 - count)
    if min(dimensions) < 1 or any(size != 1 for size in dimensions[3:]):
        raise VolumeError(f"{path.name}: the image has dimensions {dimensions}; a CT is one 3-D volume.")
    return dimensions[0], dimensions[1], dimensions[2]


def _scaled(values: NDArray[Any], header: NDArray[Any]) -> NDArray[Any]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0.0 or (slope, intercept) == (1.0, 0.0) or not np.isfinite([slope, intercept]).all():
        return values
    return np.asarray(values * np.float64(slope) + intercept, dtype=np.float32)


def _affine(header: NDArray[Any]) -> tuple[NDArray[np.float64], bool]:
    """4x4 ijk to RAS in mm, and whether the file says so."""
    matrix = np.eye(4)
    spacing = np.abs(header["pixdim"][1:4].astype(np.float64))
    spacing[spacing == 0] = 1.0
    if header["sform_code"] > 0:
        matrix[:3] = header["srow"]
    elif header["qform_code"] > 0:
        sign = -1.0 if header["pixdim"][0] < 0 else 1.0
        matrix[:3, :3] = _rotation(header["quatern"].astype(np.float64)) * spacing * np.array([1.0, 1.0, sign])
        matrix[:3, 3] = header["qoffset"]
    else:
        matrix[:3, :3] = np.diag(spacing)
    matrix[:3] *= _MILLIMETERS_OF_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    return matrix, bool(header["sform_code"] > 0 or header["qform_code"] > 0)


def _rotation(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """3x3 rotation of a unit quaternion's vector part (b, c, d)."""
    b, c, d = quaternion
    a = np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _quaternion(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(b, c, d) of a proper 3x3 rotation, with a >= 0."""
    b, c, d, a = Rotation.from_matrix(rotation).as_quat()
    return np.array([b, c, d]) * (1.0 if a >= 0 else -1.0)


def _nearest_rotation(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal axes (3x3, perhaps left-handed) and spacing (3,): columns and rows as they are, slices upright."""
    spacing = np.linalg.norm(matrix, axis=0)
    axes = matrix / spacing
    axes[:, 1] -= axes[:, 0] * (axes[:, 0] @ axes[:, 1])
    axes[:, 1] /= np.linalg.norm(axes[:, 1])
    normal = np.cross(axes[:, 0], axes[:, 1])
    along_normal = float(normal @ matrix[:, 2])
    axes[:, 2] = normal if along_normal > 0 else -normal
    spacing[2] = abs(along_normal)
    return axes, spacing


def _centering(exact: NDArray[np.float64], upright: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """(3,) shift that puts the center of the upright grid onto that of the exact one."""
    center = (np.array(size, dtype=np.float64) - 1) / 2
    return np.asarray((exact - upright) @ center)
