"""Everything of a head outside the dura: scalp, calvaria with diploe and sutures, skull base, face and neck."""

from __future__ import annotations

import numpy as np

from ICHSegmenterLib.synthesis.anatomy.head_shape import TEMPLATE_RADII, CavityShape, HeadParameters, head_axes
from ICHSegmenterLib.synthesis.fields import (
    Coordinates,
    Field,
    Random,
    blend,
    cover,
    ellipsoid_distance,
    smooth_noise,
)

AIR_HU, SKIN_HU, FAT_HU, MUSCLE_HU = -1000.0, 30.0, -90.0, 52.0
TABLE_HU, BASE_HU, PETROUS_HU, SPONGY_HU = 1350.0, 850.0, 1500.0, 350.0
VITREOUS_HU, LENS_HU, CORD_HU = 10.0, 80.0, 30.0
BASE_TOP_MM = -4.0
"""Below this height lies anything of face, neck and skull base."""


def outside_dura(head: HeadParameters, shape: CavityShape, random: Random) -> Field:
    """HU of the grid with everything but the content of the cavity, which stays air."""
    axes = head_axes()
    top = int(np.searchsorted(axes[2].ravel(), BASE_TOP_MM))
    low: Coordinates = (axes[0], axes[1], axes[2][:top])
    hu = np.full(shape.vault_mm.shape, AIR_HU, dtype=np.float32)
    vault = shape.vault_mm
    thickness = head.skull_mm * (1 + np.float32(0.18) * smooth_noise(random, vault.shape[1:], 30.0))
    thickness = np.maximum(thickness + np.float32(1.2) * (axes[1][0] > 40), 2.5).astype(np.float32)
    _soft_tissue(hu, head, shape, thickness, low, random)
    _calvaria(hu, head, shape, thickness, random)
    _base(hu[:top], head, shape, low, random)
    _face(hu[:top], head, low, random)
    return hu


def _soft_tissue(
    hu: Field, head: HeadParameters, shape: CavityShape, thickness: Field, low: Coordinates, random: Random
) -> None:
    """Scalp around the skull; neck and face below it."""
    outside = -shape.vault_mm - thickness
    for inset, density in ((0.0, SKIN_HU), (1.8, FAT_HU), (head.scalp_mm - 1.2, MUSCLE_HU)):
        blend(hu, cover(outside - head.scalp_mm + inset), density)
    x, y, z = low
    below = hu[: z.shape[0]]
    width, length = head.radii[0] + 3, head.radii[1] + 6
    taper = np.clip((z + 92) / 70, 0, 1)  # the neck is narrower than the face
    ring = np.sqrt((x / (width * (0.86 + 0.14 * taper))) ** 2 + ((y + 4) / (length * (0.9 + 0.1 * taper))) ** 2)
    edge = (ring - 1) * 70
    nose = ellipsoid_distance((x, y, z), (0, -head.radii[1] - 6, -52), (11, 18, 24))
    ears = np.minimum(*(ellipsoid_distance((x, y, z), (s * (width + 6), 22, -28), (6, 13, 22)) for s in (-1, 1)))
    edge = np.minimum(np.maximum(edge, z + 12), np.minimum(nose, ears)).astype(np.float32)
    blend(below, cover(edge), SKIN_HU)
    texture = smooth_noise(random, below.shape, 5.0)
    blend(below, cover(edge + 2.0), FAT_HU)
    muscles = np.where(texture > -0.9, MUSCLE_HU, FAT_HU).astype(np.float32)
    blend(below, cover(edge + 6.0), muscles)


def _calvaria(hu: Field, head: HeadParameters, shape: CavityShape, thickness: Field, random: Random) -> None:
    """Two tables, spongy diploe between them, and thin sutures."""
    at = np.nonzero((shape.vault_mm < 1) & (shape.vault_mm > -thickness - 1))
    x, y, z = (axis.ravel()[n] for axis, n in zip(head_axes(), at[::-1], strict=True))
    outward, full = -shape.vault_mm[at], thickness[at[1:]]
    shell = cover(outward - full) * cover(-outward)
    shell *= cover(shape.floor_z[at[1:]] - 7 - z, 2.0)
    marrow = np.clip(1.6 - np.abs(outward / full - np.float32(0.52)) * 6.5, 0, 1)
    diploe = SPONGY_HU + 230 * np.clip(smooth_noise(random, hu.shape, 2.2)[at], -1.5, 2.5)
    bone = TABLE_HU + marrow * (diploe - TABLE_HU)
    wander = 4 * smooth_noise(random, hu.shape[:2], 3.0)[at[:2]]
    b = np.float32(head.radii[1])
    coronal = np.abs(y + 0.16 * b - 0.35 * (z - 60) + 1.5 * np.sin(x * 0.9))
    lambdoid = np.abs(y - 0.68 * b + 0.3 * (np.abs(x) - 30) + 0.5 * (z - 20) + 1.5 * np.sin(z * 0.8))
    sagittal = np.abs(x + 0.4 * wander) + 99 * (y > 0.8 * b) + 99 * (y < -0.2 * b)
    seam = np.minimum(np.minimum(coronal, lambdoid), sagittal) + 99 * (z < 5)
    bone -= 900 * cover(seam - 0.7)
    hu[at] += shell * (bone - hu[at])


