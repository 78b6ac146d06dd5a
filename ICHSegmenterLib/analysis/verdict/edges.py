"""Edges of drawn pieces where the scan shows them: half-way in density between the blood and the brain around it.

A network that sees pixels of a millimeter draws thin blood too thin, round blood too wide, and the rim of bone along
with what lies on it. Its verdict stays: only pieces that are drawn are changed, on slices on which they lie, within the
brain and within reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.analysis.verdict.candidates import Candidates
from ICHSegmenterLib.analysis.verdict.measures import measure_pieces
from ICHSegmenterLib.analysis.verdict.outline import FAINTEST_EDGE
from ICHSegmenterLib.analysis.verdict.surroundings import TISSUE_HU, Surroundings
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.volume.components import CONNECTIVITY_26

REACH_MM = 12.0
"""An edge moves outwards by this at most, in the plane."""
SURE_MAP = 0.85
"""Voxels that the network takes for more probable are never taken away, those below `FAINTEST_EDGE` never added."""
SMOOTHING_MM = 0.8
"""SD of the Gaussian that removes noise, across slices too where they are thinner than twice this."""
SHELL_MM = (3.0, 7.0)
"""Distance in the plane at which the density around is measured, in brain where the map is below `FAINTEST_EDGE`."""
SHELL_HU = (0.0, 60.0)
MIN_SHELL_MM2 = 40.0
MIN_CONTRAST_HU = 6.0
"""A piece that differs less from the brain around it keeps the edge that the network gave it."""
MIN_TISSUE = 0.05
"""Share of the Gaussian that must be tissue for its mean to count."""
MIN_CORE_VOXELS = 20
"""The density of a piece is that of its inside, if that has so many voxels."""
IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]
"""Neighbors that share an edge within a slice."""
DENSEST_BLOOD_HU, BONE_HU = 130.0, 300.0
"""99.9 % of acute blood has less than 88 HU (Nowinski et al., 2014). What is denser than the first is bone, calcium or
metal, or a voxel that holds some of it, and no reader outlines it."""
NOISE_MM2 = 4.0
"""Smaller dense spots in a slice are noise of the blood, unless they reach `BONE_HU`."""

Mask = NDArray[np.bool_]
Values = NDArray[np.float32]


def refine_edges(
    parts: Candidates, exam: PreparedVolume, around: Surroundings, is_drawn: Mask, min_volume_ml: float
) -> Candidates:
    """The same pieces, those that are drawn with refined edges and measured anew; their labels stay.

    Args:
        parts: Pieces of an outline whose voxels reach down to `FAINTEST_EDGE`.
        exam: HU, grid and brain.
        around: Its surroundings.
        is_drawn: bool (pieces,).
        min_volume_ml: A piece that would become smaller stays as it is.
    """
    if not is_drawn.any():
        return parts
    voxels, shape = parts.voxels, exam.volume.geometry.shape
    rows, columns = np.divmod(voxels.pixels, shape[2])
    piece_of, labels = parts.piece_of.copy(), voxels.labels.copy()
    is_other = (labels > 0) & ~voxels.is_drawn
    margin = [int(np.ceil(max(REACH_MM, SHELL_MM[1]) / mm)) + 1 for mm in exam.volume.geometry.pixel_spacing_mm]
    slice_ml = exam.volume.geometry.voxel_volumes_mm3 / 1000
    for number in np.flatnonzero(is_drawn) + 1:
        is_piece = piece_of == number
        box = _box(((voxels.slices[is_piece], 0), (rows[is_piece], margin[0]), (columns[is_piece], margin[1])), shape)
        inside = np.ones(len(is_piece), dtype=bool)
        for positions, part in zip((voxels.slices, rows, columns), box, strict=True):
            inside &= (positions >= part.start) & (positions < part.stop)
        table = np.flatnonzero(inside)
        at = (voxels.slices[table] - box[0].start, rows[table] - box[1].start, columns[table] - box[2].start)
        grid = np.full([part.stop - part.start for part in box], -1, dtype=np.int32)
        grid[at] = table
        piece = _on(grid, is_piece)
        free = _on(grid, (piece_of == 0) & ~is_other)
        refined = _refined(piece, free, np.where(grid >= 0, voxels.blood[grid], 0.0), exam, box)
        refined &= ~too_dense(exam.volume.hu[box], exam.volume.geometry.pixel_spacing_mm)
        if refined.sum(axis=(1, 2)) @ slice_ml[box[0]] < min_volume_ml:
            continue
        removed, added = grid[piece & ~refined], grid[refined & ~piece]
        piece_of[removed], labels[removed] = 0, 0
        piece_of[added], labels[added] = number, parts.label[number - 1] + 1
    changed = replace(voxels, labels=labels)
    measures = measure_pieces(changed, piece_of, len(parts.measures), exam.volume, around)
    return replace(parts, voxels=changed, piece_of=piece_of, measures=measures)


def _refined(piece: Mask, free: Mask, blood: Values, exam: PreparedVolume, box: tuple[slice, ...]) -> Mask:
    """A piece with its edge at half the contrast; as it is where the scan shows no edge.

    Args:
        piece, free: bool (slices, rows, columns) of the box, and voxels that may be added.
        blood: The map there.
        exam, box: Where that is.
    """
    brain = exam.brain_mask[box]
    hu = _smoothed(exam, box)
    spacing = exam.volume.geometry.pixel_spacing_mm
    distance = np.full(piece.shape, np.inf)
    core = np.zeros_like(piece)
    for k in np.flatnonzero(piece.any(axis=(1, 2))):
        distance[k] = ndimage.distance_transform_edt(~piece[k], sampling=spacing)
        core[k] = ndimage.binary_erosion(piece[k])
    shell = brain & (distance > SHELL_MM[0]) & (distance <= SHELL_MM[1]) & (blood < FAINTEST_EDGE)
    shell &= (hu > SHELL_HU[0]) & (hu < SHELL_HU[1])
    if np.count_nonzero(shell) * spacing[0] * spacing[1] < MIN_SHELL_MM2:
        return piece
    dense = float(np.median(hu[core if np.count_nonzero(core) >= MIN_CORE_VOXELS else piece]))
    edge = (dense + float(np.median(hu[shell]))) / 2
    if 2 * (dense - edge) < MIN_CONTRAST_HU:
        return piece
    extended = piece & ((hu >= edge) | (blood >= SURE_MAP))
    extended |= free & brain & (distance <= REACH_MM) & (hu >= edge) & (blood >= FAINTEST_EDGE)
    numbers, count = ndimage.label(extended, CONNECTIVITY_26)
    touches = np.zeros(count + 1, dtype=bool)
    touches[numbers[piece]] = True
    touches[0] = False
    kept: Mask = touches[numbers]
    return kept if kept.any() else piece


def too_dense(hu: Values, spacing_mm: Sequence[float]) -> Mask:
    """Spots of slices that are no blood: bone and what is partly bone, calcium, metal; not the grain of noisy blood.

    Args:
        hu: float32 (slices, rows, columns).
        spacing_mm: Of rows and of columns.
    """
    dense = np.asarray(hu > DENSEST_BLOOD_HU)
    spots, count = ndimage.label(dense, IN_PLANE)
    if not count:
        return dense
    is_spot = np.bincount(spots.ravel()) * spacing_mm[0] * spacing_mm[1] >= NOISE_MM2
    is_spot |= ndimage.maximum(hu, spots, np.arange(count + 1)) >= BONE_HU
    is_spot[0] = False
    kept: Mask = is_spot[spots]
    return kept


def _smoothed(exam: PreparedVolume, box: tuple[slice, ...]) -> Values:
    """HU of the brain's tissue in a box without most of its noise; 0 where there is none."""
    geometry = exam.volume.geometry
    sigma = [
        SMOOTHING_MM / mm if mm < 2 * SMOOTHING_MM else 0.0
        for mm in (geometry.slice_step_mm, *geometry.pixel_spacing_mm)
    ]
    hu = exam.volume.hu[box]
    tissue = (exam.brain_mask[box] & (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1])).astype(np.float32)
    sums = ndimage.gaussian_filter(hu * tissue, sigma, truncate=2.5)
    shares = ndimage.gaussian_filter(tissue, sigma, truncate=2.5)
    smoothed: Values = np.divide(sums, shares, out=np.zeros_like(sums), where=shares > MIN_TISSUE)
    return smoothed


def _box(positions: tuple[tuple[NDArray[np.int32], int], ...], shape: tuple[int, int, int]) -> tuple[slice, ...]:
    """Around positions along each axis with a margin, within the volume."""
    return tuple(
        slice(max(0, int(one.min()) - margin), min(size, int(one.max()) + 1 + margin))
        for (one, margin), size in zip(positions, shape, strict=True)
    )


def _on(grid: NDArray[np.int32], is_in: Mask) -> Mask:
    """A mask of voxels of the table on the grid that holds their positions, -1 where there is none."""
    return (grid >= 0) & is_in[grid]
