"""Slices of the head between its ears, seen along the ideal midline: straightened, as thick as a standard slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ICHSegmenterLib.measuring.sagittal_plane import SagittalPlane
from ICHSegmenterLib.volume.volume import Volume

SLAB_MM = 5.0
"""Thin slices are averaged to this, so that septum and ventricles rise above the noise."""
PIXEL_MM = 0.5
HALF_WIDTH_MM = 45.0
HALF_LENGTH_MM = 60.0
BELOW_TOP_MM = (15.0, 105.0)
"""The lateral ventricles lie so far below the highest bone, which may be that of a scan that ends below the vertex."""

Values = NDArray[np.float64]
Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Level:
    """A slice around the ideal midline.

    Attributes:
        slice_index: Of the slice in the middle of the slab.
        hu: float32 (rows, columns), rows to posterior, columns to the patient's left; the middle column lies on the
            ideal midline.
        blood: float32 of the same shape, the share that is outlined as blood, 0 to 1.
        middle: (3,) LPS mm of the middle pixel; along, across: (3,) unit vectors of rows and columns, in the slice.
    """

    slice_index: int
    hu: Image
    blood: Image
    middle: Values
    along: Values
    across: Values

    def lps(self, rows: ArrayLike, columns: ArrayLike) -> Values:
        """(..., 3) LPS mm of pixels."""
        height, width = self.hu.shape
        along = (np.asarray(rows, dtype=np.float64) - (height - 1) / 2) * PIXEL_MM
        across = (np.asarray(columns, dtype=np.float64) - (width - 1) / 2) * PIXEL_MM
        return np.asarray(self.middle + along[..., None] * self.along + across[..., None] * self.across)


def levels(volume: Volume, plane: SagittalPlane, blood: NDArray[np.bool_]) -> Iterator[Level]:
    """The levels of a head that may show its lateral ventricles, in the order of the slices.

    Args:
        volume: HU in axial slices.
        plane: Its ideal midsagittal plane.
        blood: bool (slices, rows, columns), all that is outlined.
    """
    geometry = volume.geometry
    upward = geometry.normal * (1.0 if geometry.normal[2] >= 0 else -1.0)
    along = np.cross(upward, plane.normal)  # posterior, both in the slice and in the plane
    along /= np.linalg.norm(along)
    across = np.cross(along, upward)
    rows = np.arange(-HALF_LENGTH_MM, HALF_LENGTH_MM + PIXEL_MM / 2, PIXEL_MM)
    columns = np.arange(-HALF_WIDTH_MM, HALF_WIDTH_MM + PIXEL_MM / 2, PIXEL_MM)
    offsets = rows[:, None, None] * along + columns[None, :, None] * across
    basis = np.linalg.pinv(np.column_stack((geometry.column_step, geometry.row_step)))
    for slab in _slabs(geometry.slice_extents_mm):
        center = slab[len(slab) // 2]
        middle = _middle(plane, geometry.slice_origins[center], upward, across)
        if not BELOW_TOP_MM[0] <= plane.top_mm - middle[2] <= BELOW_TOP_MM[1]:
            continue
        hu, share = np.zeros(offsets.shape[:2], np.float32), np.zeros(offsets.shape[:2], np.float32)
        for k in slab:
            pixels = (
                _middle(plane, geometry.slice_origins[k], upward, across) + offsets - geometry.slice_origins[k]
            ) @ basis.T
            index = (pixels[..., 1], pixels[..., 0])
            hu += ndimage.map_coordinates(volume.hu[k], index, order=1, mode="nearest") / np.float32(len(slab))
            if blood[k].any():
                share += ndimage.map_coordinates(blood[k].astype(np.float32), index, order=1) / np.float32(len(slab))
        yield Level(center, hu, share, middle, along, across)


def _middle(plane: SagittalPlane, origin: Values, upward: Values, across: Values) -> Values:
    """(3,) the point of a slice that is nearest to the middle of the calvaria, on the plane."""
    point = plane.point + float((origin - plane.point) @ upward) * upward
    return np.asarray(point - float(plane.distance_mm(point)) / float(across @ plane.normal) * across)


def _slabs(extents_mm: Values) -> list[list[int]]:
    """Slices together up to `SLAB_MM`; thicker ones alone."""
    slabs: list[list[int]] = []
    thickness = np.inf
    for k, extent in enumerate(extents_mm):
        if thickness + extent > SLAB_MM * (1 + 1e-6):
            slabs.append([])
            thickness = 0.0
        slabs[-1].append(k)
        thickness += extent
    return slabs
