"""Inputs of a network that are computed once and read at later epochs."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.datasets.prepare import load_prepared, prepare_dataset
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.learning.array_file import ArrayFile
from ICHSegmenterLib.learning.augmentation import affine_grid
from ICHSegmenterLib.learning.kept_inputs import KeptInputs
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.recipe_file import load_recipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.slice_dataset import SliceDataset
from ICHSegmenterLib.methods.rsna_sequence.dataset import SeriesDataset
from ICHSegmenterLib.preprocessing.spec import RSNA_WINDOWS, SeriesPreprocessing, SlicePreprocessing
from ICHSegmenterLib.training.data_module import make_dataset
from ICHSegmenterLib.training.prepare_inputs import prepare_inputs
from training_layouts import write_nifti_folder, write_rsna

SMALL = SlicePreprocessing(RSNA_WINDOWS, resize=36, crop=32)
MEGABYTE = 10**6
SHAPE = (2, 3)


def counted(values: np.ndarray, calls: list[int]):
    def compute() -> np.ndarray:
        calls.append(1)
        return values.copy()

    return compute


def test_an_array_is_computed_once_and_then_read(tmp_path: Path) -> None:
    kept, calls = KeptInputs(tmp_path, 3, 24, MEGABYTE), []
    values = np.arange(6, dtype=np.float32).reshape(SHAPE)
    for _ in range(3):
        np.testing.assert_array_equal(kept.array(2, SHAPE, np.float32, counted(values, calls)), values)
    assert len(calls) == 1
    kept.array(1, SHAPE, np.float32, counted(values, calls))
    assert len(calls) == 2


def test_what_is_changed_after_reading_is_not_changed_in_the_file(tmp_path: Path) -> None:
    kept, values = KeptInputs(tmp_path, 1, 24, MEGABYTE), np.ones(SHAPE, dtype=np.float32)
    for _ in range(3):
        one = kept.array(0, SHAPE, np.float32, values.copy)
        assert one.tolist() == values.tolist()
        one += 1


def test_arrays_beyond_the_budget_are_computed_anew(tmp_path: Path) -> None:
    kept, calls = KeptInputs(tmp_path, 3, 24, 48), []
    for number in (0, 1, 2, 0, 1, 2):
        kept.array(number, SHAPE, np.float32, counted(np.zeros(SHAPE, np.float32), calls))
    assert len(calls) == 4


def test_loading_processes_share_what_one_of_them_computed(tmp_path: Path) -> None:
    kept, calls = KeptInputs(tmp_path, 1, 24, MEGABYTE), []
    kept.array(0, SHAPE, np.float32, counted(np.ones(SHAPE, np.float32), calls))
    other = pickle.loads(pickle.dumps(kept))
    assert other.array(0, SHAPE, np.float32, counted(np.zeros(SHAPE, np.float32), calls)).tolist() == [[1] * 3] * 2
    del other
    assert list(tmp_path.glob("inputs-*.kept")), "only the training that made the file removes it"


def test_the_file_goes_with_its_training_and_a_killed_one_s_with_the_next(tmp_path: Path) -> None:
    left = "from pathlib import Path; import os, sys; from ICHSegmenterLib.learning.kept_inputs import KeptInputs;"
    left += "kept = KeptInputs(Path(sys.argv[1]), 1, 24, 1000); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", left, str(tmp_path)], check=False).returncode == 9
    (orphan,) = tmp_path.glob("inputs-*.kept")
    kept = KeptInputs(tmp_path, 1, 24, MEGABYTE)
    (own,) = tmp_path.glob("inputs-*.kept")
    assert own != orphan
    beside = KeptInputs(tmp_path, 1, 24, MEGABYTE)
    assert own.is_file(), "the file of a training that goes on stays"
    del kept, beside
    assert list(tmp_path.glob("*inputs-*")) == []


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    kept, calls = KeptInputs(tmp_path / "absent", 1, 24, MEGABYTE), []
    for _ in range(2):
        kept.array(0, SHAPE, np.float32, counted(np.zeros(SHAPE, np.float32), calls))
    assert len(calls) == 2


def test_slices_are_decoded_in_the_first_epoch_only_and_stay_the_same_to_the_last_bit(tmp_path, monkeypatch) -> None:
    prepare_dataset(write_nifti_folder(tmp_path / "data", 1), tmp_path / "cache", "nifti")
    table = load_prepared(tmp_path / "cache")
    settings = (tmp_path / "cache", table, np.arange(4), SMALL, AugmentationRecipe())
    plain, keeping = (SliceDataset(*settings, with_masks=True) for _ in range(2))
    keeping.keep_inputs(tmp_path, MEGABYTE)
    draws = [SampleIndex(number, seed) for number in range(4) for seed in ((), (1, number), (2, number))]
    samples = [(plain[draw], keeping[draw]) for draw in draws]
    monkeypatch.setattr(keeping._reader, "hu", pytest.fail)
    monkeypatch.setattr(keeping._reader, "mask", pytest.fail)
    samples += [(plain[draw], keeping[draw]) for draw in draws]
    for one, other in samples:
        for key in ("image", "mask"):
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key].numpy(), other[key].numpy())


def test_beam_hardening_comes_before_the_windows_so_such_slices_are_made_anew(tmp_path: Path) -> None:
    prepare_dataset(write_nifti_folder(tmp_path / "data", 1), tmp_path / "cache", "nifti")
    table = load_prepared(tmp_path / "cache")
    settings = (tmp_path / "cache", table, np.arange(4), SMALL, AugmentationRecipe(beam_hardening=1.0))
    plain, keeping = (SliceDataset(*settings, with_masks=False) for _ in range(2))
    keeping.keep_inputs(tmp_path, MEGABYTE)
    for draw in (SampleIndex(1), SampleIndex(1, (3,)), SampleIndex(1), SampleIndex(1, (4,))):
        np.testing.assert_array_equal(plain[draw]["image"].numpy(), keeping[draw]["image"].numpy())


def test_series_are_windowed_in_the_first_epoch_only(tmp_path: Path, monkeypatch) -> None:
    prepare_dataset(write_rsna(tmp_path / "data", 2), tmp_path / "cache", "rsna")
    table = load_prepared(tmp_path / "cache")
    settings = (tmp_path / "cache", table, np.arange(len(table)), SeriesPreprocessing(), AugmentationRecipe())
    plain, keeping = (SeriesDataset(*settings) for _ in range(2))
    keeping.keep_inputs(tmp_path, 10 * MEGABYTE)
    draws = [SampleIndex(number, seed) for number in range(len(plain)) for seed in ((), (1, number))]
    samples = [(plain[draw], keeping[draw]) for draw in draws]
    monkeypatch.setattr(keeping._reader, "hu", pytest.fail)
    samples += [(plain[draw], keeping[draw]) for draw in draws]
    for one, other in samples:
        np.testing.assert_array_equal(one["image"].numpy(), other["image"].numpy())


def test_what_prepare_computed_is_read_by_every_training_from_its_first_epoch(tmp_path: Path, monkeypatch) -> None:
    cache = tmp_path / "cache"
    data = write_nifti_folder(tmp_path / "data", 2)
    changes = ["preprocessing.resize=36", "preprocessing.crop=32", "data.layout=nifti"]
    command = ["prepare", "nifti", "--data", str(data), "--output", str(cache), "--workers", "0"]
    assert main([*command, "--inputs-of", "unet", "--set", *changes]) == 0
    recipe, table = load_recipe("unet", changes), load_prepared(cache)
    for rows in (np.arange(8), np.array([5, 2])):  # another fold meets its own slices
        plain, ready = (make_dataset(recipe, cache, table, rows, "train") for _ in range(2))
        ready.keep_inputs(cache, 0)
        monkeypatch.setattr(ready._reader, "hu", pytest.fail)
        monkeypatch.setattr(ready._reader, "mask", pytest.fail)
        for draw in [SampleIndex(number, seed) for number in range(len(rows)) for seed in ((), (1, number))]:
            for key in ("image", "mask"):
                np.testing.assert_array_equal(plain[draw][key].numpy(), ready[draw][key].numpy())
    other = make_dataset(load_recipe("unet", [*changes, "preprocessing.crop=30"]), cache, table, np.arange(8), "train")
    other.keep_inputs(cache, 0)
    assert other[SampleIndex(0)]["image"].shape == (3, 30, 30)


def test_prepared_series_are_read_as_a_whole_and_parts_of_them_made_anew(tmp_path: Path, monkeypatch) -> None:
    cache = tmp_path / "cache"
    prepare_dataset(write_rsna(tmp_path / "data", 3), cache, "rsna")
    recipe, table = load_recipe("rsna-sequence", []), load_prepared(cache)
    assert prepare_inputs(recipe, cache) == 3
    rows = np.sort(table.series_of(np.arange(len(table)))[1])
    plain, ready, part = (make_dataset(recipe, cache, table, one, "train") for one in (rows, rows, rows[:-1]))
    for dataset in (ready, part):
        dataset.keep_inputs(cache, 0)
    assert len(part[SampleIndex(0)]["image"]) == len(rows) - 1
    monkeypatch.setattr(ready._reader, "hu", pytest.fail)
    for draw in (SampleIndex(0), SampleIndex(0, (1, 0))):
        np.testing.assert_array_equal(plain[draw]["image"].numpy(), ready[draw]["image"].numpy())


def test_a_disk_that_is_full_stops_the_preparing_of_inputs(tmp_path: Path, monkeypatch) -> None:
    cache = tmp_path / "cache"
    prepare_dataset(write_rsna(tmp_path / "data", 2), cache, "rsna")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArrayFile, "_write", full)
    with pytest.raises(TrainingDataError, match="the disk is full"):
        prepare_inputs(load_recipe("rsna-sequence", []), cache)


def test_inputs_of_slabs_are_not_kept(tmp_path: Path, capsys) -> None:
    data = write_nifti_folder(tmp_path / "data", 1)
    command = ["prepare", "nifti-slabs", "--data", str(data), "--output", str(tmp_path / "cache"), "--workers", "0"]
    assert main([*command, "--inputs-of", "compact-unet"]) == 2
    assert "not kept" in capsys.readouterr().err


def test_the_affine_grid_is_that_of_torch() -> None:
    """Both sum three products of numbers up to 2 in single precision: a few units in the last place."""
    matrix = ((0.9, -0.3, 0.1), (0.25, 1.1, -0.2))
    theirs = torch.nn.functional.affine_grid(torch.tensor(matrix)[None], [1, 1, 24, 31], align_corners=False)
    np.testing.assert_allclose(affine_grid(matrix, 24, 31).numpy(), theirs.numpy(), atol=8 * np.finfo(np.float32).eps)
