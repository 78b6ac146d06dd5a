"""Samples for training: slabs with their neighbors, changed in Hounsfield units before windows are applied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from ICHSegmenterLib.datasets.shards import ShardReader
from ICHSegmenterLib.datasets.slices import SliceTable
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.learning.augmentation import IDENTITY, Change, affine_grid, blurred, draw_change, resampled
from ICHSegmenterLib.learning.beam_hardening import add_beam_hardening, draw_beam_hardening
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.slice_dataset import Sample
from ICHSegmenterLib.preprocessing.slabs import AIR_HU, neighbor_weights, windowed
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing

PIVOT_HU = 30.0
"""Brain keeps its density when contrast changes."""
UNEVEN_CELLS = 4
"""A slowly changing brightness has so many cells along a side."""
LONE_SLAB = 0.06
"""Chance that a slab is shown without its neighbors, as at the ends of a scan."""
_ADVICE = "Prepare the data in the layout nifti-slabs, and leave the recipe's pixels as they are."
_BEAM_HARDENING, _SLAB = 1, 2
"""Keep these random numbers apart from those of the other changes."""


class SlabDataset(Dataset[Sample]):
    """Slabs of a prepared data set as `SlabGrid` and `slabs.windowed` show them to the network.

    A sample holds "image" float32 (neighbors + windows, side, side), "mask" int64 (side, side), "label" int64 (6,),
    "is_real" bool, and "index", the row in the table. In the recipe `noise_sd` and `brightness` are in HU.

    Raises:
        TrainingDataError: The data were prepared as slices, or at another pixel size.
    """

    def __init__(
        self,
        cache: Path,
        table: SliceTable,
        rows: NDArray[np.intp],
        preprocessing: SlabPreprocessing,
        augmentation: AugmentationRecipe,
    ) -> None:
        self._reader, self._table, self._rows = ShardReader(cache), table, rows
        self._preprocessing, self._augmentation = preprocessing, augmentation
        _check_fits(table, rows, preprocessing)
        order = np.lexsort((table.columns["number"], table.columns["series"]))
        starts = np.flatnonzero(np.r_[True, table.columns["series"][order][1:] != table.columns["series"][order][:-1]])
        self._order, self._place = order, np.argsort(order)
        self._starts = np.append(starts, len(order))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """(slabs,) True where there is blood."""
        return np.asarray(self._table.is_positive[self._rows])

    def __getitem__(self, draw: SampleIndex) -> Sample:
        row = int(self._rows[draw.index])
        stack = torch.from_numpy(self._stack(row, draw))
        mask = torch.from_numpy(self._mask(row))
        if draw.seed:
            change = draw_change(self._augmentation, np.random.default_rng(draw.seed))
            stack, mask = changed(change, stack, mask)
        image = windowed(stack[-1].numpy(), stack[:-1].numpy(), self._preprocessing)
        return {
            "image": torch.from_numpy(image),
            "label": torch.from_numpy(self._table.labels[row].copy()),
            "mask": mask,
            "is_real": draw.is_real,
            "index": row,
        }

    def _stack(self, row: int, draw: SampleIndex) -> NDArray[np.float32]:
        """HU (neighbors + 1, side, side); the slab itself is the last."""
        end = int(np.searchsorted(self._starts, self._place[row], side="right"))
        series = self._order[self._starts[end - 1] : self._starts[end]]
        number = int(self._place[row] - self._starts[end - 1])
        weights = neighbor_weights(self._table.columns["position_mm"][series], number, self._preprocessing)
        if draw.seed and np.random.default_rng((*draw.seed, _SLAB)).random() < LONE_SLAB:
            weights = np.zeros_like(weights)
            weights[:, number] = 1
        used = np.flatnonzero(weights.any(axis=0) | (np.arange(len(series)) == number))
        slabs = np.stack([self._hu(int(series[one])) for one in used])
        if draw.seed:
            random = np.random.default_rng((*draw.seed, _BEAM_HARDENING))
            hardening = draw_beam_hardening(self._augmentation, random)
            if hardening is not None:
                spacing = (self._preprocessing.spacing_mm, self._preprocessing.spacing_mm)
                slabs = np.stack([add_beam_hardening(slab, hardening, spacing) for slab in slabs])
        around = np.tensordot(weights[:, used], slabs, axes=1)
        return np.concatenate((around, slabs[used == number])).astype(np.float32)

    def _hu(self, row: int) -> NDArray[np.float32]:
        columns = self._table.columns
        hu = self._reader.hu(str(columns["shard"][row]), int(columns["offset"][row]), int(columns["size"][row]))
        side = self._preprocessing.side
        if hu.shape != (side, side):
            raise TrainingDataError(
                f"{columns['key'][row]}: the prepared slice has {hu.shape[1]} x {hu.shape[0]} pixels, and the recipe "
                f"asks for slabs of {side} x {side}. {_ADVICE}"
            )
        return hu

    def _mask(self, row: int) -> NDArray[np.int64]:
        columns = self._table.columns
        place = (str(columns["shard"][row]), int(columns["mask_offset"][row]), int(columns["mask_size"][row]))
        return self._reader.mask(*place).astype(np.int64)


def _check_fits(table: SliceTable, rows: NDArray[np.intp], preprocessing: SlabPreprocessing) -> None:
    spacings = np.stack([table.columns[name][rows] for name in ("row_mm", "column_mm")])
    if not np.allclose(spacings, preprocessing.spacing_mm, atol=1e-3):
        raise TrainingDataError(
            f"The prepared slices have pixels of {spacings.min():.2f} to {spacings.max():.2f} mm, and the recipe asks "
            f"for slabs of {preprocessing.spacing_mm:.2f} mm. {_ADVICE}"
        )


def changed(change: Change, stack: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A slab and its neighbors, all changed in the same way but for their noise.

    Args:
        change: The draw; its `noise_sd` and `offset` are in HU.
        stack: float32 (slabs, side, side), HU.
        mask: int64 (side, side).
    """
    images, masks = stack[None] - AIR_HU, mask[None]
    for is_flipped, axis in zip(change.flips, (-2, -1), strict=True):
        if is_flipped:
            images, masks = images.flip(axis), masks.flip(axis)
    if change.matrix != IDENTITY:
        grid = affine_grid(change.matrix, *images.shape[2:])
        images = resampled(images, grid, "bilinear", change.border)
        masks = resampled(masks[:, None].float(), grid, "nearest", change.border)[:, 0].long()
    images = images + AIR_HU
    generator = torch.Generator().manual_seed(change.noise_seed)
    if (change.gain, change.offset) != (1.0, 0.0):
        cells = torch.randn(1, 1, UNEVEN_CELLS, UNEVEN_CELLS, generator=generator) * abs(change.offset) / 2
        uneven = F.interpolate(cells, size=images.shape[-2:], mode="bicubic", align_corners=True)
        images = (images - PIVOT_HU) * change.gain + PIVOT_HU + change.offset + uneven
    if change.noise_sd:
        images = images + change.noise_sd * torch.randn(images.shape, generator=generator)
    return blurred(images, change.blur, change.motion_degrees)[0], masks[0]
