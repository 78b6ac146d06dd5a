"""The loaders of one training: prepared data, a split by patient, batches for this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ICHSegmenterLib.datasets.layouts import labeled_layout
from ICHSegmenterLib.datasets.slices import UNKNOWN, SliceTable
from ICHSegmenterLib.datasets.splits import Split
from ICHSegmenterLib.errors import RecipeError, TrainingDataError
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.samplers import EvaluationBatches, Shard, TrainingBatches
from ICHSegmenterLib.learning.slab_dataset import SlabDataset
from ICHSegmenterLib.learning.slice_dataset import Sample, SliceDataset
from ICHSegmenterLib.methods.rsna_sequence.dataset import SeriesDataset, as_list
from ICHSegmenterLib.methods.smart_net.dataset import SmartNetDataset, SmartNetSlices, SmartNetVolumes, padded_volumes
from ICHSegmenterLib.preprocessing.spec import (
    SeriesPreprocessing,
    SlabPreprocessing,
    SlicePreprocessing,
    SmartNetPreprocessing,
)

SUBTYPE_CLASSES = 6
"""Background and five subtypes."""
_COLLATE: dict[str, Callable[[list[Sample]], Any]] = {"series": as_list, "smart-net-volumes": padded_volumes}


class TrainingData(pl.LightningDataModule):
    """Loaders.

    Args:
        start: (epoch, batches already done in it) of a resumed training.
    """

    def __init__(
        self, recipe: Recipe, cache: Path, table: SliceTable, split: Split, *, start: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self._recipe, self._cache, self._table, self._start = recipe, cache, table, start
        self.train_set, self.validation_set = (
            make_dataset(recipe, cache, table, table.of_units(split.split_by, units), part)
            for units, part in ((split.train, "train"), (split.validation, "validation"))
        )
        budget_bytes = int(recipe.data.kept_inputs_gb * 1e9)
        for dataset in (self.train_set, self.validation_set):
            if budget_bytes and isinstance(dataset, SliceDataset | SeriesDataset):
                dataset.keep_inputs(cache, budget_bytes)

    def train_dataloader(self) -> DataLoader[Any]:
        """Augmented, in the order of the sampler."""
        data = self._recipe.data
        batches = TrainingBatches(
            data.sampler,
            self.train_set.is_positive,
            batch_size=data.batch_size,
            seed=self._recipe.seed,
            shard=self._shard(),
            start=self._start,
        )
        return self._loader(self.train_set, batches)

    def val_dataloader(self) -> DataLoader[Any]:
        """Every slice once."""
        size = self._recipe.data.evaluation_batch_size
        return self._loader(
            self.validation_set, EvaluationBatches(len(self.validation_set), batch_size=size, shard=self._shard())
        )

    def _loader(self, dataset: Any, batches: TrainingBatches | EvaluationBatches) -> DataLoader[Any]:
        workers = min(self._recipe.data.workers, _usable_cores())
        return DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=_COLLATE.get(self._recipe.task),
        )

    def _shard(self) -> Shard:
        return Shard() if self.trainer is None else Shard(self.trainer.global_rank, self.trainer.world_size)


def make_dataset(
    recipe: Recipe, cache: Path, table: SliceTable, rows: NDArray[np.intp], part: str
) -> SliceDataset | SlabDataset | SeriesDataset | SmartNetDataset:
    """What the recipe's network learns from.

    Args:
        recipe: Its task and its preprocessing.
        cache: Folder of the shards.
        table: Their index.
        rows: Of the table; those without what the task needs are left out.
        part: Name of this part in messages.

    Raises:
        RecipeError: Task, method and data do not go together.
        TrainingDataError: None of the rows has what the task needs.
    """
    rows = _usable(recipe, table, rows, part)
    preprocessing = recipe.preprocessing_spec()
    if recipe.task == "series":
        if not isinstance(preprocessing, SeriesPreprocessing):
            raise RecipeError(f"recipe {recipe.name}: {recipe.method} is no method for whole series.")
        return SeriesDataset(cache, table, rows, preprocessing, recipe.augmentation)
    if recipe.task in ("smart-net-slices", "smart-net-volumes"):
        if not isinstance(preprocessing, SmartNetPreprocessing):
            raise RecipeError(f"recipe {recipe.name}: {recipe.method} is no SMART-Net method.")
        kind = SmartNetSlices if recipe.task == "smart-net-slices" else SmartNetVolumes
        return kind(cache, table, rows, preprocessing, recipe.augmentation)
    if isinstance(preprocessing, SlabPreprocessing):
        return SlabDataset(cache, table, rows, preprocessing, recipe.augmentation)
    if not isinstance(preprocessing, SlicePreprocessing):
        raise RecipeError(f"recipe {recipe.name}: {recipe.method} is no method for single slices.")
    return SliceDataset(
        cache,
        table,
        rows,
        preprocessing,
        recipe.augmentation,
        with_masks=_needs_masks(recipe),
        header_window=recipe.data.header_window,
    )


def _usable(recipe: Recipe, table: SliceTable, rows: NDArray[np.intp], part: str) -> NDArray[np.intp]:
    """Rows that have what the task learns from.

    Raises:
        TrainingDataError: None has.
    """
    if _needs_masks(recipe):
        usable = rows[table.columns["mask_size"][rows] > 0]
        what = "a mask"
        if recipe.network.config.get("num_classes") == SUBTYPE_CLASSES:
            layout = recipe.data.layout
            if not labeled_layout(layout).HAS_SUBTYPE_MASKS:
                raise RecipeError(
                    f"The masks of the layout {layout} do not tell subtypes, so a network with six classes cannot "
                    "learn from them; set num_classes 2, or take data.layout=nifti with mask values 1 to 5."
                )
            usable = usable[(table.labels[usable] != UNKNOWN).all(axis=1)]
            what = "a mask with subtypes"
    elif recipe.task == "series":  # a series is kept whole; its unknown labels cost nothing
        known = table.columns["series"][rows][(table.labels[rows] != UNKNOWN).any(axis=1)]
        usable = rows[np.isin(table.columns["series"][rows], known)]
        what = "a label"
    elif recipe.network.config.get("num_classes") == len(SUBTYPE_LABELS):
        usable = rows[(table.labels[rows] != UNKNOWN).all(axis=1)]
        what = "all six labels"
    else:
        usable = rows[table.columns["any"][rows] != UNKNOWN]
        what = "a label"
    if not len(usable):
        raise TrainingDataError(
            f"None of the {len(rows)} slices of the {part} part has {what}, which {recipe.name} learns from. "
            "Choose a data set that has it, or another recipe."
        )
    return usable


def _needs_masks(recipe: Recipe) -> bool:
    tasks = ("segmentation", "smart-net-slices", "smart-net-volumes")
    return recipe.task in tasks or recipe.loss.cell_weight > 0


def _usable_cores() -> int:
    """Cores that this process may run on: more loading processes than these only wait for each other."""
    affinity = getattr(os, "sched_getaffinity", None)  # of Linux
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
