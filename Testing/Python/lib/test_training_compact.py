"""The recipes of the bundled models: their losses, and a few steps on synthetic exams in the layout they train from."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "safetensors", "tensorboard"):
    pytest.importorskip(package, reason="needs the train extra")

from safetensors.torch import load_file

from ICHSegmenterLib.cards.table import get_card, read_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.datasets.prepare import prepare_dataset
from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe import Recipe
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.task import ScoredBatch
from ICHSegmenterLib.methods.swin.task import SliceClassification
from ICHSegmenterLib.methods.unet.task import SliceSegmentation
from ICHSegmenterLib.models import create_model, load_checkpoint
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing
from ICHSegmenterLib.training.fit import TrainerOptions, fit
from ICHSegmenterLib.training.trained_model import network_weights
from power_cut import PowerCut

KEPT = ("last", "best")
HERE = TrainerOptions("cpu", 1, progress=False)
FEW_STEPS = ["data.workers=0", "data.validation_share=0.34", "phases.0.max_steps=3", "phases.0.max_epochs=1"]
SMALL_SLICES = [*FEW_STEPS, "preprocessing.resize=70", "preprocessing.crop=64"]
TINY_UNET = "network.config={num_classes: 6, widths: [8, 8]}"
TINY_SWIN = (
    "network.config={num_classes: 2, image_size: 64, window_size: 2, embed_dim: 8, depths: [1, 1, 1, 1], "
    "num_heads: [1, 1, 2, 2]}"
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three bleeding exams, made by two processes."""
    folder = tmp_path_factory.mktemp("compact")
    made = ["--exams", "3", "--positive", "1", "--volume", "20", "--matrix", "64", "--workers", "2", "--seed", "5"]
    assert main(["synthesize", "--output", str(folder / "data"), *made]) == 0
    return folder / "data"


@pytest.fixture(scope="module")
def slices(synthetic: Path) -> Path:
    """The exams for networks that see slices."""
    prepare_dataset(synthetic, synthetic.parent / "slices", "nifti")
    return synthetic.parent / "slices"


@pytest.fixture(scope="module")
def slabs(synthetic: Path) -> Path:
    """The exams for networks that see slabs."""
    prepare_dataset(synthetic, synthetic.parent / "slabs", "nifti-slabs")
    return synthetic.parent / "slabs"


def compact_unet(*changes: str) -> Recipe:
    return load_recipe("compact-unet", [*FEW_STEPS, "data.batch_size=2", TINY_UNET, *changes])


def compact_hgi(*changes: str) -> Recipe:
    return load_recipe("compact-hgi", [*SMALL_SLICES, TINY_SWIN, *changes])


def test_the_compact_unet_learns_subtypes_and_is_saved_in_half_the_bytes(slabs: Path, tmp_path: Path) -> None:
    trained = fit(compact_unet(), slabs, tmp_path, machine=HERE)
    saved = load_file(trained.weights)
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16}
    network = create_model("context_unet", num_classes=6, widths=(8, 8))
    load_checkpoint(network, trained.weights)
    assert next(network.parameters()).dtype == torch.float32
    assert network(torch.zeros(1, 7, 64, 64)).shape == (1, 6, 64, 64)


def test_the_command_trains_the_network_with_slabs_and_its_weights_run(synthetic: Path, tmp_path: Path) -> None:
    changes = [word for change in (*FEW_STEPS, "data.batch_size=2", TINY_UNET) for word in ("--set", change)]
    words = ["--data", str(synthetic), "--output", str(tmp_path / "run"), "--accelerator", "cpu", *changes]
    assert main(["train", "compact-unet", *words]) == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"examples.png", "curves.png", "metrics.csv"}
    weights = tmp_path / "run" / "compact-unet.safetensors"
    card = read_card(weights.with_suffix(".json"))
    assert (card.predictor, card.preprocessing) == ("slab_unet", SlabPreprocessing())
    exam = next((synthetic / "images").iterdir())
    asked = ["--method", "compact-unet", "--weights", str(weights), "--device", "cpu"]
    assert main(["segment", str(exam), "--output", str(tmp_path / "out"), *asked]) == 0


