"""Figures of the three published protocols against numbers worked out by hand from their definitions."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest

from ICHSegmenterLib.evaluation.rsna.metric import logits_of, weighted_log_loss
from ICHSegmenterLib.evaluation.slices.figures import cut, figures_of
from ICHSegmenterLib.evaluation.slices.slice_scores import SliceScores, dice_sweep
from ICHSegmenterLib.evaluation.smart_net import metrics

pytest.importorskip("sklearn")

TRUTH = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
MAPS = {
    "half of it, nothing else": np.array([[0.9, 0.9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    "all of it and as much besides": np.array([[0.9, 0.9, 0.6, 0.6], [0.9, 0.9, 0.6, 0.6], [0, 0, 0, 0]]),
    "all of it": np.array([[0.5, 0.5, 0.49, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]]),
}
DICE = (2 * 2 / (2 + 4), 2 * 4 / (8 + 4), 1.0)
IOU = (2 / 4, 4 / 8, 1.0)


def scores(patient: str, maps: list[np.ndarray], values: list[float], truth: list[bool]) -> SliceScores:
    sweeps = np.array([dice_sweep(one, TRUTH) for one in maps]).reshape(len(maps), -1)
    outlined = np.flatnonzero(truth)[: len(maps)]
    bleeds = np.array(truth)
    return SliceScores(patient, patient, "m", bleeds, bleeds, np.array(values), outlined, sweeps, {})


def test_dice_of_bleeding_slices_and_their_detection_are_as_hgi_sam_defines_them() -> None:
    """Two patients, five slices: a false alarm, a miss that is outlined all the same, and no mask on a bleeding one."""
    maps = list(MAPS.values())
    exams = [
        scores("a", maps[:2], [0.9, 0.2, 0.8], [True, True, False]),
        scores("b", maps[2:], [0.7, 0.9], [True, True]),
    ]
    cuts = [cut(one, fold="", threshold=0.5, detection_threshold=0.5, every_bleeding=True) for one in exams]
    found = figures_of(cuts, resamples=10, seed=0)["all"]
    assert found["outlined_slices"] == 3 and found["bleeding_slices"] == 4
    for name, values in (("dice", DICE), ("iou", IOU)):
        mean = sum(values) / 3
        squares = sum((value - mean) ** 2 for value in values)
        assert found[name]["value"] == pytest.approx(mean)
        assert found[name]["sd"] == pytest.approx(sqrt(squares / 3))
        assert found[name]["sem"] == pytest.approx(sqrt(squares / 2) / sqrt(3))
    detection = {name: estimate["value"] for name, estimate in found["detection"].items()}
    assert detection["accuracy"] == 3 / 5
    assert detection["sensitivity"] == detection["precision"] == detection["f1"] == 3 / 4
    assert detection["specificity"] == 0
    assert detection["auc"] == pytest.approx((2 + 0) / 4)  # 0.9, 0.2, 0.7, 0.9 against 0.8
    assert found["hard_label_auc"]["value"] == pytest.approx((3 / 4 + 0) / 2)


def test_false_positive_voxels_are_those_of_exams_without_blood_above_a_half() -> None:
    soft = np.zeros((2, 3, 4))
    soft[0, 0] = (0.5, 0.51, 0.9, 1.0)
    soft[1, 2, 1] = 0.7
    outlined, empty, blood = soft > metrics.POSITIVE_ABOVE, np.zeros(soft.shape, bool), np.zeros(soft.shape, bool)
    blood[0, 0, 2:] = True
    assert metrics.false_positive_voxels(outlined, empty) == 4
    assert metrics.false_positive_voxels(outlined, blood) == 0
    assert metrics.dice(outlined, blood) == 2 * 2 / (4 + 2)
    assert np.isnan(metrics.dice(outlined, empty))
    assert metrics.mean_dice([2 / 3, float("nan"), 1.0]) == pytest.approx(5 / 6)
    assert np.isnan(metrics.mean_dice([float("nan")]))


def test_the_weighted_log_loss_counts_any_twice() -> None:
    """A seventh of each type's cross-entropy and two sevenths of any's, mean over slices."""
    labels = np.array([[0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]])
    values = np.array([[0.1, 0.8, 0.1, 0.1, 0.1, 0.9], [0.2, 0.2, 0.2, 0.2, 0.2, 0.4]])
    first = -(4 * log(0.9) + log(0.8) + 2 * log(0.9)) / 7
    second = -(5 * log(0.8) + 2 * log(0.6)) / 7
    found = weighted_log_loss(logits_of(values), labels)
    assert found.total == pytest.approx((first + second) / 2, abs=1e-12)
    assert found.by_label["any"] == pytest.approx(-2 / 7 * (log(0.9) + log(0.6)) / 2, abs=1e-12)
    halves = weighted_log_loss(np.zeros((3, 6)), np.ones((3, 6)))
    assert halves.total == pytest.approx(log(2), abs=1e-12)


def test_a_certain_wrong_answer_costs_what_the_competition_clips_it_to() -> None:
    values = np.array([[0.0] * 6])
    expected = -log(1e-15)
    assert weighted_log_loss(logits_of(values), np.ones((1, 6))).total == pytest.approx(expected, rel=1e-9)
