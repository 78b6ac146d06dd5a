from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "cv2", "torchvision", "safetensors"):
    pytest.importorskip(package, reason="needs the train extra")

import lightning.pytorch as pl
from safetensors.torch import load_file

from ICHSegmenterLib.datasets.prepare import load_prepared, prepare_dataset
from ICHSegmenterLib.learning.recipe import AugmentationRecipe, Recipe
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.task import TrainingTask
from ICHSegmenterLib.methods.smart_net.dataset import SmartNetSlices, SmartNetVolumes, padded_volumes
from ICHSegmenterLib.methods.smart_net.predictor import SmartNetUpPredictor
from ICHSegmenterLib.methods.smart_net.volume_predictor import SmartNetClsPredictor
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.training.fit import TASKS, TrainerOptions, fit
from ICHSegmenterLib.weights.store import card_of
from power_cut import PowerCut
from training_layouts import write_physionet

SMALL = SmartNetPreprocessing(size=32)
CHANGES = [
    "preprocessing.size=32",
    "data.workers=0",
    "data.folds=0",
    "data.validation_share=0.3",
    "network.config={width: 4, layers: [1, 1, 1, 1]}",
]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("physionet")
    prepare_dataset(write_physionet(folder / "data", 4), folder / "cache", "physionet")
    return folder / "cache"


def slices(cache: Path) -> SmartNetSlices:
    table = load_prepared(cache)
    return SmartNetSlices(cache, table, np.arange(len(table)), SMALL, load_recipe("smart-net-up").augmentation)


def volumes(cache: Path) -> SmartNetVolumes:
    table = load_prepared(cache)
    return SmartNetVolumes(cache, table, np.arange(len(table)), SMALL, AugmentationRecipe())


def recipe(name: str, *changes: str) -> Recipe:
    return load_recipe(name, [*CHANGES, *changes])


def batch_of(dataset: SmartNetSlices, *numbers: int) -> dict[str, torch.Tensor]:
    samples = [dataset[SampleIndex(number, (number, 1))] for number in numbers]
    return {name: torch.stack([torch.as_tensor(sample[name]) for sample in samples]) for name in samples[0]}


def test_an_exam_with_blood_shows_a_bleeding_slice(cache: Path) -> None:
    dataset = slices(cache)
    assert dataset.is_positive.tolist() == [False, True, False, True]
    shown = {int(dataset[SampleIndex(1, (seed,))]["index"]) for seed in range(12)}
    assert shown == {5, 6}  # slices 1 and 2 of the second exam
    assert len({int(dataset[SampleIndex(0, (seed,))]["index"]) for seed in range(12)}) > 2


@pytest.mark.parametrize(
    ("air", "drawn"), [((0, 3), {1, 2}), ((0, 2), {1, 2, 3}), ((1, 3), {0, 1, 2}), ((2, 3), {0, 1})]
)
def test_empty_slices_at_the_ends_are_never_drawn(
    cache: Path, monkeypatch: pytest.MonkeyPatch, air: tuple[int, ...], drawn: set[int]
) -> None:
    dataset = slices(cache)
    rows = dataset._series[0]
    read = dataset._hu

    def with_air(wanted: np.ndarray) -> np.ndarray:
        return np.where(np.isin(wanted, rows[list(air)])[:, None, None], np.float32(-1000), read(wanted))

    monkeypatch.setattr(dataset, "_hu", with_air)
    shown = {int(dataset[SampleIndex(0, (seed,))]["index"]) for seed in range(40)}
    assert shown == {int(rows[n]) for n in drawn}


