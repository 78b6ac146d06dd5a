"""Telling slices with blood from others: two classes, one, or the six labels of RSNA."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from monai.losses import DiceLoss, FocalLoss
from torch import Tensor, nn
from torch.nn import functional as F

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.task import IGNORED, ScoredBatch, TrainingTask, real_samples
from ICHSegmenterLib.methods.swin.network import SwinClassifier

ANY_COLUMN = 5
BLEEDING_CELL_WEIGHT = 4.0
"""Weight of a cell with blood; one without has 1."""


class SliceClassification(TrainingTask):
    """Softmax cross-entropy over two classes, or focal binary cross-entropy over one or six."""

    def __init__(self, recipe: Recipe, phase: int) -> None:
        super().__init__(recipe, phase)
        if recipe.loss.name not in ("cross-entropy", "focal"):
            raise RecipeError(f"loss {recipe.loss.name} is not for classification; choose cross-entropy or focal.")
        self._focal = FocalLoss(gamma=recipe.loss.gamma, use_softmax=False)
        self._cells = CellClassifier(self.network) if recipe.loss.cell_weight else None

    def loss_of(self, batch: Any) -> Tensor:
        """Mean loss of a batch."""
        cost = self._cost(self.network(batch["image"]), batch["label"])
        if self._cells is None:
            return cost
        return cost + self.recipe.loss.cell_weight * self._cells.cost(batch["mask"] > 0)

    def score_batch(self, batch: Any) -> ScoredBatch:
        """Loss, and the score of any hemorrhage."""
        kept, keep = real_samples(batch)
        logits = self.network(kept["image"]).float()
        scores, labels = torch.zeros(len(keep)), torch.full((len(keep),), float(IGNORED))
        scores[keep.cpu()] = any_probability(logits)[kept["is_real"]].cpu()
        labels[keep.cpu()] = kept["label"][:, ANY_COLUMN][kept["is_real"]].float().cpu()
        cost = self._cost(logits, kept["label"])
        return ScoredBatch(cost, int(keep.sum()), scores.to(self.device), labels.to(self.device))

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


class CellClassifier(nn.Module):
    """Classifier of the cells of a slice, one layer on each stage of a Swin; only while it learns.

    A transformer that starts from nothing and hears of each slice only whether it bleeds needs far more slices than
    one that also hears where. The first stage, whose cells are 4 pixels wide, learns soon what blood looks like; the
    later ones (8, 16 and 32 pixels) build on it. The layers are no part of the network that is saved.

    Args:
        network: A `SwinClassifier`; what its stages last put out is kept.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, SwinClassifier):
            raise RecipeError(f"loss.cell_weight is for swin_classifier, the network is {type(network).__name__}.")
        stages = network.swin.feature_info
        self.layers = nn.ModuleList(nn.Linear(stage["num_chs"], 1) for stage in stages)
        self._dice = DiceLoss(sigmoid=True, batch=True)
        self._features = [torch.zeros(())] * len(stages)
        for number, stage in enumerate(network.swin.layers):
            stage.register_forward_hook(partial(self._keep, number))

    def cost(self, mask: Tensor) -> Tensor:
        """Mean over the stages of the last forward pass: cross-entropy and Dice of their cells, mask bool (B, H, W)."""
        costs = [self._cost_of(n, mask.float()[:, None]) for n in range(len(self.layers))]
        return torch.stack(costs).mean()

    def _cost_of(self, stage: int, mask: Tensor) -> Tensor:
        logits = self.layers[stage](self._features[stage]).float().movedim(-1, 1)  # (B, 1, rows, columns)
        bleeds = F.adaptive_max_pool2d(mask, logits.shape[2:])
        weight = logits.new_tensor(BLEEDING_CELL_WEIGHT)
        entropy = F.binary_cross_entropy_with_logits(logits, bleeds, pos_weight=weight)
        cost: Tensor = entropy + self._dice(logits, bleeds)
        return cost

    def _keep(self, number: int, stage: nn.Module, inputs: Any, features: Tensor) -> None:
        self._features[number] = features


def any_probability(logits: Tensor) -> Tensor:
    """(B,) probability of hemorrhage of logits (B, 1, 2 or 6)."""
    return logits.softmax(dim=1)[:, 1] if logits.shape[1] == 2 else logits.sigmoid()[:, -1]
