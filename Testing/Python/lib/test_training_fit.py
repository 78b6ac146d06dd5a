from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "safetensors", "tensorboard"):
    pytest.importorskip(package, reason="needs the train extra")

import lightning.pytorch as pl
from safetensors.torch import load_file

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.datasets.prepare import load_prepared, prepare_dataset
from ICHSegmenterLib.datasets.splits import load_split, split_patients
from ICHSegmenterLib.errors import RecipeError, TrainingDataError, WeightsError
from ICHSegmenterLib.evaluation.thresholds import read_folds
from ICHSegmenterLib.learning.recipe import OptimizerRecipe, PhaseRecipe, Recipe
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.task import freeze, make_optimizer, schedule_factor
from ICHSegmenterLib.methods.rsna_sequence.task import log_loss
from ICHSegmenterLib.methods.swin.task import SliceClassification
from ICHSegmenterLib.methods.unet.predictor import UnetPredictor
from ICHSegmenterLib.methods.unet.task import SliceSegmentation
from ICHSegmenterLib.models import create_model, load_checkpoint
from ICHSegmenterLib.training.callbacks import StepProgress
from ICHSegmenterLib.training.cross_validation import fit_folds
from ICHSegmenterLib.training.data_module import TrainingData
from ICHSegmenterLib.training.fit import TrainerOptions, fit
from ICHSegmenterLib.training.initial_weights import start_from
from ICHSegmenterLib.training.trained_model import write_trained_model
from ICHSegmenterLib.weights.store import import_files
from power_cut import PowerCut
from training_layouts import write_nifti_folder, write_physionet, write_rsna

ROOT = Path(__file__).resolve().parents[3]
HERE = TrainerOptions("cpu", 1, progress=False)
SMALL = ["preprocessing.resize=40", "preprocessing.crop=32", "data.workers=0", "data.batch_size=4", "seed=3"]
NARROW = "network.config={variant: release, widths: [8, 16, 24, 32]}"
TINY_SWIN = "config: {num_classes: 2, image_size: 32, window_size: 4, embed_dim: 8, depths: [2, 2], num_heads: [1, 2]}"

pytestmark = pytest.mark.usefixtures("one_thread")


def unet(*changes: str) -> Recipe:
    epochs = ["phases.0.max_epochs=2", "data.evaluation_batch_size=3"]
    return load_recipe("unet", [*SMALL, NARROW, "data.folds=2", *epochs, *changes])


def hgi_sam(*changes: str) -> Recipe:
    network = "network={name: swin_classifier, " + TINY_SWIN + "}"
    epochs = ["phases.0.max_epochs=2", "phases.1.max_epochs=2", "checkpoint_every_steps=1"]
    return load_recipe("hgi-sam", [*SMALL, network, *epochs, "data.validation_share=0.3", *changes])


@pytest.fixture(scope="module")
def physionet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("physionet")
    prepare_dataset(write_physionet(folder / "data", 8), folder / "cache", "physionet")
    return folder / "cache"


@pytest.fixture(scope="module")
def rsna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rsna")
    prepare_dataset(write_rsna(folder / "data", 8), folder / "cache", "rsna")
    return folder / "cache"


