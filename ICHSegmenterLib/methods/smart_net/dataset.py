"""Samples for SMART-Net: one slice of a series at a time, or whole series, contrast equalized.

Re-creates the data path of Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). A slice that they draw anew
in each validation is always the same here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from ICHSegmenterLib.datasets.shards import ShardReader
from ICHSegmenterLib.datasets.slices import SliceTable
from ICHSegmenterLib.learning.augmentation import apply_change, draw_change
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.slice_dataset import Sample
from ICHSegmenterLib.methods.smart_net.input import (
    as_bytes,
    as_fractions,
    equalized,
    normalized,
    resized,
    shown_slices,
    windowed,
)
from ICHSegmenterLib.methods.smart_net.mask import resized_mask, without_specks
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing


class SmartNetDataset(Dataset[Sample]):
    """Base of both kinds: one sample a series."""

    def __init__(
        self,
        cache: Path,
        table: SliceTable,
        rows: NDArray[np.intp],
        preprocessing: SmartNetPreprocessing,
        augmentation: AugmentationRecipe,
    ) -> None:
        self._reader, self._table, self._series = ShardReader(cache), table, table.series_of(rows)
        self._wanted, self._augmentation = preprocessing, augmentation
        self._ends: dict[int, slice] = {}

    def __len__(self) -> int:
        return len(self._series)

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """(series,) True where any slice bleeds."""
        return np.array([self._table.is_positive[rows].any() for rows in self._series], dtype=bool)

    def __getitem__(self, draw: SampleIndex) -> Sample:
        raise NotImplementedError

    def _hu(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        columns = self._table.columns
        places = zip(columns["shard"][rows], columns["offset"][rows], columns["size"][rows], strict=True)
        return np.stack([self._reader.hu(str(shard), int(offset), int(size)) for shard, offset, size in places])

    def _is_empty(self, row: np.intp) -> bool:
        return not windowed(self._hu(np.array([row])), self._wanted.window).any()

    def _masks(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        columns = self._table.columns
        places = zip(columns["shard"][rows], columns["mask_offset"][rows], columns["mask_size"][rows], strict=True)
        return np.stack([self._reader.mask(str(shard), int(offset), int(size)) > 0 for shard, offset, size in places])

    def _stack(
        self,
        hu: NDArray[np.float32],
        masks: NDArray[np.bool_],
        draw: SampleIndex,
        random: np.random.Generator,
        over: Any,
    ) -> tuple[Tensor, Tensor]:
        """float32 (slices, 1, size, size) in [0, 1] and float32 masks of the same shape, changed alike."""
        preprocessing = self._wanted
        small = resized(windowed(hu, preprocessing.window), (preprocessing.size, preprocessing.size))
        image = torch.from_numpy(
            as_fractions(equalized(as_bytes(small), preprocessing.clip_limit, preprocessing.tiles))
        )[:, None]
        small_masks = resized_mask(masks, preprocessing.size, preprocessing.mask_sampling)
        mask = torch.from_numpy(without_specks(small_masks).astype(np.int64))
        if draw.seed:
            image, changed = apply_change(draw_change(self._augmentation, random), image, mask)
            mask = mask if changed is None else changed
        shown = torch.from_numpy(normalized(np.ascontiguousarray(image[:, 0].numpy()), over))
        return shown[:, None], mask[:, None].float()


class SmartNetSlices(SmartNetDataset):
    """One slice of each series: where there is blood, that of a random voxel of it, else any but the empty ends.

    A sample holds "image" float32 (1, size, size), "mask" float32 of the same shape and "label" float32 (1,).
    """

    def __getitem__(self, draw: SampleIndex) -> Sample:
        random = np.random.default_rng(draw.seed or draw.index)
        row = self._chosen(self._shown(draw.index), random)
        image, mask = self._stack(self._hu(row), self._masks(row), draw, random, "slice")
        label = mask.amax().reshape(1)
        return {"image": image[0], "mask": mask[0], "label": label, "is_real": draw.is_real, "index": int(row[0])}

    def _shown(self, index: int) -> NDArray[np.intp]:
        """The slices of a series without the empty ones at both ends, which are looked for once."""
        if index not in self._ends:
            rows = self._series[index]
            first = next((n for n, row in enumerate(rows) if not self._is_empty(row)), None)
            last = next((n for n in reversed(range(len(rows))) if not self._is_empty(rows[n])), -1)
            self._ends[index] = slice(0, len(rows)) if first is None else slice(first, last + 1)
        return self._series[index][self._ends[index]]

    def _chosen(self, rows: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.intp]:
        bleeding = rows[self._table.is_positive[rows]]
        if len(bleeding):
            areas = self._masks(bleeding).sum(axis=(1, 2)).astype(float)
            if areas.any():
                return np.asarray(random.choice(bleeding, 1, p=areas / areas.sum()), dtype=np.intp)
        return np.asarray(random.choice(rows, 1), dtype=np.intp)


class SmartNetVolumes(SmartNetDataset):
    """Whole series without the empty slices at both ends.

    A sample holds "image" float32 (1, size, size, slices), "mask" of the same shape and "label" float32 (1,).
    """

    def __getitem__(self, draw: SampleIndex) -> Sample:
        rows = self._series[draw.index]
        hu, masks = self._hu(rows), self._masks(rows)
        kept = shown_slices(windowed(hu, self._wanted.window))
        random = np.random.default_rng(draw.seed or draw.index)
        image, mask = self._stack(hu[kept], masks[kept], draw, random, "volume")
        # (slices, 1, size, size) -> (1, size, size, slices)
        volume, outline = (one.permute(1, 2, 3, 0).contiguous() for one in (image, mask))
        label = outline.amax().reshape(1)
        return {"image": volume, "mask": outline, "label": label, "is_real": draw.is_real, "index": draw.index}


def padded_volumes(samples: list[Sample]) -> Sample:
    """Volumes of different depths in one batch: empty slices at the end, and "depths" int64 (B,)."""
    depths = torch.tensor([sample["image"].shape[-1] for sample in samples])
    deepest = int(depths.max())
    batch: Sample = {
        name: torch.stack([F.pad(sample[name], (0, deepest - sample[name].shape[-1])) for sample in samples])
        for name in ("image", "mask")
    }
    batch["label"] = torch.stack([sample["label"] for sample in samples])
    batch["is_real"] = torch.tensor([sample["is_real"] for sample in samples])
    return {**batch, "depths": depths}
