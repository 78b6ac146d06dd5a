"""The brain in slabs of a few millimeters, with where in the head each voxel lies: what vessels are looked for in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.blocks import block_mean, box_in_plane
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.volume import Volume

PIXEL_MM, SLAB_MM = 1.0, 2.9
"""Finer pixels are averaged in blocks, thinner slices in slabs: noise makes spots, vessels run on."""
SHOWN_HU = (-50.0, 1500.0)
FINE_MM, COARSE_MM = 1.0, 1.6
"""Smoothing; vessels lose more by the coarser one than what is broad."""
WALL_HU, METAL_HU = 450.0, 2800.0
"""Smoothed bone, and what no bone reaches."""
MARGIN_MM, REFERENCE_ML = 8.0, 1400.0
LEAST_SLABS, LEAST_VOXELS = 3, 100
"""Less is no brain in which anything could be told."""
MIN_ELONGATION = 1.05
"""A head that is not longer than wide by this factor does not tell how it is turned."""

Numbers = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BrainSlabs:
    """Slabs in axial order, around the brain.

    Attributes:
        inside: bool (slabs, rows, columns), the inside of the skull.
        fine, coarse: float32 of that shape: HU, smoothed by `FINE_MM` and `COARSE_MM`.
        from_wall_mm: Distance to bone in the plane, of the slabs above and below too.
        across_mm, behind_mm: Distance from the middle of the head to its left and to its back.
        has_metal: bool (slabs,), metal in the slab or beside it.
        pixel_mm: Size of a pixel.
        step_mm: Distance of slabs.
    """

    inside: Mask
    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    from_wall_mm: Numbers
    across_mm: Numbers
    behind_mm: Numbers
    has_metal: Mask
    pixel_mm: float
    step_mm: float

    @property
    def pixel_ml(self) -> float:
        """Volume of a pixel of a slab."""
        return self.pixel_mm**2 * self.step_mm / 1000

    def per_reference_ml(self, spots: Mask) -> float:
        """Volume of spots for each `REFERENCE_ML` of brain."""
        brain_ml = max(np.count_nonzero(self.inside) * self.pixel_ml, 1.0)
        return np.count_nonzero(spots) * self.pixel_ml / brain_ml * REFERENCE_ML

    @classmethod
    def of(cls, acquired: Volume, acquired_mask: Mask) -> BrainSlabs | None:
        """The slabs of slices with brain; None of too few, or of hardly any brain.

        Args:
            acquired: Axial slices, in any order and turn; no NaN.
            acquired_mask: bool (slices, rows, columns), the inside of the skull.
        """
        view = AxialView.of(acquired.geometry)
        volume, mask = view.volume(acquired), view.apply(acquired_mask)
        positions = np.abs(volume.geometry.slice_positions_mm - volume.geometry.slice_positions_mm[0])
        slabs = _slabs(np.flatnonzero(mask.any(axis=(1, 2))), positions)
        if len(slabs) < LEAST_SLABS:
            return None
        block = max(1, int(PIXEL_MM / volume.geometry.pixel_spacing_mm[0] + 0.05))
        pixel = block * volume.geometry.pixel_spacing_mm[0]
        rows, columns = box_in_plane(mask, round(MARGIN_MM * block / pixel))
        means, shares, highest = [], [], []
        for slab in slabs:
            hu = volume.hu[slab, rows, columns]
            highest.append(float(hu.max()))
            means.append(np.clip(hu, *SHOWN_HU).mean(axis=0))
            shares.append(mask[slab, rows, columns].mean(axis=0, dtype=np.float32))
        hu, share = (block_mean(block_mean(np.stack(one), 1, block), 2, block) for one in (means, shares))
        inside = np.asarray(share > 0.5)
        if np.count_nonzero(inside) < LEAST_VOXELS:
            return None
        fine, coarse = (smooth(hu, width / pixel) for width in (FINE_MM, COARSE_MM))
        middles = np.array([positions[slab].mean() for slab in slabs])
        across, behind = _places(inside)
        return cls(
            inside,
            fine,
            coarse,
            _distance_to_wall(~inside | (fine > WALL_HU)) * pixel,
            across * pixel,
            behind * pixel,
            ndimage.binary_dilation(np.array(highest) > METAL_HU),
            pixel,
            float(np.median(np.diff(middles))),
        )


def smooth(images: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Images (slabs, rows, columns) after a Gaussian in the plane, its SD in pixels."""
    return np.stack([ndimage.gaussian_filter(image, sigma, truncate=3) for image in images])


def _slabs(slices: NDArray[np.intp], positions_mm: Numbers) -> list[list[int]]:
    """Slices that lie within `SLAB_MM` together; thicker ones alone."""
    slabs: list[list[int]] = []
    for k in slices.tolist():
        if not slabs or abs(positions_mm[k] - positions_mm[slabs[-1][0]]) > SLAB_MM:
            slabs.append([])
        slabs[-1].append(k)
    return slabs


def _places(inside: Mask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pixels from the middle of each slab to the left and to the back, along the axes of the whole head."""
    rows, columns = (np.arange(size, dtype=np.float32) for size in inside.shape[1:])
    counts = np.maximum(inside.sum(axis=(1, 2)), 1)
    down = rows[:, None] - (inside.sum(axis=2) @ rows / counts)[:, None, None]
    left = columns[None, :] - (inside.sum(axis=1) @ columns / counts)[:, None, None]
    down, left = (np.broadcast_to(one, inside.shape).astype(np.float32) for one in (down, left))
    spread, axes = np.linalg.eigh(np.cov(down[inside], left[inside]))
    is_long = spread[1] > MIN_ELONGATION**2 * spread[0] and abs(axes[0, 1]) > abs(axes[1, 1])
    back, aside = axes[:, 1] * np.sign(axes[0, 1]) if is_long else np.array([1.0, 0.0])
    return np.asarray(left * back - down * aside), np.asarray(down * back + left * aside)


def _distance_to_wall(wall: Mask) -> Numbers:
    """In pixels, in the plane, to the bone of a slab and of its neighbors."""
    near = wall.copy()
    near[1:] |= wall[:-1]
    near[:-1] |= wall[1:]
    return np.stack([ndimage.distance_transform_edt(~image) for image in near])