def _base(hu: Field, head: HeadParameters, shape: CavityShape, low: Coordinates, random: Random) -> None:
    """Bone below the floor: thin roofs, thick petrous parts with air cells, clivus, sphenoid with its sinus."""
    x, y, z = low
    sx, sy, sz = (r / t for r, t in zip(head.radii, TEMPLATE_RADII, strict=True))
    side, along = np.abs(x[0]) / sx, y[0] / sy
    thick = np.where(along < -18, 3.0, 4.5)
    thick = np.where((side < 15) & (along > -28) & (along < 24), 17.0, thick)
    thick = np.maximum(thick, 26 - 1.9 * shape.petrous_mm) + 0.8 * smooth_noise(random, thick.shape, 6.0)
    under = shape.floor_z - z
    inside = cover(shape.vault_mm[: hu.shape[0]] * -1 - head.skull_mm + 1)
    bone = cover(-under) * cover((under - thick).astype(np.float32)) * inside
    foramen = np.sqrt(x**2 + (y - 29 * sy) ** 2) - 16
    canal = cover(foramen.astype(np.float32)) * (z < -38)
    grain = smooth_noise(random, hu.shape, 1.8)
    density = np.where(shape.petrous_mm < 8, PETROUS_HU, BASE_HU) + 300 * grain
    blend(hu, bone * (1 - canal), density.astype(np.float32))
    lateral = np.abs(x) > 36 * sx
    cells = lateral & (shape.petrous_mm < 13) & (y > 12) & (under > 2.5) & (under < 24) & (grain > 0.0)
    blend(hu, cells * inside, AIR_HU)
    sphenoid = ellipsoid_distance(low, (random.uniform(-3, 3), -18 * sy, -31 * sz), (11, 9, 9))
    blend(hu, cover(sphenoid) * cover(1.2 - np.abs(x - random.uniform(-2, 2))), AIR_HU)
    vertebra = cover((np.abs(foramen - 5) - 4).astype(np.float32)) * (z < -66) * (np.abs(np.abs(x) - 12) < 16)
    blend(hu, vertebra, BASE_HU)
    blend(hu, canal * cover((foramen + 5).astype(np.float32)) * (z < shape.floor_z), CORD_HU)
    blend(hu, canal * cover(np.abs(foramen + 2.5) - 2) * (z < shape.floor_z), head.csf_hu + 4)


def _face(hu: Field, head: HeadParameters, low: Coordinates, random: Random) -> None:
    """Orbits with eyes, nasal cavity, air sinuses, cheek bones and jaw."""
    x, y, z = low
    front = head.radii[1] - TEMPLATE_RADII[1]
    where: Coordinates = (x, y + np.float32(front), z)
    cells = smooth_noise(random, hu.shape, 2.5)
    jaw = np.maximum(np.abs(np.abs(x) - 50) - 2.5, np.abs(y + 20) - 14) + 99 * (z > -58)
    arch = (
        np.abs(np.sqrt((x / 68) ** 2 + ((y + 8) / 80) ** 2) - 1) * 70 - 2 + 99 * (np.abs(z + 46) > 5) + 99 * (y > -12)
    )
    for bone in (jaw, arch):
        blend(hu, cover(bone.astype(np.float32)), BASE_HU)
    for sign in (-1, 1):
        wall = ellipsoid_distance(where, (sign * 30, -66, -36), (20, 24, 18))
        open_front = np.clip((y + front + 84) / 6, 0, 1)
        blend(hu, cover(wall - 2.2) * open_front, 700.0)
        blend(hu, cover(wall), FAT_HU)
        globe = ellipsoid_distance(where, (sign * 31, -78, -36), (12, 12, 12))
        nerve = (
            np.hypot(x - sign * (30 + (y + front + 66) * 0.5 * -1), z + 36) - 2 + 99 * ((y < -66 - front) | (y > -42))
        )
        blend(hu, cover(nerve.astype(np.float32)) * cover(wall), 40.0)
        blend(hu, cover(globe - 1), 45.0)
        blend(hu, cover(globe + 0.8), VITREOUS_HU)
        blend(hu, cover(ellipsoid_distance(where, (sign * 31, -87, -36), (4.5, 2, 4.5))), LENS_HU)
        maxillary = ellipsoid_distance(where, (sign * 29, -62, -72), (14, 16, 16))
        blend(hu, cover(maxillary - 1.5), 600.0)
        blend(hu, cover(maxillary), AIR_HU)
    nasal = np.maximum(np.abs(x) - 12 - 0.1 * (z + 60), np.abs(y + front + 66) - 27) + 99 * ((z > -28) | (z < -84))
    walls = np.where(cells > 0.75, 250.0, np.where(cells > 0.35, SKIN_HU, AIR_HU))
    blend(hu, cover((nasal - 1).astype(np.float32)), 500.0)
    blend(hu, cover(nasal.astype(np.float32)), walls.astype(np.float32))
    septum = np.maximum(nasal, np.abs(x) - 0.7)
    blend(hu, cover(septum), 200.0)
