"""The shape of each subtype as a score in mm: a lesion is the wanted volume with the lowest scores of its space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from ICHSegmenterLib.synthesis.anatomy.head import Head
from ICHSegmenterLib.synthesis.fields import Coordinates, Field, Random, smooth_noise

Scored = tuple[Field, Field]
"""(Z, Y, X) each: score, and capacity (0 to 1) of each voxel for this blood."""
FAR = np.float32(999)


@dataclass(frozen=True, eq=False)
class Site:
    """A head and what of it is full of blood already: float32 (Z, Y, X), 0 to 1."""

    head: Head
    occupied: Field

    @property
    def axes(self) -> Coordinates:
        """x (1, 1, X), y (1, Y, 1), z (Z, 1, 1), LPS mm."""
        slices, rows, columns = self.head.grid.shape
        origin = self.head.grid.slice_origins[0]
        x, y, z = (
            np.arange(n, dtype=np.float32) + np.float32(o) for n, o in zip((columns, rows, slices), origin, strict=True)
        )
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def random_point(self, weights: Field, random: Random) -> tuple[float, float, float]:
        """(x, y, z) mm of a voxel drawn with these weights (bool or float), of the cavity's middle if all are 0."""
        flat = np.flatnonzero(weights)
        if not len(flat):
            flat = np.flatnonzero(self.head.depth_mm >= self.head.depth_mm.max() - 1)
        z, y, x = np.unravel_index(int(random.choice(flat)), weights.shape)
        point = self.head.grid.ijk_to_lps((x, y, z))
        return float(point[0]), float(point[1]), float(point[2])

    @cached_property
    def middle(self) -> tuple[float, float, float]:
        """(x, y, z) mm of the cavity's center of mass."""
        center = ndimage.center_of_mass(self.head.cavity[::4, ::4, ::4])
        point = self.head.grid.ijk_to_lps([4 * c for c in center[::-1]])
        return float(point[0]), float(point[1]), float(point[2])


def parenchymal(site: Site, wanted_mm3: float, random: Random) -> Scored:
    """One to three ellipsoids with a lobulated surface, in the brain."""
    head = site.head
    radius = (wanted_mm3 * 3 / (4 * np.pi)) ** (1 / 3)
    deep = head.depth_mm > min(radius * random.uniform(0.8, 1.3) + 3, 0.7 * float(head.depth_mm.max()))
    tissue = deep & (head.ventricles < 0.3) & (head.csf < 0.3) & (site.occupied < 0.1)
    center = np.array(site.random_point(_every_other(tissue), random))
    score = np.full(head.hu.shape, FAR)
    for lobe in range(int(random.integers(1, 4))):
        shape = np.sort(random.uniform(0.5, 1.0, 3))[:: random.choice((-1, 1))]
        radii = radius * shape / np.prod(shape) ** (1 / 3)
        middle = center + (lobe > 0) * random.normal(0, 0.55 * radius, 3)
        score = np.minimum(score, _ellipsoid(site.axes, middle, radii) * np.float32(radius))
    lobes = smooth_noise(random, score.shape, float(np.clip(radius * 0.35, 2.0, 8.0)))
    score += lobes * np.float32(np.clip(0.16 * radius, 0.3, 3.5))
    capacity = ((head.depth_mm > 1.0) & (head.ventricles < 0.5)).astype(np.float32)
    return score, capacity * (1 - 0.5 * head.csf)


def epidural(site: Site, wanted_mm3: float, random: Random) -> Scored:
    """A lens against the skull: the part inside the cavity of a ball whose center lies outside."""
    ratio = random.uniform(2.4, 3.6)  # chord to thickness
    thickness = (wanted_mm3 / (np.pi / 24 * ratio**2 * 3 + np.pi / 6)) ** (1 / 3)
    ball = thickness * (ratio**2 / 4 + 1) / 2
    point, inward = _place_on_vault(site, random)
    center = point - inward * (ball - thickness)
    score = _ellipsoid(site.axes, center, (ball, ball, ball)) * np.float32(ball)
    score += np.float32(0.5) * smooth_noise(random, score.shape, 8.0)
    x, _, z = site.axes
    same_side = (x - site.middle[0]) * np.sign(point[0] - site.middle[0]) > -2
    return score, (site.head.cavity & same_side & (z > -900)).astype(np.float32)


