"""Writing masks and maps on the acquired grid: NIfTI, Slicer's .seg.nrrd, DICOM SEG. Every file is written whole."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib import __version__
from ICHSegmenterLib.labels import SegmentLabel
from ICHSegmenterLib.volume.atomic import replacing
from ICHSegmenterLib.volume.dicom_seg import write_dicom_seg
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.nifti import encode_nifti
from ICHSegmenterLib.volume.seg_nrrd import encode_seg_nrrd

__all__ = ["write_dicom_seg", "write_nifti", "write_seg_nrrd"]

ALGORITHM = f"ICHSegmenter {__version__}"
"""Name and version, as DICOM.SegmentAlgorithmName."""
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


def write_seg_nrrd(
    labelmap: NDArray[np.uint8],
    geometry: VolumeGeometry,
    labels: Sequence[SegmentLabel],
    path: Path | str,
    *,
    algorithm: str = ALGORITHM,
) -> None:
    """Slicer's segmentation: value n of the labelmap becomes the segment labels[n - 1], if it occurs.

    algorithm is name and version of what made the labelmap; Slicer hands it on to DICOM.

    Raises:
        ValueError: labelmap is not uint8 of the geometry's shape, or holds values without a label.
        OutputError: The file cannot be written.
    """
    if labelmap.dtype != np.uint8 or labelmap.shape != geometry.shape:
        raise ValueError(f"labelmap must be uint8 {geometry.shape}, got {labelmap.dtype} {labelmap.shape}")
    if labelmap.size and int(labelmap.max()) > len(labels):
        raise ValueError(f"labelmap holds value {int(labelmap.max())}, but there are {len(labels)} labels")
    content = encode_seg_nrrd(labelmap, geometry, labels, algorithm=algorithm)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
