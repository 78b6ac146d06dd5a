"""The sequence transformer and SMART-Net from synthesized data in their layouts to their tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "safetensors", "tensorboard", "sklearn", "cv2"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.datasets import smart_net
from ICHSegmenterLib.datasets.rsna import layout as rsna_layout
from ICHSegmenterLib.evaluation.rsna.metric import logits_of, weighted_log_loss
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.table import reproduce
from ICHSegmenterLib.training.trained_model import write_trained_model
from reproduced_tables import NARROW_RESNET, ONE_EPOCH, exams, made_twice, table_of

SEQUENCE = "network.config={embed_dim: 8, depths: [1, 1, 1, 1], num_heads: [1, 2, 4, 8]}"

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_sequence_transformer_is_scored_on_held_out_series(tmp_path: Path) -> None:
    data = tmp_path / "rsna"
    rsna_layout.write(exams(8), data)
    found = made_twice("rsna-sequence", data, [*ONE_EPOCH, SEQUENCE, "data.validation_share=0.3"], tmp_path)
    row = found["rows"][0]
    labels = dict(line.split(",") for line in (data / "stage_2_train.csv").read_text().split()[1:])
    lines = [line.split(",") for line in (tmp_path / "whole" / "submission.csv").read_text().split()[1:]]
    values = np.array([float(value) for _, value in lines]).reshape(-1, 6)
    truth = np.array([int(labels[key]) for key, _ in lines]).reshape(-1, 6)
    assert row["ours"] == pytest.approx(weighted_log_loss(logits_of(values), truth).total)
    assert (row["paper"], row["patients"]) == (0.04368, 2)


def test_given_weights_are_scored_without_preparing_and_past_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    """As ID_6431af929.dcm of the real set, whose pixels end early."""
    data, recipe = tmp_path / "rsna", load_recipe("rsna-sequence", [SEQUENCE])
    rsna_layout.write(exams(8), data)
    network = create_model(recipe.network.name, **recipe.network.config)
    weights = write_trained_model(network, recipe, tmp_path, {})
    changes = (SEQUENCE, "data.validation_share=0.5")
    options = ReproduceOptions(data, tmp_path / "out", (weights,), changes=changes, device="cpu", resamples=5)
    reproduce("rsna-sequence", options)
    whole = table_of(tmp_path / "out")
    assert whole["rows"][0]["patients"] == 4
    assert not list((tmp_path / "out").rglob("*.tar"))
    predicted = sorted((tmp_path / "out" / "evaluation" / "series").glob("*.json"))
    damaged = next(iter(json.loads(predicted[0].read_text())["values"]))
    image = data / "stage_2_train" / f"{damaged}.dcm"
    image.write_bytes(image.read_bytes()[:-100])
    reproduce("rsna-sequence", replace(options, output=tmp_path / "damaged"))
    table = table_of(tmp_path / "damaged")
    assert table["rows"][0]["patients"] == 3
    failed = next(each for each in table["deviations"] if each["topic"] == "held-out series")
    assert failed["ours"].startswith(f"1 could not be predicted, first {predicted[0].stem}: ")


@pytest.mark.slow
def test_smart_net_trains_three_networks_and_tests_each(tmp_path: Path) -> None:
    """Killed in the second training, whose encoder is the first one's."""
    data = tmp_path / "samples"
    smart_net.write(exams(10), data)
    changes = [*ONE_EPOCH, "preprocessing.size=32", "data.batch_size=2", "loss.consistency_weight=0.0", NARROW_RESNET]
    found = made_twice("smart-net", data, changes, tmp_path, cut_after=4, as_authors=True)
    assert (tmp_path / "killed" / "training" / "smart-net-cls" / "recipe.yaml").is_file()
    recipe = load_recipe(tmp_path / "whole" / "training" / "smart-net-seg" / "recipe.yaml")
    assert recipe.optimizer.schedule_lags and all(phase.update_frozen_batchnorm for phase in recipe.phases)
    assert recipe.network.config["per_depth"] is True
    rows = {row["figure"]: row for row in found["rows"]}
    assert rows["AUC of exams"]["patients"] == 4
    for figure in ("Dice of exams, 256 pixels", "Dice of one slice an exam", "Error of the reconstruction"):
        assert rows[figure]["ours"] is not None, figure
    evaluation = tmp_path / "whole" / "evaluation"
    exam_files = [json.loads(path.read_text()) for path in (evaluation / "smart-net-seg" / "exams").glob("*.json")]
    normal = [exam["false_positive_voxels"] for exam in exam_files if not any(exam["truth"])]
    assert len(exam_files) == 4 and len(normal) == 2
    assert rows["False positive voxels an exam"]["ours"] == sum(normal) / 2
    assert len(list((evaluation / "smart-net-up" / "stacked").glob("test-*_hemo.png"))) == 2
    split = json.loads((tmp_path / "whole" / "training" / "smart-net-up" / "split.json").read_text())
    assert len(split["test"]) == 4 and all(name.startswith("test-") for name in split["test"])
