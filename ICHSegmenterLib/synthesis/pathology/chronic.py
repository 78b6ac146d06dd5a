"""Chronic changes: infarcts and lucent white matter; atrophy is a parameter of the head."""

from __future__ import annotations

import numpy as np

from ICHSegmenterLib.synthesis.anatomy.canvas import Canvas
from ICHSegmenterLib.synthesis.fields import Random, blend, cover, ellipsoid_distance, near_ellipsoid_distance

LACUNE_CENTERS = ((24.0, -10.0, 3.0), (12.0, 2.0, 6.0), (22.0, -4.0, 20.0))


def paint_old_infarcts(canvas: Canvas, random: Random) -> None:
    """One or two ragged cortical defects as dark as fluid, and lacunes in the deep nuclei."""
    x, y, z = canvas.points
    ragged = 3 * np.sin(x / 4 + float(random.uniform(0, 6))) * np.cos(y / 5 + z / 6) + 1.5 * np.sin(z / 2.3 + y / 3)
    for _ in range(int(random.integers(0, 3))):
        angle, height = float(random.uniform(0, 2 * np.pi)), float(random.uniform(-5, 45))
        center = (48 * np.sin(angle), 64 * np.cos(angle), height)
        size = float(random.uniform(8, 24))
        wedge = ellipsoid_distance(canvas.points, center, (size, size * float(random.uniform(0.7, 1.5)), size))
        share = cover(wedge + ragged, 5.0) * float(random.uniform(0.45, 0.95)) * (canvas.tentorium > 0)
        blend(canvas.hu, share.astype(np.float32), canvas.head.csf_hu + float(random.uniform(2, 10)))
    for _ in range(int(random.integers(1, 4))):
        sign = float(random.choice((-1, 1)))
        base = LACUNE_CENTERS[int(random.integers(len(LACUNE_CENTERS)))]
        center = (sign * base[0] + random.normal(0, 3), base[1] + random.normal(0, 5), base[2] + random.normal(0, 3))
        radius = float(random.uniform(1.5, 5.0))
        lacune = near_ellipsoid_distance(canvas.points, center, (radius, radius * 1.3, radius))
        blend(canvas.hu, cover(lacune, 1.5), canvas.head.csf_hu + float(random.uniform(3, 12)))


def paint_white_matter_lucency(canvas: Canvas, random: Random) -> None:
    """Caps at the horns and a band along the ventricles, 4 to 14 HU darker, patchy further out."""
    x, y, z = canvas.points
    strength, reach = float(random.uniform(4, 14)), float(random.uniform(4, 13))
    horns = 0.35 + np.exp(-(((np.abs(y) - 36) / 17) ** 2)) * (z > -6)
    patches = 1 + 0.5 * np.sin(x / 5 + float(random.uniform(0, 6))) * np.sin(y / 7) * np.sin(z / 6)
    dark = strength * np.exp(-np.maximum(canvas.wall, 0) / reach) * horns * patches
    tissue = (1 - canvas.ventricles) * (1 - canvas.csf) * (canvas.tentorium > 0)
    floor = canvas.head.csf_hu + 3
    canvas.hu[:] -= (np.clip(np.minimum(dark, canvas.hu - floor), 0, None) * tissue).astype(np.float32)