def test_a_series_of_nothing_but_air_is_drawn_from_all_the_same(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = slices(cache)
    read = dataset._hu
    monkeypatch.setattr(dataset, "_hu", lambda wanted: np.full_like(read(wanted), -1000))
    assert len({int(dataset[SampleIndex(0, (seed,))]["index"]) for seed in range(40)}) == len(dataset._series[0])


def test_validation_always_shows_the_same_slice(cache: Path) -> None:
    dataset = slices(cache)
    one, other = dataset[SampleIndex(0)], dataset[SampleIndex(0)]
    assert one["index"] == other["index"]
    np.testing.assert_array_equal(one["image"].numpy(), other["image"].numpy())


def test_a_slice_spans_zero_to_one_and_carries_its_label(cache: Path) -> None:
    for number in range(4):
        sample = slices(cache)[SampleIndex(number, (number,))]
        assert sample["image"].shape == sample["mask"].shape == (1, 32, 32)
        assert float(sample["image"].min()) == 0 and float(sample["image"].max()) == 1
        assert float(sample["label"]) == float(sample["mask"].max()) == number % 2


def test_volumes_of_different_depth_are_padded_at_the_end(cache: Path) -> None:
    dataset = volumes(cache)
    first, second = dataset[SampleIndex(0)], dataset[SampleIndex(1)]
    first["image"], first["mask"] = first["image"][..., :2], first["mask"][..., :2]
    batch = padded_volumes([first, second])
    assert batch["image"].shape == (2, 1, 32, 32, 4)
    assert batch["depths"].tolist() == [2, 4]
    assert not batch["image"][0, ..., 2:].any()
    assert batch["label"].tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("variant", "has_dice"),
    [("smart_net_up", True), ("smart_net_up_dual_cls_rec", False), ("smart_net_up_single_seg", True)],
)
def test_variants_learn_all_their_tasks(variant: str, has_dice: bool, cache: Path) -> None:
    task = TASKS["smart-net-slices"](recipe("smart-net-up", f"network.name={variant}", "loss.consistency_weight=0"), 0)
    batch = batch_of(slices(cache), 0, 1)
    task.train()
    task.loss_of(batch).backward()
    assert all(one.grad is not None for one in task.network.parameters())
    task.eval()
    with torch.no_grad():
        judged = task.score_batch({**batch, "is_real": torch.tensor([True, False])})
    assert judged.count == 1 and ("val_dice" in judged.sums) == has_dice
    assert judged.truth.tolist() == [0.0, -1.0]


def test_the_consistency_loss_says_which_size_it_needs(cache: Path) -> None:
    task = TASKS["smart-net-slices"](recipe("smart-net-up"), 0)
    with torch.no_grad(), pytest.raises(ValueError, match="needs slices of 256 x 256 pixels"):
        task.loss_of(batch_of(slices(cache), 1))


@pytest.mark.parametrize("name", ["smart-net-cls", "smart-net-seg"])
def test_exams_are_learned_with_a_frozen_encoder_first(name: str, cache: Path) -> None:
    task = TASKS["smart-net-volumes"](recipe(name), 0)
    batch = padded_volumes([volumes(cache)[SampleIndex(number)] for number in (0, 1)])
    task.train()
    before = task.network.encoder.bn1.running_mean.clone()
    task.loss_of(batch).backward()
    learned = {key for key, one in task.network.named_parameters() if one.grad is not None}
    assert learned and not any(key.startswith("encoder.") for key in learned)
    torch.testing.assert_close(task.network.encoder.bn1.running_mean, before, rtol=0, atol=0)
    task.eval()
    with torch.no_grad():
        assert task.score_batch(batch).truth.tolist() == [0.0, 1.0]


def test_the_quirk_of_drifting_norms_moves_a_frozen_encoder(cache: Path) -> None:
    task = TASKS["smart-net-volumes"](recipe("smart-net-cls", "phases.0.update_frozen_batchnorm=true"), 0)
    task.train()
    before = task.network.encoder.bn1.running_mean.clone()
    task.loss_of(padded_volumes([volumes(cache)[SampleIndex(1)]]))
    assert not torch.equal(task.network.encoder.bn1.running_mean, before)


def test_the_encoder_thaws_from_its_end() -> None:
    phases = recipe("smart-net-seg").phases
    assert sum(one.max_epochs for one in phases) == 500
    thawed = [len([name for name in one.trains if name.startswith("encoder.")]) for one in phases[:-1]]
    assert thawed == [0, 1, 2, 3, 4]
    assert phases[-1].trains == "all"
    assert all(one.starts_from == "last" for one in phases[1:])


