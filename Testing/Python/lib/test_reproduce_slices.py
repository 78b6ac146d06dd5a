"""HGI-SAM, Swin-SAM, U-Net and SwinUNETR from synthesized data in the true layouts to their tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "timm", "safetensors", "tensorboard", "sklearn", "einops"):
    pytest.importorskip(package, reason="needs the train extra")

from ICHSegmenterLib.cards import table as model_cards
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.datasets import physionet as physionet_layout
from ICHSegmenterLib.datasets.brain_masks import AUTHORS_FOLDER
from ICHSegmenterLib.datasets.rsna import layout as rsna_layout
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing
from ICHSegmenterLib.reproduce.options import ReproduceOptions
from ICHSegmenterLib.reproduce.table import reproduce
from ICHSegmenterLib.training.callbacks import StepProgress
from ICHSegmenterLib.training.trainer import TrainerOptions
from reproduced_tables import NARROW_UNET, ONE_EPOCH, QUICK, SLICES, exams, made_twice, narrow_swin, table_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def physionet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("physionet")
    physionet_layout.write(exams(6), folder)
    return folder


@pytest.fixture(scope="module")
def both(physionet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    (folder / "ct-ich").symlink_to(physionet)
    rsna_layout.write(exams(8), folder / "rsna")
    return folder


@pytest.mark.parametrize(("table", "outputs", "paper"), [("hgi-sam", 2, (0.44, None)), ("swin-sam", 1, (0.407, 0.974))])
def test_a_classifier_learns_on_one_set_and_its_maps_are_scored_on_the_other(
    table: str, outputs: int, paper: tuple[float, float | None], both: Path, tmp_path: Path
) -> None:
    changes = [*SLICES, narrow_swin(outputs), "data.validation_share=0.3"]
    found = made_twice(table, both, changes, tmp_path, fold_count=2, as_authors=True)
    rows = {row["figure"]: row for row in found["rows"]}
    dice, auc = rows["Dice of bleeding slices"], rows["AUC of slices"]
    assert (dice["paper"], auc["paper"], dice["patients"], auc["patients"]) == (*paper, 3, 6)
    for row in (dice, auc):
        assert 0 <= row["low"] <= row["ours"] <= row["high"] <= 1
    assert any(each["topic"] == "recipe" for each in found["deviations"])
    assert len(list((tmp_path / "whole" / "evaluation" / "pictures" / table).glob("*.png"))) > 0


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("unet", [*SLICES, NARROW_UNET]),
        ("swin-unetr", ["preprocessing.resize=70", "preprocessing.crop=64", "data.batch_size=4", *ONE_EPOCH]),
    ],
)
def test_the_networks_of_folds_meet_only_the_patients_that_they_never_saw(
    table: str, changes: list[str], physionet: Path, tmp_path: Path
) -> None:
    """Killed in the second fold; without moments in the checkpoints, to write less."""
    plain = ["data.evaluation_batch_size=4", "optimizer={name: sgd, momentum: 0.0}"]
    found = made_twice(table, physionet, [*changes, *plain], tmp_path, cut_after=5, fold_count=2, as_authors=True)
    assert found["as_authors"] is True
    assert list(found["weights"]) == [f"{table}.safetensors", f"{table}.safetensors (2)"]
    assert (tmp_path / "killed" / "training" / "fold-1" / "recipe.yaml").is_file()
    scored = list((tmp_path / "whole" / "evaluation" / "slices" / table).glob("*.npz"))
    assert len(scored) == 6
    for path in scored:
        with np.load(path) as stored:
            facts = json.loads(str(stored["facts"]))
        digest = next(iter(facts["weights"].values()))
        fold = list(found["weights"].values()).index(digest)
        split = json.loads((tmp_path / "whole" / "training" / f"fold-{fold}" / "split.json").read_text())
        assert path.stem in {key.rpartition("-")[0] for key in split["test"]}
        assert not {key.rpartition("-")[0] for key in (*split["train"], *split["validation"])} & {path.stem}
        assert facts["brain"].startswith(AUTHORS_FOLDER)
        assert facts["card"]["preprocessing"]["mask_sampling"] == "floor"


def test_the_preparation_and_each_fold_report_their_progress(physionet: Path, tmp_path: Path) -> None:
    reports: list[tuple[int, int, str]] = []
    options = ReproduceOptions(
        physionet,
        tmp_path / "out",
        changes=(*SLICES, NARROW_UNET),
        fold_count=2,
        machine=TrainerOptions("cpu", 1, progress=False),
        device="cpu",
        resamples=5,
        progress=lambda *report: reports.append(report),
        announce=lambda *report: reports.append(report),
        callbacks=lambda what: (StepProgress(lambda *report: reports.append(report), what),),
    )
    reproduce("unet", options)
    messages = list(dict.fromkeys(message.partition(":")[0] for _, _, message in reports))
    assert messages == ["Preparing", "Training fold 1 of 2, phase 1", "Training fold 2 of 2, phase 1", "unet", ""]
    for phase in messages[:3]:
        steps = [(done, total) for done, total, message in reports if message == phase]
        assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]


def test_folds_may_be_shared_by_processes(physionet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--fold-count", "2", "--set", *SLICES, NARROW_UNET]
    arguments = ["reproduce", "unet", "--data", str(physionet), *QUICK, *changes]
    output = ["--output", str(tmp_path / "out")]
    assert main([*arguments, *output, "--part", "1/2"]) == 0
    assert "No table yet" in capsys.readouterr().out
    assert main([*arguments, *output, "--part", "2/2"]) == 0
    assert "deviations from the authors' code" in capsys.readouterr().out
    assert table_of(tmp_path / "out")["rows"][0]["patients"] == 3


def test_weights_stand_in_for_a_training_and_say_that_their_folds_are_assumed(
    physionet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
