"""Arrays on the acquired grid as NIfTI files, written whole or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.nifti import encode_nifti

_FAST_COMPRESSION = 1  # maps are nearly incompressible; levels above cost seconds and save little
_NIFTI_TYPES = ("uint8", "int16", "int32", "float32", "float64")


def write_nifti(
    array: NDArray[Any], geometry: VolumeGeometry, path: Path | str, *, description: str = "ICHSegmenter"
) -> None:
    """One plane for each acquired slice, in array order: ascending position if the volume came from DICOM.

    Where one affine cannot describe the slices, the header carries the best fit and says so in `descrip` and
    `intent_name`. bool is written as uint8; a name ending in .gz is compressed.

    Raises:
        ValueError: array is not (slices, rows, columns) of the geometry, or of a type that NIfTI has not.
        OutputError: The file cannot be written.
    """
    values = array.astype(np.uint8) if array.dtype == np.bool_ else array
    if values.shape != geometry.shape:
        raise ValueError(f"array has shape {values.shape}, its geometry {geometry.shape}")
    if values.dtype.name not in _NIFTI_TYPES:
        raise ValueError(f"array has type {values.dtype}; NIfTI is written as {', '.join(_NIFTI_TYPES)}")
    content = encode_nifti(values, geometry, description)
    if str(path).endswith(".gz"):
        content = gzip.compress(content, _FAST_COMPRESSION, mtime=0)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
