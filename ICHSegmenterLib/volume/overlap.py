"""Overlap of two masks on the same voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|) of two masks; 1 if both are empty.

    Raises:
        ValueError: The masks have different shapes.
    """
    if first.shape != second.shape:
        raise ValueError(f"masks of one grid are needed, got the shapes {first.shape} and {second.shape}")
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2.0 * np.count_nonzero(first & second) / total if total else 1.0
