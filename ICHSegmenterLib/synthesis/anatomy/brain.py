"""The content of the cavity: folded cortex, white matter, deep nuclei, ventricles, cisterns, dura and vessels.

Positions are written for a template of half-axes `TEMPLATE_RADII` and scaled to each head: anterior commissure near
(0, -18, 0), posterior commissure near (0, 8, 0), x to the left, y to posterior, z to superior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ICHSegmenterLib.synthesis.anatomy.head_shape import TEMPLATE_RADII, CavityShape, HeadParameters, head_axes
from ICHSegmenterLib.synthesis.fields import (
    Coordinates,
    Field,
    Mask,
    Random,
    blend,
    cover,
    ellipsoid_distance,
    near_ellipsoid_distance,
    near_tube_distance,
    smooth_noise,
    tube_distance,
)

DURA_HU, VESSEL_HU, BRAINSTEM_HU, CALCIFICATION_HU = 52.0, 40.0, 31.0, 400.0
CORTEX_MM = 3.2
GYRUS_PITCH_MM = 6.5
"""Half the distance over which the noise that draws the sulci changes."""
FOLD_RADIUS_MM = 70.0
"""Radius of the sphere on which the sulci are drawn."""


@dataclass(frozen=True, eq=False)
class Brain:
    """Values at the points of the cavity, in the order of `np.nonzero(cavity)`.

    Attributes:
        hu: float32 (n,).
        csf: float32 (n,) share of cerebrospinal fluid outside the ventricles.
        ventricles: float32 (n,) share of ventricle.
    """

    hu: Field
    csf: Field
    ventricles: Field


def inside_dura(head: HeadParameters, shape: CavityShape, random: Random) -> Brain:
    """Fill the cavity of a head."""
    points = template_points(head, shape.cavity, random)
    depth = shape.depth_mm[shape.cavity]
    x, _, z = points
    tentorium = tentorium_height(points)
    is_cerebrum = tentorium > 0
    uneven = smooth_noise(random, shape.cavity.shape, 12.0)[shape.cavity]
    rim = 0.4 + 2.0 * head.atrophy * np.maximum(0.1, 0.6 + 0.4 * np.tanh(z / 30) + 0.3 * uneven)
    hemisphere = np.where(z > falx_edge(points) - 2, np.abs(x) - (0.5 + 0.9 * head.atrophy), 99).astype(np.float32)
    edge = np.minimum(depth - rim, hemisphere)
    edge = np.minimum(edge, np.abs(tentorium) - 0.9)
    sulcus = sulcus_distance(points, depth, head, random)
    edge = np.where(is_cerebrum, np.minimum(edge, sulcus), edge).astype(np.float32)
    edge = np.minimum(edge, cistern_distance(points, head))
    gray = cover(edge - CORTEX_MM, 1.5)
    hu = np.full_like(depth, head.white_hu)
    blend(hu, gray, head.gray_hu)
    _deep_structures(hu, points, head, is_cerebrum, random)
    ventricles = ventricle_distance(points, head, random)
    _age(hu, points, ventricles, head, random)
    hu += np.float32(0.8) * smooth_noise(random, shape.cavity.shape, 9.0)[shape.cavity]
    csf = cover(edge, 1.2)
    blend(hu, csf, head.csf_hu)
    ventricle_share = cover(ventricles, 1.2)
    blend(hu, ventricle_share, head.csf_hu)
    _dura_and_sinuses(hu, points, depth, tentorium, head, random)
    _calcifications(hu, points, head, random)
    return Brain(hu, csf * (1 - ventricle_share), ventricle_share)


def template_points(head: HeadParameters, cavity: Mask, random: Random) -> Coordinates:
    """Coordinates of the cavity's points in the template, gently warped."""
    index = np.nonzero(cavity)
    scaled = []
    for axis, n, radius, template in zip(head_axes(), index[::-1], head.radii, TEMPLATE_RADII, strict=True):
        warp = smooth_noise(random, cavity.shape, 28.0)[cavity]
        scaled.append((axis.ravel()[n] * np.float32(template / radius) + np.float32(1.3) * warp).astype(np.float32))
    return scaled[0], scaled[1], scaled[2]


