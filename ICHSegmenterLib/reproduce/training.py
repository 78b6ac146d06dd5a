"""The part of a reproduction that prepares and trains, alike for every table: begun, or gone on with after a stop."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ICHSegmenterLib.datasets.prepare import PrepareOptions, is_prepared, left_out_files, prepare_dataset
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.reproduce.deviations import FOLDS, STARTING_WEIGHTS, Deviation
from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.training.fit import CACHE, RECIPE, fit

TRAINING = "training"
"""Folder of the trainings in the output."""


def prepared(data: Path, recipe: Recipe, folder: Path, options: ReproduceOptions) -> Path:
    """The cache of a data set, in the folder of its training; the other processes wait for it there."""
    cache = folder / CACHE
    if rank_zero_only.rank == 0 and options.part[0] == 1 and not is_prepared(cache):
        workers = PrepareOptions(recipe.data.workers)
        prepare_dataset(data, cache, recipe.data.layout, workers, progress=options.progress)
    return cache


def trained(recipe: Recipe, cache: Path, folder: Path, options: ReproduceOptions, what: str = "") -> Path:
    """The weights of a training.

    Args:
        recipe: What to do.
        cache: Prepared data.
        folder: Of the training.
        options: What to run on, and who watches.
        what: Network that is trained, for people.
    """
    is_begun = (folder / RECIPE).is_file()
    watching = options.callbacks(what)
    return fit(recipe, cache, folder, resume=is_begun, machine=options.machine, callbacks=watching).weights


def further_deviations(options: ReproduceOptions, cache: Path | None = None) -> list[Deviation]:
    """Differences that come from this run: changes of the recipes, and files of the training that cannot be read."""
    further = [Deviation("recipe", "theirs", f"changed: {', '.join(options.changes)}")] if options.changes else []
    bad = () if cache is None else left_out_files(cache)
    if bad:
        ours = f"{len(bad)} left out that cannot be read, first {bad[0].name}: {bad[0].reason}"
        further.append(Deviation("files to learn from", "all, but ID_6431af929.dcm of RSNA", ours))
    return further


def settled_topics(options: ReproduceOptions) -> set[str]:
    """Differences of the tables that the user's settings take away: folds and starting weights that are named."""
    starts = any(change.startswith("network.initial_weights=") for change in options.changes)
    named = {FOLDS.topic: options.folds is not None, STARTING_WEIGHTS: starts}
    return {topic for topic, is_named in named.items() if is_named}
