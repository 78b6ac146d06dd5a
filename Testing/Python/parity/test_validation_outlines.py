"""Outlines: what the tasks say of a validation batch, and what they refuse, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "yaml"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.task import IGNORED, ScoredBatch
from ICHSegmenterLib.methods.smart_net.task import SmartNetSliceTask, SmartNetVolumeTask
from ICHSegmenterLib.methods.unet.task import SliceSegmentation
from loss_formulas import (
    TOLERANCE,
    Array,
    binary_entropy,
    cross_entropy,
    dice_loss,
    log_probabilities,
    logits_of,
)
from prescribed_outputs import IS_REAL, LookUp, check, images, sigmoid, task_of


def outline_masks() -> NDArray[np.int64]:
    """Four slices of 8 x 8 with 0, 12, 4 and 9 pixels of blood."""
    masks = np.zeros((4, 8, 8), dtype=np.int64)
    masks[1, 1:4, 2:6], masks[1, 1, 2:4], masks[2, 6:, 6:], masks[3, 4:7, 0:3] = 1, 5, 3, 2
    return masks


def outline_logits(classes: int) -> Array:
    """Random; one bleeding pixel is at a probability of exactly 1/2 with two classes, which is not outlined."""
    logits = logits_of(4, classes, 8, 8, seed=classes)
    if classes == 2:
        logits[3, :, 4, 0] = 1.0
    return logits


def outline_cost(logits: Array, masks: NDArray[np.int64], weights: Array, dice_of: str, dice_over: str) -> float:
    """0.3 of the Dice and 0.7 of the cross-entropy."""
    probabilities = np.exp(log_probabilities(logits))
    over = (0,) if dice_over == "batch" else ()
    if dice_of == "blood":
        dice = dice_loss(1 - probabilities[:, 0], (masks > 0).astype(np.float64), axes=(*over, 1, 2))
    else:
        truth = np.stack([masks == n for n in range(logits.shape[1])], axis=1).astype(np.float64)
        dice = dice_loss(probabilities, truth, axes=(*over, 2, 3))
    return 0.3 * dice + 0.7 * cross_entropy(logits, masks, weights)


@pytest.mark.parametrize("is_real", [IS_REAL, np.ones(4, bool)])
@pytest.mark.parametrize("dice_over", ["slice", "batch"])
@pytest.mark.parametrize("dice_of", ["classes", "blood"])
@pytest.mark.parametrize(("classes", "blood"), [(2, [3.0]), (6, [3.0]), (6, [2.0, 3.0, 4.0, 5.0, 6.0])])
def test_outlines_are_scored_by_the_real_slices(
    classes: int, blood: list[float], dice_of: str, dice_over: str, is_real: NDArray[np.bool_]
) -> None:
    logits, masks = outline_logits(classes), outline_masks()
    weights = [f"loss.blood_weight={blood}", "loss.dice_weight=0.3", "loss.cross_entropy_weight=0.7"]
    over = [f"loss.dice_of={dice_of}", f"loss.dice_over={dice_over}"]
    task = task_of(SliceSegmentation, "unet", LookUp(logits), *weights, *over)
    batch = {"image": images(4, 3, 8, 8), "mask": torch.from_numpy(masks), "is_real": torch.from_numpy(is_real)}
    scored = task.score_batch(batch)
    class_weights = np.array([1.0, *(blood * (classes - 1) if len(blood) == 1 else blood)])
    target = np.minimum(masks, classes - 1)
    loss = outline_cost(logits[is_real], target[is_real], class_weights, dice_of, dice_over)
    outlined = 1 - np.exp(log_probabilities(logits))[:, 0]
    check(scored, loss, outlined.max(axis=(1, 2)), masks.any(axis=(1, 2)).astype(float), is_real)
    inside, bleeds = (outlined > 0.5 + 1e-9).reshape(4, -1), (masks > 0).reshape(4, -1)
    dice = 2 * (inside & bleeds).sum(1) / (inside.sum(1) + bleeds.sum(1)).clip(1)
    total, count = scored.sums["val_dice"]
    counts = bleeds.any(1) & is_real
    assert int(count) == counts.sum() and float(total) == pytest.approx(dice[counts].sum(), rel=TOLERANCE)


def test_a_batch_of_fillings_alone_has_no_dice() -> None:
    task = task_of(SliceSegmentation, "unet", LookUp(outline_logits(2)))
    batch = {"image": images(4, 3, 8, 8), "mask": torch.from_numpy(outline_masks()), "is_real": torch.zeros(4) > 0}
    scored = task.score_batch(batch)
    assert scored.count == 0 and [float(n) for n in scored.sums["val_dice"]] == [0, 0]
    assert scored.scores.tolist() == [0] * 4 and scored.truth.tolist() == [IGNORED] * 4


@pytest.mark.parametrize(
    ("classes", "overrides", "message"),
    [
        (6, ["loss.blood_weight=[1.0, 2.0]"], "blood_weight has 2 numbers; give one, or 5"),
        (6, ["loss.blood_weight=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]"], "blood_weight has 6 numbers; give one, or 5"),
        (2, ["loss.blood_weight=[1.0, 2.0]"], "blood_weight has 2 numbers; give one, or 1"),
        *((n, [], f"networks have 2 or 6 classes, this one has {n}") for n in (1, 3, 5, 7)),
    ],
)
def test_outlines_whose_classes_do_not_fit_are_refused(classes: int, overrides: list[str], message: str) -> None:
    task = task_of(SliceSegmentation, "unet", LookUp(logits_of(4, classes, 8, 8)), *overrides)
    with pytest.raises(RecipeError, match=message):
        task.loss_of({"image": images(4, 3, 8, 8), "mask": torch.from_numpy(np.minimum(outline_masks(), 1))})


def smart_net_batch(side: int, *depth: int) -> tuple[dict[str, Array], dict[str, torch.Tensor]]:
    """Outputs of four slices or volumes, of which number 3 bleeds and number 1 does not."""
    shape = (side, side, *depth)
    masks = np.zeros((4, 1, *shape))
    masks[2:, :, side // 4 : side // 2, side // 8 : side // 2] = 1.0
    outputs = {"cls": logits_of(4, 1, seed=1), "seg": logits_of(4, 1, *shape, seed=2)}
    outputs["seg"][3, :, side // 4, side // 8] = 0.0  # exactly 1/2, which is not outlined
    batch = {
        "image": images(4, 1, *shape),
        "mask": torch.from_numpy(masks).float(),
        "label": torch.tensor([[1.0], [0.0], [1.0], [1.0]]),
        "is_real": torch.from_numpy(IS_REAL),
        "depths": torch.full((4,), 3),
    }
    return outputs, batch


def segmentation_cost(logits: Array, masks: Array) -> float:
    probabilities = sigmoid(logits)
    dice = 1 - 2 * (probabilities * masks).sum() / (probabilities.sum() + masks.sum())
    return float(dice + binary_entropy(logits, masks.astype(np.int64)).mean())


def check_dice(scored: ScoredBatch, logits: Array, masks: Array) -> None:
    """Number 3 alone is real and bleeds."""
    inside, bleeds = logits[3] > 0, masks[3] > 0
    total, count = scored.sums["val_dice"]
    expected = 2 * (inside & bleeds).sum() / (inside.sum() + bleeds.sum())
    assert int(count) == 1 and float(total) == pytest.approx(float(expected), rel=TOLERANCE)


def test_smart_net_scores_slices_by_its_classification() -> None:
    outputs, batch = smart_net_batch(16)
    rec = logits_of(4, 1, 16, 16, seed=3)
    network = LookUp(outputs["cls"], outputs["seg"], rec, tasks=("cls", "seg", "rec"))
    task = task_of(SmartNetSliceTask, "smart-net-up", network, "loss.consistency_weight=0")
    scored = task.score_batch(batch)
    masks, label = batch["mask"].double().numpy(), batch["label"].numpy()
    numbers = np.arange(4.0).reshape(4, 1, 1, 1)
    loss = (
        float(binary_entropy(outputs["cls"], label.astype(np.int64))[IS_REAL].mean())
        + segmentation_cost(outputs["seg"][IS_REAL], masks[IS_REAL])
        + float(np.abs(rec - numbers)[IS_REAL].mean())
    )
    check(scored, loss, sigmoid(outputs["cls"][:, 0]), label[:, 0])
    check_dice(scored, outputs["seg"], masks)


def test_smart_net_without_a_classification_scores_slices_by_their_highest_pixel() -> None:
    outputs, batch = smart_net_batch(16)
    task = task_of(SmartNetSliceTask, "smart-net-up", LookUp(outputs["seg"], tasks=("seg",)))
    masks = batch["mask"].double().numpy()
    scored = task.score_batch(batch)
    highest = sigmoid(outputs["seg"]).max(axis=(1, 2, 3))
    check(scored, segmentation_cost(outputs["seg"][IS_REAL], masks[IS_REAL]), highest, batch["label"][:, 0].numpy())
    check_dice(scored, outputs["seg"], masks)


def test_smart_net_that_only_reconstructs_knows_nothing_of_blood() -> None:
    _, batch = smart_net_batch(16)
    rec = logits_of(4, 1, 16, 16, seed=3)
    task = task_of(SmartNetSliceTask, "smart-net-up", LookUp(rec, tasks=("rec",)))
    scored = task.score_batch(batch)
    loss = float(np.abs(rec - np.arange(4.0).reshape(4, 1, 1, 1))[IS_REAL].mean())
    check(scored, loss, np.zeros(4), batch["label"][:, 0].numpy())
    assert not scored.sums


def test_smart_net_scores_exams_by_its_classification() -> None:
    outputs, batch = smart_net_batch(8, 3)
    task = task_of(SmartNetVolumeTask, "smart-net-cls", LookUp(outputs["cls"]))
    label = batch["label"].numpy()
    scored = task.score_batch(batch)
    loss = float(binary_entropy(outputs["cls"], label.astype(np.int64))[IS_REAL].mean())
    check(scored, loss, sigmoid(outputs["cls"][:, 0]), label[:, 0])
    assert not scored.sums


def test_smart_net_scores_exams_by_their_highest_voxel() -> None:
    outputs, batch = smart_net_batch(8, 3)
    task = task_of(SmartNetVolumeTask, "smart-net-seg", LookUp(outputs["seg"]))
    masks = batch["mask"].double().numpy()
    scored = task.score_batch(batch)
    highest = sigmoid(outputs["seg"]).max(axis=(1, 2, 3, 4))
    check(scored, segmentation_cost(outputs["seg"][IS_REAL], masks[IS_REAL]), highest, batch["label"][:, 0].numpy())
    check_dice(scored, outputs["seg"], masks)