def test_the_rate_follows_the_epochs_of_all_phases() -> None:
    settings = recipe("smart-net-cls", "phases.0.max_epochs=20", "phases.5.max_epochs=40")
    parameter = torch.nn.Parameter(torch.zeros(1))

    def rate(phase: int) -> float:
        task = TrainingTask.__new__(TrainingTask)
        torch.nn.Module.__init__(task)
        task.recipe, task.phase_number = settings, phase
        optimizer = torch.optim.SGD([parameter], 1.0)
        task._by_epoch(optimizer)
        return float(optimizer.param_groups[0]["lr"])

    assert rate(0) == 0  # the warm-up begins
    assert rate(1) == pytest.approx(1 - (20 - 10) / 90)
    assert rate(5) == pytest.approx(1 - (60 - 10) / 90)


@pytest.mark.parametrize("lags", [False, True])
def test_the_rate_may_restart_every_hundred_epochs_above_the_one_given(lags: bool) -> None:
    settings = recipe(
        "smart-net-up",
        "optimizer.schedule=smart-net-cosine",
        f"optimizer.schedule_lags={str(lags).lower()}",
        "phases.0.learning_rate=1.0e-5",
    )
    task = TrainingTask.__new__(TrainingTask)
    torch.nn.Module.__init__(task)
    task.recipe, task.phase_number, task.phase = settings, 0, settings.phases[0]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], task.phase.learning_rate)
    scheduler = task._by_epoch(optimizer)
    rates = []
    for _ in range(202):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    assert rates[0] == rates[int(lags)] == pytest.approx(1e-5)
    assert rates[10 + lags] == pytest.approx(1e-3)
    assert rates[100 + lags] == pytest.approx(1e-5)
    assert rates[110 + lags] == pytest.approx(0.6e-3)
    assert min(rates) == pytest.approx(1e-5)


@pytest.mark.slow
def test_moments_go_on_when_the_encoder_thaws(cache: Path, tmp_path: Path) -> None:
    class Moments(pl.Callback):
        def __init__(self) -> None:
            self.at_start: list[dict[str, float]] = []
            self.at_end: list[dict[str, float]] = []

        def _steps(self, trainer: pl.Trainer, task: TrainingTask) -> dict[str, float]:
            state = trainer.optimizers[0].state
            learned = {name: state[one]["step"] for name, one in task.network.named_parameters() if one in state}
            return {name: float(step) for name, step in learned.items()}

        def on_train_start(self, trainer: pl.Trainer, pl_module: TrainingTask) -> None:
            self.at_start.append(self._steps(trainer, pl_module))

        def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingTask) -> None:
            self.at_end.append(self._steps(trainer, pl_module))

    def watched(kept: str) -> Moments:
        watcher = Moments()
        phases = (
            "phases=[{learning_rate: 0.01, max_epochs: 1, patience: 0, trains: [LSTM., fc., head.]}, "
            f"{{learning_rate: 0.01, max_epochs: 1, patience: 0, starts_from: last, keeps_optimizer: {kept}, "
            "trains: [fc., head., encoder.layer4.]}]"
        )
        settings = recipe("smart-net-cls", phases, "optimizer.schedule=constant", "data.batch_size=1")
        fit(settings, cache, tmp_path / kept, machine=TrainerOptions("cpu", 1, progress=False), callbacks=[watcher])
        return watcher

    kept, anew = watched("true"), watched("false")
    first = kept.at_end[0]
    assert first["head.weight"] > 0
    assert not any(name.startswith("encoder.") for name in first)
    assert kept.at_start == [{}, {name: step for name, step in first.items() if not name.startswith("LSTM.")}]
    assert kept.at_end[1]["head.weight"] == 2 * first["head.weight"]
    assert kept.at_end[1]["encoder.layer4.0.conv1.weight"] == first["head.weight"]
    assert anew.at_start == [{}, {}]


def test_smart_net_keeps_one_optimizer_while_its_encoder_thaws() -> None:
    for name in ("smart-net-cls", "smart-net-seg"):
        assert [one.keeps_optimizer for one in recipe(name).phases] == [False, True, True, True, True, True]


