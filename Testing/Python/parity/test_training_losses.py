"""What the recipes minimize and how their first steps go, against the published formulas in double precision.

Networks are replaced by their output, so the expected value, gradient and step have a closed form. The formulas are
those of the papers: cross-entropy; focal loss (Lin et al., ICCV 2017); Dice of probabilities over all classes,
background included and not squared, as in MONAI; weighted log loss of two heads (Shang et al., arXiv 2205.07556).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "yaml"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.task import IGNORED, TrainingTask
from ICHSegmenterLib.methods.rsna_sequence.task import SeriesClassification
from ICHSegmenterLib.methods.swin.task import SliceClassification
from ICHSegmenterLib.methods.unet.task import SliceSegmentation
from loss_formulas import (
    EPS,
    TOLERANCE,
    Array,
    cross_entropy,
    dice_loss,
    focal,
    log_loss,
    log_probabilities,
    logits_of,
    slope,
)

TINY_SWIN = (
    "network={{name: swin_classifier, config: {{num_classes: {}, image_size: 32, window_size: 4, embed_dim: 8, "
    "depths: [1, 1], num_heads: [1, 2]}}}}"
)
TINY_UNET = "network.config={{variant: release, num_classes: {}, widths: [4, 4, 8, 8]}}"
TINY_CONTEXT_UNET = "network.config={num_classes: 6, widths: [8, 8]}"
TINY_SERIES = "network.config={embed_dim: 8, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2]}"
LABELS = np.array([[0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1]])
"""(slices, 6): EDH, IPH, IVH, SAH, SDH, any."""


class Prescribed(torch.nn.Module):
    """A network whose outputs are its parameters."""

    def __init__(self, *outputs: Array) -> None:
        super().__init__()
        self.outputs = torch.nn.ParameterList(torch.nn.Parameter(torch.from_numpy(z).float()) for z in outputs)

    def forward(self, image: torch.Tensor) -> Any:
        return tuple(self.outputs) if len(self.outputs) > 1 else self.outputs[0]


def classification(recipe: Recipe, logits: Array, labels: NDArray[np.int64], phase: int = 0) -> tuple[Any, Any]:
    task = SliceClassification(recipe, phase)
    task.network = Prescribed(logits)
    return task, {"image": torch.zeros(len(logits), 3, 32, 32), "label": torch.from_numpy(labels)}


def segmentation(recipe: Recipe, logits: Array, mask: NDArray[np.int64]) -> tuple[Any, Any]:
    task = SliceSegmentation(recipe, 0)
    task.network = Prescribed(logits)
    return task, {"image": torch.zeros(len(logits), 3, 8, 8), "mask": torch.from_numpy(mask)}


def series(sequence: Array, alone: Array, labels: NDArray[np.int64]) -> tuple[Any, Any]:
    task = SeriesClassification(load_recipe("rsna-sequence", [TINY_SERIES]), 0)
    task.network = Prescribed(sequence, alone)
    return task, [{"image": torch.zeros(len(sequence), 3, 8, 8), "label": torch.from_numpy(labels)}]


def check(task: TrainingTask, batch: Any, losses: list[Callable[[Array], float]], inputs: list[Array]) -> None:
    """The loss is the sum of `losses` of the network's outputs, and each output gets the gradient of its own."""
    cost = task.loss_of(batch)
    cost.backward()
    terms = [loss(logits) for loss, logits in zip(losses, inputs, strict=True)]
    assert cost.item() == pytest.approx(sum(terms), rel=TOLERANCE)
    for output, loss, logits in zip(task.network.outputs, losses, inputs, strict=True):
        expected = slope(loss, logits)
        tolerance = TOLERANCE * float(np.abs(expected).max())
        np.testing.assert_allclose(output.grad.numpy(), expected, rtol=TOLERANCE, atol=tolerance)


MASKS = np.zeros((2, 8, 8), dtype=np.int64)
MASKS[0, 1:4, 2:7] = 1
"""Blood on one slice and none on the other."""
SUBTYPES = MASKS.copy()
SUBTYPES[0, 1:4, 2:4], SUBTYPES[0, 1:4, 4:6], SUBTYPES[1, 6:, 6:] = 2, 5, 3


