"""Weights that ship with the program: found, checked, never removed, and the default where nothing better is here."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.default_method import choose_method
from ICHSegmenterLib.cards.table import DEFAULT_METHODS, get_card, read_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import WeightsCorruptError, WeightsMissingError
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.methods.unet.predictor import UnetPredictor
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.training.trained_model import write_trained_model
from ICHSegmenterLib.weights import cache, store
from ICHSegmenterLib.weights.store import FileCondition
from own_method import SUBTYPE_CHANGES, write_card

RESOURCES = Path(__file__).resolve().parents[3] / "Resources" / "Models"
SHIPPED = sorted(RESOURCES.glob("*.safetensors"))
LARGEST_MB = 20
SUBTYPES = ("EDH", "IPH", "IVH", "SAH", "SDH")


def write_seeded(method: str, folder: Path, *, seed: int = 0, **probabilities: float) -> Path:
    """The file and card of an untrained network; with probabilities, a U-Net that answers the same everywhere."""
    torch.manual_seed(seed)
    recipe = load_recipe(method)
    network = create_model(recipe.network.name, **recipe.network.config)
    if probabilities:
        blood = [probabilities.get(name, 1e-4) for name in SUBTYPES]
        head_layer = [one for one in network.modules() if isinstance(one, torch.nn.Conv2d)][-1]
        head_layer.weight.data.zero_()
        head_layer.bias.data = torch.log(torch.tensor([1 - sum(blood), *blood]))
    folder.mkdir(exist_ok=True)
    return write_trained_model(network, recipe, folder, {})


def small_exam():
    """A head on a coarse grid, and where its brain is."""
    volume = head(gantry_geometry(slices=5, size=64, steps_mm=20.0))
    return volume, (volume.hu > 0) & (volume.hu < 100)


def test_a_bundled_file_is_found_and_its_state_is_bundled(bundled_folder: Path):
    path = write_seeded("compact-unet", bundled_folder)
    now = store.state(get_card("compact-unet"))
    assert now.is_ready and now.is_bundled
    assert [file.name for file in now.bundled] == ["compact-unet.safetensors"]
    assert store.find(get_card("compact-unet")) == (path,)
    assert not store.state(get_card("compact-hgi")).is_ready
    assert store.verify() == [(path, FileCondition.INTACT)]


def test_lists_say_bundled(bundled_folder: Path, capsys: pytest.CaptureFixture[str]):
    write_seeded("compact-unet", bundled_folder)
    assert main(["models", "list"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("compact-unet ")]
    assert "ready" in row and "bundled" in row
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "compact-unet     ready (bundled)" in printed
    assert "Method without --method: compact-unet" in printed


def test_the_default_is_the_bundled_network_until_blast_ct_is_here(bundled_folder: Path, monkeypatch):
    assert choose_method() == "hu-threshold"
    write_seeded("compact-unet", bundled_folder)
    assert choose_method() == "compact-unet"
    first = get_card("blast-ct").weights[0]
    (cache.writable_weights_folder() / first.name).write_bytes(b"judged by presence only")
    assert choose_method() == "blast-ct"
    assert choose_method("hgi-sam") == "hgi-sam"


def test_without_torch_the_default_stays_the_classical_method(bundled_folder: Path, monkeypatch):
    write_seeded("compact-unet", bundled_folder)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert choose_method() == "hu-threshold" == DEFAULT_METHODS[-1]
    assert not get_card("hu-threshold").needs_weights


def test_an_altered_bundled_file_is_refused_with_the_way_out(bundled_folder: Path):
    path = write_seeded("compact-unet", bundled_folder)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(WeightsCorruptError, match=r"altered or is incomplete.*install ICHSegmenter again, or import"):
        store.find(get_card("compact-unet"))
    assert store.verify() == [(path, FileCondition.CORRUPT)]


def test_a_bundled_file_runs_with_the_input_of_its_own_card(bundled_folder: Path):
    path = write_seeded("compact-unet", bundled_folder)
    card = json.loads(path.with_suffix(".json").read_text())
    card["preprocessing"]["side"] = 128
    path.with_suffix(".json").write_text(json.dumps(card))
    assert store.find(get_card("compact-unet")) == (path,)
    assert store.card_of("compact-unet").preprocessing.side == 128
    assert get_card("compact-unet").preprocessing.side == 208


@pytest.mark.parametrize("name", ["compact-unet", "compact-unet.safetensors"])
def test_what_ships_is_never_removed(bundled_folder: Path, name: str):
    path = write_seeded("compact-unet", bundled_folder)
    with pytest.raises(WeightsMissingError, match="What ships with the program stays"):
        store.remove([name])
    assert path.is_file() and path.with_suffix(".json").is_file()


def test_an_imported_file_wins_and_its_removal_brings_the_bundled_one_back(bundled_folder: Path, tmp_path: Path):
    shipped = write_seeded("compact-unet", bundled_folder)
    store.import_files([write_seeded("compact-unet", tmp_path / "own", seed=1)])
    own = cache.weights_folder() / "compact-unet.safetensors"
    assert store.find(get_card("compact-unet")) == (own,)
    assert not store.state(get_card("compact-unet")).is_bundled
    assert set(store.remove(["compact-unet"])) == {own, own.with_suffix(".json")}
    assert store.find(get_card("compact-unet")) == (shipped,)


def test_the_subtype_maps_add_up_to_the_probability_of_blood(tmp_path: Path):
    torch.manual_seed(0)
    card = read_card(write_card(tmp_path / "card.json", **SUBTYPE_CHANGES))
    network = create_model(card.network, **card.network_config).eval()
    volume, mask = small_exam()
    exam = prepare(volume, card.preprocessing, mask)
    predictor = UnetPredictor([network], device="cpu", precision="float32", with_subtypes=True)
    indices = exam.brain_slices[:2]
    with torch.inference_mode():
        background = network(torch.from_numpy(exam.batch(indices))).softmax(dim=1)[:, 0].numpy()
    blood = exam.restore((1 - background) * exam.mask_batch(indices), indices)
    for index, expected in zip(indices, blood, strict=True):
        one = predictor.predict(exam, RunContext())[index]
        assert one.maps.shape == (len(card.labels), *volume.hu.shape[1:])
        assert tuple(one.probabilities) == SUBTYPE_LABELS
        np.testing.assert_allclose(one.maps.sum(axis=0), np.squeeze(expected), atol=1e-4)


def test_subtypes_that_share_a_voxel_count_together_and_the_largest_names_it(bundled_folder: Path):
    write_seeded("compact-unet", bundled_folder, IPH=0.30, SAH=0.25)
    volume, mask = small_exam()
    options = {"device": "cpu", "precision": "float32", "outputs": ["map"]}
    result = analyze(
        volume, AnalysisRequest("compact-unet", **options, threshold=0.5, detection_threshold=0.5), brain_mask=mask
    )
    assert [one.key for one in result.measurements] == ["IPH"]
    assert result.segmentation.soft_maps[:, 2].max(axis=(1, 2)) == pytest.approx([0, 0.30, 0, 0.25, 0], abs=2e-3)
    assert result.detection.is_positive
    assert "(score 0.5" in result.verdict  # the calibration is of what ships, not of these weights
    strict = analyze(volume, AnalysisRequest("compact-unet", **options, threshold=0.6), brain_mask=mask)
    assert strict.segmentation.blood_mask.sum() == 0


def test_a_seeded_compact_hgi_runs_at_192_pixels_with_maps(bundled_folder: Path):
    pytest.importorskip("timm")
    path = write_seeded("compact-hgi", bundled_folder)
    assert path.stat().st_size < 15e6
    volume, mask = small_exam()
    assert prepare(volume, get_card("compact-hgi").preprocessing, mask).batch([2]).shape == (1, 3, 192, 192)
    result = analyze(
        volume,
        AnalysisRequest("compact-hgi", device="cpu", precision="float32", outputs=("map",), detection_threshold=0.0),
        brain_mask=mask,
    )
    maps = result.segmentation.soft_maps
    assert maps.shape == (1, *volume.hu.shape)
    assert 0 < maps.max() <= 1 and maps.min() >= 0
    assert all(0 <= one.probabilities["any"] <= 1 for one in result.detection.slices)


def test_what_ships_is_small_enough():
    assert sum(path.stat().st_size for path in RESOURCES.glob("*")) <= LARGEST_MB * 1e6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_file_that_ships_is_whole_and_says_what_it_learned_from(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "bundled_folder", lambda: RESOURCES)
    assert store.find(get_card(path.stem)) == (path,)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["name"] == path.stem
    assert "Research only" in card["limits"]
    assert re.search("(learned|trained) (from|on) synthetic bleeds", get_card(path.stem).limits)
