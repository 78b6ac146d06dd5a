"""Metal and motion, recognized from pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.preprocessing.blocks import fill_holes_in_plane
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.volume.volume import Volume

METAL_HU = 2800.0
"""Dense bone stays below."""
MIN_METAL_ML = 0.02
MIN_JUMP_MM = 0.5
"""SD of the shift of single slices against both neighbors; still heads, real and made-up, have up to 0.25 mm."""
MIN_MOTION_SLICES = 6
LARGE_SHARE = 0.6
"""Of the largest slice's brain: there the outline changes smoothly from slice to slice."""
EDGE_HU, HEAD_HU = (-850.0, -400.0), -300.0
EDGE_REACH_MM = 7.0
SLANT_SHARE = (EDGE_HU[1] - EDGE_HU[0]) / 1000.0
"""Of a step from air to skin that a slice averages, from the outline at its bottom to the one at its top: as edge."""
STEEP_MM = 0.2
DOUBLED_EDGE, MIN_DOUBLED_SLICES, MIN_DOUBLED_SHARE = 1.8, 4, 0.15
"""A slice whose skin has an edge so many times wider than usual in the scan is doubled; so many must be."""

Mask = NDArray[np.bool_]


def check_metal(volume: Volume, mask: Mask) -> InputFinding | None:
    """Metal in the slices of the brain."""
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    voxels = volume.geometry.voxel_volumes_mm3[used] / 1000
    hu = volume.hu[used]
    metal = hu > METAL_HU
    volume_ml = float(metal.sum(axis=(1, 2)) @ voxels)
    if volume_ml < MIN_METAL_ML:
        return None
    return InputFinding(InputCode.METAL, {"volume_ml": volume_ml, "highest_hu": float(hu[metal].max())})


def check_motion(volume: Volume, mask: Mask) -> InputFinding | None:
    """A head that moved: single slices lie beside their neighbors, or skin is seen twice."""
    area = mask.sum(axis=(1, 2))
    used = np.flatnonzero(area > LARGE_SHARE * area.max())
    if len(used) < MIN_MOTION_SLICES:
        return None
    jump_mm = slice_jump_mm(volume, mask, used)
    doubled = doubled_slices(volume, used)
    if jump_mm < MIN_JUMP_MM and len(doubled) < max(MIN_DOUBLED_SLICES, MIN_DOUBLED_SHARE * len(used)):
        return None
    return InputFinding(InputCode.MOTION, {"shift_mm": jump_mm, "slices": len(doubled), "total": len(used)})


def slice_jump_mm(volume: Volume, mask: Mask, used: NDArray[np.intp]) -> float:
    """SD of the sideways shift of single slices: what the middle of the skull differs from that of its neighbors."""
    columns = np.arange(mask.shape[2]) * volume.geometry.pixel_spacing_mm[1]
    middle = np.array([(mask[k].sum(axis=0) @ columns) / mask[k].sum() for k in used])
    bends = middle[:-2] - 2 * middle[1:-1] + middle[2:]
    return float(1.4826 * np.median(np.abs(bends - np.median(bends))) / np.sqrt(6.0))


def skin_edges_mm(volume: Volume, used: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(slices,) mean width of the edge between air and skin, and mean radius of the head, of the slices in `used`."""
    pixel = volume.geometry.pixel_spacing_mm[0]
    widths, radii = [], []
    for k in used:
        image = volume.hu[k]
        labels, count = ndimage.label(image > HEAD_HU)
        if not count:
            widths.append(0.0)
            radii.append(0.0)
            continue
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        head = fill_holes_in_plane((labels == sizes.argmax())[None])[0]
        near = ndimage.binary_dilation(head, iterations=max(1, round(EDGE_REACH_MM / pixel))) & ~head
        edge = near & (image > EDGE_HU[0]) & (image < EDGE_HU[1])
        widths.append(float(edge.sum()) * pixel / (2 * np.sqrt(np.pi * head.sum())))
        radii.append(pixel * float(np.sqrt(head.sum() / np.pi)))
    return np.array(widths), np.array(radii)


def doubled_slices(volume: Volume, used: NDArray[np.intp]) -> NDArray[np.intp]:
    """The slices of `used` whose skin is seen twice; toward the vertex it slants, and its edge is wide in any scan."""
    widths, radii = skin_edges_mm(volume, used)
    usual = max(float(np.median(widths)), 0.5 * volume.geometry.pixel_spacing_mm[0])
    slant = SLANT_SHARE * np.abs(np.gradient(ndimage.median_filter(radii, 5, mode="nearest")))
    steep = slant > STEEP_MM
    if steep.any():  # as wide as the slant explains in this scan: not at all if its slices do not average
        widths = widths - slant * min(1.0, float(np.median(widths[steep] / slant[steep])))
    return np.asarray(used[widths > DOUBLED_EDGE * usual])
