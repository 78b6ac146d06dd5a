"""One training step of each recipe at its own batch size, and one validation, by Lightning as `train` does it."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from ICHSegmenterLib.analysis.single_method import is_out_of_memory
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.recipe_file import load_recipe, recipe_names
from ICHSegmenterLib.preprocessing.spec import (
    SeriesPreprocessing,
    SlabPreprocessing,
    SlicePreprocessing,
    SmartNetPreprocessing,
)
from ICHSegmenterLib.training.fit import TASKS
from ICHSegmenterLib.training.trainer import TrainerOptions, precision_of, quiet_lightning
from Testing.Gpu.rows import Row, attempt
from Testing.Gpu.trial_setup import Setup

TITLE = "Training"
NAME = "recipe"
COLUMNS = ("batch", "precision", "s a step", "peak, GB", "loss")
NOTE = (
    "Noise of the recipe's size in its last phase, where every parameter learns; of two steps the second is timed "
    "(some recipes begin with a learning rate of 0), then one batch is validated. A batch that does not fit is halved."
)
STEPS = 2
SERIES_SLICES, VOLUME_SLICES = 32, 28
_SMALL = ("preprocessing.resize=40", "preprocessing.crop=32", "data.batch_size=2")
_TINY_SWIN = "{num_classes: 2, image_size: 32, window_size: 4, embed_dim: 8, depths: [2, 2], num_heads: [1, 2]}"
REHEARSED: Mapping[str, tuple[str, ...]] = {
    "unet": _SMALL,
    "compact-unet": (
        "preprocessing.side=32",
        "data.batch_size=2",
        "network.config={num_classes: 6, widths: [8, 8]}",
        "precision=32-true",
    ),
    "compact-hgi": (*_SMALL, f"network.config={_TINY_SWIN}", "precision=32-true"),
}


def rows(setup: Setup) -> Iterator[Row]:
    """One line a recipe."""
    for name in REHEARSED if setup.is_small else recipe_names():
        yield attempt(name, lambda name=name: trained(name, setup), is_late=setup.is_late)


def trained(name: str, setup: Setup) -> tuple[Mapping[str, str], str]:
    """Two steps with the largest batch that fits."""
    recipe = load_recipe(name, REHEARSED[name] if setup.is_small else ())
    while True:
        setup.reset_peak()
        try:
            return steps_of(recipe, setup)
        except RuntimeError as error:
            if not is_out_of_memory(error) or recipe.data.batch_size == 1:
                raise
        recipe = replace(recipe, data=replace(recipe.data, batch_size=recipe.data.batch_size // 2))


def steps_of(recipe: Recipe, setup: Setup) -> tuple[Mapping[str, str], str]:
    """Loss, time and memory, and what is wrong with the weights afterwards."""
    task = TASKS[recipe.task](recipe, len(recipe.phases) - 1)
    before = {key: value.clone() for key, value in task.network.named_parameters() if value.requires_grad}
    clock, precision = Clock(setup), precision_of(recipe, TrainerOptions("gpu" if setup.is_cuda else "cpu"))
    with quiet_lightning():
        warnings.filterwarnings("ignore", message=".*limit_val_batches.*")
        trainer = _trainer(recipe, setup, precision, clock)
        loader = DataLoader([noise_batch(recipe)] * STEPS, batch_size=None, collate_fn=lambda batch: batch)
        trainer.fit(task, loader, loader)
    loss, after = float(task.last_loss), dict(task.network.named_parameters())
    values = {
        "batch": str(recipe.data.batch_size),
        "precision": str(precision),
        "s a step": f"{clock.seconds[-1]:.3f}",
        "peak, GB": f"{setup.peak_gb:.2f}",
        "loss": f"{loss:.3f}",
    }
    if not math.isfinite(loss) or not math.isfinite(float(trainer.callback_metrics["val_loss"])):
        return values, "the loss is not finite"
    if not all(bool(after[key].isfinite().all()) for key in before):
        return values, "weights are not finite"
    changed = any(not torch.equal(after[key].detach().cpu(), value) for key, value in before.items())
    return values, "" if changed else "no weight changed"


def _trainer(recipe: Recipe, setup: Setup, precision: Any, clock: Clock) -> pl.Trainer:
    """As `fit` makes it, without files."""
    return pl.Trainer(
        accelerator="gpu" if setup.is_cuda else "cpu",
        devices=[torch.device(setup.device).index or 0] if setup.is_cuda else 1,
        precision=precision,
        max_epochs=1,
        limit_train_batches=STEPS,
        limit_val_batches=1,
        num_sanity_val_steps=0,
        gradient_clip_val=recipe.optimizer.clip_norm or None,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic="warn",
        default_root_dir=setup.folder,
    )


class Clock(pl.Callback):
    """Seconds of each step."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.seconds, self.start = setup, [], 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.setup.synchronize()
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.setup.synchronize()
        self.seconds.append(time.perf_counter() - self.start)


def noise_batch(recipe: Recipe) -> Any:
    """A batch as the recipe's data set makes it, of noise, with blood in a square of every second sample."""
    spec, count = recipe.preprocessing_spec(), recipe.data.batch_size
    torch.manual_seed(recipe.seed)
    bleeds = torch.arange(count) % 2 == 0
    if isinstance(spec, SeriesPreprocessing):
        image = torch.rand(SERIES_SLICES, 3, spec.side, spec.side)
        label = (torch.arange(SERIES_SLICES)[:, None] % 2).expand(-1, 6).float()
        return [{"image": image, "label": label, "is_real": True, "index": n} for n in range(count)]
    batch = {"is_real": torch.ones(count, dtype=torch.bool), "index": torch.arange(count)}
    if isinstance(spec, SlicePreprocessing):
        mask = _with_square(torch.zeros(count, spec.crop, spec.crop, dtype=torch.int64), bleeds)
        image = torch.rand(count, len(spec.windows), spec.crop, spec.crop)
        return {**batch, "image": image, "mask": mask, "label": bleeds[:, None].expand(-1, 6).long()}
    if isinstance(spec, SlabPreprocessing):
        mask = _with_square(torch.zeros(count, spec.side, spec.side, dtype=torch.int64), bleeds)
        image = torch.rand(count, len(spec.neighbors_mm) + len(spec.windows), spec.side, spec.side)
        return {**batch, "image": image, "mask": mask, "label": bleeds[:, None].expand(-1, 6).long()}
    if not isinstance(spec, SmartNetPreprocessing):
        raise TypeError(f"no batch is known for {type(spec).__name__}")
    shape = (count, 1, spec.size, spec.size, *([VOLUME_SLICES] if recipe.task == "smart-net-volumes" else []))
    mask, label = _with_square(torch.zeros(shape), bleeds), bleeds[:, None].float()
    if recipe.task == "smart-net-volumes":
        batch["depths"] = torch.full((count,), VOLUME_SLICES)
    return {**batch, "image": torch.rand(shape), "mask": mask, "label": label}


def _with_square(mask: torch.Tensor, bleeds: torch.Tensor) -> torch.Tensor:
    """Ones in the middle of what bleeds; rows and columns come first after samples and channels."""
    axes = (1, 2) if mask.dim() == 3 else (2, 3)
    middle = mask
    for axis in axes:
        middle = middle.narrow(axis, mask.shape[axis] // 4, mask.shape[axis] // 2)
    middle[bleeds] = 1
    return mask
