"""Hounsfield units: what air is, and what a value below air means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AIR_HU = -1000.0
"""HU of a voxel without measurement."""

LOWEST_HU = -1024.0
"""CT stores nothing below; vendors write -1500, -2000 or -3024 outside the reconstructed circle."""


HIGHEST_LOW_HU = -200.0
"""A scan in HU holds air around or inside the head, so its lowest value lies below."""


def with_air_for_padding(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of Hounsfield units in which values below -1024 and not-a-number are air."""
    return np.where(values >= LOWEST_HU, values, np.float32(AIR_HU))
