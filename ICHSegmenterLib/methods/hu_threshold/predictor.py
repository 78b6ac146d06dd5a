"""Classical baseline: tissue as dense as acute blood, inside the skull, away from bone and calcification.

No learning and no weights. Densities: acute hematoma 59 +- 12 HU against 37 to 45 HU of gray matter
(Nowinski et al. 2014). Works on the acquired grid in blocks of about a millimeter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.blocks import block_mean, dilate_in_plane, erode_in_plane, linear_weights
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.components import CONNECTIVITY_26, component_volumes

BLOCK_MM = 1.0
"""In-plane size of the blocks on which blood is looked for."""
DENOISE_MM = 1.2
"""Standard deviation of the Gaussian that removes noise; bone and calcification never enter it."""
TISSUE_HU = (-20.0, 110.0)
"""Voxels outside are not averaged: fat and air below, calcification and bone above."""
CORE_HU = 50.0
"""A bleed has a core at least this dense."""
MIN_EDGE_HU = 44.0
"""The edge of a bleed, half-way between its core and the brain, is never below this: above gray matter."""
EDGE_SOFTNESS_HU = 2.5
"""Scale of the logistic membership around the edge."""
DENSE_HU = 120.0
"""Calcification and bone."""
DENSE_SHARE = 0.2
"""A block with so much of them is dense."""
GUARD_MM = 4.0
"""No core so near to bone or calcification in its slice: partial volume and beam hardening look like blood."""
NEIGHBOR_GUARD_MM = 2.0
"""The same for bone in the slice above or below, if slices are thick."""
THICK_SLICE_MM = 2.5
MIN_CORE_RADIUS_MM = 2.5
"""Thinner cores are removed: falx, tentorium, vessels."""
GROWTH_MM = 6.0
"""How far a bleed may reach from its core."""
MIN_BLEED_VOLUME_ML = 1.0
"""Smaller islands are removed."""
MARGIN_MM = 6.0
"""Around the brain: neither smoothing nor the distance to bone reaches further."""
HALF_SCORE_MM2 = 25.0
"""Blood on a slice at which its own score is 0.5, however thick it is: 0.1 mL of a slice of 4 mm."""

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Measures of the blocks around the brain, (slices, rows, columns).

    Attributes:
        hu: Denoised density of the tissue, 0 where there is none.
        is_brain: Mostly inside the skull.
        is_dense: Bone or calcification.
        size: (rows, columns) of acquired voxels a block; spacing_mm: of the blocks, mean of both sides.
        volumes_ml: (slices,) of one block.
        place: Rows and columns of them among those of whole slices; slice_shape: how many there are of these.
    """

    hu: Field
    is_brain: Mask
    is_dense: Mask
    size: tuple[int, int]
    spacing_mm: float
    slice_step_mm: float
    volumes_ml: NDArray[np.float64]
    place: tuple[slice, slice]
    slice_shape: tuple[int, int]

    def in_slices(self, values: Field) -> Field:
        """Values of these blocks in whole slices, 0 elsewhere."""
        whole = np.zeros((len(values), *self.slice_shape), dtype=np.float32)
        whole[:, self.place[0], self.place[1]] = values
        return whole

    def pixels(self, length_mm: float) -> int:
        return max(1, round(length_mm / self.spacing_mm))


class HuThresholdPredictor:
    """Finds acute blood by its density."""

    device = "cpu"
    precision = "float32"

    @classmethod
    def load(cls, card: ModelCard, weights: Sequence[Path], *, device: str, precision: str) -> HuThresholdPredictor:
        """Nothing is loaded; the arguments are those of every predictor."""
        return cls()

    def predict(self, exam: PreparedVolume, run: RunContext) -> list[SlicePrediction]:
        """One prediction for each acquired slice; its score grows with the blood on it."""
        slices, rows, columns = exam.volume.geometry.shape
        run.report(0, slices, Phase.PREDICTING)
        blocks = _measure_blocks(exam)
        run.check()
        soft = blocks.in_slices(_membership(blocks))
        up_rows = linear_weights(rows, soft.shape[1], blocks.size[0])
        up_columns = linear_weights(columns, soft.shape[2], blocks.size[1]).T
        pixel_mm2 = math.prod(exam.volume.geometry.pixel_spacing_mm)
        predictions = []
        for k in range(slices):
            if not soft[k].any():
                predictions.append(SlicePrediction(k, {ANY: 0.0}))
                continue
            on_slice = (up_rows @ soft[k] @ up_columns) * exam.brain_mask[k]
            blood_mm2 = np.count_nonzero(on_slice >= 0.5) * pixel_mm2
            predictions.append(SlicePrediction(k, {ANY: blood_mm2 / (blood_mm2 + HALF_SCORE_MM2)}, on_slice[None]))
        run.report(slices, slices, Phase.PREDICTING)
        return predictions