class Watcher(pl.Callback):
    """Writes down which slices each step saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, list[int]]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append((trainer.current_epoch, batch["index"].tolist()))


class Listener(pl.Callback):
    """Writes down how much of Lightning is heard in each step."""

    def __init__(self) -> None:
        self.levels: set[int] = set()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.levels.add(logging.getLogger("lightning.pytorch").level)


class FirstBatch(pl.Callback):
    """Keeps a copy of the first training batch."""

    def __init__(self) -> None:
        self.batch: dict[str, Any] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.batch = self.batch or {name: value.clone() for name, value in batch.items()}


def rows_of(output: Path) -> list[dict[str, str]]:
    with (output / "metrics.csv").open(newline="") as stream:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]


def equal_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(("after", "accumulate"), [(3, 1), (5, 1), (7, 1), (6, 2)])
def test_a_killed_training_resumes_to_the_same_weights(
    after: int, accumulate: int, physionet: Path, tmp_path: Path
) -> None:
    """At the end of an epoch, in the middle of the second, and between two writings of last.ckpt in the third."""
    recipe = unet("phases.0.max_epochs=3", "checkpoint_every_steps=2", f"optimizer.accumulate={accumulate}")
    whole = fit(recipe, physionet, tmp_path / "whole", machine=HERE)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(recipe, physionet, tmp_path / "cut", machine=HERE, callbacks=[PowerCut(after)])
    assert not (tmp_path / "cut" / "unet.safetensors").exists()
    resumed = fit(recipe, physionet, tmp_path / "cut", machine=HERE, resume=True)
    assert equal_weights(whole.weights, resumed.weights)
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "cut")


def test_lightning_is_silent_only_while_it_trains(
    physionet: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="lightning.pytorch")
    logger, listener, recipe = logging.getLogger("lightning.pytorch"), Listener(), unet("phases.0.max_epochs=1")
    with pytest.raises(RuntimeError, match="power cut"):
        fit(recipe, physionet, tmp_path, machine=HERE, callbacks=[listener, PowerCut(1)])
    assert logger.level == logging.DEBUG
    fit(recipe, physionet, tmp_path, machine=HERE, callbacks=[listener], resume=True)
    assert logger.level == logging.DEBUG
    assert listener.levels == {logging.WARNING}


def test_every_epoch_has_its_own_order(physionet: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    fit(unet("phases.0.max_epochs=3"), physionet, tmp_path, machine=HERE, callbacks=[watcher])
    epochs = [[slices for at, slices in watcher.seen if at == epoch] for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_training_killed_twice_within_one_step_resumes_exactly(physionet: Path, tmp_path: Path) -> None:
    """The second kill falls between two batches whose gradients are summed."""
    recipe = unet("optimizer.accumulate=2", "checkpoint_every_steps=1", "data.batch_size=2")
    whole = fit(recipe, physionet, tmp_path / "whole", machine=HERE)
    for number, after in enumerate((3, 1)):
        with pytest.raises(RuntimeError, match="power cut"):
            fit(recipe, physionet, tmp_path / "cut", machine=HERE, callbacks=[PowerCut(after)], resume=number > 0)
    resumed = fit(recipe, physionet, tmp_path / "cut", machine=HERE, resume=True)
    assert equal_weights(whole.weights, resumed.weights)


def test_dropout_and_a_second_phase_resume_exactly_too(rsna: Path, tmp_path: Path) -> None:
    recipe = hgi_sam("phases.0.max_epochs=1")
    whole = fit(recipe, rsna, tmp_path / "whole", machine=HERE)
    assert [row["phase"] for row in rows_of(tmp_path / "whole")] == ["0.0", "1.0", "1.0"]
    steps = int(float(rows_of(tmp_path / "whole")[0]["step"]))
    with pytest.raises(RuntimeError, match="power cut"):
        fit(recipe, rsna, tmp_path / "cut", machine=HERE, callbacks=[PowerCut(steps + 1)])
    resumed = fit(recipe, rsna, tmp_path / "cut", machine=HERE, resume=True)
    assert equal_weights(whole.weights, resumed.weights)
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "cut")


def test_a_training_leaves_all_that_is_promised(physionet: Path, tmp_path: Path) -> None:
    recipe = unet("phases.0.max_epochs=1")
    trained = fit(recipe, physionet, tmp_path, machine=HERE)
    for name in ("recipe.yaml", "split.json", "metrics.csv", "curves.png", "examples.png", "unet.json"):
        assert (tmp_path / name).stat().st_size > 0, name
    assert {path.name for path in (tmp_path / "checkpoints" / "phase-1").iterdir()} >= {"best.ckpt", "last.ckpt"}
    assert list((tmp_path / "tensorboard").rglob("events*"))
    assert load_recipe(tmp_path / "recipe.yaml") == recipe
    card = json.loads((tmp_path / "unet.json").read_text())
    assert card["network"] == "unet" and card["preprocessing"]["crop"] == 32
    assert card["made_with"]["ichsegmenter"] and card["made_with"]["torch"]
    assert card["size"] == trained.weights.stat().st_size
    assert card["results"]["val_loss"] == trained.results["val_loss"]


def test_trained_weights_are_used_by_the_method(physionet: Path, tmp_path: Path) -> None:
    recipe = unet("network.config={variant: release}", "phases.0.max_epochs=1")
    trained = fit(recipe, physionet, tmp_path, machine=HERE)
    predictor = UnetPredictor.load(get_card("unet"), [trained.weights], device="cpu", precision="float32")
    assert predictor.batch_size


@pytest.mark.parametrize("name", ["unet", "hgi-sam", "swin-sam-multi", "rsna-sequence"])
def test_what_a_recipe_leaves_can_be_imported(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    weights = write_trained_model(torch.nn.Linear(2, 2), recipe, tmp_path, {"val_loss": 0.5})
    assert [file.name for file in import_files([weights])] == [f"{name}.safetensors"]


def test_a_step_moves_every_weight_against_the_gradient_of_the_loss(physionet: Path, tmp_path: Path) -> None:
    """One step of plain gradient descent, repeated by hand from the same start on the same batch.

    Both gradients come from single precision, where the order of sums may differ: a thousandth of the step is far above
    that. A weight and its step are rounded once each.
    """
    watcher, rate = FirstBatch(), 0.1
    recipe = unet(
        "data.batch_size=12",
        "phases.0.max_epochs=1",
        "phases.0.max_steps=1",
        f"phases.0.learning_rate={rate}",
        "optimizer.name=sgd",
        "optimizer.momentum=0.0",
        "optimizer.weight_decay=0.0",
    )
    trained = fit(recipe, physionet, tmp_path, machine=HERE, callbacks=[watcher])
    torch.manual_seed(recipe.seed)
    network = create_model("unet", **recipe.network.config).train()
    probabilities, truth = network(watcher.batch["image"]).softmax(dim=1), watcher.batch["mask"] > 0
    truth = torch.stack((~truth, truth), dim=1).float()
    overlaps, sizes = (probabilities * truth).sum((2, 3)), (probabilities + truth).sum((2, 3))
    entropy = -(truth * probabilities.log()).sum(1).mean()
    (0.5 * entropy + 0.5 * (1 - (2 * overlaps + 1e-5) / (sizes + 1e-5)).mean()).backward()
    saved, eps = load_file(trained.weights), torch.finfo(torch.float32).eps
    assert watcher.batch["mask"].any()
    for name, weight in network.named_parameters():
        step = rate * weight.grad
        missed = (saved[name] - (weight - step)).norm()
        assert missed <= 1e-3 * step.norm() + eps * weight.norm(), name
    assert not torch.equal(saved["head.weight"], network.head.weight)


def test_the_head_learns_alone_and_the_rest_is_really_frozen(rsna: Path, tmp_path: Path) -> None:
    fit(hgi_sam("phases.1.max_epochs=1"), rsna, tmp_path, machine=HERE)
    first, second = (
        torch.load(tmp_path / "checkpoints" / f"phase-{number}" / "last.ckpt", weights_only=True)["state_dict"]
        for number in (1, 2)
    )
    torch.manual_seed(3)
    initial = create_model("swin_classifier", **hgi_sam().network.config).state_dict()
    for key, value in initial.items():
        same = torch.equal(first[f"network.{key}"], value)
        assert same != key.startswith("head."), key
    assert not torch.equal(
        second["network.swin.patch_embed.proj.weight"], first["network.swin.patch_embed.proj.weight"]
    )


def test_frozen_layers_keep_their_statistics() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.Conv2d(2, 1, 1))
    freeze(network, PhaseRecipe(1e-3, trains=("1.",)))
    task = SliceSegmentation(unet(), 0)
    task.network = network
    task.train()
    assert not network[0].training and network[1].training
    with pytest.raises(RecipeError, match="no parameter begins with 'encoder'; the network has 0, 1"):
        freeze(network, PhaseRecipe(1e-3, trains="encoder"))


def test_accumulated_batches_equal_one_large_batch(physionet: Path, tmp_path: Path) -> None:
    settings = ["phases.0.max_epochs=1", "optimizer.name=sgd"]
    one = fit(unet("data.batch_size=12", *settings), physionet, tmp_path / "one", machine=HERE)
    two = fit(unet("data.batch_size=4", "optimizer.accumulate=3", *settings), physionet, tmp_path / "two", machine=HERE)
    first, second = load_file(one.weights), load_file(two.weights)
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "classes"), [("swin-sam", 1), ("swin-sam-multi", 6)])
def test_focal_losses_train_binary_and_six_label_networks(name: str, classes: int, rsna: Path, tmp_path: Path) -> None:
    network = "network={name: swin_classifier, " + TINY_SWIN.replace("num_classes: 2", f"num_classes: {classes}") + "}"
    recipe = load_recipe(name, [*SMALL, network, "phases.0.max_epochs=1", "data.validation_share=0.3"])
    trained = fit(recipe, rsna, tmp_path, machine=HERE)
    assert np.isfinite(trained.results["val_loss"])
    assert load_file(trained.weights)["head.weight"].shape[0] == classes


def test_series_are_learned_from_whole(rsna: Path, tmp_path: Path) -> None:
    network = "network.config={embed_dim: 8, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2]}"
    changes = [network, "data.workers=0", "data.validation_share=0.3", "phases.0.max_steps=3"]
    trained = fit(load_recipe("rsna-sequence", changes), rsna, tmp_path, machine=HERE)
    assert np.isfinite(trained.results["val_loss"])
    assert [row["step"] for row in rows_of(tmp_path)] == ["3.0"]


def test_the_series_loss_divides_by_entries_not_by_weights() -> None:
    logits, labels = torch.zeros(3, 6), torch.zeros(3, 6)
    labels[2] = -1
    torch.testing.assert_close(log_loss(logits, labels), torch.tensor(np.log(2) * 7 / 6, dtype=torch.float32))


def test_the_schedule_of_the_sequence_network_is_the_published_one() -> None:
    settings = OptimizerRecipe(schedule="warmup-cosine", warmup_steps=300, schedule_steps=60000)
    assert schedule_factor(settings, 0) == 0
    assert schedule_factor(settings, 150) == 0.5
    assert schedule_factor(settings, 300) == 1
    assert schedule_factor(settings, 30150) == pytest.approx(0.5)
    assert schedule_factor(settings, 60000) == pytest.approx(0)


def test_the_quirk_of_softmax_before_cross_entropy_flattens_the_loss() -> None:
    batch = {"image": torch.zeros(2, 3, 32, 32), "label": torch.ones(2, 6, dtype=torch.int64)}
    plain, quirky = (
        SliceClassification(hgi_sam(f"loss.softmax_before_cross_entropy={value}"), 0) for value in ("false", "true")
    )
    with torch.no_grad():
        for task in (plain, quirky):
            task.network.head.bias.copy_(torch.tensor([0.0, 20.0]))
    assert plain.loss_of(batch).item() < 1e-3
    assert quirky.loss_of(batch).item() == pytest.approx(np.log(1 + np.exp(-1)), abs=1e-3)


def test_training_starts_from_the_part_of_a_file_that_fits(tmp_path: Path) -> None:
    config = hgi_sam().network.config
    torch.save(create_model("swin_classifier", **{**config, "num_classes": 1}).state_dict(), tmp_path / "binary.pt")
    network = create_model("swin_classifier", **config)
    taken, total = start_from(network, tmp_path / "binary.pt")
    assert total - taken == 2
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="none of its 1 tensors fits"):
        start_from(network, tmp_path / "other.pt")


def test_a_second_training_in_a_folder_needs_resume(physionet: Path, tmp_path: Path) -> None:
    fit(unet("phases.0.max_epochs=1"), physionet, tmp_path, machine=HERE)
    with pytest.raises(RecipeError, match="already holds a training. Give --resume"):
        fit(unet("phases.0.max_epochs=1"), physionet, tmp_path, machine=HERE)
    with pytest.raises(RecipeError, match=r"trained with another recipe \(data.fold, loss.dice_weight differ\)"):
        fit(unet("data.fold=1", "loss.dice_weight=1.0"), physionet, tmp_path, machine=HERE, resume=True)


def test_data_without_masks_cannot_teach_a_segmentation_network(rsna: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="None of the .* slices of the train part has a mask"):
        fit(unet("data.layout=rsna"), rsna, tmp_path, machine=HERE)


def test_six_classes_learn_subtypes_from_masks_that_tell_them(physionet: Path, tmp_path: Path) -> None:
    config = "network.config={variant: final, num_classes: 6, widths: [4, 8, 8, 8]}"
    with pytest.raises(RecipeError, match="masks of the layout physionet do not tell subtypes"):
        fit(unet(config), physionet, tmp_path / "no", machine=HERE)
    data = write_nifti_folder(tmp_path / "data", 6)
    recipe = unet(config, "data.layout=nifti", "phases.0.max_epochs=1")
    trained = fit(recipe, data, tmp_path / "yes", machine=HERE)
    assert load_file(trained.weights)["head.weight"].shape == (6, 4, 3, 3)


def test_a_loss_of_another_task_is_refused(physionet: Path) -> None:
    with pytest.raises(RecipeError, match="loss focal is not for segmentation; choose dice-cross-entropy"):
        SliceSegmentation(unet("loss.name=focal"), 0)


def test_the_authors_split_by_slice_is_trained_with_under_a_warning(
    physionet: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = unet("data.split_by=slice", "data.folds=2", "phases.0.max_epochs=1", "phases.0.max_steps=1")
    fit(recipe, physionet, tmp_path, machine=HERE)
    assert "data.split_by=slice leaks" in caplog.text
    split, table = load_split(tmp_path / "split.json"), load_prepared(physionet)
    assert sorted((*split.train, *split.validation, *split.test)) == sorted(table.columns["key"].tolist())
    assert len(TrainingData(recipe, physionet, table, split).train_set) == len(split.train)
    assert not (tmp_path / "folds.csv").exists()  # `evaluate` goes by patient
    with pytest.raises(RecipeError, match=r"trained with another recipe \(data.split_by differ\)"):
        fit(unet("data.folds=2", "phases.0.max_epochs=1"), physionet, tmp_path, machine=HERE, resume=True)


def test_no_patient_is_both_trained_on_and_validated(physionet: Path, tmp_path: Path) -> None:
    fit(unet("phases.0.max_epochs=1"), physionet, tmp_path, machine=HERE)
    split, table = load_split(tmp_path / "split.json"), load_prepared(physionet)
    data = TrainingData(unet(), physionet, table, split)
    seen = {
        name: {str(table.patients[data_set[draw]["index"]]) for batch in loader.batch_sampler for draw in batch}
        for name, data_set, loader in (
            ("train", data.train_set, data.train_dataloader()),
            ("validation", data.validation_set, data.val_dataloader()),
        )
    }
    assert seen["train"] <= set(split.train) and seen["validation"] == set(split.validation)
    assert set(split.test) and not set(split.test) & (seen["train"] | seen["validation"])


def test_the_optimizer_takes_one_pass_but_where_lightning_clips_mixed_gradients() -> None:
    weights = [torch.nn.Parameter(torch.ones(3))]
    for name in ("sgd", "adam", "adamw"):
        plain, clipped = (
            make_optimizer(OptimizerRecipe(name=name, clip_norm=clip), weights, 1e-3) for clip in (0.0, 2.0)
        )
        assert (plain.param_groups[0]["fused"], clipped.param_groups[0]["fused"]) == (True, None)


def test_a_training_reports_its_steps_one_by_one(physionet: Path, tmp_path: Path) -> None:
    reports: list[tuple[int, int, str]] = []
    watch = StepProgress(lambda *report: reports.append(report))
    fit(unet(), physionet, tmp_path / "run", machine=HERE, callbacks=[watch])
    total = reports[0][1]
    assert total > 0 and total % unet().phases[0].max_epochs == 0
    assert reports == [(done, total, "Training, phase 1") for done in range(1, total + 1)]


def test_steps_are_counted_towards_the_limit_of_the_phase(physionet: Path, tmp_path: Path) -> None:
    reports: list[tuple[int, int, str]] = []
    watch = StepProgress(lambda *report: reports.append(report))
    fit(unet("phases.0.max_steps=2"), physionet, tmp_path / "run", machine=HERE, callbacks=[watch])
    assert reports == [(done, 2, "Training, phase 1") for done in (1, 2)]


def test_the_command_line_prepares_and_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_nifti_folder(tmp_path / "data", 6)
    assert main(["prepare", "nifti", "--data", str(folder), "--output", str(tmp_path / "cache"), "--workers", "0"]) == 0
    assert "24 slices in" in capsys.readouterr().out
    changes = [*SMALL, NARROW, "data.layout=nifti", "data.folds=0", "phases.0.max_epochs=1"]
    arguments = ["--data", str(tmp_path / "cache"), "--output", str(tmp_path / "run"), "--accelerator", "cpu"]
    assert main(["train", "unet", *arguments, "--devices", "1", "--set", *changes]) == 0
    assert "unet.safetensors" in capsys.readouterr().out
    assert main(["train", "unet", *arguments, "--set", "data.fild=1"]) == 2
    assert "unknown key 'fild'; known are layout, split_by, folds, fold" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one(physionet: Path, tmp_path: Path) -> None:
    changes = [
        *SMALL,
        NARROW,
        "data.folds=2",
        "phases.0.max_epochs=2",
        "optimizer.name=sgd",
        "phases.0.learning_rate=0.05",
        "data.evaluation_batch_size=3",
    ]
    one = fit(load_recipe("unet", changes), physionet, tmp_path / "one", machine=HERE)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "ICHSegmenterLib",
        "train",
        "unet",
        "--data",
        str(physionet),
        "--output",
        str(tmp_path / "two"),
        "--accelerator",
        "cpu",
        "--devices",
        "2",
        "--strategy",
        "ddp",
        "--quiet",
        "--set",
        *changes,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert answer.returncode == 0, answer.stderr[-3000:]
    first, second = load_file(one.weights), load_file(tmp_path / "two" / "unet.safetensors")
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=1e-3, atol=1e-5)
    # The smallest outline has about 2 * 75 pixels, so one that falls to the other side of 1/2 moves the Dice of a slice
    # by about 1/75; two slices whose order changes move the area under the curve by one of 2 x 2 pairs.
    margins = {"train_loss": 0.0, "val_loss": 0.0, "val_dice": 2 / 75, "val_slice_auc": 1 / 4}
    for name, margin in margins.items():
        alone, together = ([float(row[name]) for row in rows_of(tmp_path / run)] for run in ("one", "two"))
        assert alone == pytest.approx(together, rel=1e-3, abs=margin)


@pytest.mark.slow
def test_two_processes_train_the_classifier_of_one(tmp_path: Path) -> None:
    """One block, so without random depth, and plain gradient descent: the order of sums is all that differs."""
    prepare_dataset(write_rsna(tmp_path / "data", 8), tmp_path / "cache", "rsna")
    swin = "{num_classes: 2, image_size: 32, window_size: 4, embed_dim: 8, depths: [1], num_heads: [1]}"
    changes = [*SMALL, f"network.config={swin}", "data.validation_share=0.3", "data.evaluation_batch_size=3"]
    changes += ["optimizer={name: sgd, momentum: 0.0}", "phases=[{learning_rate: 0.05, max_epochs: 2, patience: 0}]"]
    one = fit(load_recipe("hgi-sam", changes), tmp_path / "cache", tmp_path / "one", machine=HERE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    arguments = ["train", "hgi-sam", "--data", str(tmp_path / "cache"), "--output", str(tmp_path / "two")]
    arguments += ["--accelerator", "cpu", "--devices", "2", "--quiet", "--set", *changes]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [*launch, "ICHSegmenterLib", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=900,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    first, second = load_file(one.weights), load_file(tmp_path / "two" / "hgi-sam.safetensors")
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_a_training_that_resumes(physionet: Path, tmp_path: Path) -> None:
    """A real kill -9, with loading processes; the rest runs without them and ends at the same weights."""
    changes = [
        *SMALL,
        NARROW,
        "data.folds=2",
        "phases.0.max_epochs=400",
        "phases.0.patience=0",
        "checkpoint_every_steps=1",
    ]
    command = [
        sys.executable,
        "-m",
        "ICHSegmenterLib",
        "train",
        "unet",
        "--data",
        str(physionet),
        "--output",
        str(tmp_path / "cut"),
        "--accelerator",
        "cpu",
        "--devices",
        "1",
        "--quiet",
        "--set",
        *changes,
        "data.workers=1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    history = tmp_path / "cut" / "metrics.csv"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 600
        while not history.is_file() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert history.is_file() and not (tmp_path / "cut" / "unet.safetensors").exists()
    epochs = len(rows_of(tmp_path / "cut")) + 2
    changes[changes.index("phases.0.max_epochs=400")] = f"phases.0.max_epochs={epochs}"
    recipe = load_recipe("unet", changes)
    resumed = fit(recipe, physionet, tmp_path / "cut", machine=HERE, resume=True)
    whole = fit(recipe, physionet, tmp_path / "whole", machine=HERE)
    assert equal_weights(whole.weights, resumed.weights)
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "cut")


def test_swin_unetr_trains(physionet: Path, tmp_path: Path) -> None:
    pytest.importorskip("einops")
    size = ["preprocessing.resize=70", "preprocessing.crop=64", "data.workers=0", "data.batch_size=4", "data.folds=2"]
    recipe = load_recipe("swin-unetr", [*size, "phases.0.max_epochs=1", "phases.0.max_steps=1"])
    trained = fit(recipe, physionet, tmp_path, machine=HERE)
    assert np.isfinite(trained.results["val_loss"])
    model = create_model("swin_unetr")
    load_checkpoint(model, trained.weights)


def test_given_folds_hold_out_their_patients_and_every_fold_is_trained(physionet: Path, tmp_path: Path) -> None:
    folds = {f"{number:03d}": "AB"[number > 4] for number in range(1, 9)}
    (tmp_path / "folds.json").write_text(json.dumps(folds))
    recipe = unet(f"data.folds_file={tmp_path / 'folds.json'}", "phases.0.max_epochs=1")
    done = fit_folds(recipe, physionet, tmp_path / "run", part=(2, 2), machine=HERE)
    assert not done.is_complete and [path.parent.name for path in done.weights] == ["fold-1"]
    done = fit_folds(recipe, physionet, tmp_path / "run", machine=HERE)
    assert done.is_complete and len(done.weights) == 2
    for number, name in enumerate("AB"):
        split = load_split(tmp_path / "run" / f"fold-{number}" / "split.json")
        assert set(split.test) == {patient for patient, fold in folds.items() if fold == name}
    assert read_folds(done.folds) == folds


def test_given_folds_are_of_patients_and_the_validation_part_may_be_of_slices(physionet: Path, tmp_path: Path) -> None:
    """As HGI-SAM's authors: no patient of the fold is learned from, others are learned from and validated on."""
    folds = tmp_path / "folds.csv"
    folds.write_text("patient,fold\n" + "".join(f"{n:03d},{n % 2}\n" for n in range(1, 11)))
    fit(
        unet("data.split_by=slice", f"data.folds_file={folds}", "data.fold=1"),
        physionet,
        tmp_path / "run",
        machine=HERE,
    )
    split = load_split(tmp_path / "run" / "split.json")
    patients = {part: {key[:3] for key in getattr(split, part)} for part in ("train", "validation", "test")}
    assert patients["test"] == {"001", "003", "005", "007"}
    assert not patients["test"] & (patients["train"] | patients["validation"])
    assert (len(split.test), len(split.train) + len(split.validation)) == (4 * 4, 4 * 4)
    assert patients["validation"] <= patients["train"]


