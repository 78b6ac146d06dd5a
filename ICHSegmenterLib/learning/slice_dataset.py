"""Samples for training: single slices as slice networks see them, and whole series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ICHSegmenterLib.models.slice_sequence_transformer import SERIES_LENGTH
from ICHSegmenterLib.preprocessing.in_plane import InPlaneGrid
from ICHSegmenterLib.preprocessing.series_cube import network_slices, windowed_cube
from ICHSegmenterLib.preprocessing.spec import SeriesPreprocessing, SlicePreprocessing, Window
from ICHSegmenterLib.preprocessing.windowing import apply_windows
from ICHSegmenterLib.training.augmentation import apply_change, draw_change
from ICHSegmenterLib.training.bone_glow import add_bone_glow, draw_bone_glow
from ICHSegmenterLib.training.data.shards import ShardReader
from ICHSegmenterLib.training.data.slices import SliceTable
from ICHSegmenterLib.training.recipe import AugmentationRecipe
from ICHSegmenterLib.training.samplers import Draw

Sample = dict[str, Any]
_GLOW = 1
"""Keeps these random numbers apart from those of the other changes."""


class SliceDataset(Dataset[Sample]):
    """Slices of a prepared data set, exactly as `PreparedVolume.batch` shows them to the network.

    A sample holds "image" float32 (windows, crop, crop), "label" int64 (6,) with -1 where unknown, "mask" int64
    (crop, crop) if `with_masks`, "counts" bool, and "index", the row in the table.
    """

    def __init__(
        self,
        cache: Path,
        table: SliceTable,
        rows: NDArray[np.intp],
        preprocessing: SlicePreprocessing,
        augmentation: AugmentationRecipe,
        *,
        with_masks: bool,
        header_window: bool = False,
    ) -> None:
        self._reader, self._table, self._rows = ShardReader(cache), table, rows
        self._preprocessing, self._augmentation = preprocessing, augmentation
        self._with_masks, self._header_window = with_masks, header_window

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """(slices,) True where there is blood."""
        return np.asarray(self._table.is_positive[self._rows])

    def __getitem__(self, draw: Draw) -> Sample:
        row = int(self._rows[draw.index])
        column = {name: values[row] for name, values in self._table.columns.items()}
        hu = self._reader.hu(str(column["shard"]), int(column["offset"]), int(column["size"]))
        wanted = self._preprocessing
        spacing = (float(column["row_mm"]), float(column["column_mm"]))
        grid = InPlaneGrid((hu.shape[0], hu.shape[1]), wanted.resize, wanted.crop, spacing)
        glow = draw_bone_glow(self._augmentation, np.random.default_rng((*draw.seed, _GLOW))) if draw.seed else None
        hu = hu if glow is None else add_bone_glow(hu, glow, spacing)
        windows = wanted.windows
        if self._header_window and column["window_width"] > 0:
            windows = (Window(int(column["window_level"]), int(column["window_width"])), *windows[1:])
        image = torch.from_numpy(grid.forward(apply_windows(hu[None], windows, wanted.normalization)))
        mask = self._mask(column, grid) if self._with_masks else None
        if draw.seed:
            change = draw_change(self._augmentation, np.random.default_rng(draw.seed))
            image, mask = apply_change(change, image, mask)
        sample: Sample = {
            "image": image[0], "label": torch.from_numpy(self._table.labels[row].copy()), "counts": draw.counts,
            "index": row,
        }  # fmt: skip
        return sample if mask is None else {**sample, "mask": mask[0]}

    def _mask(self, column: dict[str, Any], grid: InPlaneGrid) -> torch.Tensor:
        """int64 (1, crop, crop)."""
        values = self._reader.mask(str(column["shard"]), int(column["mask_offset"]), int(column["mask_size"]))
        cropped = np.zeros((1, grid.crop, grid.crop), dtype=np.int64)
        for value in np.unique(values[values > 0]):
            cropped[0][grid.forward_mask(values == value)] = int(value)
        return torch.from_numpy(cropped)


class SeriesDataset(Dataset[Sample]):
    """Whole series, lowest slice first, as the slice-and-sequence transformer sees them.

    A sample holds "image" float32 (S, 3, side, side) in [0, 1], "label" float32 (S, 6) and "counts". Series of more
    than 60 slices give 60 neighbors: in training those that the draw says, else the middle ones.
    """

    def __init__(
        self,
        cache: Path,
        table: SliceTable,
        rows: NDArray[np.intp],
        preprocessing: SeriesPreprocessing,
        augmentation: AugmentationRecipe,
    ) -> None:
        self._reader, self._table, self._series = ShardReader(cache), table, table.series_of(rows)
        self._preprocessing, self._augmentation = preprocessing, augmentation

    def __len__(self) -> int:
        return len(self._series)

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """(series,) True where any slice bleeds."""
        return np.array([self._table.is_positive[rows].any() for rows in self._series], dtype=bool)

    def shown_rows(self) -> list[NDArray[np.intp]]:
        """Rows in the table of the slices that each series shows without augmentation."""
        return [_middle(rows) for rows in self._series]

    def __getitem__(self, draw: Draw) -> Sample:
        random = np.random.default_rng(draw.seed)
        rows = self._series[draw.index]
        spare = len(rows) - SERIES_LENGTH
        if spare > 0 and draw.seed:
            first = int(random.integers(spare + 1))
            rows = rows[first : first + SERIES_LENGTH]
        rows = _middle(rows)
        image = torch.from_numpy(self._pixels(rows)).float() / 255
        if draw.seed:
            image = self._augmented(image, random)
        label = torch.from_numpy(self._table.labels[rows]).float()
        return {"image": image, "label": label, "counts": draw.counts, "index": draw.index}

    def _pixels(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        columns = self._table.columns
        places = zip(columns["shard"][rows], columns["offset"][rows], columns["size"][rows], strict=True)
        slices = [self._reader.hu(str(shard), int(offset), int(size)) for shard, offset, size in places]
        if len({one.shape for one in slices}) > 1:  # the authors' reader stacks; a stray scout view cannot be stacked
            slices = [one if one.shape == slices[0].shape else np.full_like(slices[0], -1000.0) for one in slices]
        wanted = self._preprocessing
        return network_slices(windowed_cube(np.stack(slices), wanted.windows), wanted.side)

    def _augmented(self, image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        if not self._augmentation.each_slice_alone:
            return apply_change(draw_change(self._augmentation, random), image)[0]
        parts = [apply_change(draw_change(self._augmentation, random), one[None])[0] for one in image]
        return torch.cat(parts)


def as_list(samples: list[Sample]) -> list[Sample]:
    """Collate series of different lengths: not at all."""
    return samples


def _middle(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The middle ones, as many as a series may have."""
    first = max(0, (len(rows) - SERIES_LENGTH) // 2)
    return rows[first : first + SERIES_LENGTH]