def test_hgi_sam_minimizes_cross_entropy_of_any_hemorrhage() -> None:
    logits = logits_of(4, 2)
    check(
        *classification(load_recipe("hgi-sam", [TINY_SWIN.format(2)]), logits, LABELS),
        [lambda z: cross_entropy(z, LABELS[:, 5], np.ones(2))],
        [logits],
    )


def test_the_quirk_of_hgi_sam_takes_probabilities_for_logits() -> None:
    recipe = load_recipe("hgi-sam", [TINY_SWIN.format(2), "loss.softmax_before_cross_entropy=true"])
    logits = logits_of(4, 2)
    quirk: Callable[[Array], float] = lambda z: cross_entropy(  # noqa: E731
        np.exp(log_probabilities(z)), LABELS[:, 5], np.ones(2)
    )
    check(*classification(recipe, logits, LABELS), [quirk], [logits])


@pytest.mark.parametrize(("name", "columns"), [("swin-sam", [5]), ("swin-sam-multi", [0, 1, 2, 3, 4, 5])])
def test_swin_sam_minimizes_the_focal_loss_without_weights_of_classes(name: str, columns: list[int]) -> None:
    logits = logits_of(4, len(columns))
    recipe = load_recipe(name, [TINY_SWIN.format(len(columns))])
    check(*classification(recipe, logits, LABELS), [lambda z: focal(z, LABELS[:, columns])], [logits])


@pytest.mark.parametrize("name", ["unet", "swin-unetr"])
def test_outlines_minimize_half_cross_entropy_and_half_dice_with_background(name: str) -> None:
    logits = logits_of(2, 2, 8, 8)
    recipe = load_recipe(name, ["network.name=unet", TINY_UNET.format(2)])

    def published(z: Array) -> float:
        truth = np.stack((MASKS == 0, MASKS == 1), axis=1).astype(np.float64)
        dice = dice_loss(np.exp(log_probabilities(z)), truth, axes=(2, 3))
        return 0.5 * cross_entropy(z, MASKS, np.ones(2)) + 0.5 * dice

    check(*segmentation(recipe, logits, MASKS), [published], [logits])


def test_the_bundled_unet_minimizes_one_dice_of_all_blood_and_a_weighted_cross_entropy() -> None:
    logits = logits_of(2, 6, 8, 8)

    def documented(z: Array) -> float:
        blood = 1 - np.exp(log_probabilities(z))[:, 0]
        weights = np.array([1.0, 4.0, 3.0, 6.0, 12.0, 4.0])
        dice = dice_loss(blood, (SUBTYPES > 0).astype(np.float64), axes=(0, 1, 2))
        return cross_entropy(z, SUBTYPES, weights) + 0.5 * dice

    check(*segmentation(load_recipe("compact-unet", [TINY_CONTEXT_UNET]), logits, SUBTYPES), [documented], [logits])


def test_a_series_costs_twice_its_sequence_head_and_once_its_slice_head() -> None:
    labels = LABELS.copy()
    labels[1, 2] = IGNORED
    sequence, alone = logits_of(4, 6, seed=1), logits_of(4, 6, seed=2)
    check(
        *series(sequence, alone, labels),
        [lambda z: 2 * log_loss(z, labels), lambda z: log_loss(z, labels)],
        [sequence, alone],
    )


def test_several_series_cost_their_mean() -> None:
    sequence, alone = logits_of(4, 6, seed=1), logits_of(4, 6, seed=2)
    task, (sample,) = series(sequence, alone, LABELS)
    other = {**sample, "label": 1 - sample["label"]}
    both, first, second = (task.loss_of(batch).item() for batch in ([sample, other], [sample], [other]))
    assert both == pytest.approx((first + second) / 2, rel=TOLERANCE)


