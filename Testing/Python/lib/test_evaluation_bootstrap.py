"""Intervals over patients."""

import numpy as np
import pytest

from ICHSegmenterLib.evaluation.bootstrap import PatientBootstrap, exact, holm, smallest_p, wilson


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
    assert found.to_json() == {"value": None, "low": None, "high": None, "patients": 2, "note": "no bleeding exam"}


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


def share_of(hits, patients):
    hits = np.asarray(hits)
    everything = np.ones(len(hits), dtype=bool)
    return PatientBootstrap(tuple(patients), 100).share(hits, everything, mean_of(hits.astype(float)))


def test_six_of_six_is_not_certain_to_be_one():
    """Wilson's lower end of n of n is n / (n + z^2)."""
    found = share_of([True] * 6, "abcdef")
    assert (found.value, found.high, found.interval, found.patients) == (1.0, 1.0, "wilson", 6)
    assert found.low == pytest.approx(6 / (6 + 1.959964**2), abs=1e-6)
    assert "only 6 patients" in found.note


def test_slices_of_few_patients_that_are_all_right_have_the_exact_interval_of_patients():
    """Clopper and Pearson's lower end of n of n is 0.025^(1/n), whatever the number of slices."""
    found = share_of([True] * 60, [name for name in "abc" for _ in range(20)])
    assert (found.value, found.interval, found.patients) == (1.0, "exact", 3)
    assert found.low == pytest.approx(0.025 ** (1 / 3))
    none = share_of([False] * 60, [name for name in "abc" for _ in range(20)])
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 3))


def test_an_interval_without_width_says_that_it_is_no_certainty():
    found = PatientBootstrap(("a", "b", "c"), 50).estimate(mean_of(np.ones(3)))
    assert (found.low, found.high) == (1.0, 1.0)
    assert found.note == "only 3 patients: read with care (all resamples agree, which is no certainty)"


def test_other_rates_of_several_items_a_patient_are_bootstrapped():
    hits = np.arange(60) % 3 > 0
    assert share_of(hits, [str(n % 30) for n in range(60)]).interval == "bootstrap"


def test_intervals_of_shares_equal_their_published_formulas():
    z, n, k = 1.959963984540054, 20, 15
    middle = (k / n + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(k / n * (1 - k / n) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert wilson(k, n) == pytest.approx((middle - half, middle + half))
    assert exact(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))


def test_a_p_value_is_never_smaller_than_so_few_patients_can_show():
    values = np.array([0.1, 0.2, 0.3])
    found = PatientBootstrap(("a", "b", "c"), 1000).difference(mean_of(values + 0.1), mean_of(values))
    assert found.p_value == smallest_p(3) == 0.25


def test_holm_corrects_for_many_comparisons():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
