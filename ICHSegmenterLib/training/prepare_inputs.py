"""The second step of `prepare`: the network inputs of a recipe, computed once for all its trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ICHSegmenterLib.datasets.prepare import load_prepared
from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.slice_dataset import SliceDataset
from ICHSegmenterLib.methods.rsna_sequence.dataset import SeriesDataset
from ICHSegmenterLib.training.data_module import make_dataset

ITEMS_A_TASK = 64
"""Slices or series that a process does before it reports."""

Prepares = SliceDataset | SeriesDataset
_dataset: Prepares | None = None
"""Of a working process."""


def prepare_inputs(
    recipe: Recipe, cache: Path, *, workers: int = 0, progress: Callable[[int, int, str], None] | None = None
) -> int:
    """Compute what the recipe's network sees of every slice or series that it can learn from; resumable.

    Args:
        recipe: Its preprocessing and its task.
        cache: A finished cache of its layout.
        workers: Processes; 0 works in this one.
        progress: Called with (done, all, message).

    Returns:
        How many slices or series there are.

    Raises:
        RecipeError: Its inputs are not kept.
        TrainingDataError: The cache is unfinished, nothing in it can be learned from, or the disk is full.
    """
    table = load_prepared(cache)
    dataset = make_dataset(recipe, cache, table, np.arange(len(table)), "whole")
    if not isinstance(dataset, SliceDataset | SeriesDataset):
        raise RecipeError(f"The inputs of {recipe.name} are not kept; --inputs-of is for single slices and for series.")
    dataset.begin_inputs(cache)
    tasks = [range(first, min(first + ITEMS_A_TASK, len(dataset))) for first in range(0, len(dataset), ITEMS_A_TASK)]
    done = 0
    for count in _worked(dataset, tasks, workers):
        done += count
        if progress is not None:
            progress(done, len(dataset), "Inputs")
    return done


def _worked(dataset: Prepares, tasks: list[range], workers: int) -> Iterator[int]:
    if workers <= 0:
        _begin(dataset)
        yield from map(_fill, tasks)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (dataset,)) as pool:
        yield from pool.map(_fill, tasks)


def _begin(dataset: Prepares) -> None:
    global _dataset  # a process does one data set
    _dataset = dataset


def _fill(numbers: range) -> int:
    if _dataset is None:
        raise RuntimeError("the process was not given its data set")
    for number in numbers:
        _dataset.fill_inputs(number)
    return len(numbers)
