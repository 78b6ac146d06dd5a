"""Six labels for every slice of a series: weighted log loss of the sequence head and of the slice head.

Re-creates the training of Shang et al., arXiv 2205.07556 (PaddlePaddle/Research, Apache-2.0).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.task import IGNORED, ScoredBatch, TrainingTask
from ICHSegmenterLib.methods.rsna_sequence.network import SERIES_LENGTH

LABEL_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 2.0)
SEQUENCE_WEIGHT, SLICE_WEIGHT = 2.0, 1.0
COUNT_EPSILON = 1e-5
ANY_COLUMN = 5


class SeriesClassification(TrainingTask):
    """One series at a time; a batch of several is their mean."""

    def __init__(self, recipe: Recipe, phase: int) -> None:
        super().__init__(recipe, phase)
        if recipe.loss.name != "sequence-log":
            raise RecipeError(f"loss {recipe.loss.name} is not for series; choose sequence-log.")

    def loss_of(self, batch: Any) -> Tensor:
        """Twice the loss of the sequence head and once that of the slice head, mean over the series."""
        total = torch.zeros((), device=self.device)
        for sample in batch:
            sequence, alone = self.network(sample["image"])
            total = total + SEQUENCE_WEIGHT * log_loss(sequence, sample["label"])
            total = total + SLICE_WEIGHT * log_loss(alone, sample["label"])
        return total / len(batch)

    def score_batch(self, batch: Any) -> ScoredBatch:
        """Loss of the sequence head, padded to 60 slices with empty ones as at inference."""
        losses, scores, truth = [], [], []
        for sample in batch:
            slices, label = sample["image"], sample["label"]
            missing = SERIES_LENGTH - len(slices)
            logits = self.network(F.pad(slices, (0, 0, 0, 0, 0, 0, 0, missing)))[0].float()
            if sample["is_real"]:
                losses.append(log_loss(logits[: len(slices)], label))
                truth.append(F.pad(label[:, ANY_COLUMN], (0, missing), value=float(IGNORED)))
            else:
                truth.append(torch.full((SERIES_LENGTH,), float(IGNORED), device=self.device))
            scores.append(logits[:, ANY_COLUMN].sigmoid())
        loss = torch.stack(losses).mean() if losses else torch.zeros((), device=self.device)
        return ScoredBatch(loss, len(losses), torch.cat(scores), torch.cat(truth))


def log_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Weighted binary cross-entropy of (S, 6) logits; the divisor counts entries and is not the sum of weights."""
    weights = torch.tensor(LABEL_WEIGHTS, device=logits.device)
    known = labels != IGNORED
    costs = F.binary_cross_entropy_with_logits(logits.float(), labels.clamp(min=0).float(), reduction="none") * weights
    return (costs * known).sum() / (known.sum() + COUNT_EPSILON)
