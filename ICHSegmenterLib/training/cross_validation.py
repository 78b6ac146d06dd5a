"""All folds of a cross-validation as one job: the data prepared once, a training a fold, one file of the folds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ICHSegmenterLib.datasets.prepare import INDEX, PrepareOptions, is_prepared, prepare_dataset
from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.evaluation.fold_networks import fold_names
from ICHSegmenterLib.evaluation.thresholds import read_folds
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.training.fit import CACHE, FOLDS, RECIPE, fit, wait_for
from ICHSegmenterLib.training.trainer import TrainerOptions


@dataclass(frozen=True)
class CrossValidation:
    """The outcome.

    Attributes:
        weights: One file a fold, in their order; only of the folds that are finished.
        folds: Patient and fold as CSV, for `evaluate --folds`; fold n is held out by the n-th file.
        is_complete: All folds are finished.
    """

    weights: tuple[Path, ...]
    folds: Path
    is_complete: bool


def fold_count(recipe: Recipe) -> int:
    """Folds of a recipe.

    Raises:
        RecipeError: It has none.
    """
    settings = recipe.data
    count = len(fold_names(read_folds(Path(settings.folds_file)))) if settings.folds_file else settings.folds
    if count < 2:
        raise RecipeError(f"recipe {recipe.name}: it has no folds; set data.folds=5, or give --folds FILE.")
    return count


def fit_folds(
    recipe: Recipe,
    data: Path,
    output: Path,
    *,
    part: tuple[int, int] = (1, 1),
    machine: TrainerOptions | None = None,
    callbacks: Callable[[int], Sequence[pl.Callback]] = lambda fold: (),
) -> CrossValidation:
    """Train every fold that is not finished; run again to go on.

    Args:
        recipe: Of one fold; `data.fold` is set to each.
        data: A prepared cache, or a data set as distributed, which is then prepared once in `output`.
        output: Folder; `fold-0` and so on are made in it.
        part: (n, of): this run does every n-th fold of so many, for several processes with one disk.
        machine: What to run on.
        callbacks: Fold to what watches it.

    Raises:
        RecipeError: The recipe has no folds.
        TrainingExistsError: A fold was trained with another recipe.
    """
    count, (number, of) = fold_count(recipe), part
    cache = data if is_prepared(data) else output / CACHE
    if rank_zero_only.rank == 0 and number == 1 and not is_prepared(cache):
        prepare_dataset(data, cache, recipe.data.layout, PrepareOptions(recipe.data.workers))
    if not is_prepared(cache):
        wait_for(cache / INDEX)
    for fold in range(count):
        folder = output / f"fold-{fold}"
        if fold % of == number - 1:
            of_fold = replace(recipe, data=replace(recipe.data, fold=fold))
            is_begun = (folder / RECIPE).is_file()
            fit(of_fold, cache, folder, resume=is_begun, machine=machine, callbacks=callbacks(fold))
    weights = [output / f"fold-{fold}" / f"{recipe.name}.safetensors" for fold in range(count)]
    finished = tuple(path for path in weights if path.with_suffix(".json").is_file())
    of_any = next((path.parent / FOLDS for path in finished if (path.parent / FOLDS).is_file()), None)
    if of_any is not None and rank_zero_only.rank == 0:
        shutil.copyfile(of_any, output / FOLDS)
    return CrossValidation(finished, output / FOLDS, len(finished) == count)
