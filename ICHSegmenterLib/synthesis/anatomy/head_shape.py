"""The parameters of a head, its coordinates, and the shape of the cranial cavity: vault and skull base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ICHSegmenterLib.synthesis.fields import Coordinates, Field, Mask, Random, smooth_noise
from ICHSegmenterLib.volume.geometry import VolumeGeometry

EXTENT_MM = ((-98.0, 98.0), (-114.0, 114.0), (-92.0, 98.0))
"""Extent of the grid along x, y and z; the origin lies near the middle of the cavity."""
TEMPLATE_RADII = (68.0, 86.0, 74.0)
"""Half-axes of the cavity for which the positions inside the brain are written; other heads are scaled."""
LOWER_RADIUS = 66.0
"""Half-axis of the cavity downwards, in template mm."""
MIDDLE_START, MIDDLE_SLOPE = -16.0, -0.42
"""The sphenoid wing in template mm: y = start + slope * |x|; the middle fossa begins behind it."""
PETROUS_START, PETROUS_SLOPE = -4.0, 0.58
"""The petrous ridge in template mm, from the apex backwards; the posterior fossa begins behind it."""


@dataclass(frozen=True)
class HeadParameters:
    """One person's head.

    Attributes:
        radii: Half-axes of the cavity along x, y, z (upwards), mm.
        roundness: Exponent of the vault's superellipse; 2 is an ellipse.
        skull_mm, scalp_mm: Mean thickness.
        atrophy: 0 (young, narrow sulci and ventricles) to 1 (old).
        leukoaraiosis: 0 to 1, low density around the ventricles.
        gray_hu, white_hu, csf_hu, sinus_hu: Densities.
        calcifications: Probability that pineal gland, choroid plexus and falx are calcified.
        infarcts: Old infarcts.
    """

    radii: tuple[float, float, float]
    roundness: float
    skull_mm: float
    scalp_mm: float
    atrophy: float
    leukoaraiosis: float
    gray_hu: float
    white_hu: float
    csf_hu: float
    sinus_hu: float
    calcifications: float
    infarcts: int

    @classmethod
    def draw(cls, random: Random) -> HeadParameters:
        """A random adult."""
        atrophy = float(random.beta(1.3, 1.5))
        white = float(random.uniform(25, 31))
        size = random.normal(1, 0.025)
        width, length, height = (float(r * size * random.normal(1, 0.02)) for r in (69.0, 85.0, 74.0))
        return cls(
            radii=(width, length, height),
            roundness=float(random.uniform(2.05, 2.35)),
            skull_mm=float(random.uniform(4.5, 8.0)),
            scalp_mm=float(random.uniform(4.0, 8.0)),
            atrophy=atrophy,
            leukoaraiosis=float(max(0.0, atrophy - random.uniform(0.2, 1.2))),
            gray_hu=white + float(random.uniform(6.5, 10.5)),
            white_hu=white,
            csf_hu=float(random.uniform(4, 12)),
            sinus_hu=float(random.uniform(46, 68)),
            calcifications=0.35 + 0.5 * atrophy,
            infarcts=int(random.random() < 0.1 + 0.25 * atrophy),
        )


def head_grid() -> VolumeGeometry:
    """The 1 mm grid on which heads are built: columns to the left, rows to posterior, slices to superior."""
    columns, rows, slices = (round(high - low) + 1 for low, high in EXTENT_MM)
    affine = np.eye(4)
    affine[:3, 3] = [low for low, _ in EXTENT_MM]
    return VolumeGeometry.from_affine((slices, rows, columns), affine)


def head_axes() -> Coordinates:
    """x (1, 1, X), y (1, Y, 1) and z (Z, 1, 1) of the grid in mm."""
    x, y, z = (np.arange(low, high + 0.5, dtype=np.float32) for low, high in EXTENT_MM)
    return x[None, None, :], y[None, :, None], z[:, None, None]


@dataclass(frozen=True, eq=False)
class CavityShape:
    """The inner table and the skull base.

    Attributes:
        vault_mm: float32 (Z, Y, X), depth under the vault: positive inside, negative outside.
        floor_z: float32 (Y, X), height of the skull base, mm.
        petrous_mm: float32 (Y, X), distance from the petrous ridge in the axial plane.
        cavity: bool (Z, Y, X).
        depth_mm: float32 (Z, Y, X), about the distance to the nearest dura; negative outside.
    """

    vault_mm: Field
    floor_z: Field
    petrous_mm: Field
    cavity: Mask
    depth_mm: Field


def cavity_shape(head: HeadParameters, random: Random) -> CavityShape:
    """The cavity of a head, asymmetric and uneven."""
    vault = _vault(head, random)
    floor, petrous = _floor(head, random)
    z = head_axes()[2]
    slope = np.hypot(*np.gradient(floor)).astype(np.float32)
    above = (z - floor) / np.sqrt(1 + np.minimum(slope, 2) ** 2)
    depth = np.minimum(vault, above).astype(np.float32)
    return CavityShape(vault, floor, petrous, depth > 0, depth)


def _vault(head: HeadParameters, random: Random) -> Field:
    x, y, z = head_axes()
    a, b, c = head.radii
    p = head.roundness
    # Wider behind than in front, and not quite symmetric.
    skew = 1 + 0.09 * np.tanh(y / b * 1.4) + np.float32(random.normal(0, 0.012)) * np.sign(x) * np.abs(y / b)
    flat = np.abs(x / (a * skew)) ** p + np.abs(y / b) ** p
    upright = np.where(z > 0, np.abs(z / c) ** p, np.abs(z / (c * LOWER_RADIUS / TEMPLATE_RADII[2])) ** p)
    level = np.power((flat + upright).astype(np.float32), np.float32(1 / p))
    level += np.float32(0.010) * smooth_noise(random, level.shape, 35.0)
    radius = np.sqrt(x * x + y * y + z * z) + np.float32(1.0)
    return np.asarray((1 / np.maximum(level, np.float32(0.05)) - 1) * radius, dtype=np.float32)


def _floor(head: HeadParameters, random: Random) -> tuple[Field, Field]:
    x, y = (axis[0] for axis in head_axes()[:2])
    sx, sy, sz = (r / t for r, t in zip(head.radii, TEMPLATE_RADII, strict=True))
    x, y = np.abs(x) / sx, y / sy
    petrous_y = PETROUS_START + PETROUS_SLOPE * x
    front = -17 + 0.004 * x**2 - 6 * np.exp(-((x / 7) ** 4) - ((y + 52) / 16) ** 4)
    middle = -43 + ((x - 36) / 22) ** 2 * 7 + ((y + 12) / 26) ** 2 * 6
    behind = -58 + (x / 48) ** 2 * 12 + ((y - 45) / 38) ** 2 * 9
    floor = np.where(y < MIDDLE_START + MIDDLE_SLOPE * x, front, np.where(y < petrous_y, middle, behind))
    sella = -18 - 8 * np.exp(-((x / 7) ** 4) - ((y + 11) / 5) ** 4)
    floor = np.where((x < 13) & (y > -26) & (y <= -3), sella, floor)
    clivus = np.clip(-18 - (y + 3) * 40 / 24, -58, -18)
    floor = np.where((x < 14) & (y > -3) & (y < 24), np.maximum(clivus, -60), floor)
    petrous = np.abs(y - petrous_y) / np.float32(np.hypot(1, PETROUS_SLOPE))
    petrous = np.hypot(petrous, np.maximum(0, 9 - x)) + np.maximum(0, x - 62)
    ridge = -25 - 0.02 * (x - 30) - (petrous / 4) ** 2 * 5
    floor = np.maximum(floor, np.where(x > 7, ridge, -99)) * sz
    floor = ndimage.gaussian_filter(floor.astype(np.float32), 1.6)
    floor += np.float32(1.3) * smooth_noise(random, floor.shape, 7.0)
    return np.asarray(floor, dtype=np.float32), petrous.astype(np.float32)