def test_a_patient_without_a_fold_is_named(physionet: Path, tmp_path: Path) -> None:
    (tmp_path / "folds.csv").write_text("patient,fold\n001,0\n002,1\n")
    with pytest.raises(TrainingDataError, match="no fold for 6 patients \\(003, 004, 005\\)"):
        fit(unet(f"data.folds_file={tmp_path / 'folds.csv'}"), physionet, tmp_path / "run", machine=HERE)


def test_a_split_needs_patients_for_every_part() -> None:
    assert split_patients({"a": True, "b": False}).validation == ("a",)


def test_a_training_starts_without_warnings(
    physionet: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a computer with many cores, where Lightning asks for more loading processes."""
    module = "lightning.pytorch.trainer.connectors.data_connector.suggested_max_num_workers"
    monkeypatch.setattr(module, lambda devices: 16)
    fit(unet("phases.0.max_epochs=1"), physionet, tmp_path, machine=HERE)
    assert [str(warning.message) for warning in recwarn if "load" in str(warning.message).lower()] == []


def test_there_are_no_more_loading_processes_than_cores(
    physionet: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    recipe = unet("data.workers=1000")
    table = load_prepared(physionet)
    split = split_patients(dict.fromkeys(table.patients.tolist(), True))
    loader = TrainingData(recipe, physionet, table, split).train_dataloader()
    assert 1 <= loader.num_workers <= (os.cpu_count() or 1)
    assert not len(recwarn)  # PyTorch warns of more