def _measure_blocks(exam: PreparedVolume) -> _Blocks:
    """Average tissue in blocks and over the distance of the noise, leaving out bone, calcification, fat and air."""
    geometry = exam.volume.geometry
    row_mm, column_mm = geometry.pixel_spacing_mm
    size = max(1, round(BLOCK_MM / row_mm)), max(1, round(BLOCK_MM / column_mm))

    def coarse(array: Field | Mask) -> Field:
        return block_mean(block_mean(array, 1, size[0]), 2, size[1])

    place = _around(exam.brain_mask, size, (size[0] * row_mm, size[1] * column_mm))
    rows, columns = (slice(span.start * side, span.stop * side) for span, side in zip(place, size, strict=True))
    hu, brain = exam.volume.hu[:, rows, columns], exam.brain_mask[:, rows, columns]
    is_tissue = brain & (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1])
    sums, shares = coarse(np.where(is_tissue, hu, np.float32(0))), coarse(is_tissue)
    spacing = (geometry.slice_step_mm, size[0] * row_mm, size[1] * column_mm)
    sigma = [DENOISE_MM / mm if mm < 2 * DENOISE_MM else 0.0 for mm in spacing]
    smooth_sums = ndimage.gaussian_filter(sums, sigma, truncate=2.5)
    smooth_shares = ndimage.gaussian_filter(shares, sigma, truncate=2.5)
    is_known = smooth_shares > 0.05
    return _Blocks(
        hu=np.divide(smooth_sums, smooth_shares, out=np.zeros_like(sums), where=is_known),
        is_brain=coarse(brain) > 0.5,
        is_dense=coarse(hu > DENSE_HU) > DENSE_SHARE,
        size=size,
        spacing_mm=0.5 * (spacing[1] + spacing[2]),
        slice_step_mm=spacing[0],
        volumes_ml=geometry.voxel_volumes_mm3 * size[0] * size[1] / 1000,
        place=place,
        slice_shape=(-(-geometry.shape[1] // size[0]), -(-geometry.shape[2] // size[1])),
    )


def _around(brain: Mask, size: tuple[int, int], block_mm: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns of blocks that hold the brain and all within reach of it; whole slices without a brain."""
    spans = []
    for axes, side, mm in zip(((0, 2), (0, 1)), size, block_mm, strict=True):
        hits = np.flatnonzero(brain.any(axis=axes)) // side
        count = -(-brain.shape[3 - axes[1]] // side)
        margin = math.ceil(MARGIN_MM / mm) + 1
        first, end = (hits[0] - margin, hits[-1] + 1 + margin) if len(hits) else (0, count)
        spans.append(slice(max(0, first), min(count, end)))
    return spans[0], spans[1]


def _membership(blocks: _Blocks) -> Field:
    """Float (slices, rows, columns) in [0, 1]: how far each block is blood."""
    soft = np.zeros(blocks.hu.shape, dtype=np.float32)
    core = blocks.is_brain & (blocks.hu > CORE_HU) & ~_guarded(blocks)
    radius = blocks.pixels(MIN_CORE_RADIUS_MM)
    core = dilate_in_plane(erode_in_plane(core, radius), radius) & core
    if not core.any():
        return soft
    brain_hu = float(np.median(blocks.hu[blocks.is_brain]))
    reach = _reach(core, blocks)
    labels, count = ndimage.label(core, CONNECTIVITY_26)
    core_hu = ndimage.median(blocks.hu[core], labels[core], np.arange(1, count + 1))
    edge_hu = max(MIN_EDGE_HU, 0.5 * (brain_hu + float(np.max(core_hu))))
    candidates = reach & blocks.is_brain & (blocks.hu > edge_hu) & ~dilate_in_plane(blocks.is_dense, 1)
    kept = _large_islands(candidates, core, blocks)
    near = dilate_in_plane(kept, 1) & blocks.is_brain
    soft[near] = 1 / (1 + np.exp((edge_hu - blocks.hu[near]) / EDGE_SOFTNESS_HU))
    return soft


def _guarded(blocks: _Blocks) -> Mask:
    """Blocks too near to bone or calcification to be the core of a bleed."""
    guarded = dilate_in_plane(blocks.is_dense, blocks.pixels(GUARD_MM))
    if blocks.slice_step_mm >= THICK_SLICE_MM:
        near = dilate_in_plane(blocks.is_dense, blocks.pixels(NEIGHBOR_GUARD_MM))
        guarded[1:] |= near[:-1]
        guarded[:-1] |= near[1:]
    return guarded


def _reach(core: Mask, blocks: _Blocks) -> Mask:
    """The voxels into which a bleed may grow from its core, in the slice and to the slices within reach."""
    reach = dilate_in_plane(core, blocks.pixels(GROWTH_MM))
    slices, done = max(1, int(GROWTH_MM / blocks.slice_step_mm)), 0
    while done < slices:  # each turn reaches twice as far: of 0.2 mm slices there are 30 to go
        before, distance = reach.copy(), min(done + 1, slices - done)
        reach[distance:] |= before[:-distance]
        reach[:-distance] |= before[distance:]
        done += distance
    return reach


def _large_islands(candidates: Mask, core: Mask, blocks: _Blocks) -> Mask:
    """Pieces that hold a core and at least `MIN_BLEED_VOLUME_ML`."""
    labels, count = ndimage.label(candidates | core, CONNECTIVITY_26)
    is_kept = np.zeros(count + 1, dtype=bool)
    is_kept[1:] = component_volumes(labels, count, blocks.volumes_ml) >= MIN_BLEED_VOLUME_ML
    has_core = np.zeros(count + 1, dtype=bool)
    has_core[np.unique(labels[core])] = True
    return np.asarray((is_kept & has_core)[labels])
