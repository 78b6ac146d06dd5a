"""Classification: what the tasks say of a validation batch, and what they refuse, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "yaml"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.task import IGNORED, TrainingTask
from ICHSegmenterLib.methods.rsna_sequence.task import SeriesClassification
from ICHSegmenterLib.methods.rsna_sequence.task import log_loss as torch_log_loss
from ICHSegmenterLib.methods.smart_net.task import SmartNetSliceTask, SmartNetVolumeTask
from ICHSegmenterLib.methods.swin.task import CellClassifier, SliceClassification, any_probability
from ICHSegmenterLib.methods.unet.task import SliceSegmentation
from loss_formulas import (
    TOLERANCE,
    Array,
    binary_entropy,
    cross_entropy,
    dice_loss,
    focal,
    log_loss,
    logits_of,
)
from prescribed_outputs import IS_REAL, LABELS, LookUp, check, images, sigmoid, task_of

TINY_SWIN = (
    "network={name: swin_classifier, config: {num_classes: 2, image_size: 32, window_size: 4, embed_dim: 8, "
    "depths: [1, 1], num_heads: [1, 2]}}"
)
SLICES = 60


def classification_batch(is_real: NDArray[np.bool_] = IS_REAL) -> dict[str, torch.Tensor]:
    return {"image": images(4, 3, 8, 8), "label": torch.from_numpy(LABELS), "is_real": torch.from_numpy(is_real)}


@pytest.mark.parametrize("is_real", [IS_REAL, np.ones(4, bool)])
@pytest.mark.parametrize("classes", [1, 2, 6])
def test_slices_are_classified_by_the_real_ones(classes: int, is_real: NDArray[np.bool_]) -> None:
    logits = logits_of(4, classes)
    task = task_of(SliceClassification, {1: "swin-sam", 2: "hgi-sam", 6: "swin-sam-multi"}[classes], LookUp(logits))
    z, any_label = logits[is_real], LABELS[is_real, 5]
    loss = {
        1: lambda: focal(z, any_label[:, None]),
        2: lambda: cross_entropy(z, any_label, np.ones(2)),
        6: lambda: focal(z, LABELS[is_real]),
    }[classes]()
    score = sigmoid(logits[:, 1] - logits[:, 0]) if classes == 2 else sigmoid(logits[:, -1])
    check(task.score_batch(classification_batch(is_real)), loss, score, LABELS[:, 5], is_real)


def test_a_batch_of_fillings_alone_counts_nothing() -> None:
    task = task_of(SliceClassification, "hgi-sam", LookUp(logits_of(4, 2)))
    scored = task.score_batch(classification_batch(np.zeros(4, bool)))
    assert scored.count == 0 and scored.loss.isfinite()
    assert scored.scores.tolist() == [0] * 4 and scored.truth.tolist() == [IGNORED] * 4


def test_the_probability_of_any_hemorrhage_follows_the_classes() -> None:
    for classes, expected in (
        (1, lambda z: sigmoid(z[:, 0])),
        (2, lambda z: sigmoid(z[:, 1] - z[:, 0])),
        (6, lambda z: sigmoid(z[:, 5])),
    ):
        logits = logits_of(4, classes, seed=classes)
        probability = any_probability(torch.from_numpy(logits).float())
        np.testing.assert_allclose(probability.numpy(), expected(logits), rtol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "classes", "message"),
    [
        *(("hgi-sam", n, f"cross-entropy needs num_classes 2, the network has {n}; choose loss focal") for n in (1, 6)),
        *(("swin-sam", n, f"the focal loss needs num_classes 1 or 6, the network has {n}") for n in (2, 5, 7)),
    ],
)
def test_a_classifier_whose_classes_do_not_fit_the_loss_is_refused(name: str, classes: int, message: str) -> None:
    task = task_of(SliceClassification, name, LookUp(logits_of(4, classes)))
    with pytest.raises(RecipeError, match=message):
        task.loss_of(classification_batch())


@pytest.mark.parametrize(
    ("kind", "name", "loss", "choose"),
    [
        (SliceClassification, "hgi-sam", "dice-cross-entropy", "cross-entropy or focal"),
        (SliceClassification, "hgi-sam", "smart-net", "cross-entropy or focal"),
        (SliceSegmentation, "unet", "cross-entropy", "dice-cross-entropy"),
        (SliceSegmentation, "unet", "focal", "dice-cross-entropy"),
        (SeriesClassification, "rsna-sequence", "focal", "sequence-log"),
        (SeriesClassification, "rsna-sequence", "smart-net", "sequence-log"),
        (SmartNetSliceTask, "smart-net-up", "focal", "smart-net"),
        (SmartNetVolumeTask, "smart-net-seg", "focal", "smart-net"),
    ],
)
def test_the_loss_of_another_task_is_refused(kind: type[TrainingTask], name: str, loss: str, choose: str) -> None:
    with pytest.raises(RecipeError, match=f"loss {loss} is not for .*choose {choose}"):
        task_of(kind, name, LookUp(logits_of(1, 1)), f"loss.name={loss}")


def cell_masks() -> NDArray[np.int64]:
    """Two slices of 32 x 32: an outline over several cells with a label above 1, and one pixel in a corner."""
    masks = np.zeros((2, 32, 32), dtype=np.int64)
    masks[0, 3:11, 14:25], masks[1, 31, 0] = 3, 1
    return masks


def cell_cost(logits: Array, masks: NDArray[np.int64]) -> float:
    """Cross-entropy in which a cell with blood has weight 4, and one Dice of all cells; logits (B, rows, columns)."""
    batch, rows, columns = logits.shape
    blocks = (masks > 0).reshape(batch, rows, 32 // rows, columns, 32 // columns)
    bleeds = blocks.any(axis=(2, 4)).astype(np.float64)
    entropy = (binary_entropy(logits, bleeds.astype(np.int64)) * np.where(bleeds == 1, 4.0, 1.0)).mean()
    return float(entropy) + dice_loss(sigmoid(logits), bleeds, axes=(0, 1, 2))


def test_cells_add_their_weight_times_the_mean_cost_of_the_stages() -> None:
    """The features come from hooks of their own, and the layers are applied in double precision."""
    task = SliceClassification(load_recipe("hgi-sam", [TINY_SWIN, "loss.cell_weight=3.0"]), 0)
    assert isinstance(task._cells, CellClassifier)
    features: list[Array] = []
    for stage in task.network.swin.layers:
        stage.register_forward_hook(lambda _stage, _inputs, output: features.append(output.detach().double().numpy()))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    masks, labels = cell_masks(), LABELS[:2]
    batch = {"image": images, "mask": torch.from_numpy(masks), "label": torch.from_numpy(labels)}
    with torch.no_grad():
        for layer in task._cells.layers:
            layer.weight.mul_(4)
        cost = float(task.loss_of(batch))
        logits = task.network(images).double().numpy()
    layers = [(n.weight.detach().double().numpy()[0], float(n.bias.detach())) for n in task._cells.layers]
    cells = [
        cell_cost(stage @ weight + bias, masks) for stage, (weight, bias) in zip(features[:2], layers, strict=True)
    ]
    assert [stage.shape[1:3] for stage in features[:2]] == [(8, 8), (4, 4)]
    assert cost == pytest.approx(cross_entropy(logits, labels[:, 5], np.ones(2)) + 3 * np.mean(cells), rel=TOLERANCE)
    without = SliceClassification(load_recipe("hgi-sam", [TINY_SWIN, "loss.cell_weight=0"]), 0)
    assert without._cells is None


def test_cells_of_another_network_are_refused() -> None:
    with pytest.raises(RecipeError, match="cell_weight is for swin_classifier, the network is LookUp"):
        CellClassifier(LookUp(logits_of(1, 1)))


def series_sample(first: int, labels: NDArray[np.int64], *, is_real: bool = True) -> dict[str, Any]:
    """Slices numbered from `first`; number 0 is that of an empty slice."""
    slices = torch.arange(float(first), first + len(labels)).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    return {"image": slices, "label": torch.from_numpy(labels), "is_real": is_real}


def test_series_are_padded_with_empty_slices_that_do_not_count() -> None:
    logits = logits_of(20, 6, seed=1)
    network = LookUp(logits, logits_of(20, 6, seed=2))
    task = task_of(SeriesClassification, "rsna-sequence", network)
    unknown = LABELS[:3].copy()
    unknown[1, 4] = IGNORED
    scored = task.score_batch(
        [series_sample(1, LABELS), series_sample(5, unknown), series_sample(8, LABELS, is_real=False)]
    )
    assert network.shape == (SLICES, 3, 8, 8)
    rows = np.zeros((3, SLICES), dtype=int)
    rows[0, :4], rows[1, :3], rows[2, :4] = range(1, 5), range(5, 8), range(8, 12)
    truth = np.full((3, SLICES), IGNORED)
    truth[0, :4], truth[1, :3] = LABELS[:, 5], LABELS[:3, 5]
    loss = (log_loss(logits[1:5], LABELS) + log_loss(logits[5:8], unknown)) / 2
    assert float(scored.loss) == pytest.approx(loss, rel=TOLERANCE) and scored.count == 2
    np.testing.assert_allclose(scored.scores.numpy(), sigmoid(logits[rows.ravel(), 5]), rtol=TOLERANCE)
    assert scored.truth.tolist() == truth.ravel().tolist()


def test_series_that_only_fill_the_batch_cost_nothing() -> None:
    task = task_of(SeriesClassification, "rsna-sequence", LookUp(logits_of(20, 6), logits_of(20, 6)))
    scored = task.score_batch([series_sample(1, LABELS, is_real=False)])
    assert float(scored.loss) == 0 and scored.count == 0
    assert scored.truth.tolist() == [IGNORED] * SLICES


def test_a_series_of_unknown_labels_costs_nothing_and_one_known_label_its_weight() -> None:
    logits = logits_of(4, 6)
    labels = np.full((4, 6), IGNORED)
    assert float(torch_log_loss(torch.from_numpy(logits), torch.from_numpy(labels))) == 0
    labels[2, 5] = 1
    cost = float(torch_log_loss(torch.from_numpy(logits), torch.from_numpy(labels)))
    assert cost == pytest.approx(2 * np.logaddexp(0, -logits[2, 5]) / (1 + 1e-5), rel=1e-6)
