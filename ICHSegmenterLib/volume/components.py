"""Connected pieces of a mask: what touches, and how large each is where slices are unequally spaced."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CONNECTIVITY_26 = np.ones((3, 3, 3), dtype=bool)
"""For `scipy.ndimage.label`: pieces that share a face, an edge or a corner are one."""


def component_volumes(pieces: NDArray[Any], count: int, voxel_volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volume of each piece.

    Args:
        pieces: (slices, rows, columns), 0 outside, 1 to `count` within, as `scipy.ndimage.label` numbers them.
        count: Of pieces.
        voxel_volumes: (slices,) of one voxel, in any unit.

    Returns:
        (count,) in that unit; piece n at n - 1.
    """
    volumes = np.zeros(count + 1)
    for plane, of_voxel in zip(pieces, voxel_volumes, strict=True):
        if plane.any():
            volumes += np.bincount(plane.ravel(), minlength=count + 1) * of_voxel
    return volumes[1:]
