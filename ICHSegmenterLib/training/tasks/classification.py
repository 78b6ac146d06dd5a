"""Telling slices with blood from others: two classes, one, or the six labels of RSNA."""

from __future__ import annotations

from typing import Any

import torch
from monai.losses import FocalLoss
from torch import Tensor
from torch.nn import functional as F

from ICHSegmenterLib.training.failures import RecipeError
from ICHSegmenterLib.training.recipe import Recipe
from ICHSegmenterLib.training.tasks.task import IGNORED, Judged, TrainingTask, counted

ANY_COLUMN = 5


class SliceClassification(TrainingTask):
    """Softmax cross-entropy over two classes, or focal binary cross-entropy over one or six."""

    def __init__(self, recipe: Recipe, phase: int) -> None:
        super().__init__(recipe, phase)
        if recipe.loss.name not in ("cross-entropy", "focal"):
            raise RecipeError(f"loss {recipe.loss.name} is not for classification; choose cross-entropy or focal.")
        self._focal = FocalLoss(gamma=recipe.loss.gamma, use_softmax=False)

    def loss_of(self, batch: Any) -> Tensor:
        """Mean loss of a batch."""
        return self._cost(self.network(batch["image"]), batch["label"])

    def judge(self, batch: Any) -> Judged:
        """Loss, and the score of any hemorrhage."""
        kept, keep = counted(batch)
        logits = self.network(kept["image"]).float()
        scores, labels = torch.zeros(len(keep)), torch.full((len(keep),), float(IGNORED))
        scores[keep.cpu()] = any_probability(logits)[kept["counts"]].cpu()
        labels[keep.cpu()] = kept["label"][:, ANY_COLUMN][kept["counts"]].float().cpu()
        cost = self._cost(logits, kept["label"])
        return Judged(cost, int(keep.sum()), scores.to(self.device), labels.to(self.device))

    def _cost(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits, classes = logits.float(), logits.shape[1]
        if self.recipe.loss.name == "cross-entropy":
            if classes != 2:
                raise RecipeError(f"cross-entropy needs num_classes 2, the network has {classes}; choose loss focal.")
            if self.recipe.loss.softmax_before_cross_entropy:
                logits = logits.softmax(dim=1)
            return F.cross_entropy(logits, labels[:, ANY_COLUMN])
        target = labels[:, ANY_COLUMN:] if classes == 1 else labels
        if target.shape != logits.shape:
            raise RecipeError(f"the focal loss needs num_classes 1 or 6, the network has {classes}.")
        cost: Tensor = self._focal(logits, target.float())
        return cost


def any_probability(logits: Tensor) -> Tensor:
    """(B,) probability of hemorrhage of logits (B, 1, 2 or 6)."""
    return logits.softmax(dim=1)[:, 1] if logits.shape[1] == 2 else logits.sigmoid()[:, -1]