def sulcus_distance(points: Coordinates, depth: Field, head: HeadParameters, random: Random) -> Field:
    """Distance to the walls of the sulci: thin sheets that go down from the surface where a noise crosses zero."""
    nodes = round(2 * (FOLD_RADIUS_MM + 12) / 2)
    noise = smooth_noise(random, (nodes,) * 3, GYRUS_PITCH_MM / 2)
    noise += np.float32(0.4) * smooth_noise(random, noise.shape, GYRUS_PITCH_MM)
    steepness = np.sqrt(sum(g * g for g in np.gradient(noise, 2.0)))
    distance = noise / np.maximum(steepness, 0.04)
    near = depth < 24
    x, y, z = (p[near] for p in points)
    radius = np.sqrt(x * x + y * y + z * z) + 1
    bend = [np.float32(0.08) * depth[near] * np.sin(p / 9 + random.uniform(0, 6)) for p in (y, z, x)]
    where = [(FOLD_RADIUS_MM * p / radius + b) / 2 + nodes / 2 for p, b in zip((z, y, x), bend, strict=True)]
    sheet = ndimage.map_coordinates(distance, where, order=1, mode="nearest") * (radius / FOLD_RADIUS_MM)
    reach = ndimage.map_coordinates(noise, [(w * 0.55 + 11) % (nodes - 1) for w in where], order=1, mode="nearest")
    bottom = 13 + 5 * reach
    width = (0.25 + 1.15 * head.atrophy) * np.clip(1.3 - depth[near] / 22, 0.35, 1.3)
    result = np.full_like(depth, 99)
    # Towards the middle of the head the sheets would meet.
    end = np.maximum((depth[near] - bottom) * 0.7, 38 - radius)
    result[near] = np.maximum(np.abs(sheet) - width, end)
    return result


def cistern_distance(points: Coordinates, head: HeadParameters) -> Field:
    """Distance to the fluid around brain stem and vessels and in the Sylvian fissures."""
    x, y, z = points
    mirrored = (np.abs(x), y, z)
    wide = 0.6 + 1.0 * head.atrophy
    paths: list[list[tuple[float, float, float, float]]] = [
        [(0, -14, -14, 6.0), (0, -10, -16, 7.0)],
        [(0, -14, -14, 3.0), (13, -17, -14, 2.4), (30, -14, -10, 1.2 + wide)],
        [(0, -14, -14, 3.0), (0, -34, -12, 1.2)],
        [(30, -14, -10, 1.2 + wide), (42, -22, -4, 1.0 + 1.8 * wide), (44, -6, 6, 0.8 + 1.2 * wide)],
        [(44, -6, 6, 0.8 + 1.2 * wide), (50, 8, 12, 0.4 + 0.9 * wide), (58, 18, 18, 0.3 + 0.6 * wide)],
        [(36, -22, 0, 0.8 * wide), (36, -4, 8, 0.8 * wide)],
        [(0, -4, -18, 4.0), (0, -3, -32, 2.5), (0, 8, -48, 3.0)],
        [(0, -4, -16, 4.0), (15, 2, -14, 2.0), (17, 12, -8, 1.8), (6, 19, -3, 2.2), (0, 19, -2, 3.2)],
        [(0, 19, -2, 3.2), (0, 26, 4, 2.6)],
        [(17, 6, -30, 3.2), (26, 12, -30, 1.5)],
        [(0, 50, -52, 4.0 + wide), (0, 36, -56, 5.0)],
        [(0, -2, -14, 3.0), (0, -2, -8, 0.5)],
    ]  # fmt: skip
    nearest: Any = np.float32(np.inf)
    for path in paths:
        nearest = np.minimum(nearest, near_tube_distance(mirrored, path))
    return np.asarray(nearest, dtype=np.float32)


