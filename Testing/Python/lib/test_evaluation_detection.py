"""Figures of detection, with answers found by hand."""

import numpy as np
import pytest

from ICHSegmenterLib.evaluation.detection_metrics import ScoredItems, auc, calibration, roc, scores

pytest.importorskip("sklearn")


def scored(truth, values, threshold=0.5, patients=None):
    values = np.array(values, dtype=float)
    names = patients or tuple(map(str, range(len(values))))
    return ScoredItems(np.array(truth, dtype=bool), values, values >= threshold, tuple(names))


def test_the_auc_of_four_cases_is_the_share_of_right_pairs():
    """0.9 > 0.6, 0.9 > 0.1, 0.4 > 0.1 but 0.4 < 0.6: three of four pairs."""
    assert auc(scored([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])) == 0.75


def test_a_weight_counts_a_case_as_often_as_it_was_drawn():
    four = scored([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])
    assert auc(four, np.array([1.0, 2.0, 1.0, 1.0])) == pytest.approx(4 / 6)  # 0.4 twice: two of its four pairs right
    assert auc(four, np.array([1.0, 0.0, 1.0, 1.0])) == 1.0


def test_the_weighted_auc_is_that_of_scikit_learn():
    """Also where many values are equal."""
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(6)
    truth, values, weights = random.random(300) < 0.4, random.integers(0, 20, 300) / 20, random.integers(0, 4, 300)
    found = auc(scored(truth, values), weights.astype(float))
    assert found == pytest.approx(roc_auc_score(truth, values, sample_weight=weights), abs=1e-12)


def test_rates_at_the_threshold_are_those_of_the_table():
    """Bleeding: 0.9 and 0.7 found, 0.4 missed; others: 0.6 called, 0.3, 0.2, 0.1, 0.0 left alone."""
    found = scores(scored([1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.7, 0.4, 0.6, 0.3, 0.2, 0.1, 0.0]), resamples=20)
    assert found["sensitivity"].value == pytest.approx(2 / 3)
    assert found["specificity"].value == pytest.approx(4 / 5)
    assert found["precision"].value == pytest.approx(2 / 3)
    assert found["f1"].value == pytest.approx(2 / 3)
    assert found["accuracy"].value == pytest.approx(6 / 8)
    assert found["auc"].value == pytest.approx(14 / 15)


def test_intervals_hold_the_value_and_stay_in_range():
    random = np.random.default_rng(2)
    truth = random.random(60) < 0.5
    found = scores(scored(truth, np.clip(0.5 * truth + 0.6 * random.random(60), 0, 1)), resamples=100)
    for one in found.values():
        assert 0.0 <= one.low <= one.value <= one.high <= 1.0


def test_without_a_bleeding_case_auc_and_sensitivity_are_undefined_and_say_why():
    found = scores(scored([0, 0, 0], [0.2, 0.6, 0.1]), resamples=20)
    assert found["auc"].value is None
    assert "with and without hemorrhage" in found["auc"].note
    assert found["sensitivity"].value is None
    assert "no case with hemorrhage" in found["sensitivity"].note
    assert found["specificity"].value == pytest.approx(2 / 3)
    assert all(len(rates) == 0 for rates in roc(scored([0, 0], [0.1, 0.2])))


def test_the_roc_curve_runs_from_corner_to_corner():
    false_rates, true_rates = roc(scored([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1]))
    assert (false_rates[0], true_rates[0]) == (0.0, 0.0)
    assert (false_rates[-1], true_rates[-1]) == (1.0, 1.0)
    area = np.sum(np.diff(false_rates) * (true_rates[1:] + true_rates[:-1]) / 2)
    assert area == pytest.approx(0.75)


def test_calibration_of_two_bins():
    """0.2 twice, one of them bleeding; 0.9 twice, both bleeding: errors 0.3 and 0.1, Brier by hand."""
    found = calibration(scored([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9]))
    assert found.mean_values == pytest.approx((0.2, 0.9))
    assert found.observed == (0.5, 1.0)
    assert found.counts == (2, 2)
    assert found.expected_error == pytest.approx(0.2)
    assert found.brier == pytest.approx((0.04 + 0.64 + 0.01 + 0.01) / 4)


def test_values_of_one_fall_into_the_last_bin():
    assert calibration(scored([1, 1], [1.0, 0.95])).counts == (2,)


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        ScoredItems(np.ones(2, dtype=bool), np.ones(3), np.ones(2, dtype=bool), ("a", "b"))
