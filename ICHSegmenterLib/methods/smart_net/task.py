"""SMART-Net: several tasks on one slice (seven variants), then exams by classification or segmentation.

Re-creates the training of Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.task import IGNORED, ScoredBatch, TrainingTask, real_samples
from ICHSegmenterLib.methods.smart_net.loss import by_task, segmentation_loss, smart_net_terms
from ICHSegmenterLib.methods.smart_net.networks.upstream import Task

POSITIVE = 0.5


class SmartNetSliceTask(TrainingTask):
    """Any variant of `smart_net_up`; the terms of its loss follow from its tasks."""

    def __init__(self, recipe: Recipe, phase: int) -> None:
        super().__init__(recipe, phase)
        _check_loss(recipe)
        _lay_out_for_convolutions(self.network)

    def loss_of(self, batch: Any) -> Tensor:
        """Sum of the terms."""
        return self._cost(self._outputs(batch), batch)

    def score_batch(self, batch: Any) -> ScoredBatch:
        """Loss, and what the variant says of the slice."""
        kept, keep = real_samples(batch)
        outputs = self._outputs(kept)
        cost = self._cost(outputs, kept)
        score = _slice_score(outputs)
        sums = {}
        if "seg" in outputs:
            sums["val_dice"] = _dice_sum(outputs["seg"], kept["mask"], kept["is_real"])
        scores, truth = _spread_out(score, kept, keep)
        return ScoredBatch(cost, int(keep.sum()), scores, truth, sums)

    def _outputs(self, batch: Any) -> dict[Task, Tensor]:
        tasks: tuple[Task, ...] = self.network.tasks  # type: ignore[assignment]
        return {task: one.float() for task, one in by_task(self.network(batch["image"]), tasks).items()}

    def _cost(self, outputs: dict[Task, Tensor], batch: Any) -> Tensor:
        targets: dict[Task, Tensor] = {"cls": batch["label"], "seg": batch["mask"], "rec": batch["image"]}
        terms = smart_net_terms(outputs, targets, consistency_weight=self.recipe.loss.consistency_weight)
        return torch.stack(list(terms.values())).sum()


class SmartNetVolumeTask(TrainingTask):
    """`smart_net_down_cls` or `smart_net_down_seg` on padded volumes; padding counts in the loss, as theirs."""

    def __init__(self, recipe: Recipe, phase: int) -> None:
        super().__init__(recipe, phase)
        _check_loss(recipe)
        _lay_out_for_convolutions(self.network)
        self._classifies = recipe.network.name == "smart_net_down_cls"

    def loss_of(self, batch: Any) -> Tensor:
        """Cross-entropy of the exam, or cross-entropy and Dice of its voxels."""
        return self._cost(self._logits(batch), batch)

    def score_batch(self, batch: Any) -> ScoredBatch:
        """Loss, and what is said of the exam."""
        kept, keep = real_samples(batch)
        logits = self._logits(kept)
        sums = {} if self._classifies else {"val_dice": _dice_sum(logits, kept["mask"], kept["is_real"])}
        scores, truth = _spread_out(logits.sigmoid().flatten(1).amax(1), kept, keep)
        return ScoredBatch(self._cost(logits, kept), int(keep.sum()), scores, truth, sums)

    def _logits(self, batch: Any) -> Tensor:
        inputs = (batch["image"], batch["depths"]) if self._classifies else (batch["image"],)
        logits: Tensor = self.network(*inputs)
        return logits.float()

    def _cost(self, logits: Tensor, batch: Any) -> Tensor:
        if self._classifies:
            return F.binary_cross_entropy_with_logits(logits, batch["label"])
        return segmentation_loss(logits, batch["mask"])


def _lay_out_for_convolutions(network: nn.Module) -> None:
    """Channels last in memory: an eighth less time for a step on a CPU, the same numbers to rounding."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _check_loss(recipe: Recipe) -> None:
    if recipe.loss.name != "smart-net":
        raise RecipeError(f"loss {recipe.loss.name} is not for SMART-Net; choose smart-net.")


def _slice_score(outputs: dict[Task, Tensor]) -> Tensor:
    """(B,) of the classification, else of the outline's highest pixel, else nothing known."""
    if "cls" in outputs:
        return outputs["cls"].sigmoid().flatten()
    if "seg" in outputs:
        return outputs["seg"].sigmoid().flatten(1).amax(1)
    return torch.zeros(len(outputs["rec"]), device=outputs["rec"].device)


def _dice_sum(logits: Tensor, masks: Tensor, is_real: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the Dice of what has blood, and how many those are."""
    outlined, truth = (logits.sigmoid() > POSITIVE).flatten(1), (masks > POSITIVE).flatten(1)
    has_blood = truth.any(1) & is_real
    dice = 2 * (outlined & truth).sum(1) / (outlined.sum(1) + truth.sum(1)).clamp(min=1)
    return dice[has_blood].sum(), has_blood.sum()


def _spread_out(score: Tensor, kept: dict[str, Tensor], keep: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and truth of the whole batch, `IGNORED` where a sample does not count."""
    scores, truth = (
        torch.zeros(len(keep), device=score.device),
        torch.full((len(keep),), float(IGNORED), device=score.device),
    )
    scores[keep] = score[kept["is_real"]]
    truth[keep] = kept["label"].flatten()[kept["is_real"]]
    return scores, truth
