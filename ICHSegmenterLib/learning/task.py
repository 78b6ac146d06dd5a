"""The base of all tasks: seeds, freezing, optimizer, and a validation that is exact on any number of processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.functional.classification import binary_auroc

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe import ALL_PARAMETERS, OptimizerRecipe, PhaseRecipe, Recipe
from ICHSegmenterLib.learning.samplers import TrainingBatches
from ICHSegmenterLib.learning.smart_net_schedule import cosine_restart_rate, linear_rate
from ICHSegmenterLib.runtime.networks import create_model

_STEP_SEED = 3
"""Keeps the random numbers of dropout apart from those of order and augmentation."""
IGNORED = -1
"""Truth of an entry that does not count."""


@dataclass(frozen=True)
class ScoredBatch:
    """One validation batch.

    Attributes:
        loss: Mean over the samples that count.
        count: How many they are.
        scores, truth: (n,) of hemorrhage, the same n on every process; truth is 1, 0 or `IGNORED`.
        sums: Further sums by name, with the number of their terms.
    """

    loss: Tensor
    count: int
    scores: Tensor
    truth: Tensor
    sums: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


class TrainingTask(pl.LightningModule):
    """A network in training; children say what a batch costs.

    Args:
        recipe: The whole recipe.
        phase: Number of the phase, from 0.
    """

    def __init__(self, recipe: Recipe, phase: int) -> None:
        super().__init__()
        self.recipe, self.phase_number, self.phase = recipe, phase, recipe.phases[phase]
        torch.manual_seed(recipe.seed)
        self.network = create_model(recipe.network.name, **recipe.network.config)
        freeze(self.network, self.phase)
        self.last_loss = torch.zeros(())
        self.position = (0, 0)
        self.moments: dict[str, dict[str, Any]] = {}
        self._scored: list[ScoredBatch] = []

    def loss_of(self, batch: Any) -> Tensor:
        """Mean loss of a training batch."""
        raise NotImplementedError

    def score_batch(self, batch: Any) -> ScoredBatch:
        """Loss and scores of a validation batch."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> TrainingTask:
        """Training mode, except for what is frozen: its statistics and dropout stay as in evaluation."""
        super().train(mode)
        if mode and not self.phase.update_frozen_batchnorm:
            for module in self.network.modules():
                parameters = list(module.parameters())
                if parameters and not any(one.requires_grad for one in parameters):
                    module.eval()
        return self

    def on_train_start(self) -> None:
        """Networks come in evaluation mode."""
        self.train()

    def on_train_epoch_start(self) -> None:
        """Another order and other changes in each epoch; the trainer sets the epoch of its own samplers only."""
        sampler = getattr(self.trainer.train_dataloader, "batch_sampler", None)
        if isinstance(sampler, TrainingBatches):
            sampler.set_epoch(self.current_epoch)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout depends on the place in the training only, so a resumed training draws the same."""
        entropy = (self.recipe.seed, _STEP_SEED, self.phase_number, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One batch."""
        loss = self.loss_of(batch)
        self.last_loss = loss.detach()
        self.log("train_loss", self.last_loss, prog_bar=True, on_step=True, on_epoch=False, batch_size=1)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """One batch; nothing is averaged before all are seen."""
        self._scored.append(self.score_batch(batch))

    def on_validation_epoch_end(self) -> None:
        """Means over all samples of all processes."""
        sums = {"val_loss": [(one.loss * one.count, torch.tensor(one.count)) for one in self._scored]}
        for name in self._scored[0].sums:
            sums[name] = [one.sums[name] for one in self._scored]
        for name, terms in sums.items():
            total = torch.stack([torch.stack([value.double().cpu(), n.double().cpu()]) for value, n in terms]).sum(0)
            total = self.trainer.strategy.reduce(total.to(self.device, torch.float32), reduce_op="sum")
            self.log(name, total[0] / total[1].clamp(min=1), prog_bar=name == "val_loss")
        scores, truth = (
            self.all_gather(torch.cat([getattr(one, name).float() for one in self._scored])).flatten()
            for name in ("scores", "truth")
        )
        known = truth != IGNORED
        if known.any() and 0 < truth[known].sum() < known.sum():
            self.log("val_slice_auc", binary_auroc(scores[known], truth[known].long()), prog_bar=True)
        self._scored.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The position from which training goes on: (epoch, batches done in it)."""
        checkpoint["position"] = list(self.position)

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule of the parameters that learn in this phase."""
        learning = [one for one in self.parameters() if one.requires_grad]
        settings = self.recipe.optimizer
        optimizer = make_optimizer(settings, learning, self.phase.learning_rate)
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad and name in self.moments:
                optimizer.state[parameter] = self.moments[name]
        if settings.schedule in ("smart-net-linear", "smart-net-cosine"):
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": self._by_epoch(optimizer), "interval": "epoch"},
            }
        scheduler = LambdaLR(optimizer, lambda step: schedule_factor(settings, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _by_epoch(self, optimizer: torch.optim.Optimizer) -> LambdaLR:
        """One schedule over the epochs of all phases."""
        settings, phases = self.recipe.optimizer, self.recipe.phases
        before = sum(one.max_epochs for one in phases[: self.phase_number])
        total = sum(one.max_epochs for one in phases)

        def factor(epoch: int) -> float:
            if settings.schedule == "smart-net-cosine":
                floor = self.phase.learning_rate
                return cosine_restart_rate(before + epoch, floor=floor, lags=settings.schedule_lags) / floor
            return linear_rate(
                before + epoch, epochs=total, rate=1.0, min_factor=settings.min_factor, lags=settings.schedule_lags
            )

        return LambdaLR(optimizer, factor)


def freeze(network: nn.Module, phase: PhaseRecipe) -> None:
    """Let only the parameters of the phase learn.

    Raises:
        RecipeError: A name fits no parameter.
    """
    if phase.trains == ALL_PARAMETERS:
        return
    prefixes = (phase.trains,) if isinstance(phase.trains, str) else phase.trains
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            tops = sorted({name.split(".")[0] for name in names})
            raise RecipeError(f"phases: no parameter begins with {prefix!r}; the network has {', '.join(tops)}.")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_learns(name, phase))


def _learns(name: str, phase: PhaseRecipe) -> bool:
    return phase.trains == ALL_PARAMETERS or name.startswith(phase.trains)


def moments_of(checkpoint: Mapping[str, Any], network: nn.Module, phase: PhaseRecipe) -> dict[str, dict[str, Any]]:
    """Moments of an earlier phase's optimizer for each parameter that learned in it, by name."""
    learned = [name for name, _ in network.named_parameters() if _learns(name, phase)]
    state = checkpoint["optimizer_states"][0]["state"]
    return {name: state[number] for number, name in enumerate(learned) if number in state}


def make_optimizer(settings: OptimizerRecipe, parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """The optimizer of a recipe; weight decay holds for all parameters, norms and biases included.

    On a CPU it changes all values of a parameter in one pass: the same numbers to rounding, in a quarter of the time.
    Lightning clips no gradients for this kind in mixed precision; there, and on a graphics card, torch chooses.
    """
    is_on_cpu = all(parameter.device.type == "cpu" for parameter in parameters)
    fused = True if is_on_cpu and not settings.clip_norm else None
    if settings.name == "sgd":
        return torch.optim.SGD(
            parameters,
            rate,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            weight_decay=settings.weight_decay,
            fused=fused,
        )
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(parameters, rate, weight_decay=settings.weight_decay, fused=fused)


def schedule_factor(settings: OptimizerRecipe, step: int) -> float:
    """Factor of the learning rate at a step, from 0: linear rise, then half a cosine down to 0."""
    if settings.schedule == "constant":
        return 1.0
    if step < settings.warmup_steps:
        return step / settings.warmup_steps
    falling = max(1, settings.schedule_steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - settings.warmup_steps) / falling)))


def real_samples(batch: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """The samples of a validation batch that count, and which they are; all of them if none does."""
    keep = batch["is_real"]
    kept = {name: value[keep] for name, value in batch.items()} if keep.any() else dict(batch)
    return kept, keep
