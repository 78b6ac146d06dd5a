"""Training samples of the slice-and-sequence transformer: whole series."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ICHSegmenterLib.datasets.shards import ShardReader
from ICHSegmenterLib.datasets.slices import SliceTable
from ICHSegmenterLib.learning.array_file import ArrayFile
from ICHSegmenterLib.learning.augmentation import apply_change, draw_change
from ICHSegmenterLib.learning.kept_inputs import KeptInputs
from ICHSegmenterLib.learning.prepared_inputs import PreparedInputs, begin_inputs, inputs_of
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.slice_dataset import Sample
from ICHSegmenterLib.methods.rsna_sequence.crop import randomly_cropped
from ICHSegmenterLib.methods.rsna_sequence.input import network_slices, windowed_cube
from ICHSegmenterLib.methods.rsna_sequence.network import SERIES_LENGTH
from ICHSegmenterLib.preprocessing.spec import SeriesPreprocessing

BYTE_MAXIMUM = 255.0
_CROP = 1
"""Keeps these random numbers apart from those of the other changes."""


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
        self._kept: ArrayFile | None = None

    def __len__(self) -> int:
        return len(self._series)

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """(series,) True where any slice bleeds."""
        return np.array([self._table.is_positive[rows].any() for rows in self._series], dtype=bool)

    def keep_inputs(self, folder: Path, budget_bytes: int) -> None:
        """Read what `prepare` computed; else compute each series once and keep its bytes in a scratch file there."""
        self._kept = self._prepared(folder) or KeptInputs(folder, len(self._series), self._series_bytes, budget_bytes)

    def begin_inputs(self, folder: Path) -> None:
        """Make the file in which `fill_inputs` puts what every training of this data set will read.

        Raises:
            TrainingDataError: The folder cannot be written.
        """
        begin_inputs(folder, self._input_settings, len(self._sizes), self._series_bytes)
        self._kept = self._prepared(folder)

    def fill_inputs(self, number: int) -> None:
        """Compute and keep one series, unless it is kept.

        Raises:
            TrainingDataError: The disk is full.
        """
        self[SampleIndex(number)]
        if isinstance(self._kept, PreparedInputs):
            self._kept.check_kept(number)

    @cached_property
    def _series_numbers(self) -> NDArray[np.intp]:
        """(slices of the table,) number of the series of each, by the order of names."""
        return np.unique(self._table.columns["series"], return_inverse=True)[1]

    @cached_property
    def _sizes(self) -> NDArray[np.intp]:
        """Slices of each series of the whole table."""
        return np.bincount(self._series_numbers)

    @property
    def _series_bytes(self) -> int:
        longest = min(int(self._sizes.max(initial=0)), SERIES_LENGTH)
        return longest * len(self._preprocessing.windows) * self._preprocessing.side**2

    @property
    def _input_settings(self) -> tuple[object, ...]:
        return ("series", self._preprocessing)

    def _prepared(self, folder: Path) -> PreparedInputs | None:
        numbers = np.array([self._series_numbers[rows[0]] for rows in self._series], dtype=np.intp)
        is_whole = np.array([len(rows) for rows in self._series], dtype=np.intp) == self._sizes[numbers]
        places = np.where(is_whole, numbers, len(self._sizes))  # a part of a series is none of the file
        return inputs_of(folder, self._input_settings, places, len(self._sizes), self._series_bytes)

    def shown_rows(self) -> list[NDArray[np.intp]]:
        """Rows in the table of the slices that each series shows without augmentation."""
        return [_middle(rows) for rows in self._series]

    def __getitem__(self, draw: SampleIndex) -> Sample:
        random = np.random.default_rng(draw.seed)
        rows = self._series[draw.index]
        spare = len(rows) - SERIES_LENGTH
        if spare > 0 and draw.seed:
            first = int(random.integers(spare + 1))
            rows = rows[first : first + SERIES_LENGTH]
        rows = _middle(rows)
        cropping = draw.seed if draw.seed and self._augmentation.crop_rule == "aspect" else ()
        if self._kept is None or cropping or (spare > 0 and draw.seed):
            pixels = self._pixels(rows, cropping)
        else:
            side = self._preprocessing.side
            shape = (len(rows), len(self._preprocessing.windows), side, side)
            pixels = self._kept.array(draw.index, shape, np.uint8, lambda: self._pixels(rows, ()))
        image = torch.from_numpy(pixels).float().div_(BYTE_MAXIMUM)
        if draw.seed:
            image = self._augmented(image, random)
        label = torch.from_numpy(self._table.labels[rows]).float()
        return {"image": image, "label": label, "is_real": draw.is_real, "index": draw.index}

    def _pixels(self, rows: NDArray[np.intp], cropping: tuple[int, ...]) -> NDArray[np.uint8]:
        """Bytes (slices, 3, side, side); cropped at random if there is a seed for it."""
        columns = self._table.columns
        places = zip(columns["shard"][rows], columns["offset"][rows], columns["size"][rows], strict=True)
        slices = [self._reader.hu(str(shard), int(offset), int(size)) for shard, offset, size in places]
        if len({one.shape for one in slices}) > 1:  # the authors' reader stacks; a stray scout view cannot be stacked
            slices = [one if one.shape == slices[0].shape else np.full_like(slices[0], -1000.0) for one in slices]
        preprocessing = self._preprocessing
        cube = windowed_cube(np.stack(slices), preprocessing.windows)
        if not cropping:
            return network_slices(cube, preprocessing.side)
        cropped = []
        for number, pixels in enumerate(cube):
            own = (number,) if self._augmentation.per_slice else ()
            random = np.random.default_rng((*cropping, _CROP, *own))
            cropped.append(randomly_cropped(pixels, preprocessing.side, random, self._augmentation.crop_scale))
        return np.stack(cropped)

    def _augmented(self, image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        recipe = self._augmentation
        if recipe.crop_rule == "aspect":  # that crop is done
            recipe = replace(recipe, crop_scale=(1.0, 1.0))
        if not recipe.per_slice:
            return apply_change(draw_change(recipe, random), image)[0]
        parts = [apply_change(draw_change(recipe, random), one[None])[0] for one in image]
        return torch.cat(parts)


def as_list(samples: list[Sample]) -> list[Sample]:
    """Collate series of different lengths: not at all."""
    return samples


def _middle(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The middle ones, as many as a series may have."""
    first = max(0, (len(rows) - SERIES_LENGTH) // 2)
    return rows[first : first + SERIES_LENGTH]
