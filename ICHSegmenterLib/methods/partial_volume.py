"""Takes bone that looks like blood out of maps: dense voxels, and bone of the next slice that shines into a thick one.

Under the vertex and over the skull base a thick slice is part brain, part bone, and as bright as blood on a whole area.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.volume import Volume

DENSE_HU = 120.0
"""Bone and calcification; clotted blood stays below 100."""
BONE_HU = 150.0
"""Least HU of the next slice where it is skull."""
PARTLY_BONE_HU = 75.0
"""A mean of brain and bone that is denser than most blood."""
MOSTLY = 0.5
"""A piece of which more is partly bone, is bone; a bleed reaches the skull with its edge only."""
THICK_SLICE_MM = 2.5
"""Thinner slices are hardly ever part brain, part bone."""
DENOISE_MM = 1.2
HU_RANGE = (-100.0, 300.0)
"""Values are cut to it before noise is removed, so that a thin line of bone does not spread."""
LIKELY = 1 / 3
"""Blood of less probability is hardly outlined anywhere: background or edema is likelier."""


def bone_like_blood(maps: NDArray[np.floating[Any]], volume: Volume, blood: Sequence[int]) -> NDArray[np.bool_]:
    """Voxels that maps call blood and the scan shows as bone.

    Args:
        maps: (labels, slices, rows, columns), 0 to 1.
        volume: Of the same grid.
        blood: Which of the labels are blood.

    Returns:
        bool (slices, rows, columns).
    """
    likely = np.stack([sum(maps[n, k] for n in blood) >= LIKELY for k in range(maps.shape[1])])
    bone = np.zeros(likely.shape, dtype=bool)
    boxes = ndimage.find_objects(likely.view(np.uint8))
    if not boxes:
        return bone
    slices, *plane = boxes[0]
    pieces, count = ndimage.label(likely[boxes[0]], CONNECTIVITY_26)
    is_thick = volume.geometry.slice_step_mm >= THICK_SLICE_MM
    partly = np.zeros(count + 1)
    for k, on_slice in zip(range(slices.start, slices.stop), pieces, strict=True):
        if on_slice.any():
            smooth = _denoised(volume, k, plane)
            bone[k][tuple(plane)] = smooth > DENSE_HU
            if is_thick:
                here = (smooth > PARTLY_BONE_HU) & _has_bone_beside(volume, k, plane)
                partly += np.bincount(on_slice[here], minlength=count + 1)
    is_bone = partly > MOSTLY * np.bincount(pieces.ravel(), minlength=count + 1)
    is_bone[0] = False
    bone[boxes[0]] |= is_bone[pieces]
    return bone & likely


def _denoised(volume: Volume, k: int, plane: Sequence[slice]) -> NDArray[np.float32]:
    """HU of a slice in a box (rows, columns); voxels around it are looked at too."""
    spacing = volume.geometry.pixel_spacing_mm
    more = [int(4 * DENOISE_MM / mm) + 1 for mm in spacing]
    wider = [slice(max(0, one.start - extra), one.stop + extra) for one, extra in zip(plane, more, strict=True)]
    hu = np.clip(volume.hu[k][tuple(wider)], *HU_RANGE)
    smooth = ndimage.gaussian_filter(hu, [DENOISE_MM / mm for mm in spacing])
    inside = [slice(one.start - wide.start, one.stop - wide.start) for one, wide in zip(plane, wider, strict=True)]
    return np.asarray(smooth[tuple(inside)], dtype=np.float32)


def _has_bone_beside(volume: Volume, k: int, plane: Sequence[slice]) -> NDArray[np.bool_]:
    """True where the slice above or below is bone straight along the normal, also if the gantry was tilted."""
    geometry = volume.geometry
    has_bone = np.zeros(volume.hu[k][tuple(plane)].shape, dtype=bool)
    for beside in (k - 1, k + 1):
        if 0 <= beside < geometry.shape[0]:
            moved = geometry.slice_origins[k] - geometry.slice_origins[beside]
            shifts = [round(float(moved @ step / (step @ step))) for step in (geometry.row_step, geometry.column_step)]
            index = [
                np.clip(np.arange(one.start, one.stop) + shift, 0, size - 1)
                for one, size, shift in zip(plane, geometry.shape[1:], shifts, strict=True)
            ]
            has_bone |= volume.hu[beside][np.ix_(*index)] > BONE_HU
    return has_bone
