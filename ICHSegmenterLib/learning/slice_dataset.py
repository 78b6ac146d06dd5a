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
from ICHSegmenterLib.learning.array_file import ArrayFile
from ICHSegmenterLib.learning.augmentation import apply_change, draw_change
from ICHSegmenterLib.learning.beam_hardening import BeamHardening, add_beam_hardening, draw_beam_hardening
from ICHSegmenterLib.learning.kept_inputs import KeptInputs
from ICHSegmenterLib.learning.prepared_inputs import PreparedInputs, begin_inputs, inputs_of
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.preprocessing.in_plane import InPlaneGrid
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing, Window
from ICHSegmenterLib.preprocessing.windowing import windowed_slices

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
        self._images: ArrayFile | None = None
        self._masks: ArrayFile | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """(slices,) True where there is blood."""
        return np.asarray(self._table.is_positive[self._rows])

    def keep_inputs(self, folder: Path, budget_bytes: int) -> None:
        """Read what `prepare` computed; else compute each slice once and keep it in a scratch file in this folder."""
        image_bytes, mask_bytes = self._bytes_each
        self._images = self._prepared_images(folder) or KeptInputs(folder, len(self._rows), image_bytes, budget_bytes)
        if self._with_masks:
            prepared = self._prepared_masks(folder)
            self._masks = prepared or KeptInputs(folder, len(self._rows), mask_bytes, budget_bytes)

    def begin_inputs(self, folder: Path) -> None:
        """Make the files in which `fill_inputs` puts what every training of this data set will read.

        Raises:
            TrainingDataError: The folder cannot be written.
        """
        image_bytes, mask_bytes = self._bytes_each
        begin_inputs(folder, self._image_settings, len(self._table), image_bytes)
        self._images = self._prepared_images(folder)
        if self._with_masks:
            begin_inputs(folder, self._mask_settings, len(self._table), mask_bytes)
            self._masks = self._prepared_masks(folder)

    def fill_inputs(self, number: int) -> None:
        """Compute and keep one slice, unless it is kept.

        Raises:
            TrainingDataError: The disk is full.
        """
        self._image(number, None)
        if self._with_masks:
            self._mask(number)
        for kept in (self._images, self._masks):
            if isinstance(kept, PreparedInputs):
                kept.check_kept(number)

    @property
    def _bytes_each(self) -> tuple[int, int]:
        """Of an image and of a mask."""
        crop, windows = self._preprocessing.crop, len(self._preprocessing.windows)
        return windows * crop * crop * np.dtype(np.float32).itemsize, crop * crop

    @property
    def _image_settings(self) -> tuple[object, ...]:
        return ("slices", self._preprocessing, self._header_window)

    @property
    def _mask_settings(self) -> tuple[object, ...]:
        return ("masks", self._preprocessing)

    def _prepared_images(self, folder: Path) -> PreparedInputs | None:
        return inputs_of(folder, self._image_settings, self._rows, len(self._table), self._bytes_each[0])

    def _prepared_masks(self, folder: Path) -> PreparedInputs | None:
        return inputs_of(folder, self._mask_settings, self._rows, len(self._table), self._bytes_each[1])

    def __getitem__(self, draw: SampleIndex) -> Sample:
        row = int(self._rows[draw.index])
        hardening = (
            draw_beam_hardening(self._augmentation, np.random.default_rng((*draw.seed, _BEAM_HARDENING)))
            if draw.seed
            else None
        )
        image = torch.from_numpy(self._image(draw.index, hardening))[None]
        mask = torch.from_numpy(self._mask(draw.index))[None].long() if self._with_masks else None
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

    def _image(self, number: int, hardening: BeamHardening | None) -> NDArray[np.float32]:
        """float32 (windows, crop, crop); kept unless the random change comes before the windows."""
        if self._images is None or hardening is not None:
            return self._computed_image(number, hardening)
        crop, windows = self._preprocessing.crop, len(self._preprocessing.windows)
        return self._images.array(number, (windows, crop, crop), np.float32, lambda: self._computed_image(number, None))

    def _computed_image(self, number: int, hardening: BeamHardening | None) -> NDArray[np.float32]:
        column = self._column(number)
        hu = self._reader.hu(str(column["shard"]), int(column["offset"]), int(column["size"]))
        grid = self._grid(column, hu.shape[0], hu.shape[1])
        hu = hu if hardening is None else add_beam_hardening(hu, hardening, grid.spacing_mm)
        windows = self._preprocessing.windows
        if self._header_window and column["window_width"] > 0:
            windows = (Window(int(column["window_level"]), int(column["window_width"])), *windows[1:])
        return windowed_slices(hu[None], grid, windows, self._preprocessing.normalization)[0]

    def _mask(self, number: int) -> NDArray[np.uint8]:
        """uint8 (crop, crop)."""
        if self._masks is None:
            return self._computed_mask(number)
        side = self._preprocessing.crop
        return self._masks.array(number, (side, side), np.uint8, lambda: self._computed_mask(number))

    def _computed_mask(self, number: int) -> NDArray[np.uint8]:
        column = self._column(number)
        values = self._reader.mask(str(column["shard"]), int(column["mask_offset"]), int(column["mask_size"]))
        grid = self._grid(column, values.shape[0], values.shape[1])
        cropped = np.zeros((grid.crop, grid.crop), dtype=np.uint8)
        for value in np.unique(values[values > 0]):
            cropped[grid.forward_mask(values == value, self._preprocessing.mask_sampling)] = value
        return cropped

    def _column(self, number: int) -> dict[str, Any]:
        row = self._rows[number]
        return {name: values[row] for name, values in self._table.columns.items()}

    def _grid(self, column: dict[str, Any], rows: int, columns: int) -> InPlaneGrid:
        spacing = (float(column["row_mm"]), float(column["column_mm"]))
        return InPlaneGrid((rows, columns), self._preprocessing.resize, self._preprocessing.crop, spacing)