def test_a_series_is_scored_by_its_sequence_head_on_its_own_slices() -> None:
    sequence, alone = logits_of(60, 6, seed=1), logits_of(60, 6, seed=2)
    task, (sample,) = series(sequence, alone, LABELS)
    batch = [{**sample, "image": sample["image"][:4], "is_real": True}]
    with torch.no_grad():
        scored = task.score_batch(batch)
    assert float(scored.loss) == pytest.approx(log_loss(sequence[:4], LABELS), rel=TOLERANCE)
    assert scored.truth.tolist() == [*LABELS[:, 5].tolist(), *[IGNORED] * 56]
    np.testing.assert_allclose(scored.scores.numpy(), 1 / (1 + np.exp(-sequence[:, 5])), rtol=TOLERANCE)


def test_outlines_are_scored_by_the_dice_of_slices_with_blood() -> None:
    """15 pixels bleed and 20 are outlined, 10 of them rightly; the slice without blood has no Dice."""
    logits = np.zeros((2, 2, 8, 8))
    logits[:, 0] = 4.0
    logits[0, 1, 2:6, 2:7] = logits[1, 1, 0, 0] = 8.0
    task, batch = segmentation(load_recipe("unet", [TINY_UNET.format(2)]), logits, MASKS)
    with torch.no_grad():
        scored = task.score_batch({**batch, "is_real": torch.tensor([True, True])})
    total, slices = scored.sums["val_dice"]
    assert float(total) == pytest.approx(2 * 10 / (15 + 20), rel=TOLERANCE) and int(slices) == 1
    assert scored.truth.tolist() == [1, 0]
    assert scored.scores.tolist() == pytest.approx([1 / (1 + np.exp(-4.0))] * 2, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "phase", "rate"), [("hgi-sam", 0, 1e-3), ("hgi-sam", 1, 1e-5), ("swin-sam", 0, 1e-5), ("unet", 0, 1e-3)]
)
def test_the_first_step_of_adamw_is_the_learning_rate_against_the_sign_of_the_gradient(
    name: str, phase: int, rate: float
) -> None:
    """Both moments are those of one gradient, so each entry moves by the rate; decay is below rounding."""
    classes = {"hgi-sam": 2, "swin-sam": 1, "unet": 2}[name]
    if name == "unet":
        logits = logits_of(2, 2, 8, 8)
        task, batch = segmentation(load_recipe(name, [TINY_UNET.format(2)]), logits, MASKS)
    else:
        logits = logits_of(4, classes)
        task, batch = classification(load_recipe(name, [TINY_SWIN.format(classes)]), logits, LABELS, phase)
    optimizer = task.configure_optimizers()["optimizer"]
    task.loss_of(batch).backward()
    optimizer.step()
    (output,) = task.network.outputs
    sign = np.sign(output.grad.numpy())
    assert sign.all()
    rounding = EPS * np.abs(logits).max()
    np.testing.assert_allclose(output.detach().numpy(), logits - rate * sign, rtol=0, atol=0.01 * rate + rounding)
    (group,) = optimizer.param_groups
    assert type(optimizer).__name__ == "AdamW" and group["weight_decay"] == 1e-6


def test_the_sequence_network_takes_nesterov_steps_of_a_rate_that_rises_from_zero() -> None:
    """The first step has rate 0, so the second meets the same gradient g, at a rate of 0.001 / 300.

    The velocity is then 1.9 g, and Nesterov's step g + 0.9 * 1.9 g = 2.71 g. Logits near 0 keep a step of 1e-7 above
    their rounding, and decay below it.
    """
    sequence, alone = logits_of(4, 6, seed=1), logits_of(4, 6, seed=2)
    task, batch = series(1e-3 * sequence, 1e-3 * alone, LABELS)
    made = task.configure_optimizers()
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "step"
    with torch.no_grad():
        before = [output.clone() for output in task.network.outputs]
    for _ in range(2):
        optimizer.zero_grad()
        task.loss_of(batch).backward()
        optimizer.step()
        scheduler.step()
    for output, start in zip(task.network.outputs, before, strict=True):
        moved = (output.detach() - start).double().numpy()
        expected = -2.71 * (0.001 / 300) * output.grad.double().numpy()
        rounding = EPS * float(start.abs().max())
        assert np.abs(expected).min() > 20 * rounding
        np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=rounding)
    (group,) = optimizer.param_groups
    assert group["weight_decay"] == 1e-4
