"""Positions of voxels in the patient: one origin for each slice, so tilt, shear and unequal steps are exact.

Convention: DICOM's LPS axes, millimeters, voxel centers. ijk means (column, row, slice); arrays are
(slices, rows, columns).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

REGULARITY_TOLERANCE_MM = 0.02
"""Slices farther than this from the best-fitting affine make a geometry irregular (headers round to 0.01 mm)."""

TILT_TOLERANCE_DEG = 0.1
"""Smaller angles between the stacking direction and the slice normal are rounding, not gantry tilt."""

MAX_EXTENT_MM = 5000.0
"""No scanner reaches farther along any direction."""

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VolumeGeometry:
    """The acquired grid: point(i, j, k) = slice_origins[k] + i * column_step + j * row_step.

    Attributes:
        shape: (slices, rows, columns).
        column_step: (3,) mm from one column to the next (i + 1).
        row_step: (3,) mm from one row to the next (j + 1).
        slice_origins: (slices, 3) mm, the center of the first voxel of every slice.

    Raises:
        ValueError: Shapes do not fit, a step is zero, steps are parallel, slices coincide, or they reach too far.
    """

    shape: tuple[int, int, int]
    column_step: Points
    row_step: Points
    slice_origins: Points

    def __post_init__(self) -> None:
        for name, expected in (("column_step", (3,)), ("row_step", (3,)), ("slice_origins", (self.shape[0], 3))):
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != expected or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite with shape {expected}, got shape {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if min(self.shape) < 1:
            raise ValueError(f"shape must be positive, got {self.shape}")
        self._check_extent()
        if np.linalg.norm(np.cross(self.column_step, self.row_step)) < 1e-9:
            raise ValueError(f"column_step {self.column_step} and row_step {self.row_step} do not span a slice")
        positions = self.slice_positions_mm
        if len(positions) > 1 and not (np.all(np.diff(positions) > 1e-6) or np.all(np.diff(positions) < -1e-6)):
            raise ValueError("slice_origins must ascend or descend along the slice normal")

    def _check_extent(self) -> None:
        """No damaged number may ask for a grid that no memory holds."""
        steps = np.stack((self.column_step, self.row_step))
        with np.errstate(over="ignore"):
            along = (np.linalg.norm(steps, axis=1) * (self.shape[2], self.shape[1])).tolist()
            across = float(np.linalg.norm(np.ptp(self.slice_origins, axis=0)))
        farthest = max(*along, across)
        if not farthest <= MAX_EXTENT_MM:
            raise ValueError(
                f"the slices reach over {farthest / 1000:.3g} m, more than any scanner ({MAX_EXTENT_MM / 1000:g} m): a "
                "position or pixel spacing is damaged"
            )

    @classmethod
    def from_affine(cls, shape: tuple[int, int, int], ijk_to_lps: ArrayLike) -> VolumeGeometry:
        """A regular grid. shape is (slices, rows, columns); ijk_to_lps is a 4x4 matrix in mm."""
        affine = np.asarray(ijk_to_lps, dtype=np.float64)
        if affine.shape != (4, 4):
            raise ValueError(f"ijk_to_lps must be 4x4, got {affine.shape}")
        origins = affine[:3, 3] + np.arange(shape[0])[:, None] * affine[:3, 2]
        return cls(shape, affine[:3, 0], affine[:3, 1], origins)

    @cached_property
    def affine(self) -> Points:
        """4x4 ijk to LPS: exact in the slice plane, least squares over the slices."""
        matrix = np.eye(4)
        matrix[:3, 0], matrix[:3, 1] = self.column_step, self.row_step
        slices = self.shape[0]
        if slices == 1:
            matrix[:3, 2], matrix[:3, 3] = self.normal, self.slice_origins[0]
            return matrix
        design = np.column_stack((np.arange(slices), np.ones(slices)))
        solution = np.linalg.lstsq(design, self.slice_origins, rcond=None)[0]
        matrix[:3, 2], matrix[:3, 3] = solution[0], solution[1]
        return matrix

    @cached_property
    def largest_deviation_mm(self) -> float:
        """How far the worst slice lies from where `affine` puts it."""
        fitted = self.affine[:3, 3] + np.arange(self.shape[0])[:, None] * self.affine[:3, 2]
        return float(np.linalg.norm(fitted - self.slice_origins, axis=1).max())

    @property
    def is_regular(self) -> bool:
        """True if one affine describes every slice."""
        return self.largest_deviation_mm <= REGULARITY_TOLERANCE_MM

    @property
    def normal(self) -> Points:
        """(3,) unit vector: column direction x row direction; (0, 0, 1) in an untilted axial CT."""
        cross = np.cross(self.column_step, self.row_step)
        return np.asarray(cross / np.linalg.norm(cross), dtype=np.float64)

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """(between rows, between columns), as DICOM's PixelSpacing."""
        return float(np.linalg.norm(self.row_step)), float(np.linalg.norm(self.column_step))

    @property
    def slice_positions_mm(self) -> Points:
        """(slices,) position of every slice along `normal`."""
        return np.asarray(self.slice_origins @ self.normal, dtype=np.float64)

    @cached_property
    def slice_extents_mm(self) -> Points:
        """(slices,) how much of the normal each slice stands for: half-way to its neighbors; all positive.

        The first and last slice extend outwards as far as inwards. A single slice gets 1 mm.
        """
        positions = self.slice_positions_mm
        if len(positions) == 1:
            return np.ones(1)
        gaps = np.abs(np.diff(positions))
        return np.asarray((np.r_[gaps[:1], gaps] + np.r_[gaps, gaps[-1:]]) / 2)

    @property
    def slice_step_mm(self) -> float:
        """Median distance between slices along the normal."""
        return float(np.median(np.abs(np.diff(self.slice_positions_mm)))) if self.shape[0] > 1 else 1.0

    @property
    def voxel_volumes_mm3(self) -> Points:
        """(slices,) volume of one voxel of each slice."""
        area = float(np.linalg.norm(np.cross(self.column_step, self.row_step)))
        return self.slice_extents_mm * area

    @property
    def tilt_deg(self) -> float:
        """Angle between the stacking direction and the slice normal: the gantry tilt of a sequential CT; 0 to 90."""
        if self.shape[0] == 1:
            return 0.0
        step = self.slice_origins[-1] - self.slice_origins[0]
        cosine = abs(float(step @ self.normal)) / float(np.linalg.norm(step))
        angle = float(np.degrees(np.arccos(min(1.0, cosine))))
        return angle if angle > TILT_TOLERANCE_DEG else 0.0

    def ijk_to_lps(self, ijk: ArrayLike) -> Points:
        """Patient positions (..., 3) in mm of voxel indices (..., 3) = (column, row, slice).

        Fractional slice indices are interpolated between slice origins, and extrapolated outside.
        """
        index = np.asarray(ijk, dtype=np.float64)
        i, j, k = index[..., 0:1], index[..., 1:2], index[..., 2]
        return np.asarray(self._origins_at(k) + i * self.column_step + j * self.row_step)

    def lps_to_ijk(self, points: ArrayLike) -> Points:
        """Voxel indices (..., 3) = (column, row, slice), fractional, of patient positions (..., 3) in mm."""
        lps = np.asarray(points, dtype=np.float64)
        k = self._slice_index_at(lps @ self.normal)
        in_plane = lps - self._origins_at(k)
        basis = np.column_stack((self.column_step, self.row_step))
        ij = in_plane @ np.linalg.pinv(basis).T
        return np.concatenate((ij, k[..., None]), axis=-1)

    def matches(self, other: VolumeGeometry, *, tolerance_mm: float = REGULARITY_TOLERANCE_MM) -> bool:
        """True if both put every corner voxel of every slice at the same place."""
        if self.shape != other.shape:
            return False
        _, rows, columns = self.shape
        for i, j in ((0, 0), (columns - 1, 0), (0, rows - 1)):
            here = self.slice_origins + i * self.column_step + j * self.row_step
            there = other.slice_origins + i * other.column_step + j * other.row_step
            if float(np.linalg.norm(here - there, axis=1).max()) > tolerance_mm:
                return False
        return True

    def _origins_at(self, k: Points) -> Points:
        """(..., 3) slice origins at fractional slice indices."""
        slices = self.shape[0]
        if slices == 1:
            return self.slice_origins[0] + k[..., None] * self.normal
        low = np.clip(np.floor(k), 0, slices - 2).astype(int)
        weight = (k - low)[..., None]
        return np.asarray(self.slice_origins[low] * (1 - weight) + self.slice_origins[low + 1] * weight)

    def _slice_index_at(self, position: Points) -> Points:
        """Fractional slice indices of positions along the normal."""
        slices = self.shape[0]
        positions = self.slice_positions_mm
        if slices == 1:
            return np.asarray(position - positions[0])
        sign = 1.0 if positions[-1] > positions[0] else -1.0
        ascending = sign * positions
        low = np.clip(np.searchsorted(ascending, sign * position, side="right") - 1, 0, slices - 2)
        return np.asarray(low + (sign * position - ascending[low]) / (ascending[low + 1] - ascending[low]))
