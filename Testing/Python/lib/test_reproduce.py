"""What the published tables share: their rows, deviations, intervals, and what they say of missing data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "safetensors", "tensorboard", "sklearn", "cv2"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.cli.verbs.research.reproduce import TABLES as VERB_TABLES
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.evaluation.rsna.metric import logits_of, weighted_log_loss
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.preprocessing.spec import RSNA_WINDOWS
from ICHSegmenterLib.reproduce.deviations import DEVIATIONS, remaining
from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.outcome import Outcome, page_lines, summary_lines, write_outcome
from ICHSegmenterLib.reproduce.published import FIGURES
from ICHSegmenterLib.reproduce.rsna_sequence import AS_AUTHORS as SERIES_AS_AUTHORS
from ICHSegmenterLib.reproduce.rsna_sequence import authors_split, log_loss_figure
from ICHSegmenterLib.reproduce.slice_tables import AS_AUTHORS as SLICES_AS_AUTHORS
from ICHSegmenterLib.reproduce.slice_tables import FOLDS_AS_AUTHORS, RSNA_AS_AUTHORS, SOFTMAX_TWICE
from ICHSegmenterLib.reproduce.table import TABLES
from ICHSegmenterLib.reproduce.training import settled_topics
from reproduced_tables import table_of
from training_layouts import RSNA_NAMES

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_table_has_a_paper_a_maker_and_deviations():
    assert set(TABLES) == set(FIGURES) == set(DEVIATIONS) == set(VERB_TABLES)
    for name in TABLES:
        standing, switched = remaining(name, as_authors=False), remaining(name, as_authors=True)
        assert {each.topic for each in standing} - {each.topic for each in switched}
        assert not any(each.switched for each in switched)


def test_as_authors_switches_their_quirks_on_in_the_recipes():
    """Their split, masks, numbers, windows, loss and draws, whatever the recipe says."""
    classifier = load_recipe("hgi-sam", [*RSNA_AS_AUTHORS, SOFTMAX_TWICE])
    assert classifier.precision == load_recipe("unet", list(SLICES_AS_AUTHORS)).precision == "32-true"
    assert (classifier.data.split_by, classifier.data.header_window) == ("slice", True)
    assert classifier.loss.softmax_before_cross_entropy
    assert classifier.preprocessing_spec().mask_sampling == "floor"
    assert classifier.preprocessing_spec().windows == RSNA_WINDOWS
    assert load_recipe("unet", list(FOLDS_AS_AUTHORS)).data.split_by == "slice"
    series = load_recipe("rsna-sequence", list(SERIES_AS_AUTHORS))
    assert (series.precision, series.data.split_by, series.augmentation.per_slice) == ("32-true", "series", True)
    assert (series.augmentation.crop_scale, series.augmentation.crop_rule) == ((0.8, 1.2), "aspect")


def test_only_what_this_run_does_otherwise_is_listed():
    """With weights there is no training to differ; named folds and starting weights are the authors'."""
    trained = {each.topic for each in Outcome("hgi-sam").deviations()}
    assert {"starting weights", "windows in training", "folds", "numbers"} <= trained
    given = {each.topic for each in Outcome("hgi-sam", has_trained=False).deviations()}
    assert trained - given == {
        "starting weights",
        "windows in training",
        "held-out part of RSNA",
        "softmax before cross-entropy",
    }
    changes = ("network.initial_weights=swin.pth",)
    named = settled_topics(ReproduceOptions(Path(), Path(), changes=changes, folds=Path("folds.csv")))
    assert trained - {each.topic for each in Outcome("hgi-sam", settled=named).deviations()} == {
        "starting weights",
        "folds",
    }
    assert not settled_topics(ReproduceOptions(Path(), Path()))


def test_a_figure_that_could_not_be_read_is_said_to_be_missing(tmp_path):
    outcome = Outcome("hgi-sam", {"dice": {"value": 0.5, "low": 0.4, "high": 0.6, "sd": 0.2, "patients": 7}})
    page = "\n".join(page_lines(outcome))
    assert "| Dice of bleeding slices | 0.44 | 0.5000 ± 0.2000 (0.4000 to 0.6000) | 7 |" in page
    assert "| IoU of bleeding slices | not readable | - |" in page
    write_outcome(outcome, tmp_path)
    assert table_of(tmp_path)["rows"][1]["note"] == "not computed in this run"


def test_the_number_of_patients_stands_beside_each_figure():
    outcome = Outcome("hgi-sam", {"dice": {"value": 0.5, "low": 0.4, "high": 0.6, "patients": 7}})
    lines = summary_lines(outcome)
    assert "0.5000 (0.4000 to 0.6000), 7 patients" in lines[1]
    assert not any("patients" in line for line in lines[2:])


@pytest.mark.parametrize(
    ("table", "more", "message"),
    [
        ("hgi-sam", ["--part", "1/2"], "--part shares folds, and hgi-sam trains none"),
        ("smart-net", ["--folds", "folds.csv"], "smart-net has no folds"),
        ("rsna-sequence", ["--fold-count", "3"], "rsna-sequence has no folds"),
    ],
)
def test_a_setting_of_folds_is_refused_where_it_would_do_nothing(table, more, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folds.csv").write_text("patient,fold\n")
    assert main(["reproduce", table, "--data", str(tmp_path), *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / f"reproduce-{table}").exists()


def test_the_authors_series_are_scikit_learns_tenth():
    from sklearn.model_selection import train_test_split

    series = [f"ID_{number:03d}" for number in range(50)]
    split = authors_split(series)
    assert set(split.validation) == set(train_test_split(series, test_size=0.1, random_state=42)[1])
    assert (len(split.validation), split.split_by) == (5, "series")


def test_the_loss_is_the_competitions_and_its_interval_is_over_patients(tmp_path):
    random = np.random.default_rng(1)
    values, labels = random.uniform(0.01, 0.99, (40, 6)), random.integers(0, 2, (40, 6)).astype(float)
    options = ReproduceOptions(tmp_path, tmp_path, resamples=50)
    found = log_loss_figure(values, labels, [str(n // 10) for n in range(40)], options)
    assert found["value"] == pytest.approx(weighted_log_loss(logits_of(values), labels).total)
    assert (found["patients"], found["interval"]) == (4, "bootstrap")


def test_a_data_set_that_is_not_there_says_how_to_make_one(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(TrainingDataError, match="synthesize --layout rsna"):
        ReproduceOptions(tmp_path / "data", tmp_path).rsna()


def test_rsna_names_are_in_its_order():
    from ICHSegmenterLib.evaluation.rsna.csv_files import CLASSES

    assert CLASSES == RSNA_NAMES
