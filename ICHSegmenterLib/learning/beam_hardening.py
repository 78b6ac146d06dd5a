"""Brain that is too bright near bone, as beam hardening and partial volume make it in real scans.

Scanners correct for it, never fully. On a real scan of good quality, cortex 3 to 5 mm from the skull measured 45 to
48 HU, 59 and more towards the vertex, where the whole slice is too bright, and 31 in the middle of the brain. Whoever
learns from cleaner images takes it for blood along the skull.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.learning.recipe import AugmentationRecipe

BONE_HU = 200.0
SOFT_TISSUE_HU = (-30.0, 160.0)
"""Only what lies between is brightened."""
NEAR_MM, FAR_MM = (2.5, 7.0), (15.0, 35.0)
"""Standard deviations of the surroundings: of the rim, and of what brightens whole slices near the vertex."""
FAR_SHARE = 0.7
"""Largest strength of the far part, as a share of that of the near one."""
FIELD_ROWS = 64
"""The field is smooth, so it is made on about so many rows."""


@dataclass(frozen=True)
class BeamHardening:
    """One draw.

    Attributes:
        near_hu, far_hu: Added where half of the near or far surroundings are bone.
        near_mm, far_mm: Standard deviation of these surroundings.
        direction_deg: Direction of the brighter side; unevenness: 0 for all around, 1 for none at the other side.
    """

    near_hu: float
    far_hu: float
    near_mm: float
    far_mm: float
    direction_deg: float
    unevenness: float


def draw_beam_hardening(recipe: AugmentationRecipe, random: np.random.Generator) -> BeamHardening | None:
    """Draw once; the number of random numbers taken is always the same."""
    chance, near, far, near_reach, far_reach, direction, unevenness = random.random(7)
    if chance >= recipe.beam_hardening:
        return None
    strongest = recipe.beam_hardening_hu
    return BeamHardening(
        strongest * near,
        FAR_SHARE * strongest * far**2,
        _between(NEAR_MM, near_reach),
        _between(FAR_MM, far_reach),
        360 * direction,
        unevenness,
    )


def add_beam_hardening(
    hu: NDArray[np.float32], hardening: BeamHardening, spacing_mm: tuple[float, float]
) -> NDArray[np.float32]:
    """A brighter slice.

    Args:
        hu: (rows, columns), Hounsfield units.
        hardening: From `draw_beam_hardening`.
        spacing_mm: (between rows, between columns).
    """
    step = max(1, hu.shape[0] // FIELD_ROWS)
    bone = (hu > BONE_HU).astype(np.float32)
    near, far = (
        np.minimum(2 * ndimage.gaussian_filter(bone[::step, ::step], [reach / (step * one) for one in spacing_mm]), 1)
        for reach in (hardening.near_mm, hardening.far_mm)
    )
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) for size in near.shape)
    angle = np.deg2rad(hardening.direction_deg)
    side = 0.5 * (np.sin(angle) * rows[:, None] + np.cos(angle) * columns[None])  # -0.7 to 0.7
    field = (hardening.near_hu * near + hardening.far_hu * far) * np.clip(1 - hardening.unevenness * (0.5 - side), 0, 1)
    whole = ndimage.zoom(field, [size / few for size, few in zip(hu.shape, field.shape, strict=True)], order=1)
    is_soft = (hu > SOFT_TISSUE_HU[0]) & (hu < SOFT_TISSUE_HU[1])
    return np.where(is_soft, hu + whole, hu).astype(np.float32)


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share
