"""Learning from unlabeled series too: train, predict them, keep what is confident, train again with both.

The published system (Shang et al., arXiv 2205.07556) says that it learned from the test images in this way but never
released how; thresholds and order here are our own.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from numpy.typing import NDArray
from torch.nn import functional as F

from ICHSegmenterLib.datasets.prepare import load_prepared
from ICHSegmenterLib.datasets.slices import UNKNOWN, SliceTable, read_table, write_table
from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.methods.rsna_sequence.dataset import SeriesDataset
from ICHSegmenterLib.methods.rsna_sequence.network import SERIES_LENGTH
from ICHSegmenterLib.models import create_model, load_checkpoint
from ICHSegmenterLib.preprocessing.spec import SeriesPreprocessing
from ICHSegmenterLib.training.fit import TrainingResult, fit
from ICHSegmenterLib.training.trainer import TrainerOptions

PSEUDO_LABELS, SUMMARY = "pseudo_labels.csv", "pseudo_labels_summary.csv"
DEFAULT_CONFIDENCE = 0.95
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Confidence:
    """Labels with a probability of at least `level` become 1, of at most 1 - `level` 0; others stay unknown."""

    level: float = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if not 0.5 < self.level < 1:
            raise RecipeError(f"the confidence of pseudo-labels must lie between 0.5 and 1, got {self.level}.")

    def labels(self, probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
        """int64 of the same shape: 1, 0 or `UNKNOWN`."""
        labels = np.full(probabilities.shape, UNKNOWN, dtype=np.int64)
        labels[probabilities >= self.level] = 1
        labels[probabilities <= 1 - self.level] = 0
        return labels


@dataclass(frozen=True)
class UnlabeledSeries:
    """A second set to learn from: its prepared cache, and which predictions become labels."""

    cache: Path
    confidence: Confidence = Confidence()


def fit_twice(
    recipe: Recipe,
    data: Path,
    unlabeled: UnlabeledSeries,
    output: Path,
    *,
    resume: bool = False,
    machine: TrainerOptions | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainingResult:
    """Train, label a second set, and train again from the beginning with both.

    Args:
        recipe: A recipe of the task "series".
        data: As for `fit`.
        unlabeled: The second set.
        output: Holds `round-1`, the pseudo-labels and `round-2`.
        resume: Go on where it stopped, in either round.
        machine: What to run on.
        callbacks: Watch both rounds.

    Raises:
        RecipeError: The recipe is not for series.
        TrainingDataError: As for `fit`.
    """
    if recipe.task != "series":
        raise RecipeError(f"Pseudo-labels are made for series; {recipe.name} learns {recipe.task}.")
    first, second = output / "round-1", output / "round-2"
    trained = fit(recipe, data, first, resume=resume and first.exists(), machine=machine, callbacks=callbacks)
    path = output / PSEUDO_LABELS
    if rank_zero_only.rank == 0 and not path.is_file():
        write_pseudo_labels(recipe, trained.weights, unlabeled, path)
    while not path.is_file():
        time.sleep(POLL_SECONDS)
    return fit(
        recipe,
        data,
        second,
        resume=resume and second.exists(),
        machine=machine,
        callbacks=callbacks,
        more=read_table([path]),
    )


@torch.inference_mode()
def write_pseudo_labels(
    recipe: Recipe, weights: Path, unlabeled: UnlabeledSeries, path: Path
) -> dict[str, tuple[int, int, int]]:
    """Label the series of a second set; series without any confident label are left out.

    Returns:
        Label to how many slices are 1, 0 and unknown; also written beside the labels.
    """
    cache = unlabeled.cache
    table = load_prepared(cache)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = create_model(recipe.network.name, **recipe.network.config)
    load_checkpoint(network, weights)
    network.to(device)
    preprocessing = recipe.preprocessing_spec()
    if not isinstance(preprocessing, SeriesPreprocessing):
        raise RecipeError(f"recipe {recipe.name}: {recipe.method} is no method for whole series.")
    rows = np.arange(len(table))
    dataset = SeriesDataset(cache, table, rows, preprocessing, recipe.augmentation)
    labels = np.full((len(table), len(SUBTYPE_LABELS)), UNKNOWN, dtype=np.int64)
    for number, rows_shown in enumerate(dataset.shown_rows()):
        slices = dataset[SampleIndex(number)]["image"].to(device)
        padded = F.pad(slices, (0, 0, 0, 0, 0, 0, 0, SERIES_LENGTH - len(slices)))
        probabilities = network(padded)[0][: len(slices)].float().sigmoid().cpu().numpy()
        labels[rows_shown] = unlabeled.confidence.labels(probabilities)
    write_table(_labeled(table, labels, cache.resolve()), path)
    counts = {
        name: (int((column == 1).sum()), int((column == 0).sum()), int((column == UNKNOWN).sum()))
        for name, column in zip(SUBTYPE_LABELS, labels.T, strict=True)
    }
    with replacing(path.with_name(SUMMARY)) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("label", "positive", "negative", "unknown"))
        writer.writerows((name, *numbers) for name, numbers in counts.items())
    return counts


def _labeled(table: SliceTable, labels: NDArray[np.int64], cache: Path) -> SliceTable:
    """The slices of series with a confident label, their shards by absolute path."""
    series = table.columns["series"]
    kept = np.isin(series, series[(labels != UNKNOWN).any(axis=1)])
    columns = {
        **table.columns,
        "shard": np.array([str(cache / name) for name in table.columns["shard"]], dtype=np.str_),
    }
    columns |= dict(zip(SUBTYPE_LABELS, labels.T, strict=True))
    return SliceTable({name: values[kept] for name, values in columns.items()})
