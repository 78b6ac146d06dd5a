from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("yaml", reason="needs the train extra")

from ICHSegmenterLib.datasets.splits import Split, check_split, load_split, save_folds, save_split, split_patients
from ICHSegmenterLib.errors import RecipeError, TrainingDataError
from ICHSegmenterLib.evaluation.thresholds import read_folds
from ICHSegmenterLib.learning.recipe_file import load_recipe, recipe_names
from ICHSegmenterLib.learning.samplers import EvaluationBatches, Shard, TrainingBatches, epoch_order

BLEEDS = {f"p{number:02d}": number < 15 for number in range(40)}


def test_five_folds_test_every_patient_once() -> None:
    splits = [split_patients(BLEEDS, folds=5, fold=fold, seed=3) for fold in range(5)]
    tested = [name for split in splits for name in split.test]
    assert sorted(tested) == sorted(BLEEDS)
    for split in splits:
        assert sorted((*split.train, *split.validation, *split.test)) == sorted(BLEEDS)
        assert sum(BLEEDS[name] for name in split.test) == 3


def test_a_split_follows_from_its_seed() -> None:
    assert split_patients(BLEEDS, seed=1) == split_patients(dict(reversed(BLEEDS.items())), seed=1)
    assert split_patients(BLEEDS, seed=1) != split_patients(BLEEDS, seed=2)


