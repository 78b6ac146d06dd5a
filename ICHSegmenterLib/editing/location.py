"""Where in the head a point lies: side and region, by its position in the skull alone, without an atlas.

The regions are those of an adult brain in proportions of the skull: a hint for a list, true in the middle of a lobe and
uncertain at its border. Nothing is said where the vertex was not scanned, from which heights are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ICHSegmenterLib.volume.geometry import Points, VolumeGeometry

BONE_HU = 300.0
SAMPLE_MM = 3.0
"""Distance of the voxels that are looked at."""
LAYER_MM = 6.0
"""The skull is measured in horizontal layers of this height."""
MIDLINE_MM = 5.0
"""A point nearer to the middle of the skull is on neither side."""
MIN_LAYER_VOXELS = 12
"""Sampled voxels of bone in a layer of the skull."""
CALVARIA_MM = 75.0
"""Below the vertex: no lower, where face and neck begin, is the skull's length taken."""
VERTEX_WIDTH = 0.75
"""The highest layer of a skull that was scanned to its top is narrower than this share of the widest."""
OUTLIERS = (1.0, 99.0)
"""Percentiles between which a layer's bone lies."""


class Side(Enum):
    """Side of the patient."""

    LEFT = "left"
    RIGHT = "right"
    MIDDLE = "middle"


class Region(Enum):
    """Part of the brain."""

    FRONTAL = "frontal"
    PARIETAL = "parietal"
    TEMPORAL = "temporal"
    OCCIPITAL = "occipital"
    DEEP = "deep"
    POSTERIOR_FOSSA = "posterior fossa"


@dataclass(frozen=True, eq=False)
class SkullFrame:
    """The skull as a frame of reference.

    Attributes:
        heights: (layers,) LPS z in mm of the middle of each layer, ascending.
        middles: (layers,) LPS x of the middle of the skull there.
        half_width: Half of its greatest width in mm.
        front, length: LPS y of its front, and how far the back is behind it.
        vertex: LPS z of its top, None if that was not scanned.
    """

    heights: Points
    middles: Points
    half_width: float
    front: float
    length: float
    vertex: float | None

    @classmethod
    def of(cls, hu: NDArray[Any], geometry: VolumeGeometry) -> SkullFrame | None:
        """The frame of a scan, None if there is no skull in it.

        Args:
            hu: (slices, rows, columns) in HU; one of many voxels is read.
            geometry: Of these voxels.
        """
        points = _bone(hu, geometry)
        if len(points) < MIN_LAYER_VOXELS:
            return None
        layers = np.floor(points[:, 2] / LAYER_MM).astype(int)
        rows = []
        for layer in np.unique(layers):
            inside = points[layers == layer]
            if len(inside) >= MIN_LAYER_VOXELS:
                low, high = np.percentile(inside[:, :2], OUTLIERS, axis=0)
                rows.append(((layer + 0.5) * LAYER_MM, *low, *high))
        if not rows:
            return None
        heights, left, front, right, back = np.array(rows).T
        widths = right - left
        top = float(points[:, 2].max())
        calvaria = heights > top - CALVARIA_MM
        is_closed = widths[-1] < VERTEX_WIDTH * widths[calvaria].max()
        start = float(front[calvaria].min())
        return cls(
            heights,
            (left + right) / 2,
            float(widths[calvaria].max()) / 2,
            start,
            float(back[calvaria].max()) - start,
            top if is_closed else None,
        )

    def side(self, point_lps: ArrayLike) -> Side:
        """The side of a point (3,) in LPS mm."""
        across = self._across(np.asarray(point_lps, dtype=np.float64))
        if abs(across) < MIDLINE_MM:
            return Side.MIDDLE
        return Side.LEFT if across > 0 else Side.RIGHT

    def region(self, point_lps: ArrayLike) -> Region | None:
        """The part of the brain at, or next to, a point (3,) in LPS mm; None if it cannot be said."""
        if self.vertex is None:
            return None
        point = np.asarray(point_lps, dtype=np.float64)
        return region_at(
            abs(self._across(point)) / self.half_width,
            (point[1] - self.front) / self.length,
            (self.vertex - point[2]) / self.length,
        )

    def _across(self, point: Points) -> float:
        """Millimeters to the patient's left of the middle of the skull at the height of a point."""
        return float(point[0] - np.interp(point[2], self.heights, self.middles))


def region_at(lateral: float, backwards: float, below: float) -> Region:
    """The part of the brain at a position in proportions of the skull.

    Args:
        lateral: Distance from the middle; 1 is the outside of the skull.
        backwards: 0 is its front, 1 its back.
        below: Depth under its top, in lengths of the skull from front to back.
    """
    if below > 0.53 and backwards > 0.52:
        return Region.POSTERIOR_FOSSA
    if lateral < 0.5 and 0.36 < backwards < 0.62 and 0.30 < below < 0.53:
        return Region.DEEP
    if below > 0.42 and lateral > 0.4 and 0.25 < backwards < 0.72:
        return Region.TEMPORAL
    if backwards < 0.53 - 0.35 * max(0.0, below):  # the central sulcus runs forwards on its way down
        return Region.FRONTAL
    return Region.OCCIPITAL if backwards > 0.8 and below > 0.2 else Region.PARIETAL


def _bone(hu: NDArray[Any], geometry: VolumeGeometry) -> Points:
    """(n, 3) LPS mm of sampled voxels of bone."""
    sizes = (abs(geometry.slice_step_mm), *geometry.pixel_spacing_mm)
    steps = [max(1, round(SAMPLE_MM / size)) for size in sizes]
    index = np.argwhere(hu[:: steps[0], :: steps[1], :: steps[2]] > BONE_HU) * steps
    return np.asarray(geometry.ijk_to_lps(index[:, ::-1]), dtype=np.float64).reshape(-1, 3)
