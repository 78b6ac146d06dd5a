"""Outlining blood on single slices: cross-entropy and Dice, both of MONAI."""

from __future__ import annotations

from typing import Any

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional as F

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.task import IGNORED, ScoredBatch, TrainingTask, real_samples

TWO_CLASSES = 2
SUBTYPE_CLASSES = 6
"""Background and EDH, IPH, IVH, SAH, SDH."""


class SliceSegmentation(TrainingTask):
    """Networks with two classes (background, blood) or six (background, subtypes)."""

    def __init__(self, recipe: Recipe, phase: int) -> None:
        super().__init__(recipe, phase)
        if recipe.loss.name != "dice-cross-entropy":
            raise RecipeError(f"loss {recipe.loss.name} is not for segmentation; choose dice-cross-entropy.")
        one_dice = recipe.loss.dice_over == "batch"
        self._dice = (
            DiceLoss(batch=one_dice)
            if recipe.loss.dice_of == "blood"
            else DiceLoss(softmax=True, to_onehot_y=True, batch=one_dice)
        )

    def loss_of(self, batch: Any) -> Tensor:
        """Mean loss of a batch."""
        return self._cost(self.network(batch["image"]), batch["mask"])

    def score_batch(self, batch: Any) -> ScoredBatch:
        """Loss, score of each slice, and Dice of any blood on the slices that have some."""
        kept, keep = real_samples(batch)
        logits = self.network(kept["image"])
        blood = 1 - logits.float().softmax(dim=1)[:, 0]
        truth = kept["mask"] > 0
        has_blood = truth.flatten(1).any(1) & kept["is_real"]
        overlap, sizes = (
            (part.flatten(1).sum(1)) for part in ((blood > 0.5) & truth, (blood > 0.5).int() + truth.int())
        )
        dice = (2 * overlap / sizes.clamp(min=1))[has_blood]
        scores, labels = torch.zeros(len(keep)), torch.full((len(keep),), float(IGNORED))
        scores[keep.cpu()] = blood.flatten(1).amax(1)[kept["is_real"]].float().cpu()
        labels[keep.cpu()] = truth.flatten(1).any(1)[kept["is_real"]].float().cpu()
        return ScoredBatch(
            self._cost(logits, kept["mask"]),
            int(keep.sum()),
            scores.to(self.device),
            labels.to(self.device),
            {"val_dice": (dice.sum(), has_blood.sum())},
        )

    def _cost(self, logits: Tensor, mask: Tensor) -> Tensor:
        classes = logits.shape[1]
        if classes not in (TWO_CLASSES, SUBTYPE_CLASSES):
            raise RecipeError(f"segmentation networks have 2 or 6 classes, this one has {classes}.")
        loss, logits = self.recipe.loss, logits.float()
        target = (mask > 0).long() if classes == TWO_CLASSES else mask
        if loss.dice_of == "blood":
            dice = self._dice(1 - logits.softmax(dim=1)[:, :1], (mask > 0).float()[:, None])
        else:
            dice = self._dice(logits, target[:, None])
        blood = loss.blood_weight * (classes - 1 if len(loss.blood_weight) == 1 else 1)
        if len(blood) != classes - 1:
            raise RecipeError(f"loss.blood_weight has {len(blood)} numbers; give one, or {classes - 1}.")
        weight = logits.new_tensor([1.0, *blood])
        entropy = F.cross_entropy(logits, target, weight=weight)
        cost: Tensor = loss.dice_weight * dice + loss.cross_entropy_weight * entropy
        return cost
