"""Intracranial mask from HU alone: what the skull encloses, found on a coarse grid and refined at full resolution.

Inside are brain, ventricles, cerebrospinal fluid and blood, also next to the inner table; outside are skull,
scalp, orbits, face and neck. Nothing is resampled: coarse voxels are whole blocks of acquired voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.preprocessing.blocks import (
    block_mean,
    dilate_in_plane,
    erode_in_plane,
    fill_holes_in_plane,
    linear_weights,
)
from ICHSegmenterLib.preprocessing.checks.findings import InputCode, InputFinding
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.volume import Volume

COARSE_SPACING_MM = 2.0
"""Blocks of acquired voxels are about this wide; thin bone still shows in their mean."""
BONE_HU = 150.0
"""Mean of a block that contains skull."""
AIR_HU = -300.0
TISSUE_HU = (-20.0, 120.0)
"""Block means of brain, cerebrospinal fluid and blood; fat is below, bone and calcification above."""
INNER_TABLE_HU = 500.0
"""Half-way between brain and inner table, where the edge of the skull lies at full resolution."""
MAX_NOISE_HU, NOISY_HU = 20.0, (-150.0, 250.0)
"""Block means with more noise than the first, in blocks between the others, are smoothed: brain would fall apart."""
NECK_MM = 4.0
"""Half the width of openings (fissures, canals, sutures) that do not let the mask out of the skull."""
EDGE_SHARE = 0.1
"""The mask is looked for as far from the coarse cavity as its linear interpolation reaches this."""
DEEP_SHARE = 0.99
"""Share of the interpolation from which voxels belong to the mask at any density: calcification, metal, air."""
SKULL_THICKNESS_MM = 6.0
"""Assumed where a piece of skull is missing."""
ANGLES = 120
"""Directions in which gaps of the calvaria are looked for, 3 degrees each."""
MIN_ENCLOSING_RAYS = 7
"""Least number of eight in-plane rays from a point inside the skull that meet bone."""
MIN_OVERLAP = 0.4
"""A piece of a slice belongs to the cranial cavity if so much of it lies against the cavity of the next slice."""
MIN_CAVITY_CM2 = 25.0
"""The largest slice of a cranial cavity is larger than this, even if only a part of a small head was scanned."""
MIN_LOWER_CM2 = 4.5
"""The cavity ends downwards where its slice, narrowed by `NECK_MM`, becomes smaller: below lies the spinal canal."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Coarse:
    """Block means. hu: (slices, rows, columns); blocks: acquired voxels a block; spacing_mm: of the blocks."""

    hu: NDArray[np.float32]
    blocks: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def pixels(self, length_mm: float) -> float:
        """A length in the plane, in coarse pixels."""
        return length_mm / (0.5 * (self.spacing_mm[1] + self.spacing_mm[2]))


def brain_mask(volume: Volume) -> Mask:
    """Find the cranial cavity.

    Returns:
        bool (slices, rows, columns) on the acquired grid.

    Raises:
        VolumeError: Nothing in the volume is enclosed by a skull.
    """
    view = AxialView.of(volume.geometry)
    axial = view.volume(volume)
    coarse = _coarsen(axial)
    cavity = _cranial_cavity(_calm(coarse))
    return np.ascontiguousarray(view.undo(_refine(axial.hu, cavity, coarse)))


def _coarsen(axial: Volume) -> _Coarse:
    """Mean of blocks of voxels; the volume is extended with air to whole blocks."""
    acquired_mm = (axial.geometry.slice_step_mm, *axial.geometry.pixel_spacing_mm)
    blocks = tuple(max(1, round(COARSE_SPACING_MM / spacing)) for spacing in acquired_mm)
    means = axial.hu
    for axis in (1, 2, 0):
        means = block_mean(means, axis, blocks[axis])
    spacing = tuple(block * mm for block, mm in zip(blocks, acquired_mm, strict=True))
    return _Coarse(means, (blocks[0], blocks[1], blocks[2]), (spacing[0], spacing[1], spacing[2]))


def _calm(coarse: _Coarse) -> _Coarse:
    """The same, or medians of 3 x 3 blocks if block means are as noisy as those of a sharp kernel on large pixels."""
    is_soft = (coarse.hu > NOISY_HU[0]) & (coarse.hu < NOISY_HU[1])
    steps = np.diff(coarse.hu, axis=2)[is_soft[:, :, 1:] & is_soft[:, :, :-1]]
    if not steps.size or 1.4826 * float(np.median(np.abs(steps))) / np.sqrt(2) <= MAX_NOISE_HU:
        return coarse
    return replace(coarse, hu=ndimage.median_filter(coarse.hu, size=(1, 3, 3)))


def _cranial_cavity(coarse: _Coarse) -> Mask:
    """The coarse blocks inside the skull."""
    bone = coarse.hu > BONE_HU
    gaps = _missing_skull(coarse, bone)
    wall = bone | gaps
    tissue = (coarse.hu > TISSUE_HU[0]) & (coarse.hu < TISSUE_HU[1]) & ~wall
    enclosed = tissue & (_enclosing_rays(wall) >= MIN_ENCLOSING_RAYS)
    radius = max(1, round(coarse.pixels(NECK_MM)))
    pieces = _follow(erode_in_plane(enclosed, radius), coarse)
    cavity = dilate_in_plane(pieces, radius + 1) & tissue
    cavity = dilate_in_plane(cavity, 1) & ~gaps & (coarse.hu < INNER_TABLE_HU) & (coarse.hu > AIR_HU)
    return fill_holes_in_plane(cavity)


