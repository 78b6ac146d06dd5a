"""Figures of detection on items (slices or exams): ROC, rates at a threshold, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.evaluation.bootstrap import Estimate, PatientBootstrap, Weights

CALIBRATION_BINS = 10
NEEDS_BOTH = "undefined: it takes cases with and without hemorrhage"


@dataclass(frozen=True, eq=False)
class ScoredItems:
    """Items with the values of a method, and their truth.

    Attributes:
        truth: bool (items,).
        values: (items,) of "any", in [0, 1].
        decisions: bool (items,), positive at the threshold that applies to the item.
        patients: (items,).
    """

    truth: NDArray[np.bool_]
    values: NDArray[np.float64]
    decisions: NDArray[np.bool_]
    patients: tuple[str, ...]

    def __post_init__(self) -> None:
        sizes = {len(self.truth), len(self.values), len(self.decisions), len(self.patients)}
        if len(sizes) != 1:
            raise ValueError(f"truth, values, decisions and patients must be equally long, got {sorted(sizes)}")

    @cached_property
    def levels(self) -> tuple[int, NDArray[np.intp]]:
        """Number of different values, and (items,) the rank of each item's among them."""
        different, rank = np.unique(self.values, return_inverse=True)
        return len(different), rank


@dataclass(frozen=True)
class Calibration:
    """Whether values can be read as probabilities.

    Attributes:
        mean_values, observed: Mean value and share of bleeding items of each bin that has items.
        counts: Items in these bins.
        expected_error: ECE, mean distance of both, by count; 0 is perfect.
        brier: Mean squared error; 0 is perfect.
    """

    mean_values: tuple[float, ...]
    observed: tuple[float, ...]
    counts: tuple[int, ...]
    expected_error: float
    brier: float


def auc(items: ScoredItems, weights: Weights | None = None) -> float:
    """Area under the ROC curve; NaN if only one kind is there.

    With weights it is scikit-learn's figure too, but from values that are sorted once for all resamples.
    """
    from sklearn.metrics import roc_auc_score

    if weights is None:
        kinds = items.truth
        return float(roc_auc_score(kinds, items.values)) if kinds.any() and not kinds.all() else float("nan")
    levels, rank = items.levels
    bleeding = np.bincount(rank[items.truth], weights=weights[items.truth], minlength=levels)
    others = np.bincount(rank[~items.truth], weights=weights[~items.truth], minlength=levels)
    pairs = float(bleeding.sum() * others.sum())
    won = np.sum(bleeding * (np.cumsum(others) - others / 2))  # equal values count half
    return float(won) / pairs if pairs else float("nan")


def roc(items: ScoredItems) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(false positive rates, true positive rates) from (0, 0) to (1, 1); empty if only one kind is there."""
    from sklearn.metrics import roc_curve

    if np.isnan(auc(items)):
        return np.empty(0), np.empty(0)
    false_rates, true_rates, _ = roc_curve(items.truth, items.values)
    return np.asarray(false_rates, dtype=np.float64), np.asarray(true_rates, dtype=np.float64)


def sensitivity(items: ScoredItems, weights: Weights) -> float:
    """Share of bleeding items that are called positive."""
    return _share(items.decisions, items.truth, weights)


def specificity(items: ScoredItems, weights: Weights) -> float:
    """Share of other items that are called negative."""
    return _share(~items.decisions, ~items.truth, weights)


def precision(items: ScoredItems, weights: Weights) -> float:
    """Share of positive calls that are right."""
    return _share(items.truth, items.decisions, weights)


def accuracy(items: ScoredItems, weights: Weights) -> float:
    """Share of right calls."""
    return _share(items.truth == items.decisions, np.ones_like(items.truth), weights)


def f1(items: ScoredItems, weights: Weights) -> float:
    """Harmonic mean of sensitivity and precision; NaN without bleeding items and positive calls."""
    total = float(weights[items.truth].sum() + weights[items.decisions].sum())
    return 2 * float(weights[items.truth & items.decisions].sum()) / total if total else float("nan")


FIGURES: Mapping[str, tuple[Callable[[ScoredItems, Weights], float], str]] = {
    "auc": (auc, NEEDS_BOTH),
    "sensitivity": (sensitivity, "undefined: there is no case with hemorrhage"),
    "specificity": (specificity, "undefined: there is no case without hemorrhage"),
    "precision": (precision, "undefined: nothing was called positive"),
    "f1": (f1, "undefined: nothing bleeds and nothing was called positive"),
    "accuracy": (accuracy, "undefined: there are no cases"),
}
"""Name to figure, and why it may be undefined."""


def scores(items: ScoredItems, *, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """Every figure of `FIGURES` with its interval over patients."""
    draws = PatientBootstrap(items.patients, resamples, seed)
    shares = {
        "sensitivity": (items.decisions, items.truth),
        "specificity": (~items.decisions, ~items.truth),
        "precision": (items.truth, items.decisions),
        "accuracy": (items.truth == items.decisions, np.ones_like(items.truth)),
    }
    return {
        name: draws.share(*shares[name], partial(figure, items), undefined=why)
        if name in shares
        else draws.estimate(partial(figure, items), undefined=why)
        for name, (figure, why) in FIGURES.items()
    }


def calibration(items: ScoredItems, bins: int = CALIBRATION_BINS) -> Calibration:
    """Reliability over bins of equal width."""
    if not len(items.truth):
        raise ValueError("calibration needs at least one item")
    bin_of = np.minimum((items.values * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    filled = counts > 0
    means = np.bincount(bin_of, weights=items.values, minlength=bins)[filled] / counts[filled]
    observed = np.bincount(bin_of, weights=items.truth, minlength=bins)[filled] / counts[filled]
    return Calibration(
        tuple(means.tolist()),
        tuple(observed.tolist()),
        tuple(counts[filled].tolist()),
        expected_error=float(np.average(np.abs(means - observed), weights=counts[filled])),
        brier=float(np.mean((items.values - items.truth) ** 2)),
    )


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_], weights: Weights) -> float:
    total = float(weights[among].sum())
    return float(weights[hits & among].sum()) / total if total else float("nan")
