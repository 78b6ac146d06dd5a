"""Fields on a grid of points: smooth noise, distances to tubes and ellipsoids, soft steps. All lengths are mm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float32]
Real: TypeAlias = NDArray[np.floating[Any]]
Mask: TypeAlias = NDArray[np.bool_]
Coordinates: TypeAlias = tuple[Field, Field, Field]
"""x, y and z of points; arrays that broadcast against each other."""
Random: TypeAlias = np.random.Generator

SPLINE_POWER = 151 / 315
"""Mean of the sum of squared weights of a cubic B-spline: what one axis leaves of the coefficients' variance."""


def smooth_noise(random: Random, shape: Sequence[int], pitch: float) -> Field:
    """Noise of zero mean and unit variance without detail finer than about twice `pitch` samples.

    Args:
        random: Source of the coefficients.
        shape: Shape of the result, of any dimension.
        pitch: Distance of the coefficients in samples.
    """
    weights = [_spline_weights(n, pitch) for n in shape]
    field = random.standard_normal([w.shape[1] for w in weights]).astype(np.float32)
    for axis in reversed(range(len(shape))):  # the longest product comes last, when all other axes are done
        field = np.moveaxis(np.tensordot(field, weights[axis], axes=(axis, 1)), -1, axis)
    return np.ascontiguousarray(field) / np.float32(SPLINE_POWER ** (len(shape) / 2))


def tube_distance(points: Coordinates, path: Sequence[Sequence[float]]) -> Field:
    """Distance to the surface of a tube; negative inside.

    Args:
        points: Where.
        path: Corners (x, y, z, radius); the radius changes linearly between them.
    """
    nearest: Any = np.float32(np.inf)
    for start, end in pairwise(path):
        a, b = np.asarray(start[:3]), np.asarray(end[:3])
        direction = b - a
        away = [p - np.float32(c) for p, c in zip(points, a, strict=True)]
        along = sum(v * np.float32(d) for v, d in zip(away, direction, strict=True)) / np.float32(direction @ direction)
        along = np.clip(along, 0, 1)
        squared = sum((v - along * np.float32(d)) ** 2 for v, d in zip(away, direction, strict=True))
        radius = np.float32(start[3]) + along * np.float32(end[3] - start[3])
        nearest = np.minimum(nearest, np.sqrt(squared) - radius)
    return np.asarray(nearest, dtype=np.float32)


def ellipsoid_distance(points: Coordinates, center: Sequence[float], radii: Sequence[float]) -> Field:
    """Distance to an ellipsoid's surface along the ray from its center, scaled by the mean radius; negative inside."""
    scaled = ((p - np.float32(c)) / np.float32(r) for p, c, r in zip(points, center, radii, strict=True))
    level = np.sqrt(np.asarray(sum(s * s for s in scaled), dtype=np.float32))
    return np.asarray((level - 1) * np.float32(np.prod(radii) ** (1 / 3)), dtype=np.float32)


def near_tube_distance(points: Coordinates, path: Sequence[Sequence[float]], reach: float = 12.0) -> Field:
    """`tube_distance` where it can be small, a large number elsewhere: most points are far from any one tube."""
    low = np.min([corner[:3] for corner in path], axis=0) - reach
    high = np.max([corner[:3] for corner in path], axis=0) + reach
    near = np.ones(points[0].shape, dtype=bool)
    for p, a, b in zip(points, low, high, strict=True):
        near &= (p > np.float32(a)) & (p < np.float32(b))
    result = np.full(points[0].shape, 99, dtype=np.float32)
    x, y, z = (p[near] for p in points)
    result[near] = tube_distance((x, y, z), path)
    return result


def near_ellipsoid_distance(points: Coordinates, center: Sequence[float], radii: Sequence[float]) -> Field:
    """`ellipsoid_distance` within 12 mm of the center, a large number elsewhere."""
    near = np.hypot(np.hypot(points[0] - center[0], points[1] - center[1]), points[2] - center[2]) < 12
    result = np.full(points[0].shape, 99, dtype=np.float32)
    x, y, z = (p[near] for p in points)
    result[near] = ellipsoid_distance((x, y, z), center, radii)
    return result


def cover(distance: Real, softness: float = 1.0) -> Field:
    """Share of a voxel inside a surface, 0 to 1, from the signed distance to it (negative inside)."""
    share = np.multiply(distance, -1 / softness, dtype=np.float32)
    share += np.float32(0.5)
    return np.asarray(np.clip(share, 0, 1, out=share))


def blend(values: Field, share: Real, new: float | Real) -> None:
    """Replace a share (0 to 1) of the values by new ones, in place."""
    values += share * (new - values)


def _spline_weights(count: int, pitch: float) -> Field:
    """(count, coefficients) cubic B-spline weights at the sample positions."""
    position = np.arange(count) / pitch
    low = np.floor(position).astype(int)
    t = position - low
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((count, int(low[-1]) + 4), dtype=np.float32)
    for offset, part in enumerate(parts):
        weights[np.arange(count), low + offset] = part / 6
    return weights
