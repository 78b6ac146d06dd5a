"""Membranes and venous sinuses: dense lines and triangles that are not blood outside vessels."""

from __future__ import annotations

import numpy as np

from ICHSegmenterLib.synthesis.anatomy.brain import falx_edge
from ICHSegmenterLib.synthesis.anatomy.canvas import Canvas
from ICHSegmenterLib.synthesis.fields import (
    Field,
    Random,
    cover,
    near_ellipsoid_distance,
    near_tube_distance,
    tube_distance,
)

TRANSVERSE_START_MM = 34.0
"""y in template mm behind which the transverse sinus runs in the tentorium's edge."""


def paint_tentorium(canvas: Canvas, random: Random) -> None:
    """A tent of 0.3 to 2.2 mm, denser and thicker at its notch, where readers take it for subdural blood."""
    x, y, _ = canvas.points
    notch = np.hypot(x / 17, (y - 4) / 26)
    rim = np.exp(-(((notch - 1.12) / 0.12) ** 2))
    half = 0.5 * float(random.uniform(0.3, 1.4)) * (1 + 0.6 * rim)
    share = cover(np.abs(canvas.tentorium) - half) * (notch > 1) * (canvas.tentorium < 20)
    canvas.paint(share, canvas.densities.dura)


def paint_falx(canvas: Canvas, random: Random) -> None:
    """A sickle of 0.2 to 1.3 mm between the hemispheres."""
    canvas.paint(_falx_share(canvas, random), canvas.densities.dura)


def paint_falx_calcification(canvas: Canvas, random: Random) -> None:
    """One to three plaques of calcium, or bone, on the falx, mostly in front."""
    falx = _falx_share(canvas, random)
    _, y, z = canvas.points
    for _ in range(int(random.integers(1, 4))):
        center = (float(random.uniform(-70, 25)), float(random.uniform(25, 62)))
        length, height = float(random.uniform(4, 16)), float(random.uniform(3, 9))
        plaque = (np.hypot((y - center[0]) / length, (z - center[1]) / height) - 1) * min(length, height)
        canvas.paint(cover(plaque.astype(np.float32), 2.0) * falx, float(random.uniform(130, 700)))


def paint_sagittal_sinus(canvas: Canvas, random: Random) -> None:
    """A triangle under the vault, from a line in front to 8 mm behind."""
    x, y, z = canvas.points
    height = float(random.uniform(4.5, 8.0))
    grows = np.clip((y + 75) / 100, 0.15, 1.0)
    off = float(random.normal(0, 1.0)) * grows
    width = np.clip(height * grows - canvas.depth, 0, None) * float(random.uniform(0.55, 0.9)) + 0.6
    distance = np.maximum(np.abs(x - off) - width, canvas.depth - height * grows) + 99 * (z < -10)
    canvas.paint(cover(distance.astype(np.float32), 1.3), canvas.densities.sinus)
    for _ in range(int(random.integers(0, 4))):  # bridging veins, which run forward into the sinus
        sign, start = float(random.choice((-1, 1))), float(random.uniform(-45, 40))
        vein = np.hypot(canvas.depth - 1.6, y - start + 0.5 * np.abs(x)) - 1.0
        canvas.paint(cover(vein.astype(np.float32)) * (x * sign > 1) * (np.abs(x) < 24) * (z > 30), _vein(canvas))


def paint_straight_sinus(canvas: Canvas, random: Random) -> None:
    """Straight sinus at the tent's ridge, vein of Galen and internal cerebral veins."""
    wide = float(random.uniform(0.8, 1.4))
    for path in (
        [(0.0, 25.0, 5.0, 1.8 * wide), (0.0, 52.0, -1.0, 1.9 * wide), (0.0, 80.0, -11.0, 2.6 * wide)],
        [(0.0, 16.0, 6.5, 1.3), (0.0, 24.0, 4.5, 1.8 * wide)],
        [(1.6, -14.0, 11.0, 0.8), (1.4, 14.0, 7.5, 1.1)],
    ):
        canvas.paint(cover(near_tube_distance(canvas.mirrored, path)), canvas.densities.sinus)
    if random.random() < 0.5:  # confluence
        canvas.paint(cover(near_ellipsoid_distance(canvas.points, (0, 82, -12), (7, 4, 5))), canvas.densities.sinus)


def paint_transverse_sinus(canvas: Canvas, random: Random) -> None:
    """Along the edge of the tentorium on the occipital bone, one side mostly wider."""
    y = canvas.points[1]
    for sign, size in zip((-1, 1), _sizes(random), strict=True):
        cross = np.hypot((canvas.depth - 1.6) / 1.1, canvas.tentorium * 0.8) - 3.6 * size
        distance = cross + 99 * (y < TRANSVERSE_START_MM) + 99 * (canvas.side(sign)[0] < 2)
        canvas.paint(cover(distance.astype(np.float32), 1.3), canvas.densities.sinus)


def paint_sigmoid_sinus(canvas: Canvas, random: Random) -> None:
    """From the transverse sinus down behind the petrous bone to the jugular foramen."""
    for sign, size in zip((-1, 1), _sizes(random), strict=True):
        along = tube_distance(
            canvas.side(sign), [(60, 41, -16, 9), (57, 37, -26, 9), (52, 33, -38, 9), (40, 27, -48, 8)]
        )
        distance = np.maximum(along, np.abs(canvas.depth - 1.8 * size) - 2.6 * size) + 99 * (canvas.tentorium > 2)
        canvas.paint(cover(distance.astype(np.float32), 1.3), canvas.densities.sinus)


def _sizes(random: Random) -> tuple[float, float]:
    """Sizes of the right and the left sinus, 0.4 to 1.2."""
    large, small = float(random.uniform(0.85, 1.2)), float(random.uniform(0.4, 1.0))
    return (large, small) if random.random() < 0.65 else (small, large)


def _vein(canvas: Canvas) -> float:
    return canvas.densities.sinus - 3.0


def _falx_share(canvas: Canvas, random: Random) -> Field:
    x, y, z = canvas.points
    bow = float(random.uniform(0.2, 1.2)) * np.sin(y / float(random.uniform(20, 35)) + float(random.uniform(0, 6)))
    half = float(random.uniform(0.1, 0.45)) * (1 + 0.4 * np.clip((y - 20) / 40, 0, 1))
    distance = np.maximum(np.abs(x - bow) - half, falx_edge(canvas.points) + 7 - z)
    distance = np.maximum(distance, np.where(y < -30, (-y - 30) * 0.15 - canvas.depth * 0.02, -9))
    return np.asarray(cover(distance.astype(np.float32)) * (canvas.tentorium > 0), dtype=np.float32)
