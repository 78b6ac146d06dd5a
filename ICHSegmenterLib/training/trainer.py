"""Lightning's trainer as a recipe asks for it, without its remarks."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.training.callbacks import ResumePoint, StepLimit, WholeCheckpoints

BEST = "best.ckpt"
INTENDED = (
    "You're resuming from a checkpoint",
    "Found .* module.* in eval mode",
    "The .*dataloader.* does not have many",
    "Checkpoint directory",
    "The number of training batches",
    "Total length of",
    "`isinstance",
)
"""Beginnings of Lightning's warnings about what is done on purpose."""


@dataclass(frozen=True)
class TrainerOptions:
    """Devices of a training, in Lightning's words.

    Attributes:
        accelerator: "auto", "cpu", "gpu" or "mps".
        devices: Number for each node, or "auto".
        nodes: Machines, started by torchrun or a scheduler that Lightning knows.
        strategy: "auto" is one process for one device and data-parallel for several.
        progress: Show a bar.
    """

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    strategy: str = "auto"
    progress: bool = True


def make_trainer(
    recipe: Recipe, phase: int, output: Path, options: TrainerOptions, callbacks: Sequence[pl.Callback]
) -> pl.Trainer:
    """Lightning's trainer of one phase.

    Args:
        recipe: The whole recipe.
        phase: Number of the phase, from 0.
        output: Folder of the training.
        options: What to run on.
        callbacks: Watch, before those that save.
    """
    settings, folder = recipe.phases[phase], phase_folder(output, phase)
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
    if options.progress:
        watchers.append(TQDMProgressBar())
    watchers.append(ResumePoint(folder, recipe.checkpoint_every_steps))
    return pl.Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.nodes,
        strategy=options.strategy,
        precision=precision_of(recipe, options),
        max_epochs=settings.max_epochs,
        accumulate_grad_batches=recipe.optimizer.accumulate,
        gradient_clip_val=recipe.optimizer.clip_norm or None,
        callbacks=watchers,
        logger=TensorBoardLogger(output, name="tensorboard", version=f"phase-{phase + 1}"),
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=options.progress,
        enable_model_summary=False,
        deterministic="warn",
        plugins=[WholeCheckpoints()],
    )


def precision_of(recipe: Recipe, options: TrainerOptions) -> Any:
    """Lightning's name of the precision: the recipe's, or bfloat16 where the GPU has it."""
    if recipe.precision != "auto":
        return recipe.precision
    has_gpu = options.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if has_gpu and torch.cuda.is_bf16_supported() else "32-true"


def phase_folder(output: Path, phase: int) -> Path:
    """Folder of the checkpoints of a phase."""
    return output / "checkpoints" / f"phase-{phase + 1}"


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning without advertisement, remarks, and warnings about what is meant; all as before at the end."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in INTENDED:
                warnings.filterwarnings("ignore", message=f".*{text}.*")
            yield
    finally:
        logger.setLevel(before)