def _missing_skull(coarse: _Coarse, bone: Mask) -> Mask:
    """Skull as it would be in gaps of the calvaria, continued from the edges of each gap along an ellipse."""
    missing = np.zeros_like(bone)
    head = _largest(coarse.hu > AIR_HU)
    for k in np.flatnonzero((head & bone).any(axis=(1, 2))):
        index = np.nonzero(head[k])
        center_and_size = [(float(n.mean()), float(n.std()) + 1e-6) for n in index]
        # In units of the head's own half-axes the skull is nearly a circle.
        y, x = ((n - center) / size for n, (center, size) in zip(index, center_and_size, strict=True))
        radius = np.hypot(y, x)
        angle = ((np.arctan2(y, x) + np.pi) * (ANGLES / (2 * np.pi))).astype(int) % ANGLES
        is_bone = bone[k][index]
        outer = np.zeros(ANGLES)
        np.maximum.at(outer, angle[is_bone], radius[is_bone])
        known = np.flatnonzero(outer)
        if len(known) in (0, ANGLES):
            continue
        expected = np.interp(np.arange(ANGLES), known, outer[known], period=ANGLES)[angle]
        half_axis = 0.5 * sum(size for _, size in center_and_size)
        thickness = coarse.pixels(SKULL_THICKNESS_MM) / half_axis
        in_gap = (outer[angle] == 0) & (radius > expected - thickness) & (radius < expected + 0.5 / half_axis)
        missing[k][index] = in_gap
    return missing


def _enclosing_rays(wall: Mask) -> NDArray[np.uint8]:
    """The number of eight in-plane directions in which a ray from each block meets the wall."""
    slices, rows, columns = wall.shape
    count = np.zeros(wall.shape, dtype=np.uint8)
    for axis in (1, 2):
        count += np.logical_or.accumulate(wall, axis=axis)
        count += np.flip(np.logical_or.accumulate(np.flip(wall, axis), axis=axis), axis)
    for is_mirrored in (False, True):
        source = wall[:, :, ::-1] if is_mirrored else wall
        width = columns + rows
        padded = np.zeros((slices, rows, width), dtype=bool)
        padded[:, :, :columns] = source
        # One element fewer a row shifts every row by one: diagonals become columns.
        skewed = padded.reshape(slices, -1)[:, : rows * (width - 1)].reshape(slices, rows, width - 1)
        met = np.logical_or.accumulate(skewed, axis=1).astype(np.uint8)
        met += np.flip(np.logical_or.accumulate(np.flip(skewed, 1), axis=1), 1)
        straight = np.zeros((slices, rows * width), dtype=np.uint8)
        straight[:, : rows * (width - 1)] = met.reshape(slices, -1)
        straight = straight.reshape(slices, rows, width)[:, :, :columns]
        count += straight[:, :, ::-1] if is_mirrored else straight
    return count


def _follow(candidates: Mask, coarse: _Coarse) -> Mask:
    """From the largest piece of any slice, the pieces that lie against it, upwards and downwards.

    Raises:
        VolumeError: No piece is large enough.
    """
    in_plane = np.zeros((3, 3, 3), dtype=bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    labels, count = ndimage.label(candidates, in_plane)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    block_cm2 = coarse.spacing_mm[1] * coarse.spacing_mm[2] / 100
    if count == 0 or areas.max() * block_cm2 < MIN_CAVITY_CM2:
        raise VolumeError(InputFinding(InputCode.NO_BRAIN))
    start = int(np.argmax((labels == areas.argmax()).any(axis=(1, 2))))
    kept = np.zeros_like(candidates)
    kept[start] = labels[start] == areas.argmax()
    for step, stop in ((1, len(labels)), (-1, -1)):
        for k in range(start + step, stop, step):
            inside = np.bincount(labels[k][kept[k - step]], minlength=count + 1)
            followed = np.flatnonzero((inside > MIN_OVERLAP * areas) & (areas > 0))
            kept[k] = np.isin(labels[k], followed)
            if step < 0 and np.count_nonzero(kept[k]) * block_cm2 < MIN_LOWER_CM2:
                kept[k] = False
                break
    return kept


def _refine(hu: NDArray[np.float32], cavity: Mask, coarse: _Coarse) -> Mask:
    """The cavity at full resolution: its edge is where HU crosses from brain to bone."""
    mask = np.zeros(hu.shape, dtype=bool)
    _, rows, columns = hu.shape
    up_rows = linear_weights(rows, cavity.shape[1], coarse.blocks[1])
    up_columns = linear_weights(columns, cavity.shape[2], coarse.blocks[2]).T
    for index, inside in enumerate(cavity):
        if inside.any():
            share = up_rows @ inside.astype(np.float32) @ up_columns
            is_near, is_deep = share > EDGE_SHARE, share > DEEP_SHARE
            block = slice(index * coarse.blocks[0], (index + 1) * coarse.blocks[0])
            tissue = (hu[block] < INNER_TABLE_HU) & (hu[block] > AIR_HU)
            mask[block] = is_deep | is_near & tissue
    return mask


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])) if count else mask