def subdural(site: Site, wanted_mm3: float, random: Random) -> Scored:
    """A crescent along the skull or, at times, a layer along the falx."""
    point, inward = _place_on_vault(site, random)
    ratio = random.uniform(7, 13)  # chord to thickness
    thickness = (8 * wanted_mm3 / (np.pi * ratio**2)) ** (1 / 3)
    x, y, z = site.axes
    middle, depth = site.middle, site.head.depth_mm
    side = np.sign(point[0] - middle[0])
    beside = (x - middle[0]) * side
    if random.random() < 0.2:
        at = (middle[0], point[1], max(point[2], middle[2] + 20))
        inward = np.array([side, 0.0, 0.0])
        wall = np.maximum(beside - 0.8, 0) + 99 * (depth > 45)
        point = np.array(at)
    else:
        # Along the convexity, seldom under the temporal lobe.
        wall = np.where(depth > 0, depth, FAR) + 0.5 * np.maximum(middle[2] - 20 - z, 0)
    away = [p - np.float32(c) for p, c in zip((x, y, z), point, strict=True)]
    along = sum(v * np.float32(d) for v, d in zip(away, inward, strict=True))
    tangential = sum(v * v for v in away) - along * along
    stretch = np.float32(4 / (ratio**2 * max(thickness, 1.0)))
    score = wall + tangential * stretch + np.float32(0.3) * smooth_noise(random, depth.shape, 9.0)
    allowed = site.head.cavity & (beside > 0.5)
    return score.astype(np.float32), allowed.astype(np.float32)


def subarachnoid(site: Site, wanted_mm3: float, random: Random) -> Scored:
    """Blood in cisterns and sulci: the fluid nearest to one or a few places."""
    x, y, z = site.axes
    fluid = np.where(site.head.ventricles < 0.3, site.head.csf, 0).astype(np.float32)
    basal = wanted_mm3 > 3000 or random.random() < 0.35
    middle = site.middle
    score = np.full(fluid.shape, FAR)
    for _ in range(1 + int(wanted_mm3 > 2000) * int(random.integers(1, 4))):
        where = _every_other(fluid > 0.5)
        if basal:
            where = where & (np.abs(z - middle[2] + 18) < 16) & (np.abs(x - middle[0]) < 45) & (y < middle[1] + 22)
        center = site.random_point(where, random)
        score = np.minimum(score, _ellipsoid(site.axes, center, (1.0, 1.3, 0.8)))
        basal = basal and random.random() < 0.6
    return score + np.float32(2.0) * smooth_noise(random, fluid.shape, 5.0), fluid


def intraventricular(site: Site, wanted_mm3: float, random: Random) -> Scored:
    """Blood at the bottom of the ventricles of a patient who lies on the back, sometimes on one side only or a clot."""
    x, y, _ = site.axes
    room = np.asarray(site.head.ventricles, dtype=np.float32)
    beside = (x - site.middle[0]) * random.choice((-1.0, 1.0))
    total = float(room.sum())
    score = np.broadcast_to(-y, room.shape).astype(np.float32)
    if wanted_mm3 < 0.35 * total and random.random() < 0.5:
        score = score + 99 * (beside < 2)
    if random.random() < 0.25:
        center = site.random_point(_every_other(room > 0.9), random)
        score = np.minimum(score + 60, _ellipsoid(site.axes, center, (1.0, 1.0, 1.0)) * 2)
    return score + np.float32(0.7) * smooth_noise(random, room.shape, 6.0), room


SCORES: dict[str, Callable[[Site, float, Random], Scored]] = {
    "EDH": epidural,
    "IPH": parenchymal,
    "IVH": intraventricular,
    "SAH": subarachnoid,
    "SDH": subdural,
}


def _ellipsoid(
    axes: Coordinates, center: tuple[float, ...] | np.ndarray, radii: tuple[float, ...] | np.ndarray
) -> Field:
    """1 on the surface; with radii of 1 the distance in mm."""
    squares = [((p - np.float32(c)) / np.float32(r)) ** 2 for p, c, r in zip(axes, center, radii, strict=True)]
    return np.sqrt(squares[0] + squares[1] + squares[2])


def _place_on_vault(site: Site, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """A point under the convexity away from the midline, and the unit vector from there to the middle."""
    x, _, z = site.axes
    middle = np.array(site.middle)
    depth = site.head.depth_mm
    shell = (depth > 0.2) & (depth < 2.5) & (np.abs(x - middle[0]) > 24) & (z > middle[2] - 8) & (z < middle[2] + 45)
    point = np.array(site.random_point(_every_other(shell), random))
    inward = middle - point
    inward[2] *= 0.6
    return point, inward / np.linalg.norm(inward)


def _every_other(mask: np.ndarray) -> np.ndarray:
    """Half of the voxels in each direction: enough to draw from."""
    thinned = np.zeros(mask.shape, dtype=bool)
    thinned[::2, ::2, ::2] = mask[::2, ::2, ::2]
    return thinned
