"""Deep gray nuclei with the white matter between them, and what never is switched off: brain stem and cerebellum."""

from __future__ import annotations

import numpy as np

from ICHSegmenterLib.synthesis.anatomy.canvas import Canvas
from ICHSegmenterLib.synthesis.fields import (
    Coordinates,
    Field,
    Random,
    blend,
    cover,
    ellipsoid_distance,
    near_tube_distance,
    tube_distance,
)

CAUDATE = [(12.5, -31, 4, 5.5), (15.0, -23, 12, 5.5), (16.5, -8, 20, 3.2), (19, 12, 22, 2.0), (26, 26, 14, 1.2)]
"""Corners (x, y, z, radius) of its body and tail, template mm."""
STEM_HU, BELOW_WHITE_HU = 31.0, 1.0


def paint_deep_nuclei(canvas: Canvas, random: Random) -> None:
    """Caudate, putamen, pallidum, thalamus and claustrum; the caudate may be as dense as 45 HU."""
    points, head = canvas.mirrored, canvas.head
    dense = head.gray_hu + float(random.uniform(-1.5, 4.0))
    grown = float(random.uniform(0.9, 1.1))
    thalamus = ellipsoid_distance(points, (11.5, 2, 5), (8.5 * grown, 14.5, 9.0 * grown))
    lens = np.maximum(
        ellipsoid_distance(points, (23.5, -11, 2), (8.0 * grown, 16.5, 10)),
        -ellipsoid_distance(points, (11, -8, 4), (9.0, 22, 16)),
    )
    caudate = caudate_distance(points)
    for nucleus, density in ((thalamus, dense - 1.0), (lens, dense), (caudate, dense)):
        share = cover(nucleus, 2.0) * (1 - canvas.ventricles) * (1 - canvas.csf)
        blend(canvas.hu, share, density)
    pallidum = ellipsoid_distance(points, (18.0, -8, 1), (4.0, 9.0, 6.0))
    blend(canvas.hu, cover(pallidum, 2.5) * (1 - canvas.csf), dense - 2.0 + float(random.uniform(0, 3)))
    claustrum = np.abs(ellipsoid_distance(points, (24, -10, 2), (12.5, 21, 14))) - 0.8
    x = points[0]
    blend(canvas.hu, cover(claustrum, 1.2) * (x > 30) * (1 - canvas.csf), head.gray_hu - 2.0)


def caudate_distance(mirrored: Coordinates) -> Field:
    """Mm from the surface of the caudate nucleus; x of the points is not negative."""
    return near_tube_distance(mirrored, CAUDATE, reach=16)


def paint_hindbrain(canvas: Canvas, random: Random) -> None:
    """Cerebellum with its leaves and white matter, and the brain stem."""
    x, y, z = canvas.points
    head, below = canvas.head, canvas.tentorium <= 0
    radius = np.hypot(np.hypot(y - 24, z + 30), 0.35 * x)
    leaves = np.sin(radius * float(random.uniform(1.2, 1.7)) + 0.06 * x + 1.5 * np.sin(y / 9))
    folia = 0.5 * (head.gray_hu + head.white_hu) + 1.5 + 1.3 * leaves
    blend(canvas.hu, below.astype(np.float32), folia.astype(np.float32))
    fluid = below * cover(leaves + 0.95 - 0.55 * head.atrophy, 0.5) * cover(canvas.depth - 12, 6.0)
    blend(canvas.hu, (0.35 * fluid).astype(np.float32), head.csf_hu)
    white = ellipsoid_distance(canvas.mirrored, (19, 40, -36), (14, 13, 10)) + 2 * leaves
    blend(canvas.hu, cover(white, 5.0) * below, head.white_hu + BELOW_WHITE_HU)
    vermis = np.maximum(np.abs(x) - 6, np.abs(z + 28) - 18) + 99 * (y < 30)
    blend(canvas.hu, cover(vermis, 4.0) * below, head.gray_hu + 1.5)
    stem = tube_distance(canvas.points, [(0, 4, -8, 14), (0, 9, -20, 12.5), (0, 9, -32, 15), (0, 22, -60, 8)])
    blend(canvas.hu, cover(stem, 3.0) * (1 - canvas.csf), STEM_HU + float(random.normal(0, 1.0)))
