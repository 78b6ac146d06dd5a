"""Largest diameter and thickness of a piece, each with the line that shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.measuring.contour import SlicePlane, contour_points, farthest_pair, hull
from ICHSegmenterLib.measuring.line import Line
from ICHSegmenterLib.volume.geometry import VolumeGeometry

Mask = NDArray[np.bool_]
Start = tuple[int, int, int]
FINE = 3
"""Pixels are divided by this where thickness is measured, which is known to a third of a pixel then."""


def largest_diameter(mask: Mask, start: Start, geometry: VolumeGeometry) -> Line:
    """The longest line between two points of the surface, in any direction.

    Args:
        mask: bool (slices, rows, columns) of a box, with at least one voxel.
        start: (slice, row, column) of the box in the volume.
        geometry: Of the volume.
    """
    plane, points = SlicePlane.of(geometry), []
    for n in np.flatnonzero(mask.any(axis=(1, 2))):
        k = start[0] + int(n)
        edges, centers = contour_points(mask[n])
        corners = hull(plane.mm(edges))
        origin = geometry.slice_origins[k] + start[2] * geometry.column_step + start[1] * geometry.row_step
        steps = np.stack((geometry.column_step, geometry.row_step))
        half = geometry.normal * geometry.slice_extents_mm[k] / 2
        in_plane, above = origin + edges[corners] @ steps, origin + centers[corners] @ steps
        points += [in_plane, above + half, above - half]
    surface = np.concatenate(points)
    first, second = farthest_pair(surface)
    return Line.between(surface[first], surface[second])


def largest_thickness(mask: Mask, start: Start, geometry: VolumeGeometry) -> Line:
    """The diameter of the largest circle that fits into the piece in one of its slices; arguments as above.

    Of a crescent or a lens along the skull this is the thickness that is measured from the inner table.
    """
    row_mm, column_mm = (mm / FINE for mm in geometry.pixel_spacing_mm)
    best, depth = (0, 0, 0), -1.0
    nearest = (0, 0)
    for n in np.flatnonzero(mask.any(axis=(1, 2))):
        fine = np.pad(np.repeat(np.repeat(mask[n], FINE, 0), FINE, 1), 1)
        distance, outside = ndimage.distance_transform_edt(fine, sampling=(row_mm, column_mm), return_indices=True)
        row, column = np.unravel_index(int(distance.argmax()), distance.shape)
        if distance[row, column] > depth:
            depth, best = float(distance[row, column]), (int(n), int(row), int(column))
            nearest = (int(outside[0, row, column]), int(outside[1, row, column]))
    middle = _lps(best, start, geometry)
    towards = _lps((best[0], *nearest), start, geometry) - middle
    length = float(np.linalg.norm(towards))
    # The nearest voxel outside begins half a fine pixel before its center.
    reach = max(0.0, length - min(row_mm, column_mm) / 2) / length * towards
    return Line.between(middle - reach, middle + reach)


def _lps(fine: tuple[int, int, int], start: Start, geometry: VolumeGeometry) -> NDArray[np.float64]:
    """(3,) LPS mm of a divided, padded pixel."""
    n, row, column = fine
    voxel = ((column - 0.5) / FINE - 0.5 + start[2], (row - 0.5) / FINE - 0.5 + start[1], n + start[0])
    return geometry.ijk_to_lps(voxel)
