"""Traces of surgery: a bone flap or a gap, a clip on an aneurysm, a shunt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import ndimage

from ICHSegmenterLib.synthesis.anatomy.head import Head
from ICHSegmenterLib.synthesis.fields import Coordinates, Field, Random, blend, cover, near_tube_distance
from ICHSegmenterLib.synthesis.parts import Part

METAL_HU = 9000.0
"""More than a scanner shows: what streaks, before the picture is clipped."""
SCAR_HU, FLUID_HU, CATHETER_HU, BONE_HU = 42.0, 14.0, 260.0, 300.0
CALVARIA_MM = 14.0
KERF_MM = 1.4


def craniotomy(head: Head, random: Random) -> Head:
    """A flap with its saw cut and plates, or none: then the brain bulges against the scalp; fluid lies beneath."""
    axes = _axes(head)
    sign = float(random.choice((-1, 1)))
    center = np.array([sign * 58.0, float(random.uniform(-45, 30)), float(random.uniform(5, 40))])
    radius = float(random.uniform(22, 42))
    away = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, center, strict=True)))
    outside = ndimage.distance_transform_edt(~head.cavity[::2, ::2, ::2]).astype(np.float32) * 2
    outside = outside.repeat(2, 0).repeat(2, 1).repeat(2, 2)[tuple(slice(n) for n in head.hu.shape)]
    calvaria = (head.hu > BONE_HU) & (outside < CALVARIA_MM) & (axes[2] > -15)
    hu = head.hu.copy()
    if random.random() < 0.3:
        hu[calvaria & (away < radius)] = SCAR_HU
    else:
        hu[calvaria & (np.abs(away - radius) < KERF_MM)] = SCAR_HU
        _plates(hu, calvaria & (np.abs(away - radius) < 6), axes, random)
    under = cover(head.depth_mm - float(random.uniform(1.0, 6.0))) * head.cavity * cover(away - radius, 6.0)
    blend(hu, under.astype(np.float32), FLUID_HU + float(random.uniform(-6, 8)))
    csf = np.maximum(head.csf, under).astype(np.float32)
    return replace(head, hu=hu, csf=csf)


def clip(head: Head, random: Random) -> Head:
    """A titanium or cobalt clip of 8 mm on an artery at the base, at times a coil."""
    sign = float(random.choice((-1, 1)))
    sites = ((0.0, -24.0, -12.0), (sign * 9.0, -15.0, -14.0), (sign * 30.0, -14.0, -9.0), (0.0, -2.0, -20.0))
    start = np.array(sites[int(random.integers(len(sites)))]) + random.normal(0, 1.5, 3)
    direction = random.standard_normal(3)
    end = start + direction / np.linalg.norm(direction) * float(random.uniform(6, 11))
    return _with_metal(head, [[(*start, 1.4), (*end, 1.0)]], METAL_HU)


def shunt(head: Head, random: Random) -> Head:
    """A catheter from a burr hole behind or in front into a lateral ventricle, and its valve under the scalp."""
    sign = float(random.choice((-1, 1)))
    tip = (sign * 8.0, -20.0, 14.0)
    entry = (sign * 34.0, 66.0, 42.0) if random.random() < 0.6 else (sign * 28.0, -62.0, 52.0)
    direction = np.array(entry) - tip
    outer = tuple(np.array(tip) + direction * 1.22)
    head = _with_metal(head, [[(*tip, 1.3), (*outer, 1.3)]], CATHETER_HU)
    valve = [(*outer, 3.0), (outer[0], outer[1] + 4.0, outer[2] - 14.0, 3.0)]
    return _with_metal(head, [valve], 1800.0)


OPERATIONS: dict[Part, Callable[[Head, Random], Head]] = {
    Part.CRANIOTOMY: craniotomy,
    Part.CLIP: clip,
    Part.SHUNT: shunt,
}


def _plates(hu: Field, edge: np.ndarray, axes: Coordinates, random: Random) -> None:
    """Two to four titanium plates across the saw cut."""
    at = np.flatnonzero(edge)
    if not len(at):
        return
    for flat in random.choice(at, int(random.integers(2, 5))):
        index = np.unravel_index(int(flat), hu.shape)
        box = tuple(slice(max(i - 4, 0), i + 5) for i in index)
        away = np.sqrt(
            sum(
                (np.arange(s.start, s.start + hu[box].shape[n]) - i).reshape([-1 if m == n else 1 for m in range(3)])
                ** 2
                for n, (s, i) in enumerate(zip(box, index, strict=True))
            )
        )
        blend(hu[box], cover(away.astype(np.float32) - 2.2) * (hu[box] > -200), 3500.0)


def _with_metal(head: Head, paths: list[list[tuple[float, ...]]], density: float) -> Head:
    hu = head.hu.copy()
    axes = _axes(head)
    for path in paths:
        low = np.min([corner[:3] for corner in path], axis=0) - 6
        high = np.max([corner[:3] for corner in path], axis=0) + 6
        box = tuple(
            slice(*np.searchsorted(axis.ravel(), (a, b)))
            for axis, a, b in zip(reversed(axes), reversed(low), reversed(high), strict=True)
        )
        part = tuple(np.broadcast_to(axis, head.hu.shape)[box] for axis in axes)
        flat = (part[0].ravel(), part[1].ravel(), part[2].ravel())
        share = cover(near_tube_distance(flat, path)).reshape(part[0].shape)
        blend(hu[box], share, density)
    return replace(head, hu=hu)


def _axes(head: Head) -> Coordinates:
    """x (1, 1, X), y (1, Y, 1), z (Z, 1, 1) of the head's grid, mm."""
    slices, rows, columns = head.hu.shape
    x, y, z = (
        np.arange(n, dtype=np.float32) + np.float32(o)
        for n, o in zip((columns, rows, slices), head.grid.slice_origins[0], strict=True)
    )
    return x[None, None, :], y[None, :, None], z[:, None, None]
