"""Tasks with prescribed outputs, for the tests of validation batches.

Each image is filled with its sample's number, by which the network looks up its output: a sample that only fills the
batch has an output too, and must not count.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ICHSegmenterLib.learning import task as training_task
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.task import IGNORED, ScoredBatch, TrainingTask
from loss_formulas import TOLERANCE, Array

LABELS = np.array([[0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1]])
"""(slices, 6): EDH, IPH, IVH, SAH, SDH, any."""
IS_REAL = np.array([False, True, False, True])


class LookUp(torch.nn.Module):
    """Puts out the rows of its tables whose numbers fill the images."""

    def __init__(self, *tables: Array, tasks: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.tables = [torch.from_numpy(table).float() for table in tables]
        self.tasks = tasks
        self.shape: tuple[int, ...] = ()

    def forward(self, image: torch.Tensor, *_depths: torch.Tensor) -> Any:
        self.shape = tuple(image.shape)
        rows = image.flatten(1)[:, 0].long()
        outputs = tuple(table[rows] for table in self.tables)
        return outputs if len(outputs) > 1 else outputs[0]


def sigmoid(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits)))


def images(count: int, *shape: int) -> torch.Tensor:
    return torch.arange(float(count)).reshape(count, *(1 for _ in shape)).expand(count, *shape)


def task_of(kind: type[TrainingTask], name: str, network: torch.nn.Module, *overrides: str) -> Any:
    """The first phase of a recipe's task with a given network, which learns entirely."""
    recipe = load_recipe(name, list(overrides))
    model = patch.object(training_task, "create_model", lambda *_args, **_config: network)
    with model, patch.object(training_task, "freeze", lambda *_args: None):
        return kind(recipe, 0)


def check(scored: ScoredBatch, loss: float, scores: Array, truth: Array, is_real: NDArray[np.bool_] = IS_REAL) -> None:
    """A sample that fills the batch has score 0 and the truth that does not count."""
    assert float(scored.loss) == pytest.approx(loss, rel=TOLERANCE)
    assert scored.count == is_real.sum()
    assert scored.scores.tolist() == pytest.approx(np.where(is_real, scores, 0.0).tolist(), rel=TOLERANCE)
    assert scored.truth.tolist() == np.where(is_real, truth, IGNORED).tolist()