def test_a_killed_training_with_slabs_resumes_to_the_same_weights(slabs: Path, tmp_path: Path) -> None:
    recipe = compact_unet("phases.0.max_steps=4", "checkpoint_every_steps=1")
    whole = fit(recipe, slabs, tmp_path / "whole", machine=HERE)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(recipe, slabs, tmp_path / "cut", machine=HERE, callbacks=[PowerCut(2)])
    resumed = fit(recipe, slabs, tmp_path / "cut", machine=HERE, resume=True)
    first, second = load_file(whole.weights), load_file(resumed.weights)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_compact_classifier_learns_from_cells_and_leaves_their_layer_behind(slices: Path, tmp_path: Path) -> None:
    trained = fit(compact_hgi(), slices, tmp_path, machine=HERE)
    network = create_model(
        "swin_classifier",
        num_classes=2,
        image_size=64,
        window_size=2,
        embed_dim=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
    )
    load_checkpoint(network, trained.weights)  # strict: no key of the extra layer is in the file


@pytest.mark.parametrize("keeps", KEPT)
def test_the_weights_that_the_recipe_names_are_kept(
    keeps: str, slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The validation loss is prescribed as 2, 1, 3, so the second of three epochs is the best."""
    prescribed = (2.0, 1.0, 3.0)
    score_batch = SliceClassification.score_batch

    def score_by_epoch(task: SliceClassification, batch: object) -> ScoredBatch:
        return replace(score_batch(task, batch), loss=torch.tensor(prescribed[task.current_epoch]))

    monkeypatch.setattr(SliceClassification, "score_batch", score_by_epoch)
    three_epochs = ["phases.0.max_epochs=3", "phases.0.max_steps=0", "optimizer.warmup_steps=0", "saved_as=float32"]
    trained = fit(compact_hgi(f"keeps={keeps}", *three_epochs), slices, tmp_path, machine=HERE)
    with (tmp_path / "metrics.csv").open() as file:
        assert [float(row["val_loss"]) for row in csv.DictReader(file)] == pytest.approx(prescribed)
    assert trained.results["val_loss"] == pytest.approx({"last": 3.0, "best": 1.0}[keeps])
    checkpoints = {name: network_weights(tmp_path / "checkpoints" / "phase-1" / f"{name}.ckpt") for name in KEPT}
    saved = load_file(trained.weights)
    for name, weights in checkpoints.items():
        assert all(torch.equal(tensor, weights[key]) for key, tensor in saved.items()) == (name == keeps), name


def test_a_classifier_told_which_cells_bleed_moves_each_stage() -> None:
    batch = {"image": torch.rand(2, 3, 64, 64), "label": torch.ones(2, 6).long(), "mask": torch.zeros(2, 64, 64).long()}
    batch["mask"][:, :16, :16] = 1
    task = SliceClassification(compact_hgi(), 0)
    alone = SliceClassification(compact_hgi("loss.cell_weight=0"), 0)
    assert task.loss_of(batch) > alone.loss_of(batch)
    task.zero_grad()
    task.loss_of(batch).backward()
    assert task._cells is not None
    for layer in task._cells.layers:
        assert layer.weight.grad.abs().sum() > 0
        assert layer in [module for module in task.modules() if isinstance(module, torch.nn.Linear)]


def test_a_cell_bleeds_if_any_of_its_pixels_does() -> None:
    task = SliceClassification(compact_hgi(), 0)
    task.network(torch.rand(1, 3, 64, 64))
    cells = task._cells
    assert cells is not None
    with torch.no_grad():
        for layer in cells.layers:
            layer.weight.zero_()
            layer.bias.fill_(20.0)  # every cell is said to bleed
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, ::4, ::4] = True  # one pixel in each cell, also of the smallest
    assert cells.cost(mask).item() == pytest.approx(0.0, abs=1e-4)
    mask[0, ::32, ::32] = False  # of 4-pixel cells 4 of 256 no longer bleed, of larger ones all do
    smallest = 20.0 * 4 / 256 + (1 - 2 * 252 / (252 + 256))
    assert cells.cost(mask).item() == pytest.approx(smallest / 4, rel=1e-3)


def test_cells_are_only_for_the_swin_classifier() -> None:
    recipe = load_recipe("compact-hgi", ["network={name: unet, config: {num_classes: 2}}"])
    with pytest.raises(RecipeError, match="cell_weight is for swin_classifier"):
        SliceClassification(recipe, 0)


def test_the_dice_of_all_blood_does_not_ask_which_subtype() -> None:
    """Logits that are sure of blood but call it by the wrong name cost cross-entropy only."""
    mask = torch.zeros(1, 16, 16, dtype=torch.long)
    mask[0, :8] = 3
    right, wrong = (torch.full((1, 6, 16, 16), -30.0) for _ in range(2))
    for logits, named in ((right, 3), (wrong, 1)):
        logits[:, 0, 8:], logits[:, named, :8] = 30.0, 30.0
    only_dice = ["loss.cross_entropy_weight=0.0", "loss.dice_weight=1.0"]
    blood = SliceSegmentation(compact_unet(*only_dice), 0)
    assert float(blood._cost(wrong, mask)) == pytest.approx(0.0, abs=1e-4)
    classes = SliceSegmentation(compact_unet(*only_dice, "loss.dice_of=classes"), 0)
    assert float(classes._cost(wrong, mask)) > 0.2
    whole = SliceSegmentation(compact_unet(), 0)
    assert float(whole._cost(wrong, mask)) > float(whole._cost(right, mask)) + 1


def test_blood_counts_more_in_the_cross_entropy() -> None:
    """One of two pixels is blood and both are undecided between two classes: the mean stays, errors on blood grow."""
    logits = torch.zeros(1, 6, 8, 8)
    logits[:, 0] = 2.0  # everything is called background
    mask = torch.zeros(1, 8, 8, dtype=torch.long)
    mask[0, :4] = 2
    only_entropy = ["loss.dice_weight=0.0", "loss.cross_entropy_weight=1.0"]
    light, heavy = (
        float(SliceSegmentation(compact_unet(*only_entropy, f"loss.blood_weight={weight}"), 0)._cost(logits, mask))
        for weight in ("[1.0]", "[4.0]")
    )
    assert heavy > light


def test_each_subtype_may_count_as_much_as_it_is_rare() -> None:
    """The same error on intraventricular and on subarachnoid blood."""
    costs = []
    for value in (3, 4):
        mask = torch.zeros(1, 8, 8, dtype=torch.long)
        mask[0, :4] = value
        logits = torch.zeros(1, 6, 8, 8)
        logits[:, 0] = 2.0
        recipe = compact_unet("loss.dice_weight=0.0", "loss.blood_weight=[1.0, 1.0, 1.0, 9.0, 1.0]")
        costs.append(float(SliceSegmentation(recipe, 0)._cost(logits, mask)))
    assert costs[1] > costs[0]
    with pytest.raises(RecipeError, match="blood_weight has 2 numbers"):
        SliceSegmentation(compact_unet("loss.blood_weight=[1.0, 2.0]"), 0)._cost(logits, mask)


def test_one_dice_of_a_batch_forgives_slices_without_blood() -> None:
    """A slice without blood but with a little of it foretold: alone its Dice is zero, in a batch it hardly counts."""
    mask = torch.zeros(2, 16, 16, dtype=torch.long)
    mask[0, :8] = 1
    logits = torch.full((2, 6, 16, 16), -30.0)
    logits[0, 0, 8:], logits[0, 1, :8], logits[1, 0] = 30.0, 30.0, 30.0
    logits[1, :, 0, 0] = torch.tensor([-30.0, 30.0, -30.0, -30.0, -30.0, -30.0])
    only_dice = ["loss.cross_entropy_weight=0.0", "loss.dice_weight=1.0"]
    batch, single = (
        float(SliceSegmentation(compact_unet(*only_dice, f"loss.dice_over={over}"), 0)._cost(logits, mask))
        for over in ("batch", "slice")
    )
    assert batch < 0.01 < 0.4 < single


def test_networks_of_both_recipes_are_those_of_their_cards() -> None:
    for name in ("compact-unet", "compact-hgi"):
        recipe = load_recipe(name)
        card = get_card(name)
        assert (recipe.network.name, recipe.preprocessing_spec()) == (card.network, card.preprocessing)
        made, told = (create_model(card.network, **config) for config in (recipe.network.config, card.network_config))
        assert [one.shape for one in made.parameters()] == [one.shape for one in told.parameters()]
