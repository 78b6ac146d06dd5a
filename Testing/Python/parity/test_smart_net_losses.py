"""The four terms of SMART-Net (Kyung et al., Med Image Anal 2022) against their formulas in double precision."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("yaml", reason="needs the train extra")

from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.methods.smart_net import loss as smart_net
from loss_formulas import TOLERANCE, Array, binary_entropy, logits_of


def smart_net_sample(side: int = 256) -> dict[str, tuple[Array, Array]]:
    """Outputs and targets of the three tasks on two slices, of which the first bleeds."""
    truth = np.zeros((2, 1, side, side))
    truth[0, :, 40:90, 100:170] = 1.0
    return {
        "cls": (logits_of(2, 1, seed=3), np.array([[1.0], [0.0]])),
        "seg": (logits_of(2, 1, side, side, seed=4) - 3, truth),
        "rec": (logits_of(2, 1, side, side, seed=5), logits_of(2, 1, side, side, seed=6)),
    }


def smart_net_costs(sample: dict[str, tuple[Array, Array]]) -> dict[str, float]:
    """One Dice of all pixels of the batch and their cross-entropy; agreement by the mean of the highest of 16 x 16."""
    outlined = 1 / (1 + np.exp(-sample["seg"][0]))
    truth = sample["seg"][1]
    dice = 1 - 2 * (outlined * truth).sum() / (outlined.sum() + truth.sum())
    blocks = outlined.reshape(2, 16, 16, 16, 16).max(axis=(2, 4)).mean(axis=(1, 2))
    said = 1 / (1 + np.exp(-sample["cls"][0][:, 0]))
    return {
        "cls": float(binary_entropy(*sample["cls"]).mean()),
        "seg": float(dice + binary_entropy(*sample["seg"]).mean()),
        "rec": float(np.abs(sample["rec"][0] - sample["rec"][1]).mean()),
        "consistency": float(0.5 * ((blocks - said) ** 2).mean()),
    }


def smart_net_terms(sample: dict[str, tuple[Array, Array]], **options: float) -> dict[str, float]:
    outputs, targets = ({task: torch.from_numpy(pair[n]).float() for task, pair in sample.items()} for n in (0, 1))
    return {name: cost.item() for name, cost in smart_net.smart_net_terms(outputs, targets, **options).items()}


def test_smart_net_minimizes_three_tasks_and_half_the_disagreement_of_two() -> None:
    """Pairwise sums of 131072 numbers in single precision lose no more than those of a few hundred."""
    sample = smart_net_sample()
    assert smart_net_terms(sample) == pytest.approx(smart_net_costs(sample), rel=TOLERANCE)
    assert load_recipe("smart-net-up").loss.consistency_weight == smart_net.CONSISTENCY_WEIGHT


@pytest.mark.parametrize("tasks", [("cls", "seg"), ("cls", "rec"), ("seg", "rec"), ("cls",), ("seg",), ("rec",)])
def test_smart_net_with_fewer_tasks_has_their_terms_and_no_agreement(tasks: tuple[str, ...]) -> None:
    sample = {task: pair for task, pair in smart_net_sample().items() if task in tasks}
    costs = smart_net_costs(smart_net_sample())
    assert smart_net_terms(sample) == pytest.approx({task: costs[task] for task in tasks}, rel=TOLERANCE)


def test_smart_net_without_a_weight_has_no_term_of_agreement() -> None:
    assert set(smart_net_terms(smart_net_sample(), consistency_weight=0.0)) == {"cls", "seg", "rec"}


def test_a_larger_slice_is_compared_with_its_verdict_block_by_block() -> None:
    """Two blocks of 256 x 256: one empty, one full, and a verdict of 1/2: each is off by 1/2."""
    outline = torch.full((1, 1, 256, 512), -40.0)
    outline[..., 256:] = 40.0
    cost = smart_net.consistency_loss(outline, torch.zeros(1, 1))
    assert cost.item() == pytest.approx(0.25, rel=TOLERANCE)


@pytest.mark.parametrize("shape", [(1, 1, 255, 512), (1, 1, 512, 255)])
def test_slices_smaller_than_a_block_of_blocks_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="needs slices of 256 x 256 pixels"):
        smart_net.consistency_loss(torch.zeros(shape), torch.zeros(1, 1))


def test_a_batch_without_blood_has_no_dice_but_cross_entropy() -> None:
    logits, masks = torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    assert smart_net.dice_loss(logits, masks).item() == 0
    assert smart_net.segmentation_loss(logits, masks).item() == pytest.approx(np.log(2), rel=TOLERANCE)


def test_outputs_are_named_by_the_tasks_in_their_order() -> None:
    first, second = torch.zeros(1), torch.ones(1)
    assert smart_net.by_task(first, ("cls",)) == {"cls": first}
    assert smart_net.by_task((first, second), ("cls", "rec")) == {"cls": first, "rec": second}
    with pytest.raises(ValueError, match="zip"):
        smart_net.by_task((first, second), ("cls",))