def test_a_saved_split_is_read_back(tmp_path: Path) -> None:
    split = split_patients(BLEEDS, folds=5, fold=1)
    save_split(split, tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == split


def test_the_folds_are_written_as_evaluation_reads_them(tmp_path: Path) -> None:
    save_folds(BLEEDS, tmp_path / "folds.csv", folds=5, seed=3)
    folds = read_folds(tmp_path / "folds.csv")
    assert sorted(folds) == sorted(BLEEDS)
    for fold in range(5):
        held_out = sorted(name for name, one in folds.items() if one == str(fold))
        assert tuple(held_out) == split_patients(BLEEDS, folds=5, fold=fold, seed=3).test


def test_a_leak_in_a_saved_split_is_found(tmp_path: Path) -> None:
    save_split(split_patients(BLEEDS, folds=5), tmp_path / "split.json")
    content = json.loads((tmp_path / "split.json").read_text())
    content["train"].append(content["test"][0])
    (tmp_path / "split.json").write_text(json.dumps(content))
    with pytest.raises(TrainingDataError, match="Leak: 1 patients are in both train and test"):
        load_split(tmp_path / "split.json")


def test_a_series_of_two_patients_is_a_leak() -> None:
    split = Split(("a",), ("b",), (), 0, 0, 0)
    with pytest.raises(TrainingDataError, match="Leak: series s1 belongs to several patients"):
        check_split(split, ["s1", "s1", "s2"], ["a", "b", "b"])


def test_a_split_of_other_data_is_refused() -> None:
    with pytest.raises(TrainingDataError, match=r"names 1 patients that the data do not have \(b\)"):
        check_split(Split(("a",), ("b",), (), 0, 0, 0), ["s1"], ["a"])


def test_too_few_patients_are_no_split() -> None:
    with pytest.raises(TrainingDataError, match="at least one patient to learn from and one to validate"):
        split_patients({"a": True})


PATIENTS = [name for name in "abcdefgh" for _ in range(6)]
SERIES = [f"{name}{number // 3}" for number, name in enumerate(PATIENTS)]
SLICES = [f"{name}-{number}" for number, name in enumerate(PATIENTS)]


@pytest.mark.parametrize(("by", "units"), [("series", SERIES), ("slice", SLICES)])
def test_a_split_as_the_authors_drew_it_warns_that_it_leaks(
    by: str, units: list[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    split = split_patients(dict.fromkeys(units, True), folds=3, seed=1, split_by=by)
    save_split(split, tmp_path / "split.json")
    assert load_split(tmp_path / "split.json") == split and split.split_by == by
    assert sorted((*split.train, *split.validation, *split.test)) == sorted(set(units))
    parts = [{unit[0] for unit in part} for part in (split.train, split.validation, split.test)]
    leaked = sum(sum(name in part for part in parts) > 1 for name in "abcdefgh")
    with caplog.at_level(logging.WARNING):
        check_split(split, SERIES, PATIENTS, split_by=by, units=units)
    assert leaked > 1
    assert f"data.split_by={by} leaks: {leaked} of 8 patients are in more than one part" in caplog.text


def test_a_split_by_patient_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    split = split_patients(dict.fromkeys(PATIENTS, True), folds=3)
    check_split(split, SERIES, PATIENTS)
    assert split.split_by == "patient" and not caplog.text


def test_a_leaking_split_is_refused_where_none_was_asked_for() -> None:
    split = split_patients(dict.fromkeys(SLICES, True), split_by="slice")
    with pytest.raises(TrainingDataError, match=r"saved split is by slice, but the recipe's data.split_by is patient"):
        check_split(split, SERIES, PATIENTS)


def test_a_slice_in_two_parts_is_a_leak_even_there() -> None:
    with pytest.raises(TrainingDataError, match="Leak: 1 slices are in both train and validation"):
        Split(("a", "b"), ("b",), (), 0, 0, 0, "slice")


def test_a_saved_split_of_an_earlier_version_is_by_patient(tmp_path: Path) -> None:
    save_split(split_patients(BLEEDS), tmp_path / "split.json")
    content = json.loads((tmp_path / "split.json").read_text())
    del content["split_by"]
    (tmp_path / "split.json").write_text(json.dumps(content))
    assert load_split(tmp_path / "split.json") == split_patients(BLEEDS)


def test_recipes_split_by_patient_and_never_take_a_series_apart() -> None:
    assert {load_recipe(name).data.split_by for name in recipe_names()} == {"patient"}
    assert load_recipe("rsna-sequence", ["data.split_by=series"]).data.split_by == "series"
    for name in ("rsna-sequence", "smart-net-up", "smart-net-seg"):
        with pytest.raises(RecipeError, match="whole series, which data.split_by=slice would take apart"):
            load_recipe(name, ["data.split_by=slice"])


def test_balancing_with_replacement_shows_both_classes_equally_often() -> None:
    is_positive = np.arange(1000) < 50
    order = epoch_order("balanced-with-replacement", is_positive, seed=0, epoch=0)
    assert len(order) == 1000
    assert abs(is_positive[order].mean() - 0.5) < 0.05


def test_balancing_without_replacement_takes_twice_the_positives_once_each() -> None:
    is_positive = np.arange(1000) < 50
    order = epoch_order("balanced-without-replacement", is_positive, seed=0, epoch=0)
    assert len(order) == len(set(order.tolist())) == 100
    assert is_positive[order].sum() > 25  # far more than the 5 of an unbalanced draw


def batches(shard: Shard, *, size: int = 4, start: tuple[int, int] = (0, 0), epoch: int = 0) -> list[list[object]]:
    sampler = TrainingBatches("shuffle", np.arange(18) < 5, batch_size=size, seed=7, shard=shard, start=start)
    sampler.set_epoch(epoch)
    return [list(batch) for batch in sampler]


def test_two_processes_see_the_batches_of_one() -> None:
    alone = batches(Shard())
    first, second = batches(Shard(0, 2)), batches(Shard(1, 2))
    together = [[a, b, c, d] for (a, c), (b, d) in zip(first, second, strict=True)]
    assert together == alone


def test_a_resumed_epoch_goes_on_with_the_same_batches() -> None:
    assert batches(Shard(), start=(3, 2), epoch=3) == batches(Shard(), epoch=3)[2:]
    assert batches(Shard(), start=(3, 2), epoch=4) == batches(Shard(), epoch=4)


def test_epochs_differ() -> None:
    assert batches(Shard(), epoch=0) != batches(Shard(), epoch=1)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"batch_size is 4, which cannot be shared by 3 processes; .*batch_size=3"):
        batches(Shard(0, 3))


def test_validation_shows_every_sample_once_in_equally_many_batches() -> None:
    loaders = [EvaluationBatches(7, batch_size=2, shard=Shard(rank, 3)) for rank in range(3)]
    drawn = [[draw for batch in loader for draw in batch] for loader in loaders]
    assert {len(one) for one in drawn} == {4}
    assert sorted(draw.index for one in drawn for draw in one if draw.is_real) == list(range(7))
