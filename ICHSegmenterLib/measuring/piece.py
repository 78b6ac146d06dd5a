"""A piece of blood in the measures of a report."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.editing.location import Region, Side, SkullFrame
from ICHSegmenterLib.measuring.abc2 import Abc2, abc2
from ICHSegmenterLib.measuring.contour import contour_points
from ICHSegmenterLib.measuring.diameters import largest_diameter, largest_thickness
from ICHSegmenterLib.measuring.line import Line, kept_point
from ICHSegmenterLib.volume.components import Component
from ICHSegmenterLib.volume.geometry import VolumeGeometry

TOUCHING_MM = 3.0
"""Half of a thick slice, and a little of a wall: nearer to a ventricle than this, a piece touches it."""


@dataclass(frozen=True)
class PieceMeasures:
    """A connected piece of one segment.

    Attributes:
        label: Key of its segment.
        volume_ml: Voxel volumes summed.
        mean_hu, max_hu: Density; the maximum is that of its densest voxel, noise included.
        center_lps_mm: (x, y, z) of the voxel nearest to the middle of its largest slice.
        side, region: Where in the head, by the position in the skull; None if that cannot be said.
        diameter: The longest line between two points of its surface.
        thickness: The widest circle in one of its slices; along the skull the thickness from the inner table.
        abc2: Its three diameters.
        touches_ventricle: It reaches a lateral ventricle; None if those were not found.
    """

    label: str
    volume_ml: float
    mean_hu: float
    max_hu: float
    center_lps_mm: tuple[float, float, float]
    side: Side | None
    region: Region | None
    diameter: Line
    thickness: Line
    abc2: Abc2
    touches_ventricle: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "label": self.label,
            "volume_ml": self.volume_ml,
            "mean_hu": self.mean_hu,
            "max_hu": self.max_hu,
            "center_lps_mm": list(self.center_lps_mm),
            "side": None if self.side is None else self.side.value,
            "region": None if self.region is None else self.region.value,
            "diameter_mm": round(self.diameter.length_mm, 4),
            "thickness_mm": round(self.thickness.length_mm, 4),
            "diameter": self.diameter.to_json(),
            "thickness": self.thickness.to_json(),
            "abc2": self.abc2.to_json(),
            "touches_ventricle": self.touches_ventricle,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> PieceMeasures:
        """What `to_json` wrote."""
        x, y, z = plain["center_lps_mm"]
        return cls(
            plain["label"],
            float(plain["volume_ml"]),
            float(plain["mean_hu"]),
            float(plain["max_hu"]),
            (x, y, z),
            None if plain["side"] is None else Side(plain["side"]),
            None if plain["region"] is None else Region(plain["region"]),
            Line.from_json(plain["diameter"]),
            Line.from_json(plain["thickness"]),
            Abc2.from_json(plain["abc2"]),
            plain["touches_ventricle"],
        )


def measure_piece(
    piece: Component,
    label: str,
    hu: NDArray[Any],
    geometry: VolumeGeometry,
    skull: SkullFrame | None = None,
    ventricles: NDArray[np.float64] | None = None,
) -> PieceMeasures:
    """The measures of one piece; arguments are those of `piece_in_steps`."""
    steps = piece_in_steps(piece, label, hu, geometry, skull, ventricles)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            measured: PieceMeasures = end.value
            return measured


def piece_in_steps(
    piece: Component,
    label: str,
    hu: NDArray[Any],
    geometry: VolumeGeometry,
    skull: SkullFrame | None = None,
    ventricles: NDArray[np.float64] | None = None,
) -> Generator[None, None, PieceMeasures]:
    """The measures of one piece, one after the other, so that who calls can do something else in between.

    Args:
        piece: Its voxels.
        label: Key of its segment.
        hu: (slices, rows, columns) of the exam in axial slices, Hounsfield units; only its box is read.
        geometry: Of the exam.
        skull: The frame by which its place is named.
        ventricles: (n, 3) LPS mm of points in the lateral ventricles, None if they are not known.
    """
    mask, start = piece.mask, piece.start
    voxels = mask.sum(axis=(1, 2))
    middle, row, column = middle_voxel(mask)
    center = kept_point(geometry.ijk_to_lps((column + start[2], row + start[1], middle + start[0])))
    density = np.asarray(hu[piece.box])[mask]
    yield
    diameter = largest_diameter(mask, start, geometry)
    yield
    thickness = largest_thickness(mask, start, geometry)
    yield
    three = abc2(mask, start, geometry)
    yield
    return PieceMeasures(
        label,
        float(voxels @ geometry.voxel_volumes_mm3[piece.box[0]]) / 1000,
        float(density.mean(dtype=np.float64)),
        float(density.max()),
        center,
        None if skull is None else skull.side(center),
        None if skull is None else skull.region(center),
        diameter,
        thickness,
        three,
        None if ventricles is None else _touches(piece, geometry, ventricles),
    )


def middle_voxel(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """(slice, row, column) of the voxel nearest to the middle of the largest slice of a piece; by it a place is named.

    Args:
        mask: bool (slices, rows, columns), axial.
    """
    middle = int(mask.sum(axis=(1, 2)).argmax())
    section = np.argwhere(mask[middle])
    row, column = section[np.abs(section - section.mean(axis=0)).sum(axis=1).argmin()]
    return middle, int(row), int(column)


def _touches(piece: Component, geometry: VolumeGeometry, ventricles: NDArray[np.float64]) -> bool:
    """True if the contour of a piece comes near to a point of the ventricles."""
    from scipy.spatial import cKDTree  # 0.1 s, for exams with blood

    contours = []
    for n in np.flatnonzero(piece.mask.any(axis=(1, 2))):
        points, _ = contour_points(piece.mask[n])
        index = np.column_stack((points + piece.start[:0:-1], np.full(len(points), n + piece.start[0])))
        contours.append(geometry.ijk_to_lps(index))
    distances, _ = cKDTree(ventricles).query(np.concatenate(contours), distance_upper_bound=TOUCHING_MM)
    return bool(np.isfinite(distances).any())