def ventricle_distance(points: Coordinates, head: HeadParameters, random: Random) -> Field:
    """Distance to the walls of lateral, third and fourth ventricle."""
    x, y, z = points
    grown = float(np.clip(0.62 + 0.75 * head.atrophy + random.normal(0, 0.10), 0.5, 1.6))
    nearest: Any = np.float32(np.inf)
    for sign in (-1, 1):
        side = grown * float(np.clip(random.normal(1, 0.10), 0.75, 1.3))
        own = (np.where(x * sign > 0.4, x * sign, -99).astype(np.float32), y, z)
        lateral: list[tuple[float, float, float, float]] = [
            (13, -42, 6, 3.0 * side), (9.5, -30, 10, 5.0 * side), (8.5, -14, 15, 4.6 * side), (11, 4, 20, 4.8 * side),
            (17, 20, 19, 5.6 * side), (24, 31, 12, 6.0 * side), (21, 50, 6, 2.6 * side), (18, 60, 4, 0.6 * side),
        ]  # fmt: skip
        temporal: list[tuple[float, float, float, float]] = [
            (24, 31, 12, 5.5 * side),
            (30, 20, -2, 2.4 * side),
            (31, 4, -15, 1.9 * side),
            (27, -8, -20, 1.8 * side),
        ]
        for path in (lateral, temporal):
            nearest = np.minimum(nearest, near_tube_distance(own, path, 28.0))
    third = np.maximum(np.abs(x) - (0.6 + 2.4 * head.atrophy), np.hypot((y + 7) / 1.35, z + 1) - 10)
    fourth = ellipsoid_distance((x * 0.75, y, z), (0, 26, -31), (5.5 * grown, 4.5 * grown, 9))
    aqueduct = near_tube_distance(points, [(0, 8, -4, 1.0), (0, 17, -18, 1.0), (0, 24, -26, 1.5)])
    return np.asarray(np.minimum.reduce([nearest, third, fourth, aqueduct]), dtype=np.float32)


def _deep_structures(hu: Field, points: Coordinates, head: HeadParameters, is_cerebrum: Mask, random: Random) -> None:
    """Basal ganglia, thalamus, brain stem and cerebellum."""
    x, y, z = points
    mirrored = (np.abs(x), y, z)
    deep = head.gray_hu - 1.0
    for center, radii in (((11, 0, 6), (8.5, 14, 8.5)), ((24, -12, 3), (6.5, 16, 9)), ((14, -27, 8), (5, 9, 8))):
        blend(hu, cover(ellipsoid_distance(mirrored, center, radii), 3.0), deep)
    below = ~is_cerebrum
    leaves = 2.0 * np.sin((np.hypot(y - 24, z + 30)) * 1.15 + 0.05 * x)
    hu[below] = (head.gray_hu + head.white_hu) / 2 + 1.5 + leaves[below] * 0.8
    nuclei = ellipsoid_distance(mirrored, (19, 42, -36), (13, 13, 10))
    blend(hu, cover(nuclei, 5.0) * below, head.white_hu + 1)
    stem = tube_distance(points, [(0, 4, -8, 15), (0, 9, -22, 14), (0, 10, -32, 15), (0, 22, -60, 8)])
    blend(hu, cover(stem, 3.0), BRAINSTEM_HU + random.normal(0, 0.7))


def _age(hu: Field, points: Coordinates, ventricles: Field, head: HeadParameters, random: Random) -> None:
    """Leukoaraiosis around the ventricles and old infarcts."""
    x, y, z = points
    horns = np.exp(-(((np.abs(y) - 38) / 16) ** 2)) * (z > -5)
    hu -= (9 * head.leukoaraiosis * np.exp(-np.maximum(ventricles, 0) / 7) * (0.35 + horns)).astype(np.float32)
    for _ in range(head.infarcts):
        angle, height = random.uniform(0, 2 * np.pi), random.uniform(-5, 40)
        center = (45 * np.sin(angle), 62 * np.cos(angle), height)
        size = random.uniform(9, 22)
        ragged = ellipsoid_distance(points, center, (size, size * random.uniform(0.7, 1.5), size))
        ragged = ragged + 3 * np.sin(x / 4) * np.cos(y / 5 + z / 6)
        blend(hu, cover(ragged.astype(np.float32), 6.0) * np.float32(random.uniform(0.4, 0.9)), head.csf_hu + 8)


def tentorium_height(points: Coordinates) -> Field:
    """Height above the tentorium (negative: posterior fossa), which ends at the notch around the brain stem."""
    x, y, z = points
    ridge = -21 + np.clip(y / 80, 0, 1) * 9
    peak = 24 * np.exp(-(np.hypot(x / 24, (y - 24) / 34) ** 1.5))
    height = z - (ridge + peak)
    in_front = y < -4 + 0.58 * np.abs(x)
    return np.where(in_front & (z > -45), np.maximum(height, 30), height).astype(np.float32)


