"""Intervals over patients."""

import numpy as np
import pytest

from ICHSegmenterLib.evaluation.bootstrap import PatientBootstrap


def mean_of(values):
    return lambda weights: float(weights @ values / weights.sum())


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(3).normal(0.0, 1.0, 400)
    draws = PatientBootstrap(tuple(map(str, range(400))), resamples=600)
    found = draws.estimate(mean_of(values))
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert found.low < found.value < found.high
    assert found.high - found.value == pytest.approx(half_width, rel=0.2)
    assert found.value - found.low == pytest.approx(half_width, rel=0.2)


def test_intervals_cover_the_true_mean_about_as_often_as_they_claim():
    random = np.random.default_rng(11)
    covered = 0
    for trial in range(40):
        values = random.normal(0.0, 1.0, 60)
        found = PatientBootstrap(tuple(map(str, range(60))), 150, seed=trial).estimate(mean_of(values))
        covered += found.low <= 0.0 <= found.high
    assert 34 <= covered <= 40


def test_slices_of_a_patient_come_together_and_widen_the_interval():
    """400 slices of four patients say as much as four numbers, not as 400."""
    patients = np.repeat(["a", "b", "c", "d"], 100)
    values = np.repeat([0.0, 0.0, 1.0, 1.0], 100)
    together = PatientBootstrap(tuple(patients), 200).estimate(mean_of(values))
    apart = PatientBootstrap(tuple(map(str, range(400))), 200).estimate(mean_of(values))
    assert (together.low, together.high) == (0.0, 1.0)
    assert apart.high - apart.low < 0.15


def test_one_patient_gives_a_figure_without_an_interval():
    found = PatientBootstrap(("a", "a"), 50).estimate(mean_of(np.array([0.0, 1.0])))
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert "two patients" in found.note


def test_an_undefined_figure_says_why():
    found = PatientBootstrap(("a", "b"), 50).estimate(lambda weights: float("nan"), undefined="no bleeding exam")
    assert found.to_json() == {"value": None, "low": None, "high": None, "note": "no bleeding exam"}


def test_a_constant_advantage_is_certain_though_both_methods_vary():
    values = np.random.default_rng(5).normal(0.0, 1.0, 30)
    draws = PatientBootstrap(tuple(map(str, range(30))), 200)
    found = draws.difference(mean_of(values + 0.1), mean_of(values))
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.p_value == pytest.approx(2 / 201)


def test_equal_methods_do_not_differ():
    values = np.arange(10.0)
    found = PatientBootstrap(tuple(map(str, range(10))), 100).difference(mean_of(values), mean_of(values))
    assert (found.value, found.p_value) == (0.0, 1.0)


def test_equal_seeds_give_equal_intervals():
    values = np.arange(10.0)
    one, other = (PatientBootstrap(tuple(map(str, range(10))), 100, seed=4).estimate(mean_of(values)) for _ in "ab")
    assert one == other
