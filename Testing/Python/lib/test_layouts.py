"""The table of layouts: one module and one line are a layout of `prepare`, `train`, `evaluate` and `synthesize`."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.datasets import layouts
from ICHSegmenterLib.datasets.layouts import LAYOUTS, LayoutEntry, get_layout, labeled_names, writable_names
from training_layouts import head, save_nifti

SIDE_BY_SIDE = '''
"""Scans and outlines side by side: `NAME.nii.gz` and `NAME-blood.nii.gz`."""

from functools import partial

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.datasets.nifti_folder import NiftiPlan, read_series
from ICHSegmenterLib.datasets.sources import Source
from ICHSegmenterLib.volume.export import write_nifti

HAS_SUBTYPE_MASKS = False


def source(folder, options):
    masks = sorted(folder.glob("*-blood.nii.gz"))
    names = [mask.name.removesuffix("-blood.nii.gz") for mask in masks]
    plans = [NiftiPlan(name, name, 1, folder / f"{name}.nii.gz", mask) for name, mask in zip(names, masks)]
    return Source(plans, partial(read_series, False))


def cases(folder, cache):
    return [Case(plan.series, plan.patient, (plan.image,), plan.mask) for plan in source(folder, None).plans]


def write(exams, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for number, exam in enumerate(exams):
        write_nifti(exam.volume.hu, exam.volume.geometry, folder / f"{number}.nii.gz")
        write_nifti(exam.labelmap, exam.volume.geometry, folder / f"{number}-blood.nii.gz")
    return number + 1
'''
TRAINING = [
    "preprocessing.resize=40",
    "preprocessing.crop=32",
    "data.workers=0",
    "data.batch_size=4",
    "data.folds=0",
    "phases.0.max_epochs=1",
]


@pytest.fixture
def new_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A layout from outside the package: a file, and a line of the table."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "side_by_side.py").write_text(SIDE_BY_SIDE)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setitem(LAYOUTS, "paired", LayoutEntry("side_by_side", "scans and outlines side by side"))
    return "paired"


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Four tiny heads of eight slices; every second one bleeds on two of them."""
    for number in range(4):
        volume, mask = head(number, bleeds=number % 2 == 0, slices=8)
        save_nifti(tmp_path / "data" / f"{number}.nii.gz", volume.hu.astype(np.int16), volume.geometry)
        save_nifti(tmp_path / "data" / f"{number}-blood.nii.gz", mask, volume.geometry)
    return tmp_path / "data"


def test_a_new_layout_is_prepared(new_layout: str, heads: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs the train extra")
    cache = tmp_path / "cache"
    assert main(["prepare", new_layout, "--data", str(heads), "--output", str(cache), "--workers", "0"]) == 0
    with (cache / "index.csv").open(newline="") as stream:
        bleeding = [line["key"] for line in csv.DictReader(stream) if line["any"] == "1"]
    assert bleeding == ["0-001", "0-002", "2-001", "2-002"]


def test_a_new_layout_is_trained_on(new_layout: str, heads: Path, tmp_path: Path) -> None:
    for package in ("torch", "lightning", "monai", "safetensors", "tensorboard", "yaml"):
        pytest.importorskip(package, reason="needs the train extra")
    folders = ["--data", str(heads), "--output", str(tmp_path / "run"), "--accelerator", "cpu", "--devices", "1"]
    assert main(["train", "unet", *folders, "--set", f"data.layout={new_layout}", *TRAINING]) == 0
    assert (tmp_path / "run" / "unet.safetensors").is_file()
    assert f"layout: {new_layout}" in (tmp_path / "run" / "recipe.yaml").read_text()


def test_a_new_layout_is_evaluated(new_layout: str, heads: Path, tmp_path: Path) -> None:
    for package in ("sklearn", "monai", "matplotlib"):
        pytest.importorskip(package, reason="needs the train extra")
    output = tmp_path / "evaluation"
    arguments = ["--data", str(heads), "--layout", new_layout, "--methods", "hu-threshold", "--resamples", "5"]
    assert main(["evaluate", *arguments, "--output", str(output)]) == 0
    with (output / "cases.csv").open(newline="") as stream:
        truth = {line["case"]: line["bleeding_slices"] for line in csv.DictReader(stream)}
    assert truth == {"0": "2", "1": "0", "2": "2", "3": "0"}


def test_a_new_layout_is_written(new_layout: str, tmp_path: Path) -> None:
    output = tmp_path / "exams"
    arguments = ["--output", str(output), "--exams", "1", "--matrix", "48", "--seed", "4"]
    assert main(["synthesize", "--layout", new_layout, *arguments]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["0-blood.nii.gz", "0.nii.gz"]


@pytest.mark.parametrize("verb", ["prepare", "evaluate", "synthesize"])
def test_the_help_of_a_verb_names_a_new_layout(verb: str, new_layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"{new_layout}: scans and outlines side by side" in " ".join(capsys.readouterr().out.split())


def test_a_cache_says_its_layout_and_cut_as_before(heads: Path, tmp_path: Path, new_layout: str) -> None:
    """A cache that an earlier version began goes on only if plan.json has the same words."""
    pytest.importorskip("PIL", reason="needs the train extra")
    cache = tmp_path / "cache"
    assert main(["prepare", new_layout, "--data", str(heads), "--output", str(cache), "--workers", "0"]) == 0
    assert (cache / "plan.json").read_text() == '{"layout": "paired", "shards": [["0", 4]]}'


def test_every_line_of_the_table_is_a_layout() -> None:
    for name in LAYOUTS:
        assert isinstance(get_layout(name), layouts.Layout)
    assert labeled_names() == writable_names() == ["nifti", "physionet", "smart-net", "rsna"]


def test_a_module_without_a_reader_is_no_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "csv", LayoutEntry("csv", "no layout"))
    with pytest.raises(TypeError, match="csv has no function `source`"):
        get_layout("csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "bhds"], "There is no layout 'bhds'; choose nifti, physionet, smart-net, rsna, rsna-unlabeled."),
        (["evaluate", "--layout", "rsna-unlabeled"], "'rsna-unlabeled' comes without labels; choose nifti, physionet"),
        (["synthesize", "--layout", "rsna-unlabeled"], "'rsna-unlabeled' can only be read; choose nifti, physionet"),
    ],
)
def test_a_layout_that_does_not_fit_is_wrong_use(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--data", str(tmp_path), "--output", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("layout", "message"), [("bhsd", "no layout 'bhsd'"), ("rsna-unlabeled", "without labels")])
def test_a_recipe_needs_a_layout_with_labels(layout: str, message: str) -> None:
    pytest.importorskip("yaml", reason="needs the train extra")
    from ICHSegmenterLib.errors import RecipeError
    from ICHSegmenterLib.learning.recipe_file import load_recipe

    with pytest.raises(RecipeError, match=f"data.layout: .*{message}"):
        load_recipe("unet", [f"data.layout={layout}"])
