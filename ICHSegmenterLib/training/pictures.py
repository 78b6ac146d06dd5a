"""Pictures of a finished training: curves.png and examples.png."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ICHSegmenterLib.datasets.slices import SliceTable
from ICHSegmenterLib.datasets.splits import Split
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.slab_dataset import SlabDataset
from ICHSegmenterLib.learning.slice_dataset import SliceDataset
from ICHSegmenterLib.methods.swin.task import any_probability
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing, SlicePreprocessing
from ICHSegmenterLib.report.training_curves import Example, write_curves, write_examples

CURVES, EXAMPLES = "curves.png", "examples.png"
EXAMPLE_COUNT = 8
BLOOD_SHARE = 0.75
"""Share of the examples that bleed, where there are so many bleeding slices."""
SLICE_BRAIN_CHANNEL, SLAB_BRAIN_CHANNEL = 0, -3
"""The channel that is drawn: the first window, of the slab itself where it comes with neighbors."""


def draw_curves(rows: Sequence[Mapping[str, float]], output: Path, title: str) -> None:
    """Write curves.png."""
    with replacing(output / CURVES) as draft:
        write_curves(rows, draft, title)


@torch.inference_mode()
def draw_examples(
    network: nn.Module, recipe: Recipe, cache: Path, table: SliceTable, split: Split, output: Path
) -> None:
    """Write examples.png: validation slices or slabs with truth and prediction; nothing for series."""
    preprocessing = recipe.preprocessing_spec()
    has_masks = recipe.task == "segmentation"
    rows = _chosen(table, split, needs_mask=has_masks, seed=recipe.seed)
    dataset: SliceDataset | SlabDataset
    if isinstance(preprocessing, SlabPreprocessing):
        dataset, shown = SlabDataset(cache, table, rows, preprocessing, recipe.augmentation), SLAB_BRAIN_CHANNEL
    elif isinstance(preprocessing, SlicePreprocessing):
        dataset = SliceDataset(cache, table, rows, preprocessing, recipe.augmentation, with_masks=has_masks)
        shown = SLICE_BRAIN_CHANNEL
    else:
        return
    network.eval()
    examples = []
    for index, row in enumerate(rows):
        sample = dataset[SampleIndex(index)]
        logits = network(sample["image"][None]).float()
        truth = bool(table.is_positive[row])
        if has_masks:
            prediction = (1 - logits.softmax(dim=1)[0, 0] > 0.5).numpy()
            truth_mask = (sample["mask"] > 0).numpy()
            title = f"{int(truth_mask.sum())} pixels of blood, {int(prediction.sum())} found"
            examples.append(Example(sample["image"][shown].numpy(), truth_mask, prediction, title))
        else:
            title = f"{'blood' if truth else 'no blood'}, found with {float(any_probability(logits)[0]):.2f}"
            examples.append(Example(sample["image"][shown].numpy(), None, None, title))
    with replacing(output / EXAMPLES) as draft:
        write_examples(examples, draft)


def _chosen(
    table: SliceTable, split: Split, *, needs_mask: bool, seed: int
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows of the validation part, most of them with blood."""
    rows = table.of_units(split.split_by, split.validation)
    if needs_mask:
        rows = rows[table.columns["mask_size"][rows] > 0]
    shuffled = np.random.default_rng(seed).permutation(rows)
    bleeding, healthy = shuffled[table.is_positive[shuffled]], shuffled[~table.is_positive[shuffled]]
    first = bleeding[: round(EXAMPLE_COUNT * BLOOD_SHARE)]
    return np.concatenate((first, healthy[: EXAMPLE_COUNT - len(first)]))
