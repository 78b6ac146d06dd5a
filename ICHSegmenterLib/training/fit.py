"""A training from recipe and data to weights: phase by phase, resumable after a kill, on one device or many.

Everything random follows from the seed and the place in the training, so a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ICHSegmenterLib.datasets.prepare import INDEX, is_prepared, load_prepared, prepare
from ICHSegmenterLib.datasets.slices import SliceTable, joined
from ICHSegmenterLib.datasets.splits import Split, check_split, load_split, save_folds, save_split, split_patients
from ICHSegmenterLib.errors import TrainingDataError, TrainingExistsError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.learning.recipe import Recipe, differences, load_recipe, recipe_text
from ICHSegmenterLib.learning.task import TrainingTask, moments_of
from ICHSegmenterLib.methods.rsna_sequence.task import SeriesClassification
from ICHSegmenterLib.methods.smart_net.task import SmartNetSliceTask, SmartNetVolumeTask
from ICHSegmenterLib.methods.swin.task import SliceClassification
from ICHSegmenterLib.methods.unet.task import SliceSegmentation
from ICHSegmenterLib.training import trained_model
from ICHSegmenterLib.training.callbacks import LAST, EpochHistory, ResumePoint, StepLimit
from ICHSegmenterLib.training.data_module import TrainingData
from ICHSegmenterLib.training.pictures import draw_curves, draw_examples

TASKS: dict[str, Callable[[Recipe, int], TrainingTask]] = {
    "classification": SliceClassification,
    "segmentation": SliceSegmentation,
    "series": SeriesClassification,
    "smart-net-slices": SmartNetSliceTask,
    "smart-net-volumes": SmartNetVolumeTask,
}
RECIPE, SPLIT, FOLDS, HISTORY, CACHE = "recipe.yaml", "split.json", "folds.csv", "metrics.csv", "cache"
BEST, FINISHED = "best.ckpt", "finished.json"
MAY_CHANGE = ("data.workers", "precision", "checkpoint_every_steps", "phases.")
"""Keys that a resumed training may have otherwise; phases may be made longer."""
MAX_WAIT_SECONDS = 24 * 3600.0
"""How long the other processes wait for the first one to prepare the data."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainerOptions:
    """What a training runs on; Lightning's words.

    Attributes:
        accelerator: "auto", "cpu", "gpu" or "mps".
        devices: Of each node: "auto" or a number.
        nodes: Machines, started by torchrun or a scheduler that Lightning knows.
        strategy: "auto" is one process for one device and data-parallel for several.
        progress: Show a bar.
    """

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    strategy: str = "auto"
    progress: bool = True


@dataclass(frozen=True)
class TrainingResult:
    """What came out.

    Attributes:
        weights: The safetensors file; its card lies beside it as .json.
        results: Of the best epoch, by metric.
        seconds: Of this run.
    """

    weights: Path
    results: dict[str, float]
    seconds: float


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
    machine = machine or TrainerOptions()
    cache = data if is_prepared(data) else output / CACHE
    if rank_zero_only.rank == 0:
        _begin(recipe, data, cache, output, resume=resume)
    else:
        _wait_for(cache / INDEX, output / RECIPE, output / SPLIT)
    table, split = load_prepared(cache), load_split(output / SPLIT)
    if more is not None:
        held_out = {*split.validation, *split.test}
        added = sorted(set(more.units(split.split_by).tolist()) - held_out)
        table, split = joined(table, more), replace(split, train=tuple(sorted({*split.train, *added})))
    rows: list[dict[str, float]] = []
    with _silence():
        for phase in range(len(recipe.phases)):
            rows = _run_phase(recipe, phase, cache, table, split, output, machine, rows, callbacks)
    final = len(recipe.phases) - 1
    judged = [row for row in rows if row["phase"] == final and "val_loss" in row]
    results = min(judged[-1:] if recipe.keeps == "last" else judged, key=lambda row: row["val_loss"], default={})
    weights = output / f"{recipe.name}.safetensors"
    if rank_zero_only.rank == 0:
        network = TASKS[recipe.task](recipe, final).network
        kept = _phase_folder(output, final) / (LAST if recipe.keeps == "last" else BEST)
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
        done = prepare(data, cache, recipe.data.layout, workers=recipe.data.workers)
        _log.info("prepared %d slices, %.0f a second", done.slices, done.slices_a_second)
    table = load_prepared(cache)
    split = load_split(output / SPLIT) if (output / SPLIT).is_file() else _drawn(recipe, table, output)
    wanted = recipe.data.split_by
    check_split(split, table.columns["series"], table.patients, split_by=wanted, units=table.units(wanted))
    save_split(split, output / SPLIT)
    with replacing(output / RECIPE) as draft:
        draft.write_text(recipe_text(recipe), encoding="utf-8")