@pytest.mark.slow
def test_an_upstream_encoder_is_carried_downstream(cache: Path, tmp_path: Path) -> None:
    here = TrainerOptions("cpu", 1, progress=False)
    one_epoch = ["data.batch_size=2", "optimizer.schedule=constant", "phases.0.max_epochs=1", "optimizer.name=sgd"]
    up = fit(
        recipe("smart-net-up", "network.name=smart_net_up_single_cls", *one_epoch), cache, tmp_path / "up", machine=here
    )
    first = "phases=[{learning_rate: 0.01, max_epochs: 1, patience: 0, trains: [LSTM., fc., head.]}]"
    changes = [first, f"network.initial_weights={up.weights}", "optimizer.name=sgd", "optimizer.schedule=constant"]
    down = fit(recipe("smart-net-cls", *changes), cache, tmp_path / "down", machine=here)
    above, below = load_file(up.weights), load_file(down.weights)
    carried = [key for key in below if key.startswith("encoder.")]
    assert len(carried) == len([key for key in above if key.startswith("encoder.")]) > 90
    assert all(torch.equal(above[key], below[key]) for key in carried)
    for method, predictor, weights in (
        ("smart-net-up", SmartNetUpPredictor, up.weights),
        ("smart-net-cls", SmartNetClsPredictor, down.weights),
    ):  # the card beside the weights says how narrow the network is
        loaded = predictor.load(card_of(method, (weights,)), [weights], device="cpu", precision="float32")
        assert loaded.batch_size


@pytest.mark.slow
def test_every_voxel_is_learned_and_a_killed_training_ends_at_the_same_weights(cache: Path, tmp_path: Path) -> None:
    """Killed in the second phase, in which the encoder's last layer has thawed."""
    decoder = "seg_decoder., conv1., bn1., conv2., bn2., head."
    phases = (
        f"phases=[{{learning_rate: 1.0e-4, max_epochs: 1, patience: 0, trains: [{decoder}]}}, "
        "{learning_rate: 1.0e-4, max_epochs: 1, patience: 0, starts_from: last, keeps_optimizer: true, "
        f"trains: [{decoder}, encoder.layer4.]}}]"
    )
    settings = recipe(
        "smart-net-seg", phases, "optimizer.schedule=constant", "data.batch_size=1", "checkpoint_every_steps=1"
    )
    here = TrainerOptions("cpu", 1, progress=False)
    steps = 2
    whole = fit(settings, cache, tmp_path / "whole", machine=here)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(settings, cache, tmp_path / "cut", machine=here, callbacks=[PowerCut(steps + 1)])
    assert not (tmp_path / "cut" / "smart-net-seg.safetensors").exists()
    resumed = fit(settings, cache, tmp_path / "cut", machine=here, resume=True)
    one, other = load_file(whole.weights), load_file(resumed.weights)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    start = TASKS["smart-net-volumes"](settings, 0).network.state_dict()
    learned = {key.split(".")[0] for key in one if "weight" in key and not torch.equal(one[key], start[key])}
    assert learned == {"seg_decoder", "conv1", "bn1", "conv2", "bn2", "head", "encoder"}
    moved = {key for key in one if key.startswith("encoder.") and not torch.equal(one[key], start[key])}
    assert moved and all(key.startswith("encoder.layer4.") for key in moved)
    assert all(np.isfinite(value) for value in resumed.results.values())


@pytest.mark.parametrize("name", ["smart-net-up", "smart-net-cls", "smart-net-seg"])
def test_the_layout_of_the_weights_changes_a_step_by_rounding_only(name: str) -> None:
    random, settings = torch.Generator().manual_seed(0), recipe(name)
    image = torch.rand(2, 1, 32, 32, *(() if name == "smart-net-up" else (2,)), generator=random)
    batch = {"image": image, "label": torch.tensor([[0.0], [1.0]]), "mask": (image > 0.9).float()}
    batch["image"] = image.double()
    batch["depths"] = torch.tensor([2, 2])
    settings = replace(settings, loss=replace(settings.loss, consistency_weight=0.0))  # for slices of 256 pixels
    losses, gradients = [], []
    for is_plain in (False, True):
        task = TASKS[settings.task](settings, len(settings.phases) - 1).eval()
        task.double()  # so that no maximum changes its place
        weight = task.network.encoder.layer1[0].conv2.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)
        if is_plain:
            for parameter in task.network.parameters():
                parameter.data = parameter.data.contiguous()
        loss = task.loss_of(batch)
        loss.backward()
        losses.append(loss.item())
        learned = [one.grad.flatten() for one in task.parameters() if one.grad is not None]
        gradients.append(torch.cat(learned))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    difference = (gradients[0] - gradients[1]).abs().max()
    assert 0 <= difference < 1e-6 * gradients[1].abs().max()
