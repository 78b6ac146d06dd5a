"""Samples for training: single slices, as slice networks see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ICHSegmenterLib.datasets.shards import ShardReader
from ICHSegmenterLib.datasets.slices import SliceTable
from ICHSegmenterLib.learning.augmentation import apply_change, draw_change
from ICHSegmenterLib.learning.beam_hardening import add_beam_hardening, draw_beam_hardening
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.preprocessing.in_plane import InPlaneGrid
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing, Window
from ICHSegmenterLib.preprocessing.windowing import apply_windows

Sample = dict[str, Any]
_BEAM_HARDENING = 1
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

    def __getitem__(self, draw: SampleIndex) -> Sample:
        row = int(self._rows[draw.index])
        column = {name: values[row] for name, values in self._table.columns.items()}
        hu = self._reader.hu(str(column["shard"]), int(column["offset"]), int(column["size"]))
        preprocessing = self._preprocessing
        spacing = (float(column["row_mm"]), float(column["column_mm"]))
        grid = InPlaneGrid((hu.shape[0], hu.shape[1]), preprocessing.resize, preprocessing.crop, spacing)
        hardening = (
            draw_beam_hardening(self._augmentation, np.random.default_rng((*draw.seed, _BEAM_HARDENING)))
            if draw.seed
            else None
        )
        hu = hu if hardening is None else add_beam_hardening(hu, hardening, spacing)
        windows = preprocessing.windows
        if self._header_window and column["window_width"] > 0:
            windows = (Window(int(column["window_level"]), int(column["window_width"])), *windows[1:])
        image = torch.from_numpy(grid.forward(apply_windows(hu[None], windows, preprocessing.normalization)))
        mask = self._mask(column, grid) if self._with_masks else None
        if draw.seed:
            change = draw_change(self._augmentation, np.random.default_rng(draw.seed))
            image, mask = apply_change(change, image, mask)
        sample: Sample = {
            "image": image[0],
            "label": torch.from_numpy(self._table.labels[row].copy()),
            "is_real": draw.is_real,
            "index": row,
        }
        return sample if mask is None else {**sample, "mask": mask[0]}

    def _mask(self, column: dict[str, Any], grid: InPlaneGrid) -> torch.Tensor:
        """int64 (1, crop, crop)."""
        values = self._reader.mask(str(column["shard"]), int(column["mask_offset"]), int(column["mask_size"]))
        cropped = np.zeros((1, grid.crop, grid.crop), dtype=np.int64)
        for value in np.unique(values[values > 0]):
            cropped[0][grid.forward_mask(values == value, self._preprocessing.mask_sampling)] = int(value)
        return torch.from_numpy(cropped)
