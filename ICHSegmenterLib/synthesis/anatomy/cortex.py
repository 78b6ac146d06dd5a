"""The cortical ribbon: gyri between sulci that branch, wander and are open or closed."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ICHSegmenterLib.synthesis.anatomy.canvas import Canvas
from ICHSegmenterLib.synthesis.fields import Field, Random, blend, cover, smooth_noise

FOLD_RADIUS_MM = 70.0
"""Radius of the sphere on which the folds are drawn, before they are carried inwards."""
GYRUS_MM = (5.6, 8.0)
"""About half the distance between primary sulci; secondary ones lie between them."""
FOLDED_MM, FOLDED_LEVEL = 26.0, 0.66
"""Folds lie less deep than this, and not over the skull base near the middle of the head."""
RIBBON_MM = (2.6, 4.2)
NODE_MM = 2.0


def paint_cortical_ribbon(canvas: Canvas, surface: Field, random: Random) -> None:
    """Gray matter along the surface and its folds, and fluid in those that are open.

    Args:
        canvas: To paint on.
        surface: float32 (n,), mm to the nearest surface of the unfolded brain.
        random: Of the folds.
    """
    x, y, z = canvas.points
    outer = (x / 68) ** 2 + (y / 86) ** 2 + (z / 70) ** 2 > FOLDED_LEVEL**2
    near = (canvas.depth < FOLDED_MM) & (canvas.tentorium > 0) & outer
    ribbon = float(random.uniform(*RIBBON_MM))
    sheet, width = _folds(canvas, near, random)
    edge = surface.copy()
    edge[near] = np.minimum(surface[near], np.maximum(sheet, 0))
    uneven = _carried(canvas, near, random, 14.0)
    thickness = np.full_like(edge, ribbon)
    thickness[near] *= 1 + np.float32(0.22) * uneven
    blend(canvas.hu, cover(edge - thickness, 1.4) * (canvas.tentorium > 0), canvas.head.gray_hu)
    fluid = np.zeros_like(edge)
    fluid[near] = cover(sheet - width, 0.9)
    fluid *= 1 - canvas.ventricles
    blend(canvas.hu, fluid, canvas.head.csf_hu)
    np.maximum(canvas.csf, fluid, out=canvas.csf)


def _folds(canvas: Canvas, near: np.ndarray, random: Random) -> tuple[Field, Field]:
    """Distance to the middle of the nearest sulcus (mm) and half of that sulcus' width, negative where it is closed."""
    depth, atrophy = canvas.depth[near], canvas.head.atrophy
    pitch = float(random.uniform(*GYRUS_MM))
    primary, ends = _sheets(canvas, near, random, pitch)
    secondary, _ = _sheets(canvas, near, random, 0.62 * pitch)
    deep = np.maximum(0, depth - (13 + 5 * ends))
    shallow = np.maximum(0, depth - (7 + 3 * ends))
    sheet = np.minimum(np.hypot(primary, deep), np.hypot(secondary, shallow))
    open_share = _carried(canvas, near, random, 18.0)
    width = (0.45 + 1.35 * atrophy) * np.clip(1.3 - depth / 26, 0.35, 1.3) + 0.35 * open_share
    return sheet.astype(np.float32), width.astype(np.float32)


def _sheets(canvas: Canvas, near: np.ndarray, random: Random, pitch: float) -> tuple[Field, Field]:
    """Distance (mm) to the zeros of a noise on the sphere, and a noise for the depth of the folds.

    Both are carried inwards along rays that bend.
    """
    size = round(2 * (FOLD_RADIUS_MM + 12) / NODE_MM)
    noise = smooth_noise(random, (size,) * 3, pitch / 2 / NODE_MM)
    noise += np.float32(0.35) * smooth_noise(random, noise.shape, pitch / NODE_MM)
    slope = np.sqrt(sum(g * g for g in np.gradient(noise, NODE_MM)))
    distance = noise / np.maximum(slope, 0.05)
    where, radius = _on_sphere(canvas, near, random, size)
    sheet = np.abs(ndimage.map_coordinates(distance, where, order=1, mode="nearest")) * (radius / FOLD_RADIUS_MM)
    turned = [(w * 0.5 + 17) % (size - 1) for w in where]
    return sheet.astype(np.float32), ndimage.map_coordinates(noise, turned, order=1, mode="nearest")


def _on_sphere(canvas: Canvas, near: np.ndarray, random: Random, size: int) -> tuple[list[Field], Field]:
    """Indices (z, y, x) of each point's ray on the sphere, and its own distance from the middle, mm."""
    x, y, z = (p[near] for p in canvas.points)
    radius = np.sqrt(x * x + y * y + z * z) + 1
    bends = [np.float32(0.30) * canvas.depth[near] * np.sin(p / 8 + random.uniform(0, 6)) for p in (y, z, x)]
    middle = np.float32(size / 2)
    where = [
        ((FOLD_RADIUS_MM * p / radius + bend) / NODE_MM + middle).astype(np.float32)
        for p, bend in zip((z, y, x), bends, strict=True)
    ]
    return where, radius.astype(np.float32)


def _carried(canvas: Canvas, near: np.ndarray, random: Random, pitch: float) -> Field:
    """Smooth noise of unit variance at the folded points."""
    size = round(200 / 4)
    noise = smooth_noise(random, (size,) * 3, pitch / 4)
    where = [(p[near] / 4 + size / 2).astype(np.float32) for p in reversed(canvas.points)]
    return ndimage.map_coordinates(noise, where, order=1, mode="nearest")
