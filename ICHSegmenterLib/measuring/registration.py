"""Rigid registration of two exams of a patient on the skull, which does not change between them.

The distance from the surface of the bone is compared where the current exam shows the calvaria; soft tissue, blood and
brain do not count. From several turns and nods of the head, coarse first, by SciPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from ICHSegmenterLib.errors import RegistrationError
from ICHSegmenterLib.notices.error_notice import ErrorCode, ErrorNotice
from ICHSegmenterLib.preprocessing.resample import regular_grid, to_regular
from ICHSegmenterLib.volume.volume import Volume

GRID_MM = 2.5
BONE_HU = 250.0
MIN_BONE_ML = 50.0
"""Less bone is no head."""
CALVARIA_MM = 95.0
"""Below the highest bone: the jaw and the neck move against the skull."""
SHELL_MM = 5.0
"""Points this near to the surface of the bone are compared."""
CUT_MM = 20.0
"""Distances beyond count as this one: the head rest of one exam, the neck of the other."""
COARSE_POINTS, FINE_POINTS = 700, 4000
TURNS_DEG = (-20.0, 0.0, 20.0)
NODS_DEG = (-20.0, 0.0, 20.0)
HEIGHTS_MM = (-30.0, 30.0)
"""Where the search starts: turns about the long axis, nods, and scans that end below the vertex."""
MAX_RESIDUAL_MM = 1.5
"""The same skull in other slices differs by up to 0.7 mm on phantoms, two people by 2.6 mm on the two heads tried."""
MIN_OVERLAP = 0.6
"""Share of the current calvaria that the prior exam shows."""
MM_A_RADIAN = 80.0
"""Distance of the skull from its middle: a turn in radians moves it by so many mm."""

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """From the current exam to the prior one.

    Attributes:
        rotation: (3, 3); translation: (3,) mm; prior = rotation @ current + translation, LPS.
        residual_mm: Mean difference of the distances from bone, the worst tenth left out.
        overlap: Share of the current calvaria that the prior exam shows, 0 to 1.
    """

    rotation: Values
    translation: Values
    residual_mm: float
    overlap: float

    def to_prior(self, points: ArrayLike) -> Values:
        """(..., 3) LPS mm in the prior exam of points of the current one."""
        return np.asarray(np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation)

    def to_current(self, points: ArrayLike) -> Values:
        """(..., 3) LPS mm in the current exam of points of the prior one."""
        return np.asarray((np.asarray(points, dtype=np.float64) - self.translation) @ self.rotation)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.translation
        return {
            "current_to_prior_lps": matrix.tolist(),
            "residual_mm": self.residual_mm,
            "overlap": self.overlap,
        }


def register(current: Volume, prior: Volume) -> RigidTransform:
    """The rigid transform between two exams of a patient.

    Raises:
        RegistrationError: One shows no skull, they show too little of the same one, or the skulls do not fit.
    """
    here, there = (
        _Bone.of(current, ErrorCode.CURRENT_WITHOUT_SKULL),
        _Bone.of(prior, ErrorCode.PRIOR_WITHOUT_SKULL),
    )
    starts = [
        _start(here, there, turn, nod, height)
        for turn, nod, height in (*product(TURNS_DEG, NODS_DEG, (0.0,)), *product((0.0,), (0.0,), HEIGHTS_MM))
    ]
    coarse, fine = (_Fit(here, there, count) for count in (COARSE_POINTS, FINE_POINTS))
    rough = [coarse.improved(start, rounds=12) for start in starts]
    best = fine.improved(min(rough, key=coarse.cost), rounds=40)
    rotation, translation = fine.transform(best)
    residual_mm, overlap = fine.quality(best)
    if overlap < MIN_OVERLAP:
        raise RegistrationError(ErrorNotice(ErrorCode.LITTLE_COMMON_SKULL, {"share": overlap}))
    if residual_mm > MAX_RESIDUAL_MM:
        raise RegistrationError(
            ErrorNotice(ErrorCode.SKULLS_DIFFER, {"residual_mm": residual_mm, "limit_mm": MAX_RESIDUAL_MM})
        )
    return RigidTransform(rotation, translation, residual_mm, overlap)


@dataclass(frozen=True, eq=False)
class _Bone:
    """The bone of an exam.

    Attributes:
        distance: float32 (z, y, x) mm from its surface, negative inside.
        origin: (3,) LPS mm of the first voxel.
        points: (n, 3) LPS mm of voxels of the calvaria near its surface; distances: (n,) theirs.
        middle: (3,) LPS mm: the middle of the calvaria, at the height of its top.
    """

    distance: NDArray[np.float32]
    origin: Values
    points: Values
    distances: Values
    middle: Values

    @classmethod
    def of(cls, volume: Volume, without: ErrorCode) -> _Bone:
        grid = regular_grid(volume.geometry, GRID_MM)
        density = to_regular(volume, grid)
        bone = density > BONE_HU
        parts, count = ndimage.label(bone)
        if count:
            bone = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
        if np.count_nonzero(bone) * GRID_MM**3 / 1000 < MIN_BONE_ML:
            raise RegistrationError(ErrorNotice(without))
        distance = _signed_distance(bone)
        lowest = max(0, int(np.flatnonzero(bone.any(axis=(1, 2)))[-1] - CALVARIA_MM / GRID_MM))
        index = np.argwhere(np.abs(distance[lowest:]) <= SHELL_MM) + np.array((lowest, 0, 0))
        points = np.asarray(grid.ijk_to_lps(index[:, ::-1]))
        low, high = np.percentile(points[distance[tuple(index.T)] < 0], (1, 99), axis=0)
        middle = np.array(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[2]))
        return cls(distance, grid.slice_origins[0], points, distance[tuple(index.T)].astype(np.float64), middle)


def _signed_distance(bone: NDArray[np.bool_]) -> NDArray[np.float32]:
    outside = ndimage.distance_transform_edt(~bone, sampling=GRID_MM)
    inside = ndimage.distance_transform_edt(bone, sampling=GRID_MM)
    return np.asarray(np.minimum(outside - inside, CUT_MM), dtype=np.float32)


def _start(here: _Bone, there: _Bone, turn_deg: float, nod_deg: float, height_mm: float) -> Values:
    """(6,) turn and shift that lay the middles over each other, with the head turned and nodding."""
    turn = Rotation.from_euler("zx", (turn_deg, nod_deg), degrees=True)
    return np.r_[turn.as_rotvec() * MM_A_RADIAN, there.middle - here.middle + (0.0, 0.0, height_mm)]


@dataclass(frozen=True, eq=False)
class _Fit:
    """The comparison at some points. Parameters (6,): rotation vector in mm at the skull, shift of the middle in mm."""

    here: _Bone
    there: _Bone
    count: int

    def transform(self, parameters: Values) -> tuple[Values, Values]:
        rotation = Rotation.from_rotvec(parameters[:3] / MM_A_RADIAN).as_matrix()
        middle = self.here.middle
        return rotation, middle + parameters[3:] - rotation @ middle

    def improved(self, start: Values, *, rounds: int) -> Values:
        """Parameters of the least difference, from a start."""
        found = optimize.least_squares(
            self._differences, start, loss="soft_l1", f_scale=2.0, max_nfev=rounds, diff_step=1e-3, x_scale=1.0
        )
        return np.asarray(found.x)

    def cost(self, parameters: Values) -> float:
        """Mean difference in mm, the worst tenth left out; high where little overlaps."""
        residual_mm, overlap = self.quality(parameters)
        return residual_mm + CUT_MM * max(0.0, MIN_OVERLAP - overlap)

    def quality(self, parameters: Values) -> tuple[float, float]:
        """Mean difference in mm, and the share of points that the prior exam shows."""
        differences, is_seen = self._compare(parameters)
        if not is_seen.any():
            return CUT_MM, 0.0
        seen = np.sort(np.abs(differences[is_seen]))
        return float(seen[: max(1, int(0.9 * len(seen)))].mean()), float(is_seen.mean())

    def _differences(self, parameters: Values) -> Values:
        differences, is_seen = self._compare(parameters)
        return np.asarray(np.where(is_seen, differences, 0.0))

    def _compare(self, parameters: Values) -> tuple[Values, NDArray[np.bool_]]:
        every = max(1, len(self.here.points) // self.count)
        rotation, translation = self.transform(parameters)
        moved = self.here.points[::every] @ rotation.T + translation
        index = (moved - self.there.origin).T[::-1] / GRID_MM
        limits = np.array(self.there.distance.shape)[:, None] - 1
        is_seen = ((index >= 0) & (index <= limits)).all(axis=0)
        there = ndimage.map_coordinates(self.there.distance, index, order=1, mode="nearest")
        return there - self.here.distances[::every], is_seen
