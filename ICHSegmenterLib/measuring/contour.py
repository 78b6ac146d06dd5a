"""The contour of a mask in its slices, half-way between a voxel inside and its neighbor outside, in millimeters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.geometry import VolumeGeometry

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SlicePlane:
    """Millimeters in the plane of the slices of a geometry.

    Attributes:
        to_mm: (2, 2), from (column, row) to orthogonal millimeters.
    """

    to_mm: Values

    @classmethod
    def of(cls, geometry: VolumeGeometry) -> SlicePlane:
        """The plane of a geometry whose rows and columns may be oblique to each other."""
        along = geometry.column_step / np.linalg.norm(geometry.column_step)
        beside = np.cross(geometry.normal, along)
        steps = np.stack((geometry.column_step, geometry.row_step))
        return cls(np.stack((steps @ along, steps @ beside), axis=1))

    @property
    def pixel_mm(self) -> float:
        """The smaller distance of two pixels."""
        return float(np.linalg.norm(self.to_mm, axis=1).min())

    def mm(self, pixels: Values) -> Values:
        """(n, 2) millimeters of (n, 2) columns and rows."""
        return np.asarray(pixels @ self.to_mm)

    def pixels(self, millimeters: Values) -> Values:
        """(n, 2) columns and rows of (n, 2) millimeters."""
        return np.asarray(millimeters @ np.linalg.inv(self.to_mm))


def contour_points(plane: Mask) -> tuple[Values, Values]:
    """The contour of a slice.

    Args:
        plane: bool (rows, columns), with at least one pixel.

    Returns:
        (n, 2) columns and rows of the middle of each edge of a pixel that has an outside beyond it, and (n, 2) of that
        pixel's center.
    """
    padded = np.pad(plane, 1)
    points, centers = [], []
    for row, column in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beyond = np.roll(padded, (-row, -column), (0, 1))[1:-1, 1:-1]
        inside = np.argwhere(plane & ~beyond)[:, ::-1].astype(np.float64)
        points.append(inside + np.array((column, row)) / 2)
        centers.append(inside)
    return np.concatenate(points), np.concatenate(centers)


def hull(points: Values) -> NDArray[np.intp]:
    """Indices of the corners of the convex hull of points (n, dimensions)."""
    from scipy.spatial import ConvexHull  # 0.1 s, for exams with blood

    return np.asarray(ConvexHull(points, qhull_options="QJ Pp").vertices)


def farthest_pair(points: Values) -> tuple[int, int]:
    """Indices of the two points (n, dimensions) that are farthest from each other."""
    from scipy.spatial.distance import cdist

    corners = hull(points)
    distances = cdist(points[corners], points[corners])
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    return int(corners[first]), int(corners[second])


def largest_part(plane: Mask) -> Mask:
    """The largest connected part of a slice; corners touch."""
    parts, count = ndimage.label(plane, CONNECTIVITY_26[1])
    if count < 2:
        return plane
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))
