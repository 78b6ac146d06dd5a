from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "safetensors"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.datasets.prepare import load_prepared, prepare_dataset
from ICHSegmenterLib.datasets.slices import UNKNOWN, read_table
from ICHSegmenterLib.datasets.splits import load_split
from ICHSegmenterLib.errors import RecipeError
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.training import pseudo_labels
from ICHSegmenterLib.training.fit import TrainerOptions
from ICHSegmenterLib.training.pseudo_labels import Confidence, UnlabeledSeries, fit_twice
from training_layouts import write_rsna, write_unlabeled_rsna

HERE = TrainerOptions("cpu", 1, progress=False)
TINY = "network.config={embed_dim: 8, depths: [1, 1, 1, 1], num_heads: [1, 1, 2, 2]}"


def test_only_confident_predictions_become_labels() -> None:
    values = np.array([[0.01, 0.1, 0.5, 0.9, 0.97]], dtype=np.float32)
    assert Confidence(0.9).labels(values).tolist() == [[0, 0, UNKNOWN, 1, 1]]
    with pytest.raises(RecipeError, match="must lie between 0.5 and 1, got 0.4"):
        Confidence(0.4)


def test_unlabeled_images_are_prepared_without_labels(tmp_path: Path) -> None:
    prepare_dataset(write_unlabeled_rsna(tmp_path / "data"), tmp_path / "cache", "rsna-unlabeled")
    table = load_prepared(tmp_path / "cache")
    assert len(table) == 8 and (table.labels == UNKNOWN).all()


def test_a_second_set_is_labeled_and_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is made sure of itself after it is loaded, so that the labels do not rest on what it learned."""
    load = pseudo_labels.load_checkpoint

    def load_sure_of_blood(network: torch.nn.Module, weights: Path) -> None:
        load(network, weights)
        with torch.no_grad():
            network.sequence_decoder.weight.zero_()
            network.sequence_decoder.bias.copy_(torch.tensor([5.0, -5.0, 0.0, 0.0, 0.0, 5.0]))

    monkeypatch.setattr(pseudo_labels, "load_checkpoint", load_sure_of_blood)
    torch.set_num_threads(1)
    prepare_dataset(write_rsna(tmp_path / "data", 3), tmp_path / "cache", "rsna")
    prepare_dataset(write_unlabeled_rsna(tmp_path / "more"), tmp_path / "unlabeled", "rsna-unlabeled")
    recipe = load_recipe(
        "rsna-sequence", [TINY, "data.workers=0", "phases.0.max_epochs=1", "data.validation_share=0.3"]
    )
    run = tmp_path / "run"
    unlabeled = UnlabeledSeries(tmp_path / "unlabeled", Confidence(0.9))
    trained = fit_twice(recipe, tmp_path / "cache", unlabeled, run, machine=HERE)
    assert trained.weights == run / "round-2" / "rsna-sequence.safetensors"
    table = read_table([run / "pseudo_labels.csv"])
    assert set(table.patients.tolist()) == {"ID_patient100", "ID_patient101"}
    assert table.labels.tolist() == [[1, 0, UNKNOWN, UNKNOWN, UNKNOWN, 1]] * 8
    assert (run / "pseudo_labels_summary.csv").read_text().startswith("label,positive,negative,unknown\nEDH,")
    first, second = (
        (run / name / "metrics.csv").read_text().splitlines()[1].split(",") for name in ("round-1", "round-2")
    )
    assert float(second[2]) == float(first[2]) + 2  # two more series, two more steps
    assert load_split(run / "round-1" / "split.json") == load_split(run / "round-2" / "split.json")


def test_pseudo_labels_are_for_series_only(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Pseudo-labels are made for series; unet learns segmentation"):
        fit_twice(load_recipe("unet"), tmp_path, UnlabeledSeries(tmp_path), tmp_path)
