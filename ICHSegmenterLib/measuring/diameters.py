"""Largest diameter and thickness of a piece, each with the line that shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.measuring.line import Line
from ICHSegmenterLib.volume.geometry import VolumeGeometry

Mask = NDArray[np.bool_]
Start = tuple[int, int, int]
Values = NDArray[np.float64]
FINE_SLICES = 3
"""Thickness is measured finely on so many slices, those where it is largest in whole pixels."""
THICKNESS_STEP_MM = 2.0
"""Thinner slices are looked at as far apart as this: thickness changes little between them."""
MAX_TURNS = 20
FINE = 3
"""Pixels are divided by this where thickness is measured, which is known to a third of a pixel then."""


def largest_diameter(mask: Mask, start: Start, geometry: VolumeGeometry) -> Line:
    """The longest line between two points of the surface, in any direction.

    The surface is half-way between a voxel inside and its neighbor outside. The longest line is the greatest width
    over all directions: `DIRECTIONS` are tried, and the best one is turned until it runs along its own line.

    Args:
        mask: bool (slices, rows, columns) of a box, with at least one voxel.
        start: (slice, row, column) of the box in the volume.
        geometry: Of the volume.
    """
    surface = _Surface.of(mask, start, geometry)
    widths = np.concatenate([surface.widths(part) for part in np.array_split(DIRECTIONS, 8)])
    direction = DIRECTIONS[int(widths.argmax())]
    line = surface.line(direction)
    for _ in range(MAX_TURNS):
        turned = surface.line(np.subtract(line.end, line.start) / line.length_mm)
        if turned.length_mm <= line.length_mm:
            break
        line = turned
    return line


def largest_thickness(mask: Mask, start: Start, geometry: VolumeGeometry) -> Line:
    """The diameter of the largest circle that fits into the piece in one of its slices; arguments as above.

    Of a crescent or a lens along the skull this is the thickness that is measured from the inner table.
    """
    spacing, every = geometry.pixel_spacing_mm, max(1, round(THICKNESS_STEP_MM / geometry.slice_step_mm))
    first = int(mask.sum(axis=(1, 2)).argmax()) % every
    depths = np.array(
        [ndimage.distance_transform_edt(np.pad(plane, 1), sampling=spacing).max() for plane in mask[first::every]]
    )
    best = first + every * np.argsort(-depths, kind="stable")[:FINE_SLICES]
    lines = [_thickness(mask[n], int(n), start, geometry) for n in best]
    return max(lines, key=lambda line: line.length_mm)


def _thickness(plane: Mask, n: int, start: Start, geometry: VolumeGeometry) -> Line:
    """The diameter of the largest circle in slice n of a box; a slice without voxels gives a point."""
    row_mm, column_mm = (mm / FINE for mm in geometry.pixel_spacing_mm)
    fine = np.pad(np.repeat(np.repeat(plane, FINE, 0), FINE, 1), 1)
    distance, outside = ndimage.distance_transform_edt(fine, sampling=(row_mm, column_mm), return_indices=True)
    row, column = divmod(int(distance.argmax()), fine.shape[1])
    middle = _lps((n, row, column), start, geometry)
    towards = _lps((n, int(outside[0, row, column]), int(outside[1, row, column])), start, geometry) - middle
    length = float(np.linalg.norm(towards))
    # The nearest voxel outside begins half a fine pixel before its center.
    reach = max(0.0, length - min(row_mm, column_mm) / 2) / max(length, 1e-9) * towards
    return Line.between(middle - reach, middle + reach)


def _half_sphere(count: int) -> Values:
    """(count, 3) unit vectors spread evenly over half of a sphere: a Fibonacci lattice."""
    n = np.arange(count) + 0.5
    z, angle = n / count, np.pi * (1 + 5**0.5) * n
    return np.stack((np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z), axis=1)


DIRECTIONS = _half_sphere(200)
"""At most 0.1 radians from any direction: half a percent of the width."""


@dataclass(frozen=True, eq=False)
class _Surface:
    """The voxels at the ends of the rows of a mask: all others lie between them.

    Attributes:
        points: (n, 3) LPS mm; extents_mm: (n,) of their slices.
        geometry: Of the volume.
    """

    points: Values
    extents_mm: Values
    geometry: VolumeGeometry

    @classmethod
    def of(cls, mask: Mask, start: Start, geometry: VolumeGeometry) -> _Surface:
        slices, rows = np.nonzero(mask.any(axis=2))
        filled = mask[slices, rows]
        first, last = filled.argmax(axis=1), mask.shape[2] - 1 - filled[:, ::-1].argmax(axis=1)
        index = np.stack(
            (np.r_[first, last] + start[2], np.tile(rows, 2) + start[1], np.tile(slices, 2) + start[0]), axis=1
        )
        return cls(geometry.ijk_to_lps(index), geometry.slice_extents_mm[index[:, 2]], geometry)

    def widths(self, directions: Values) -> Values:
        """(m,) extent of the surface along unit vectors (m, 3)."""
        along, half = self._along(directions)
        return np.asarray((along + half).max(axis=0) - (along - half).min(axis=0))

    def line(self, direction: Values) -> Line:
        """Between the outermost points along a unit vector (3,)."""
        along, half = self._along(direction[None, :])
        ends = []
        for sign in (-1.0, 1.0):
            n = int((sign * along[:, 0] + half[:, 0]).argmax())
            steps = np.stack(
                (self.geometry.column_step, self.geometry.row_step, self.geometry.normal * self.extents_mm[n])
            )
            step = steps[int(np.abs(steps @ direction).argmax())] / 2
            ends.append(self.points[n] + sign * np.sign(step @ direction) * step)
        return Line.between(*ends)

    def _along(self, directions: Values) -> tuple[Values, Values]:
        """(n, m) positions of the points along directions, and how far the surface lies beyond them."""
        steps = np.stack((self.geometry.column_step, self.geometry.row_step))
        in_plane = np.abs(steps @ directions.T).max(axis=0) / 2
        across = self.extents_mm[:, None] * np.abs(directions @ self.geometry.normal) / 2
        return self.points @ directions.T, np.maximum(in_plane, across)


def _lps(fine: tuple[int, int, int], start: Start, geometry: VolumeGeometry) -> NDArray[np.float64]:
    """(3,) LPS mm of a divided, padded pixel."""
    n, row, column = fine
    voxel = ((column - 0.5) / FINE - 0.5 + start[2], (row - 0.5) / FINE - 0.5 + start[1], n + start[0])
    return geometry.ijk_to_lps(voxel)
