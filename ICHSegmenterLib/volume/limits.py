"""Sizes that no head CT has: refused before memory is taken for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause

MAX_VOXELS = 1 << 30
"""1024 slices of 1024 x 1024, 4 GB as float32."""
MAX_INFLATED_BYTES = 512 << 20
"""Of one compressed DICOM file: 1000 frames of 512 x 512 in 16 bits."""
MAX_DEFLATE_RATIO = 1032
"""No byte of a zlib stream becomes more than so many."""


def check_voxels(shape: Sequence[int], name: str) -> None:
    """Refuse an image that is larger than any scan.

    Raises:
        VolumeError: It has more than `MAX_VOXELS`.
    """
    if math.prod(int(size) for size in shape) > MAX_VOXELS:
        raise VolumeError(
            f"{name}: the header promises {' x '.join(str(size) for size in shape)} voxels, more than any head CT has; "
            "it is damaged, copy the file again.",
            Cause.DAMAGED_FILE,
        )


def check_promised_bytes(promised: int, stored: int, name: str, *, is_compressed: bool) -> None:
    """Refuse a header that promises more bytes than its file can hold.

    Raises:
        VolumeError: It does.
    """
    if promised > stored * (MAX_DEFLATE_RATIO if is_compressed else 1):
        raise VolumeError(
            f"{name}: the file is truncated or damaged: its header promises {promised / 1e6:.1f} MB of voxels, it has "
            f"{stored / 1e6:.1f} MB; copy it again.",
            Cause.DAMAGED_FILE,
        )
