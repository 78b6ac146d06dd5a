"""Choroid plexus and pineal gland, soft or calcified."""

from __future__ import annotations

from ICHSegmenterLib.synthesis.anatomy.canvas import Canvas
from ICHSegmenterLib.synthesis.fields import Random, cover, near_ellipsoid_distance, near_tube_distance

GLOMUS = (23.0, 33.0, 11.0)
"""The plexus in the atrium of the lateral ventricle, where it is largest; template mm."""
PINEAL = (0.0, 15.5, 3.0)


def paint_plexus(canvas: Canvas, random: Random) -> None:
    """Soft tissue on the floor of the lateral ventricles, thickest in the atria."""
    for sign in (-1, 1):
        radius = float(random.uniform(1.8, 4.2))
        center = [g + float(random.normal(0, 1.0)) for g in GLOMUS]
        points = canvas.side(sign)
        band = near_tube_distance(points, [(5.0, -8.0, 12.5, 0.8), (11.0, 10.0, 16.0, 1.2), (*GLOMUS, 1.8)])
        lump = near_ellipsoid_distance(points, center, (radius * 0.8, radius * 1.4, radius))
        for distance in (band, lump):
            canvas.paint(cover(distance, 1.4) * canvas.ventricles, canvas.densities.plexus)


def paint_plexus_calcification(canvas: Canvas, random: Random) -> None:
    """One to five grains in each glomus, sometimes in one side only."""
    for sign in (-1, 1):
        if random.random() < 0.15:
            continue
        for _ in range(int(random.integers(1, 6))):
            center = [g + float(random.normal(0, s)) for g, s in zip(GLOMUS, (1.2, 3.0, 1.6), strict=True)]
            radius = float(random.uniform(0.8, 2.6))
            share = cover(near_ellipsoid_distance(canvas.side(sign), center, (radius * 0.8, radius * 1.4, radius)), 1.3)
            canvas.paint(share, float(random.uniform(100, 700)))


def paint_pineal(canvas: Canvas, random: Random) -> None:
    """A soft gland of 5 to 8 mm, at times around a cyst."""
    radius = float(random.uniform(2.4, 4.0))
    gland = cover(near_ellipsoid_distance(canvas.points, PINEAL, (radius * 0.85, radius * 1.15, radius * 0.8)), 1.4)
    canvas.paint(gland, canvas.densities.plexus)
    if random.random() < 0.2:
        cyst = near_ellipsoid_distance(canvas.points, PINEAL, (radius * 0.5, radius * 0.7, radius * 0.5))
        canvas.paint(cover(cyst), canvas.head.csf_hu + 6)


def paint_pineal_calcification(canvas: Canvas, random: Random) -> None:
    """One to four grains."""
    for _ in range(int(random.integers(1, 5))):
        center = [p + float(random.normal(0, 0.9)) for p in PINEAL]
        radius = float(random.uniform(0.7, 2.2))
        share = cover(near_ellipsoid_distance(canvas.points, center, (radius * 0.9, radius, radius * 0.8)), 1.3)
        canvas.paint(share, float(random.uniform(110, 700)))
