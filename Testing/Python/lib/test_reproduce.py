"""Each published table from synthesized data in the true layouts: made, killed and resumed to the same table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "safetensors", "tensorboard", "sklearn", "cv2"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.cards import table as model_cards
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.cli.verbs.research.reproduce import TABLES as VERB_TABLES
from ICHSegmenterLib.datasets.brain_masks import AUTHORS_FOLDER
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.evaluation.rsna.metric import logits_of, weighted_log_loss
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing
from ICHSegmenterLib.reproduce.deviations import DEVIATIONS, remaining
from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.outcome import Outcome, page_lines, write_outcome
from ICHSegmenterLib.reproduce.published import FIGURES
from ICHSegmenterLib.reproduce.rsna_sequence import authors_split, log_loss_figure
from ICHSegmenterLib.reproduce.table import TABLES, reproduce
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.training.trainer import TrainerOptions
from power_cut import PowerCut
from training_layouts import PHYSIONET_COLUMNS, RSNA_NAMES, save_nifti, write_csv

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = ["--accelerator", "cpu", "--devices", "1", "--device", "cpu", "--resamples", "20", "--quiet"]
ONE_EPOCH = ["data.workers=0", "phases=[{learning_rate: 1.0e-3, max_epochs: 1, patience: 0}]"]
SLICES = ["preprocessing.resize=40", "preprocessing.crop=32", "data.batch_size=4", *ONE_EPOCH]
SWIN = "{num_classes: %d, image_size: 32, window_size: 4, embed_dim: 8, depths: [2, 2, 2, 2], num_heads: [1, 1, 2, 2]}"
SEQUENCE = "{embed_dim: 8, depths: [1, 1, 1, 1], num_heads: [1, 2, 4, 8]}"


def heads(count: int):
    """Small phantoms; every second one bleeds."""
    geometry = head_geometry((6, 48, 48), pixel_mm=(4.6, 4.6), slice_step_mm=20.0)
    for number in range(count):
        bleeds = (Bleed.sphere(30.0, (20.0, 6.0, 40.0), 66.0),) if number % 2 == 0 else ()
        yield make_phantom(geometry, HeadModel(bleeds=bleeds, noise_hu=2.0), seed=number, subsamples=(1, 1, 1))


@pytest.fixture(scope="module")
def physionet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("physionet")
    lines = []
    for number, head in enumerate(heads(6), start=1):
        geometry, name = head.volume.geometry, f"{number:03d}"
        blood = head.labelmap > 0
        save_nifti(folder / "ct_scans" / f"{name}.nii", head.volume.hu.astype(np.int16), geometry)
        save_nifti(folder / "masks" / f"{name}.nii", blood.astype(np.uint8) * 255, geometry)
        brain = (head.volume.hu > 0) & (head.volume.hu < 90)
        save_nifti(folder / AUTHORS_FOLDER / f"{name}_mask.nii.gz", brain.astype(np.uint8), geometry)
        for place, outline in enumerate(blood, start=1):
            bleeds = int(outline.any())
            lines.append((number, place, 0, bleeds, 0, 0, 0, 1 - bleeds, 0))
    write_csv(folder / "hemorrhage_diagnosis_raw_ct.csv", PHYSIONET_COLUMNS, lines)
    return folder


@pytest.fixture(scope="module")
def rsna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ICHSegmenterLib.datasets.rsna import layout
    from ICHSegmenterLib.synthesis.exam import SyntheticExam

    folder = tmp_path_factory.mktemp("rsna")
    exams = (
        SyntheticExam(head.volume, (head.labelmap > 0).astype(np.uint8) * 2, np.zeros(1), head.labelmap > 0, (), number)
        for number, head in enumerate(heads(8))
    )
    layout.write(exams, folder)
    return folder


@pytest.fixture(scope="module")
def both(physionet: Path, rsna: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    (folder / "ct-ich").symlink_to(physionet)
    (folder / "rsna").symlink_to(rsna)
    return folder


def table_of(folder: Path) -> dict:
    return json.loads((folder / "table.json").read_text())


def made_twice(table: str, data: Path, changes: list[str], tmp_path: Path, **more: Any) -> dict:
    """The table of an undisturbed run, after a killed and resumed one gave the same."""
    options = ReproduceOptions(
        data,
        tmp_path / "whole",
        changes=(*changes, "checkpoint_every_steps=1"),
        machine=TrainerOptions("cpu", 1, progress=False),
        device="cpu",
        resamples=20,
        **more,
    )
    assert not reproduce(table, options).missing
    resumed = replace(options, output=tmp_path / "killed")
    with pytest.raises(RuntimeError, match="power cut"):
        reproduce(table, replace(resumed, callbacks=lambda: (PowerCut(2),)))
    assert not (tmp_path / "killed" / "table.json").exists()
    assert not reproduce(table, resumed).missing
    assert table_of(tmp_path / "whole") == table_of(tmp_path / "killed")
    return table_of(tmp_path / "whole")


def test_hgi_sam_learns_on_one_set_and_is_scored_on_the_other(both, tmp_path):
    changes = [*SLICES, f"network={{name: swin_classifier, config: {SWIN % 2}}}", "data.validation_share=0.3"]
    found = made_twice("hgi-sam", both, changes, tmp_path, fold_count=2)
    dice = found["rows"][0]
    assert (dice["figure"], dice["paper"], dice["patients"]) == ("Dice of bleeding slices", 0.44, 3)
    assert 0 <= dice["low"] <= dice["ours"] <= dice["high"] <= 1
    assert any(each["topic"] == "recipe" for each in found["deviations"])


def test_the_u_nets_folds_meet_only_the_patients_that_they_never_saw(physionet, tmp_path):
    changes = [*SLICES, "data.evaluation_batch_size=4"]
    found = made_twice("unet", physionet, changes, tmp_path, fold_count=2, as_authors=True)
    assert found["as_authors"] is True
    assert list(found["weights"]) == ["unet.safetensors", "unet.safetensors (2)"]
    for path in (tmp_path / "whole" / "evaluation" / "slices" / "unet").glob("*.npz"):
        with np.load(path) as stored:
            facts = json.loads(str(stored["facts"]))
        digest = next(iter(facts["weights"].values()))
        fold = list(found["weights"].values()).index(digest)
        split = json.loads((tmp_path / "whole" / "training" / f"fold-{fold}" / "split.json").read_text())
        assert path.stem in split["test"]
        assert facts["brain"].startswith(AUTHORS_FOLDER)
        assert facts["card"]["preprocessing"]["mask_sampling"] == "floor"


def test_folds_may_be_shared_by_processes(physionet, tmp_path, capsys):
    arguments = ["reproduce", "unet", "--data", str(physionet), *QUICK, "--fold-count", "2", "--set", *SLICES]
    output = ["--output", str(tmp_path / "out")]
    assert main([*arguments, *output, "--part", "1/2"]) == 0
    assert "No table yet" in capsys.readouterr().out
    assert main([*arguments, *output, "--part", "2/2"]) == 0
    assert "deviations from the authors' code" in capsys.readouterr().out
    assert table_of(tmp_path / "out")["rows"][0]["patients"] == 3


def test_the_sequence_transformer_is_scored_on_held_out_series(rsna, tmp_path):
    changes = [*ONE_EPOCH, f"network.config={SEQUENCE}", "data.validation_share=0.3"]
    found = made_twice("rsna-sequence", rsna, changes, tmp_path)
    row = found["rows"][0]
    labels = {
        line.split(",")[0]: int(line.split(",")[1]) for line in (rsna / "stage_2_train.csv").read_text().split()[1:]
    }
    lines = [line.split(",") for line in (tmp_path / "whole" / "submission.csv").read_text().split()[1:]]
    values = np.array([float(value) for _, value in lines]).reshape(-1, 6)
    truth = np.array([labels[key] for key, _ in lines]).reshape(-1, 6)
    assert row["ours"] == pytest.approx(weighted_log_loss(logits_of(values), truth).total)
    assert (row["paper"], row["patients"]) == (0.04368, 2)


@pytest.mark.slow
def test_smart_net_trains_three_networks_and_tests_each(tmp_path_factory, tmp_path):
    """Not resumed here: its trainings are those of the other tables, and ResNet-50 is large."""
    data = tmp_path_factory.mktemp("smart-net")
    for number, head in enumerate(heads(8)):
        part = ("train", "train", "valid", "valid", "test", "test", "test", "test")[number]
        kind = "normal" if number % 2 else "hemo"
        stem = data / part / f"sample{number}_{kind}"
        geometry = head.volume.geometry
        save_nifti(Path(f"{stem}_img.nii.gz"), head.volume.hu.astype(np.int16), geometry)
        save_nifti(Path(f"{stem}_mask.nii"), (head.labelmap > 0).astype(np.uint8), geometry)
    changes = [*ONE_EPOCH, "preprocessing.size=32", "data.batch_size=2", "loss.consistency_weight=0.0"]
    arguments = ["reproduce", "smart-net", "--data", str(data), *QUICK, "--output", str(tmp_path), "--set", *changes]
    assert main([*arguments, "--as-authors"]) == 0
    rows = {row["figure"]: row for row in table_of(tmp_path)["rows"]}
    assert rows["AUC of exams"]["patients"] == 4
    for figure in ("Dice of exams, 256 pixels", "Dice of one slice an exam", "Error of the reconstruction"):
        assert rows[figure]["ours"] is not None, figure
    assert (tmp_path / "evaluation" / "smart-net-up" / "stacked" / "test-sample4_hemo.png").is_file()
    split = json.loads((tmp_path / "training" / "smart-net-up" / "split.json").read_text())
    assert all(name.startswith("test-") for name in split["test"]) and len(split["test"]) == 4


def test_weights_stand_in_for_a_training_and_say_that_their_folds_are_assumed(physionet, tmp_path, monkeypatch, capsys):
    small = replace(get_card("unet"), preprocessing=SlicePreprocessing(resize=40, crop=32))
    monkeypatch.setattr(model_cards, "MODEL_CARDS", MappingProxyType({**model_cards.MODEL_CARDS, "unet": small}))
    files = []
    for number in range(2):
        torch.manual_seed(number)
        files.append(str(tmp_path / f"fold{number}.pt"))
        torch.save(create_model("unet").state_dict(), files[-1])
    folds = tmp_path / "folds.csv"
    folds.write_text("patient,fold\n" + "".join(f"{n:03d},{n % 3 % 2}\n" for n in range(1, 7)))
    arguments = ["reproduce", "unet", "--data", str(physionet), *QUICK, "--weights", *files, "--folds", str(folds)]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    assert "file n is taken to have never met the patients of fold n" in capsys.readouterr().out


def test_every_table_has_a_paper_a_maker_and_deviations():
    assert set(TABLES) == set(FIGURES) == set(DEVIATIONS) == set(VERB_TABLES)
    for name in TABLES:
        standing, switched = remaining(name, as_authors=False), remaining(name, as_authors=True)
        assert {each.topic for each in standing} - {each.topic for each in switched}
        assert not any(each.switched for each in switched)


def test_a_figure_that_could_not_be_read_is_said_to_be_missing(tmp_path):
    outcome = Outcome("hgi-sam", {"dice": {"value": 0.5, "low": 0.4, "high": 0.6, "sd": 0.2, "patients": 7}})
    page = "\n".join(page_lines(outcome))
    assert "| Dice of bleeding slices | 0.44 | 0.5000 ± 0.2000 (0.4000 to 0.6000) | 7 |" in page
    assert "| IoU of bleeding slices | not readable | - |" in page
    write_outcome(outcome, tmp_path)
    assert table_of(tmp_path)["rows"][1]["note"] == "not computed in this run"


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
