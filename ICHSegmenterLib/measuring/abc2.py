"""ABC/2: the volume of a bleed from three diameters, as readers estimate it at the screen.

Kothari et al., The ABCs of measuring intracerebral hemorrhage volumes, Stroke 1996;27:1304-1305,
doi 10.1161/01.STR.27.8.1304.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.measuring.contour import SlicePlane, contour_points, farthest_pair, largest_part
from ICHSegmenterLib.measuring.line import Line
from ICHSegmenterLib.volume.geometry import VolumeGeometry

WHOLE_SHARE, HALF_SHARE = 0.75, 0.25
"""A slice counts whole if its area is more than this share of the largest one's, half down to the second, else not."""
STEPS_A_PIXEL = 4
"""Lines at a right angle to the largest diameter are drawn and walked along in such fractions of a pixel."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Abc2:
    """The three diameters.

    Attributes:
        a: The largest diameter on the slice with the largest area.
        b: The largest one at a right angle to it, on the same slice.
        c: Through the middle of that slice, along the slice normal: the extents of the slices, each counted whole,
            half or not at all by its area.
        slice_index: Of that slice.
    """

    a: Line
    b: Line
    c: Line
    slice_index: int

    @property
    def volume_ml(self) -> float:
        """A x B x C / 2."""
        return abc2_ml(self.a.length_mm, self.b.length_mm, self.c.length_mm)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        lines = {name: line.to_json() for name, line in (("a", self.a), ("b", self.b), ("c", self.c))}
        lengths = {f"{name}_mm": round(getattr(self, name).length_mm, 4) for name in "abc"}
        return {"volume_ml": round(self.volume_ml, 4), **lengths, "slice_index": self.slice_index, **lines}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Abc2:
        """What `to_json` wrote."""
        a, b, c = (Line.from_json(plain[name]) for name in "abc")
        return cls(a, b, c, int(plain["slice_index"]))


def abc2_ml(a_mm: float, b_mm: float, c_mm: float) -> float:
    """The volume in mL of three diameters in mm."""
    return a_mm * b_mm * c_mm / 2 / 1000


def abc2(mask: NDArray[np.bool_], start: tuple[int, int, int], geometry: VolumeGeometry) -> Abc2:
    """The three diameters of a piece.

    Args:
        mask: bool (slices, rows, columns) of a box, with at least one voxel; slices are axial.
        start: (slice, row, column) of the box in the volume.
        geometry: Of the volume.
    """
    areas = mask.sum(axis=(1, 2))
    key = int(areas.argmax())
    plane, part = SlicePlane.of(geometry), largest_part(mask[key])
    edges, _ = contour_points(part)
    first, second = farthest_pair(plane.mm(edges))
    across = _across(part, plane, plane.mm(edges[[first, second]]))

    def lps(pixel: Values) -> Values:
        return geometry.ijk_to_lps((pixel[0] + start[2], pixel[1] + start[1], key + start[0]))

    a = Line.between(lps(edges[first]), lps(edges[second]))
    b = Line.between(lps(across[0]), lps(across[1]))
    below, above = _counted_mm(areas, key, geometry.slice_extents_mm[start[0] : start[0] + len(areas)])
    middle = lps(np.argwhere(part).mean(axis=0)[::-1])
    sign = 1.0 if geometry.slice_positions_mm[-1] >= geometry.slice_positions_mm[0] else -1.0
    upward = sign * geometry.normal
    return Abc2(a, b, Line.between(middle - below * upward, middle + above * upward), key + start[0])


def _counted_mm(areas: NDArray[np.intp], key: int, extents_mm: Values) -> tuple[float, float]:
    """How much of the normal counts before and behind the middle of the largest slice, in array order."""
    share = areas / areas[key]
    weights = np.where(share > WHOLE_SHARE, 1.0, np.where(share >= HALF_SHARE, 0.5, 0.0))
    counted = weights * extents_mm
    half = float(counted[key]) / 2
    return float(counted[:key].sum()) + half, float(counted[key + 1 :].sum()) + half


def _across(part: NDArray[np.bool_], plane: SlicePlane, ends_mm: Values) -> Values:
    """(2, 2) columns and rows of the ends of the longest line across another one, whose ends are given in mm."""
    along = ends_mm[1] - ends_mm[0]
    length = float(np.linalg.norm(along))
    along /= length
    beside = np.array((-along[1], along[0]))
    step = plane.pixel_mm / STEPS_A_PIXEL
    reach = length + step
    down = np.arange(0.0, length + step / 2, step)
    across = np.arange(-reach, reach + step / 2, step)
    points = ends_mm[0] + down[:, None, None] * along + across[None, :, None] * beside
    pixels = plane.pixels(points.reshape(-1, 2))
    padded = np.pad(part.astype(np.float32), 1)
    inside = ndimage.map_coordinates(padded, (pixels[:, ::-1] + 1).T, order=1).reshape(len(down), len(across)) >= 0.5
    first = inside.argmax(axis=1)
    last = len(across) - 1 - inside[:, ::-1].argmax(axis=1)
    extent = np.where(inside.any(axis=1), last - first, -1)
    best = int(extent.argmax())
    # The edge lies between the last sample inside and the first one outside.
    ends = (across[first[best]] - step / 2, across[last[best]] + step / 2)
    return plane.pixels(np.stack([ends_mm[0] + down[best] * along + end * beside for end in ends]))
