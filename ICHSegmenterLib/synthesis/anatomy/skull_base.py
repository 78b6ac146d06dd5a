"""Relief of the skull base: what rises into a thick slice and, half bone and half brain, has the density of blood."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ICHSegmenterLib.synthesis.anatomy.head_shape import (
    MIDDLE_SLOPE,
    MIDDLE_START,
    TEMPLATE_RADII,
    CavityShape,
    HeadParameters,
    head_axes,
)
from ICHSegmenterLib.synthesis.fields import Field, Random, smooth_noise


def orbital_roofs(head: HeadParameters, shape: CavityShape, random: Random) -> Field:
    """Rise (Y, X) in mm of the floor of the anterior fossa: domes over the orbits with ridges between the gyri."""
    x, y = _template_axes(head)
    front = y < MIDDLE_START + MIDDLE_SLOPE * np.abs(x) - 4
    domes = np.exp(-(((np.abs(x) - 30) / 15) ** 2) - (((y + 52) / 24) ** 2))
    ridges = np.maximum(smooth_noise(random, shape.floor_z.shape, 4.5), 0)
    rise = float(random.uniform(1, 4)) * domes + float(random.uniform(1.5, 3.5)) * ridges * domes
    return _settled(rise * front)


def petrous_ridges(head: HeadParameters, shape: CavityShape, random: Random) -> Field:
    """Rise in mm of the petrous ridges, sharp and uneven, each side by its own amount."""
    x, _ = _template_axes(head)
    sides = np.where(x > 0, float(random.uniform(3, 10)), float(random.uniform(3, 10)))
    crest = np.exp(-((shape.petrous_mm / float(random.uniform(2.2, 4.0))) ** 2))
    uneven = 1 + 0.35 * smooth_noise(random, shape.floor_z.shape, 5.0)
    eminence = 1 + 0.5 * np.exp(-(((np.abs(x) - 34) / 8) ** 2))
    return _settled(sides * crest * uneven * eminence)


def clinoids(head: HeadParameters, shape: CavityShape, random: Random) -> Field:
    """Rise in mm of the anterior and posterior clinoid processes and the sphenoid wing's edge."""
    x, y = _template_axes(head)
    rise = np.zeros_like(shape.floor_z)
    for sign in (-1, 1):
        for along, across, radius, high in ((-23.0, 12.0, 3.2, 9.0), (-3.5, 7.5, 2.4, 8.0)):
            high *= float(random.uniform(0.6, 1.3))
            knob = np.exp(-((np.hypot(x - sign * across, y - along - random.normal(0, 0.7)) / radius) ** 4))
            rise = np.maximum(rise, high * knob)
    wing = np.abs(y - (MIDDLE_START + MIDDLE_SLOPE * np.abs(x))) / np.hypot(1, MIDDLE_SLOPE)
    edge = float(random.uniform(2, 6)) * np.exp(-((wing / 2.5) ** 2)) * (np.abs(x) > 12)
    return _settled(np.maximum(rise, edge))


def raised(shape: CavityShape, rises: list[Field]) -> CavityShape:
    """The cavity over a floor that is higher; the highest of the rises counts."""
    if not rises:
        return shape
    floor = shape.floor_z + np.maximum.reduce(rises)
    slope = np.hypot(*np.gradient(floor)).astype(np.float32)
    above = (head_axes()[2] - floor) / np.sqrt(1 + np.minimum(slope, 2) ** 2)
    depth = np.minimum(shape.vault_mm, above).astype(np.float32)
    return replace(shape, floor_z=floor, cavity=depth > 0, depth_mm=depth)


def _template_axes(head: HeadParameters) -> tuple[Field, Field]:
    x, y = (axis[0] for axis in head_axes()[:2])
    sx, sy = (r / t for r, t in zip(head.radii[:2], TEMPLATE_RADII[:2], strict=True))
    return x / np.float32(sx), y / np.float32(sy)


def _settled(rise: np.ndarray) -> Field:
    return np.asarray(ndimage.gaussian_filter(np.maximum(rise, 0).astype(np.float32), 0.8), dtype=np.float32)
