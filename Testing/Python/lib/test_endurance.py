"""Small versions of the programs below Testing/endurance."""

import random

import pytest

from Testing.endurance import broken, kills

pytestmark = pytest.mark.usefixtures("impatient")


def test_a_batch_that_is_killed_at_random_times_has_the_table_of_a_calm_one(tmp_path, monkeypatch):
    monkeypatch.setenv("ICHSEGMENTER_KEYS", str(tmp_path / "keys"))
    killed, differences = kills.killed_and_calm(tmp_path, 4, 2, random.Random(1))
    assert (killed, differences) == (2, [])


def test_a_row_that_is_lost_or_differs_would_be_told(tmp_path, monkeypatch):
    monkeypatch.setattr(
        kills,
        "tables_of",
        lambda folder, output: {"results.csv": {"calm": {"a": 1, "b": 2}, "killed": {"a": 3, "c": 4}}[output]},
    )
    (tmp_path / "killed" / ".ichsegmenter-x-y").mkdir(parents=True)
    found = kills.differences_of(tmp_path)
    assert found[:2] == ["results.csv of a", "results.csv of b"]
    assert found[2:] == ["results.csv: c only after kills", "left over: .ichsegmenter-x-y"]


def test_broken_exams_of_every_kind_cost_their_own_row_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("ICHSEGMENTER_KEYS", str(tmp_path / "keys"))
    assert broken.broken_among_good(tmp_path, len(broken.KINDS) + 3, len(broken.KINDS)) == (1, [])
