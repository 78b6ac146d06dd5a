"""Arteries at the base of the brain: plain, one dense with thrombus, or full of contrast medium."""

from __future__ import annotations

import numpy as np

from ICHSegmenterLib.synthesis.anatomy.canvas import Canvas
from ICHSegmenterLib.synthesis.fields import Random, cover, near_tube_distance

Path = list[tuple[float, float, float, float]]
"""Corners (x, y, z, radius), template mm, left side."""
CAROTID: Path = [(8.0, -12.0, -22.0, 2.0), (8.0, -14.0, -17.0, 1.8), (9.0, -15.0, -13.0, 1.4)]
MIDDLE: Path = [(9.0, -15.0, -13.0, 1.4), (20.0, -17.0, -11.0, 1.3), (30.0, -14.0, -9.0, 1.2)]
INSULAR: tuple[Path, ...] = (
    [(30.0, -14.0, -9.0, 1.1), (40.0, -20.0, -3.0, 0.9), (43.0, -8.0, 6.0, 0.8)],
    [(30.0, -14.0, -9.0, 1.1), (38.0, -6.0, 0.0, 0.9), (48.0, 8.0, 12.0, 0.7)],
)
ANTERIOR: Path = [(4.0, -18.0, -13.0, 1.0), (1.5, -30.0, -8.0, 0.9), (1.5, -44.0, 14.0, 0.8), (1.5, -20.0, 32.0, 0.6)]
BASILAR: Path = [(0.0, -2.0, -18.0, 1.8), (0.0, -3.0, -34.0, 1.8), (0.0, 3.0, -46.0, 1.6)]
POSTERIOR: Path = [(0.0, -2.0, -18.0, 1.2), (16.0, 4.0, -13.0, 1.0), (14.0, 16.0, -6.0, 0.9)]
VERTEBRAL: Path = [(0.0, 3.0, -46.0, 1.4), (8.0, 14.0, -58.0, 1.6)]


def paint_basal_arteries(canvas: Canvas, random: Random) -> None:
    """Circle of Willis with its branches, somewhat denser than brain; in the old, calcium in the carotid's wall."""
    wide = float(random.uniform(0.85, 1.25))
    density = canvas.densities.artery
    for sign in (-1, 1):
        for path in (CAROTID, MIDDLE, *INSULAR, ANTERIOR, POSTERIOR, VERTEBRAL):
            _paint(canvas, sign, path, wide, density)
        if random.random() < 0.7 * canvas.head.atrophy:
            at = (8.0 + float(random.normal(0, 0.5)), -13.0, -18.0 + float(random.uniform(-3, 3)))
            _paint(canvas, sign, [(*at, 1.2), (at[0], at[1], at[2] + 2.5, 1.0)], 1.0, float(random.uniform(150, 900)))
    _paint(canvas, 1, BASILAR, wide, density)
    if canvas.densities.is_enhanced:
        _paint_cortical_vessels(canvas, random)


def paint_dense_artery(canvas: Canvas, random: Random) -> None:
    """Thrombus in a middle cerebral or the basilar artery: 60 to 85 HU in a vessel, not in a sulcus."""
    kind = random.random()
    path = BASILAR if kind < 0.2 else MIDDLE if kind < 0.8 else MIDDLE + INSULAR[int(random.integers(2))][1:]
    sign = int(random.choice((-1, 1)))
    _paint(canvas, sign, path, float(random.uniform(1.3, 1.9)), float(random.uniform(60, 85)))


def _paint(canvas: Canvas, sign: int, path: Path, wide: float, density: float) -> None:
    thick = [(x, y, z, radius * wide) for x, y, z, radius in path]
    canvas.paint(cover(near_tube_distance(canvas.side(sign), thick, reach=6.0)), density)


def _paint_cortical_vessels(canvas: Canvas, random: Random) -> None:
    """Vessels on the convexity: short tubes that follow the surface."""
    radii = np.array([66.0, 84.0, 72.0])
    for _ in range(int(random.integers(25, 60))):
        direction = random.standard_normal(3)
        direction[2] = abs(direction[2])
        points = []
        for _ in range(4):
            direction = direction / np.linalg.norm(direction)
            points.append((*(direction * (radii - random.uniform(1.5, 6))), float(random.uniform(0.5, 1.0))))
            direction = direction + random.normal(0, 0.16, 3)
        distance = near_tube_distance(canvas.points, points, reach=3.0)
        canvas.paint(cover(distance), 0.5 * (canvas.densities.artery + canvas.densities.sinus))
