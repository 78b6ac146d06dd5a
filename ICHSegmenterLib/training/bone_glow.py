"""Brain that is too bright near bone, as beam hardening and partial volume make it in real scans.

Scanners correct for it, never fully: cortex under thick bone can be 15 HU too dense, on one side more than on the
other, most of all at the vertex. Whoever learns from cleaner images takes it for blood along the skull.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.training.recipe import AugmentationRecipe

BONE_HU = 200.0
SOFT_TISSUE_HU = (-30.0, 130.0)
"""Only what lies between is brightened."""
REACH_MM = (4.0, 14.0)
FIELD_ROWS = 64
"""The field is smooth, so it is made on about so many rows."""


@dataclass(frozen=True)
class BoneGlow:
    """One draw.

    Attributes:
        hu: Added where half of the surroundings are bone.
        reach_mm: Standard deviation of the surroundings.
        direction_deg: Of the brighter side; unevenness: 0 for all around, 1 for none at the other side.
    """

    hu: float
    reach_mm: float
    direction_deg: float
    unevenness: float


def draw_bone_glow(recipe: AugmentationRecipe, random: np.random.Generator) -> BoneGlow | None:
    """Draw once; the number of random numbers taken is always the same."""
    chance, strength, reach, direction, unevenness = random.random(5)
    if chance >= recipe.bone_glow:
        return None
    low, high = REACH_MM
    return BoneGlow(recipe.bone_glow_hu * strength, low + (high - low) * reach, 360 * direction, unevenness)


def add_bone_glow(hu: NDArray[np.float32], glow: BoneGlow, spacing_mm: tuple[float, float]) -> NDArray[np.float32]:
    """A brighter slice.

    Args:
        hu: (rows, columns), Hounsfield units.
        glow: The draw.
        spacing_mm: (between rows, between columns).
    """
    step = max(1, hu.shape[0] // FIELD_ROWS)
    bone = (hu > BONE_HU).astype(np.float32)
    around = ndimage.gaussian_filter(bone[::step, ::step], [glow.reach_mm / (step * one) for one in spacing_mm])
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in around.shape)
    angle = np.deg2rad(glow.direction_deg)
    side = 0.5 * (np.sin(angle) * rows[:, None] + np.cos(angle) * columns[None])  # -0.7 to 0.7
    field = np.minimum(2 * around, 1) * np.clip(1 - glow.unevenness * (0.5 - side), 0, 1) * glow.hu
    whole = ndimage.zoom(field, [size / few for size, few in zip(hu.shape, field.shape, strict=True)], order=1)
    is_soft = (hu > SOFT_TISSUE_HU[0]) & (hu < SOFT_TISSUE_HU[1])
    return np.where(is_soft, hu + whole, hu).astype(np.float32)
