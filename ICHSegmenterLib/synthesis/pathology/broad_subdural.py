"""Broad acute subdural hematomas: crescents of over 30 mL along a whole convexity."""

from __future__ import annotations

import numpy as np

from ICHSegmenterLib.synthesis.fields import Field, Random, smooth_noise
from ICHSegmenterLib.synthesis.pathology.lesion_shapes import FAR, Scored, Site

BROAD_ML = (30.0, 140.0)
BROAD_HU = (50.0, 68.0)


def broad_subdural(site: Site, wanted_mm3: float, random: Random) -> Scored:
    """Blood over one whole side, thickest over the middle of its arc, thin at its ends."""
    x, y, z = site.axes
    middle, depth = site.middle, site.head.depth_mm
    beside = (x - middle[0]) * float(random.choice((-1, 1)))
    extent = (float(random.uniform(52, 85)), float(random.uniform(36, 60)))
    center = (middle[1] + float(random.normal(0, 12)), middle[2] + float(random.uniform(6, 26)))
    away = np.hypot((y - center[0]) / extent[0], (z - center[1]) / extent[1])
    thickness = wanted_mm3 / (np.pi * extent[0] * extent[1] * 0.75)
    wall = np.where(depth > 0, depth, FAR)
    profile = thickness * np.maximum(1.35 - 1.1 * away**2, -3.0)
    uneven = np.float32(0.10 * thickness) * smooth_noise(random, depth.shape, 14.0)
    allowed = site.head.cavity & (beside > 1.0) & (z > middle[2] - 28)
    score: Field = (wall - profile + uneven).astype(np.float32)
    return score, allowed.astype(np.float32)