def falx_edge(points: Coordinates) -> Field:
    """Height of the corpus callosum's upper surface, above which the hemispheres are apart."""
    _, y, z = points
    arch = 29 - ((y + 4) / 34) ** 2 * 14
    frontal_or_occipital = (y < -50) | (y > 34)
    return np.where(frontal_or_occipital, -12.0, arch).astype(np.float32) + 0 * z


def _dura_and_sinuses(
    hu: Field, points: Coordinates, depth: Field, tentorium: Field, head: HeadParameters, random: Random
) -> None:
    """Falx, tentorium, venous sinuses and the arteries at the base."""
    x, y, z = points
    bow = 0.6 * np.sin(y / 25 + random.uniform(0, 6))
    falx = np.maximum(np.abs(x - bow) - random.uniform(0.4, 0.8), falx_edge(points) + 7 - z)
    falx = np.maximum(falx, np.where(y < -30, (-y - 30) * 0.15 - depth * 0.02, -9))
    blend(hu, cover(falx.astype(np.float32)) * (tentorium > 0), DURA_HU)
    notch = np.hypot(x / 17, (y - 4) / 26) > 1
    sheet = cover(np.abs(tentorium) - 0.55) * notch * (tentorium < 20)
    blend(hu, sheet.astype(np.float32), DURA_HU)
    sagittal = np.abs(x) - np.clip(4.5 - depth, 0, 4.5) * np.clip((y + 70) / 90, 0.15, 1) + 99 * (z < -8)
    transverse = np.hypot(depth - 2.0, tentorium * 0.8) - 3.4 + 99 * (y < 30)
    straight = tube_distance(points, [(0, 27, 6, 2.0), (0, 80, -11, 3.0)])
    galen = tube_distance(points, [(0, 16, 5, 1.4), (0, 27, 6, 1.8)])
    for sinus in (sagittal, transverse, straight, galen):
        blend(hu, cover(sinus.astype(np.float32), 1.5), head.sinus_hu)
    mirrored = (np.abs(x), y, z)
    artery = head.sinus_hu - 8
    for path in (
        [(8.0, -14.0, -17.0, 1.7), (9.0, -15.0, -13.0, 1.4), (28.0, -14.0, -9.0, 1.1)],
        [(0.0, -2.0, -20.0, 1.5), (0.0, -2.0, -34.0, 1.6)],
        [(0.0, -2.0, -18.0, 1.1), (16.0, 4.0, -13.0, 0.9)],
        [(4.0, -18.0, -13.0, 0.9), (1.5, -30.0, -8.0, 0.8), (1.5, -44.0, 14.0, 0.7)],
    ):
        blend(hu, cover(near_tube_distance(mirrored, path)), artery)


def _calcifications(hu: Field, points: Coordinates, head: HeadParameters, random: Random) -> None:
    """Physiologic calcifications, which must not be taken for blood."""
    x, y, _ = points
    spots: list[tuple[tuple[float, float, float], float]] = []
    if random.random() < head.calcifications:
        spots.append(((random.normal(0, 0.6), 15.5, 3.0), random.uniform(1.2, 3.0)))
    for sign in (-1, 1):
        if random.random() < head.calcifications:
            spots.append(((sign * random.uniform(21, 25), 33.0, 11.0), random.uniform(1.5, 4.0)))
        if random.random() < 0.15 * head.atrophy:
            spots.append(((sign * 20.0, -10.0, 2.0), random.uniform(1.5, 3.5)))
        if random.random() < head.atrophy:
            spots.append(((sign * 8.5, -14.0, -17.0), random.uniform(0.8, 1.6)))
    for center, radius in spots:
        stretch = (radius * 0.8, radius * random.uniform(1.0, 1.6), radius)
        share = cover(near_ellipsoid_distance(points, center, stretch), 1.5)
        blend(hu, share, CALCIFICATION_HU * random.uniform(0.4, 1.6))
    if random.random() < 0.4 * head.calcifications:
        start, height = random.uniform(-60, 30), random.uniform(35, 60)
        share = cover(np.abs(x) - 1.0) * cover(np.abs(y - start) - random.uniform(3, 9), 3.0)
        blend(hu, share * cover(np.abs(points[2] - height) - random.uniform(2, 6), 3.0), CALCIFICATION_HU)
