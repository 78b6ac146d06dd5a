"""What the tasks say of a validation batch, and what they refuse, against closed forms in double precision.

Each image is filled with its sample's number, by which the network looks up its output: a sample that only fills the
batch has an output too, and must not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "yaml"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning import task as training_task
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.task import IGNORED, ScoredBatch, TrainingTask
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
    log_probabilities,
    logits_of,
)

TINY_SWIN = (
    "network={name: swin_classifier, config: {num_classes: 2, image_size: 32, window_size: 4, embed_dim: 8, "
    "depths: [1, 1], num_heads: [1, 2]}}"
)
LABELS = np.array([[0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1]])
"""(slices, 6): EDH, IPH, IVH, SAH, SDH, any."""
IS_REAL = np.array([False, True, False, True])
SLICES = 60


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


@pytest.fixture
def task_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a task with a given network, which learns entirely."""

    def make(kind: type[TrainingTask], name: str, network: torch.nn.Module, *overrides: str) -> Any:
        monkeypatch.setattr(training_task, "create_model", lambda *_args, **_config: network)
        monkeypatch.setattr(training_task, "freeze", lambda *_args: None)
        return kind(load_recipe(name, list(overrides)), 0)

    return make


def check(scored: ScoredBatch, loss: float, scores: Array, truth: Array, is_real: NDArray[np.bool_] = IS_REAL) -> None:
    """A sample that fills the batch has score 0 and the truth that does not count."""
    assert float(scored.loss) == pytest.approx(loss, rel=TOLERANCE)
    assert scored.count == is_real.sum()
    assert scored.scores.tolist() == pytest.approx(np.where(is_real, scores, 0.0).tolist(), rel=TOLERANCE)
    assert scored.truth.tolist() == np.where(is_real, truth, IGNORED).tolist()


def classification_batch(is_real: NDArray[np.bool_] = IS_REAL) -> dict[str, torch.Tensor]:
    return {"image": images(4, 3, 8, 8), "label": torch.from_numpy(LABELS), "is_real": torch.from_numpy(is_real)}


@pytest.mark.parametrize("is_real", [IS_REAL, np.ones(4, bool)])
@pytest.mark.parametrize("classes", [1, 2, 6])
def test_slices_are_classified_by_the_real_ones(task_of: Any, classes: int, is_real: NDArray[np.bool_]) -> None:
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


def test_a_batch_of_fillings_alone_counts_nothing(task_of: Any) -> None:
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
def test_a_classifier_whose_classes_do_not_fit_the_loss_is_refused(
    task_of: Any, name: str, classes: int, message: str
) -> None:
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
def test_the_loss_of_another_task_is_refused(
    task_of: Any, kind: type[TrainingTask], name: str, loss: str, choose: str
) -> None:
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
    task_of: Any, classes: int, blood: list[float], dice_of: str, dice_over: str, is_real: NDArray[np.bool_]
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


def test_a_batch_of_fillings_alone_has_no_dice(task_of: Any) -> None:
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
def test_outlines_whose_classes_do_not_fit_are_refused(
    task_of: Any, classes: int, overrides: list[str], message: str
) -> None:
    task = task_of(SliceSegmentation, "unet", LookUp(logits_of(4, classes, 8, 8)), *overrides)
    with pytest.raises(RecipeError, match=message):
        task.loss_of({"image": images(4, 3, 8, 8), "mask": torch.from_numpy(np.minimum(outline_masks(), 1))})


def series_sample(first: int, labels: NDArray[np.int64], *, is_real: bool = True) -> dict[str, Any]:
    """Slices numbered from `first`; number 0 is that of an empty slice."""
    slices = torch.arange(float(first), first + len(labels)).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    return {"image": slices, "label": torch.from_numpy(labels), "is_real": is_real}


def test_series_are_padded_with_empty_slices_that_do_not_count(task_of: Any) -> None:
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


def test_series_that_only_fill_the_batch_cost_nothing(task_of: Any) -> None:
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


def test_smart_net_scores_slices_by_its_classification(task_of: Any) -> None:
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


def test_smart_net_without_a_classification_scores_slices_by_their_highest_pixel(task_of: Any) -> None:
    outputs, batch = smart_net_batch(16)
    task = task_of(SmartNetSliceTask, "smart-net-up", LookUp(outputs["seg"], tasks=("seg",)))
    masks = batch["mask"].double().numpy()
    scored = task.score_batch(batch)
    highest = sigmoid(outputs["seg"]).max(axis=(1, 2, 3))
    check(scored, segmentation_cost(outputs["seg"][IS_REAL], masks[IS_REAL]), highest, batch["label"][:, 0].numpy())
    check_dice(scored, outputs["seg"], masks)


def test_smart_net_that_only_reconstructs_knows_nothing_of_blood(task_of: Any) -> None:
    _, batch = smart_net_batch(16)
    rec = logits_of(4, 1, 16, 16, seed=3)
    task = task_of(SmartNetSliceTask, "smart-net-up", LookUp(rec, tasks=("rec",)))
    scored = task.score_batch(batch)
    loss = float(np.abs(rec - np.arange(4.0).reshape(4, 1, 1, 1))[IS_REAL].mean())
    check(scored, loss, np.zeros(4), batch["label"][:, 0].numpy())
    assert not scored.sums


def test_smart_net_scores_exams_by_its_classification(task_of: Any) -> None:
    outputs, batch = smart_net_batch(8, 3)
    task = task_of(SmartNetVolumeTask, "smart-net-cls", LookUp(outputs["cls"]))
    label = batch["label"].numpy()
    scored = task.score_batch(batch)
    loss = float(binary_entropy(outputs["cls"], label.astype(np.int64))[IS_REAL].mean())
    check(scored, loss, sigmoid(outputs["cls"][:, 0]), label[:, 0])
    assert not scored.sums


def test_smart_net_scores_exams_by_their_highest_voxel(task_of: Any) -> None:
    outputs, batch = smart_net_batch(8, 3)
    task = task_of(SmartNetVolumeTask, "smart-net-seg", LookUp(outputs["seg"]))
    masks = batch["mask"].double().numpy()
    scored = task.score_batch(batch)
    highest = sigmoid(outputs["seg"]).max(axis=(1, 2, 3, 4))
    check(scored, segmentation_cost(outputs["seg"][IS_REAL], masks[IS_REAL]), highest, batch["label"][:, 0].numpy())
    check_dice(scored, outputs["seg"], masks)
