from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="needs the train extra")

import yaml

from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe_file import differences, load_recipe, recipe_from, recipe_names, recipe_text
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing, Window


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read_and_written_back(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe_from(yaml.safe_load(recipe_text(recipe))) == recipe
    assert recipe.preprocessing_spec()


def test_the_published_settings_of_the_u_net_are_kept() -> None:
    recipe = load_recipe("unet")
    assert (recipe.data.folds, recipe.data.batch_size, recipe.phases[0].learning_rate) == (5, 12, 1e-3)
    assert (recipe.loss.dice_weight, recipe.loss.cross_entropy_weight) == (0.5, 0.5)
    assert recipe.optimizer.weight_decay == 1e-6


def test_hgi_sam_learns_its_head_before_everything() -> None:
    phases = load_recipe("hgi-sam").phases
    assert [(one.trains, one.learning_rate) for one in phases] == [(("head.",), 1e-3), ("all", 1e-5)]


def test_the_authors_quirks_are_off_unless_asked_for() -> None:
    recipe = load_recipe("hgi-sam")
    assert not recipe.loss.softmax_before_cross_entropy and not recipe.data.header_window
    assert load_recipe("hgi-sam", ["loss.softmax_before_cross_entropy=true"]).loss.softmax_before_cross_entropy
    assert not load_recipe("rsna-sequence").augmentation.per_slice


def test_a_recipe_changes_the_preprocessing_of_its_card() -> None:
    wanted = load_recipe("hgi-sam", ["preprocessing.windows=[[40,80],[80,200],[600,2800]]"]).preprocessing_spec()
    assert isinstance(wanted, SlicePreprocessing)
    assert wanted.windows == (Window(40, 80), Window(80, 200), Window(600, 2800))
    assert wanted.crop == 384


def test_the_command_line_changes_single_keys() -> None:
    recipe = load_recipe("unet", ["data.fold=2", "phases.0.max_epochs=5", "optimizer.accumulate=4"])
    assert (recipe.data.fold, recipe.phases[0].max_epochs, recipe.optimizer.accumulate) == (2, 5, 4)
    assert differences(recipe, load_recipe("unet")) == ["data.fold", "optimizer.accumulate", "phases.0.max_epochs"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimizer.learning_rate=1.0e-3", "optimizer: unknown key 'learning_rate'; known are name, weight_decay"),
        ("data.sampler=random", "data.sampler: 'random' is none of shuffle, balanced-with-replacement"),
        ("data.batch_size=many", "data.batch_size: expected int, found 'many'"),
        ("optimizer.weight_decay=1e-6", "YAML reads 1e-3 as text"),
        ("data.fold=5", "data.fold is 5, it must be 0 to 4"),
        ("phases=[]", "no phases"),
        ("phases.3.patience=1", "nothing called 3"),
        ("network=unet", "network: expected keys and values, found 'unet'"),
        ("preprocessing.size=4", "preprocessing: unknown key 'size'; known are windows, resize, crop"),
        ("data", "must look like data.fold=2"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("unet", [change]).preprocessing_spec()


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("name: own\nmethod: unet\n")
    with pytest.raises(RecipeError, match="task, network, data, loss, phases must be given"):
        load_recipe(path)


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="There is no recipe u-net; choose .*hgi-sam, "):
        load_recipe("u-net")