def _drawn(recipe: Recipe, table: SliceTable, output: Path) -> Split:
    """A new split; where there are folds of patients, those of all patients are written for `evaluate`."""
    wanted = recipe.data
    bleeds: dict[str, bool] = {}
    for unit, is_positive in zip(table.units(wanted.split_by).tolist(), table.is_positive.tolist(), strict=True):
        bleeds[unit] = bleeds.get(unit, False) or is_positive
    if wanted.folds and wanted.split_by == "patient":
        save_folds(bleeds, output / FOLDS, folds=wanted.folds, seed=recipe.seed)
    return split_patients(
        bleeds,
        folds=wanted.folds,
        fold=wanted.fold,
        validation_share=wanted.validation_share,
        seed=recipe.seed,
        split_by=wanted.split_by,
    )


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


def _run_phase(
    recipe: Recipe,
    phase: int,
    cache: Path,
    table: SliceTable,
    split: Split,
    output: Path,
    machine: TrainerOptions,
    earlier: list[dict[str, float]],
    callbacks: Sequence[pl.Callback],
) -> list[dict[str, float]]:
    """Train one phase, or read that it is done; returns the history so far."""
    folder = _phase_folder(output, phase)
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
    elif phase:
        settings = recipe.phases[phase]
        before = _phase_folder(output, phase - 1) / (BEST if settings.starts_from == "best" else LAST)
        task.network.load_state_dict(trained_model.network_weights(before))
        if settings.keeps_optimizer:
            left = torch.load(before, map_location="cpu", weights_only=True)
            task.moments = moments_of(left, task.network, recipe.phases[phase - 1])
    elif recipe.network.initial_weights:
        taken, total = trained_model.start_from(
            task.network, Path(recipe.network.initial_weights), recipe.network.initial_parts
        )
        _log.warning("%d of %d tensors start from %s", taken, total, recipe.network.initial_weights)
    history = EpochHistory(output / HISTORY, earlier)
    trainer = _trainer(recipe, phase, output, machine, [*callbacks, history])
    # Each rank draws its own samples, so the data must know where to go on before the trainer asks for batches.
    data = TrainingData(recipe, cache, table, split, start=start)
    with warnings.catch_warnings():
        _ignore_what_is_meant()
        trainer.fit(task, datamodule=data, ckpt_path=str(last) if last.is_file() else None, weights_only=True)
    trainer.strategy.barrier()
    if trainer.interrupted:
        raise KeyboardInterrupt
    if trainer.is_global_zero:
        with replacing(folder / FINISHED) as draft:
            draft.write_text(json.dumps(history.rows), encoding="utf-8")
    trainer.strategy.barrier()
    return history.rows


def _trainer(
    recipe: Recipe, phase: int, output: Path, machine: TrainerOptions, callbacks: Sequence[pl.Callback]
) -> pl.Trainer:
    settings, folder = recipe.phases[phase], _phase_folder(output, phase)
    best = ModelCheckpoint(
        folder,
        filename=Path(BEST).stem,
        monitor="val_loss",
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    watchers: list[pl.Callback] = [*callbacks, best]
    if settings.patience:
        watchers.append(EarlyStopping("val_loss", patience=settings.patience, check_on_train_epoch_end=False))
    if settings.max_steps:
        watchers.append(StepLimit(settings.max_steps))
    if machine.progress:
        watchers.append(TQDMProgressBar())
    watchers.append(ResumePoint(folder, recipe.checkpoint_every_steps))
    return pl.Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        num_nodes=machine.nodes,
        strategy=machine.strategy,
        precision=_precision(recipe, machine),
        max_epochs=settings.max_epochs,
        accumulate_grad_batches=recipe.optimizer.accumulate,
        gradient_clip_val=recipe.optimizer.clip_norm or None,
        callbacks=watchers,
        logger=TensorBoardLogger(output, name="tensorboard", version=f"phase-{phase + 1}"),
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=machine.progress,
        enable_model_summary=False,
        deterministic="warn",
    )


def _precision(recipe: Recipe, machine: TrainerOptions) -> Any:
    if recipe.precision != "auto":
        return recipe.precision
    has_gpu = machine.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if has_gpu and torch.cuda.is_bf16_supported() else "32-true"


def _phase_folder(output: Path, phase: int) -> Path:
    return output / "checkpoints" / f"phase-{phase + 1}"


def _wait_for(*paths: Path) -> None:
    """The other processes wait until the first one has written these."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    while not all(path.is_file() for path in paths):
        if time.monotonic() > until:
            raise TrainingDataError(f"{paths[0].parent} was not prepared in time; do all machines share this disk?")
        time.sleep(0.2)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Lightning's advertisement and remarks; a program that trains hears it again afterwards."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _ignore_what_is_meant() -> None:
    """Warnings about what is done on purpose."""
    for text in (
        "You're resuming from a checkpoint",
        "Found .* module.* in eval mode",
        "The .*dataloader.* does not have many",
        "Checkpoint directory",
        "The number of training batches",
        "Total length of",
        "`isinstance",
    ):
        warnings.filterwarnings("ignore", message=f".*{text}.*")


def with_machine_size(recipe: Recipe, workers: int | None) -> Recipe:
    """The recipe with another number of loading processes."""
    return recipe if workers is None else replace(recipe, data=replace(recipe.data, workers=workers))
