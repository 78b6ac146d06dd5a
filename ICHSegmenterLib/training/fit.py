"""A training from recipe and data to weights: phase by phase, resumable after a kill, on one device or many.

Everything random follows from the seed and the place in the training, so a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ICHSegmenterLib.datasets.prepare import (
    INDEX,
    PrepareOptions,
    given_split,
    is_prepared,
    load_prepared,
    prepare_dataset,
)
from ICHSegmenterLib.datasets.slices import SliceTable, joined
from ICHSegmenterLib.datasets.splits import (
    Split,
    check_split,
    load_split,
    save_folds,
    save_split,
    split_given,
    split_patients,
)
from ICHSegmenterLib.errors import RecipeError, TrainingDataError, TrainingExistsError
from ICHSegmenterLib.evaluation.fold_networks import fold_names
from ICHSegmenterLib.evaluation.thresholds import read_folds
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.learning.recipe import ALL_PARAMETERS, Recipe
from ICHSegmenterLib.learning.recipe_file import differences, load_recipe, recipe_text
from ICHSegmenterLib.learning.task import TrainingTask, moments_of
from ICHSegmenterLib.methods.rsna_sequence.task import SeriesClassification
from ICHSegmenterLib.methods.smart_net.task import SmartNetSliceTask, SmartNetVolumeTask
from ICHSegmenterLib.methods.swin.task import SliceClassification
from ICHSegmenterLib.methods.unet.task import SliceSegmentation
from ICHSegmenterLib.training import initial_weights, trained_model
from ICHSegmenterLib.training.callbacks import LAST, EpochHistory
from ICHSegmenterLib.training.data_module import TrainingData
from ICHSegmenterLib.training.pictures import draw_curves, draw_examples
from ICHSegmenterLib.training.trainer import (
    BEST,
    TrainerOptions,
    make_trainer,
    phase_folder,
    quiet_lightning,
)

TASKS: dict[str, Callable[[Recipe, int], TrainingTask]] = {
    "classification": SliceClassification,
    "segmentation": SliceSegmentation,
    "series": SeriesClassification,
    "smart-net-slices": SmartNetSliceTask,
    "smart-net-volumes": SmartNetVolumeTask,
}
RECIPE, SPLIT, FOLDS, HISTORY, CACHE = "recipe.yaml", "split.json", "folds.csv", "metrics.csv", "cache"
FINISHED = "finished.json"
MAY_CHANGE = ("data.workers", "data.kept_inputs_gb", "precision", "checkpoint_every_steps", "phases.")
"""Keys that a resumed training may have otherwise; phases may be made longer."""
MAX_WAIT_SECONDS = 24 * 3600.0
"""Time that the other processes wait for the first one to prepare the data."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training.

    Attributes:
        weights: The safetensors file; its card lies beside it as .json.
        results: Metrics of the best epoch, by name.
        seconds: Duration of this run.
    """

    weights: Path
    results: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class _Training:
    """Everything that the phases of one training share."""

    recipe: Recipe
    cache: Path
    table: SliceTable
    split: Split
    output: Path
    options: TrainerOptions
    callbacks: Sequence[pl.Callback]


def fit(
    recipe: Recipe,
    data: Path,
    output: Path,
    *,
    resume: bool = False,
    machine: TrainerOptions | None = None,
    callbacks: Sequence[pl.Callback] = (),
    more: SliceTable | None = None,
) -> TrainingResult:
    """Train.

    Args:
        recipe: What to do.
        data: A prepared cache, or a data set as distributed, which is then prepared in `output`.
        output: Folder of the training.
        resume: Go on with the training that `output` holds.
        machine: What to run on.
        callbacks: Watch.
        more: Slices to learn from besides, with absolute paths of their shards; what is in the validation and test
            parts is left out.

    Raises:
        TrainingExistsError: The output holds a training and `resume` is not given, or it was of another recipe.
        TrainingDataError: The data are not what the recipe needs.
    """
    start = time.perf_counter()
    cache = data if is_prepared(data) else output / CACHE
    if rank_zero_only.rank == 0:
        _begin(recipe, data, cache, output, resume=resume)
    else:
        wait_for(cache / INDEX, output / RECIPE, output / SPLIT)
    table, split = load_prepared(cache), load_split(output / SPLIT)
    if more is not None:
        held_out = {*split.validation, *split.test}
        added = sorted(set(more.units(split.split_by).tolist()) - held_out)
        table, split = joined(table, more), replace(split, train=tuple(sorted({*split.train, *added})))
    training = _Training(recipe, cache, table, split, output, machine or TrainerOptions(), callbacks)
    rows: list[dict[str, float]] = []
    with quiet_lightning():
        for phase in range(len(recipe.phases)):
            rows = _run_phase(training, phase, rows)
    final = len(recipe.phases) - 1
    validated = [row for row in rows if row["phase"] == final and "val_loss" in row]
    results = min(validated[-1:] if recipe.keeps == "last" else validated, key=lambda row: row["val_loss"], default={})
    weights = output / f"{recipe.name}.safetensors"
    if rank_zero_only.rank == 0:
        network = TASKS[recipe.task](recipe, final).network
        kept = phase_folder(output, final) / (LAST if recipe.keeps == "last" else BEST)
        network.load_state_dict(trained_model.network_weights(kept))
        weights = trained_model.write_trained_model(network, recipe, output, results)
        draw_curves(rows, output, recipe.name)
        draw_examples(network, recipe, cache, table, split, output)
    return TrainingResult(weights, results, time.perf_counter() - start)


def _begin(recipe: Recipe, data: Path, cache: Path, output: Path, *, resume: bool) -> None:
    """Prepare the data and write recipe and split, or check that they are those of the training to resume."""
    if (output / RECIPE).is_file():
        _check_resumable(recipe, output, resume=resume)
    if not is_prepared(cache):
        if not data.is_dir():
            raise TrainingDataError(f"{data} is no folder; give the data set as distributed, or a prepared cache.")
        done = prepare_dataset(data, cache, recipe.data.layout, PrepareOptions(recipe.data.workers))
        _log.info("prepared %d slices, %.0f a second", done.slices, done.slices_a_second)
    table = load_prepared(cache)
    split = load_split(output / SPLIT) if (output / SPLIT).is_file() else _drawn(recipe, table, cache, output)
    split_by = recipe.data.split_by
    check_split(split, table.columns["series"], table.patients, split_by=split_by, units=table.units(split_by))
    save_split(split, output / SPLIT)
    with replacing(output / RECIPE) as draft:
        draft.write_text(recipe_text(recipe), encoding="utf-8")


def _drawn(recipe: Recipe, table: SliceTable, cache: Path, output: Path) -> Split:
    """A new split, or the given one; folds of patients are written for `evaluate`, those of all patients."""
    settings = recipe.data
    if settings.given_split:
        return given_split(cache, settings.fold)
    if settings.folds_file:
        return _of_file(recipe, table, output)
    bleeds = bleeding_units(table, settings.split_by)
    if settings.folds and settings.split_by == "patient":
        save_folds(bleeds, output / FOLDS, folds=settings.folds, seed=recipe.seed)
    return split_patients(
        bleeds,
        folds=settings.folds,
        fold=settings.fold,
        validation_share=settings.validation_share,
        seed=recipe.seed,
        split_by=settings.split_by,
    )


def _of_file(recipe: Recipe, table: SliceTable, output: Path) -> Split:
    """The fold of a file of patients and folds, which is copied beside the weights for `evaluate`.

    With `data.split_by=slice` the validation part is drawn from the slices of the other folds, as HGI-SAM's authors do.

    Raises:
        TrainingDataError: A patient has no fold, or there is no such fold.
    """
    settings, bleeds = recipe.data, bleeding_units(table, "patient")
    if settings.split_by == "series":
        raise RecipeError("data.folds_file names patients; set data.split_by patient, or slice.")
    folds = read_folds(Path(settings.folds_file))
    absent, names = sorted(set(bleeds) - set(folds)), fold_names(folds)
    if absent or settings.fold >= len(names):
        what = f"no fold for {len(absent)} patients ({', '.join(absent[:3])})" if absent else f"only {len(names)} folds"
        raise TrainingDataError(f"{settings.folds_file}: {what}, but data.fold is {settings.fold}. Complete the file.")
    with replacing(output / FOLDS) as draft:
        draft.write_text("patient,fold\n" + "".join(f"{name},{folds[name]}\n" for name in bleeds), encoding="utf-8")
    patients = [patient for patient, fold in folds.items() if fold == names[settings.fold]]
    held_out = table.units(settings.split_by)[table.of_units("patient", patients)]
    return split_given(
        bleeding_units(table, settings.split_by),
        held_out.tolist(),
        folds=len(names),
        fold=settings.fold,
        validation_share=settings.validation_share,
        seed=recipe.seed,
        split_by=settings.split_by,
    )


def bleeding_units(table: SliceTable, split_by: str) -> dict[str, bool]:
    """Patient, series or slice to whether any of its slices bleeds."""
    bleeds: dict[str, bool] = {}
    for unit, is_positive in zip(table.units(split_by).tolist(), table.is_positive.tolist(), strict=True):
        bleeds[unit] = bleeds.get(unit, False) or is_positive
    return bleeds


def _check_resumable(recipe: Recipe, output: Path, *, resume: bool) -> None:
    if not resume:
        raise TrainingExistsError(
            f"{output} already holds a training. Give --resume to go on with it, or another --output."
        )
    changed = [key for key in differences(load_recipe(output / RECIPE), recipe) if not key.startswith(MAY_CHANGE)]
    if changed:
        raise TrainingExistsError(
            f"{output} was trained with another recipe ({', '.join(changed[:5])} differ). "
            "Resume with the same one, or give another --output."
        )


def _run_phase(training: _Training, phase: int, earlier: list[dict[str, float]]) -> list[dict[str, float]]:
    """Train one phase, or read that it is done; returns the history so far."""
    recipe, output = training.recipe, training.output
    folder = phase_folder(output, phase)
    if (folder / FINISHED).is_file():
        rows: list[dict[str, float]] = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        return rows
    task = TASKS[recipe.task](recipe, phase)
    last = folder / LAST
    start = (0, 0)
    if last.is_file():
        epoch, batch = torch.load(last, map_location="cpu", weights_only=True)["position"]
        start = (int(epoch), int(batch))
        _log.info("resuming phase %d at epoch %d, batch %d", phase, *start)
    else:
        _initialize(task, recipe, phase, output)
    history = EpochHistory(output / HISTORY, earlier)
    trainer = make_trainer(recipe, phase, output, training.options, [*training.callbacks, history])
    # Each rank draws its own samples, so the data must know where to go on before the trainer asks for batches.
    data = TrainingData(recipe, training.cache, training.table, training.split, start=start)
    trainer.fit(task, datamodule=data, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
    trainer.strategy.barrier()
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.is_global_zero:
        with replacing(folder / FINISHED) as draft:
            draft.write_text(json.dumps(history.rows), encoding="utf-8")
    trainer.strategy.barrier()
    return history.rows


def _initialize(task: TrainingTask, recipe: Recipe, phase: int, output: Path) -> None:
    """Weights, and moments where the recipe says so, of the phase before; in the first phase those of a file."""
    if phase:
        settings = recipe.phases[phase]
        before = phase_folder(output, phase - 1) / (BEST if settings.starts_from == "best" else LAST)
        task.network.load_state_dict(trained_model.network_weights(before))
        if settings.keeps_optimizer:
            checkpoint = torch.load(before, map_location="cpu", weights_only=True)
            task.moments = moments_of(checkpoint, task.network, recipe.phases[phase - 1])
    elif recipe.network.initial_weights:
        taken, total = initial_weights.start_from(
            task.network, recipe.network.initial_weights, recipe.network.initial_parts
        )
        _log.warning("%d of %d tensors start from %s", taken, total, recipe.network.initial_weights)
    elif recipe.phases[0].trains != ALL_PARAMETERS:
        _log.warning(
            "Only a part of the network learns at first (phases.0.trains: %s), and the rest is frozen with random "
            "weights, from which nothing can be learned. Set network.initial_weights to a file, such as ImageNet's of "
            "timm or torchvision, or network.initial_weights=timm:NAME to download one.",
            recipe.phases[0].trains,
        )


def wait_for(*paths: Path) -> None:
    """The other processes wait until the first one has written these."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    while not all(path.is_file() for path in paths):
        if time.monotonic() > until:
            raise TrainingDataError(f"{paths[0].parent} was not prepared in time; do all machines share this disk?")
        time.sleep(0.2)
