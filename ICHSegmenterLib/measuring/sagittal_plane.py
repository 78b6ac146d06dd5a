"""The ideal midsagittal plane of a head: that in which its calvaria mirrors itself best.

Bone only: blood, swelling and shift inside the skull do not move it. Works on a regular grid in patient axes, so that
gantry tilt and unequal slices are as they are in the patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.resample import regular_grid, to_regular
from ICHSegmenterLib.volume.volume import Volume

GRID_MM = 2.5
BONE_HU = (200.0, 1000.0)
"""Density between these says how much of a voxel is bone."""
CALVARIA_MM = 75.0
"""Below the highest bone: further down are face, neck and a head rest."""
SMOOTHING_MM = 2.5
MAX_POINTS = 4_000
YAWS_DEG = tuple(range(-30, 31, 6))
"""Turns of the head to the side from which the search starts."""
KEPT_SHARE = 0.85
"""Of the voxels, those that mirror best count: a craniotomy or a fracture is on one side only."""
MAX_ASYMMETRY = 0.35
"""More of the bone than this without bone where it is mirrored to: this is no head, or too little of one."""
MIN_POINTS = 500

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SagittalPlane:
    """The plane.

    Attributes:
        point: (3,) on it, in the middle of the calvaria, LPS mm.
        normal: (3,) unit vector towards the patient's left.
        top_mm: LPS z of the highest bone.
        asymmetry: Share of the bone that has none where it is mirrored to, 0 to 1.
    """

    point: Values
    normal: Values
    top_mm: float
    asymmetry: float

    def distance_mm(self, points: ArrayLike) -> Values:
        """(...,) mm of points (..., 3) from the plane, positive towards the patient's left."""
        return np.asarray((np.asarray(points, dtype=np.float64) - self.point) @ self.normal)


def sagittal_plane(volume: Volume) -> SagittalPlane | None:
    """The ideal midsagittal plane, None if there is no skull that mirrors itself.

    Args:
        volume: A head in HU, in any orientation whose slices are not more than some 30 degrees turned to the side.
    """
    bone = _bone(volume)
    if bone is None:
        return None
    from scipy import optimize  # 0.1 s, for exams with blood

    starts = [(0.0, float(np.tan(np.radians(yaw))), 0.0) for yaw in YAWS_DEG]
    best = min(starts, key=bone.cost)
    found = optimize.minimize(
        bone.cost,
        best,
        method="Nelder-Mead",
        options={
            "initial_simplex": [best, *(np.add(best, step) for step in np.diag((4.0, 0.06, 0.06)))],
            "xatol": 1e-3,
            "fatol": 1e-7,
            "maxfev": 400,
        },
    )
    normal, point = bone.plane(found.x)
    asymmetry = bone.cost(found.x)
    return SagittalPlane(point, normal, bone.top_mm, asymmetry) if asymmetry <= MAX_ASYMMETRY else None


@dataclass(frozen=True, eq=False)
class _Bone:
    """The calvaria.

    Attributes:
        share: float32 (z, y, x), 0 to 1, from `origin` on.
        points: (n, 3) LPS mm where there is some; weights: (n,) the share there.
        center: (3,) the middle of its extent, LPS mm.
        top_mm: LPS z of its highest voxel.
    """

    share: NDArray[np.float32]
    origin: Values
    points: Values
    weights: Values
    center: Values
    top_mm: float

    def plane(self, parameters: ArrayLike) -> tuple[Values, Values]:
        """Normal and a point of it, of (offset in mm, slope to posterior, slope to superior)."""
        offset, yaw, roll = np.asarray(parameters, dtype=np.float64)
        normal = np.array((1.0, yaw, roll))
        normal /= np.linalg.norm(normal)
        return normal, self.center + offset * normal

    def cost(self, parameters: ArrayLike) -> float:
        """Mean difference of the bone and its mirror image, relative to the bone."""
        normal, point = self.plane(parameters)
        mirrored = self.points - 2 * ((self.points - point) @ normal)[:, None] * normal
        index = (mirrored - self.origin).T[::-1] / GRID_MM
        there = ndimage.map_coordinates(self.share, index, order=1, mode="constant")
        difference = np.abs(there - self.weights)
        count = int(KEPT_SHARE * len(difference))
        return float(np.partition(difference, count)[:count].mean() / self.weights.mean())


def _bone(volume: Volume) -> _Bone | None:
    grid = regular_grid(volume.geometry, GRID_MM)
    low, high = BONE_HU
    share = np.clip((to_regular(volume, grid) - low) / (high - low), 0.0, 1.0).astype(np.float32)
    heights = np.flatnonzero((share > 0.5).any(axis=(1, 2)))
    if not len(heights):
        return None
    share = ndimage.gaussian_filter(share, SMOOTHING_MM / GRID_MM)
    lowest = max(0, int(heights[-1] - CALVARIA_MM / GRID_MM))
    index = np.argwhere(share[lowest:] > 0.1) + np.array((lowest, 0, 0))
    if len(index) < MIN_POINTS:
        return None
    index = index[:: max(1, len(index) // MAX_POINTS)]
    points = np.asarray(grid.ijk_to_lps(index[:, ::-1]))
    weights = share[tuple(index.T)].astype(np.float64)
    top_mm = float(grid.slice_origins[heights[-1], 2])
    low_mm, high_mm = np.percentile(points, (1, 99), axis=0)
    return _Bone(share, grid.slice_origins[0], points, weights, (low_mm + high_mm) / 2, top_mm)
