"""Intervals (95 %) of figures from resampled patients, never from single slices or exams of one patient.

Shares at 0 or 1, where every resample says the same, have the exact interval of Clopper and Pearson over patients, and
shares of single items (one a patient) Wilson's; no p-value is smaller than so few patients could show.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES_AT_ONCE = 100
FEWEST_DEFINED = 0.5
"""An interval is not given if the figure is undefined in more than half of the resamples."""
FEW_PATIENTS = 20
"""Below, percentile intervals are too narrow: they hold the truth less often than they say."""

Weights = NDArray[np.float64]
Statistic = Callable[[Weights], float]
"""(items,) how often each item counts, to a figure; NaN where it is undefined."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: None if undefined.
        low, high: Ends of the interval, None if there is none.
        note: Why something is missing, or with which care it is to be read.
        patients: So many the figure stands on.
        interval: "bootstrap", "exact" (Clopper and Pearson) or "wilson"; empty without one.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    patients: int = 0
    interval: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data; note and kind of interval only where there are some."""
        return {key: value for key, value in asdict(self).items() if key not in ("note", "interval") or value}


@dataclass(frozen=True)
class Difference(Estimate):
    """Figure of a first method minus that of a second, on the same resampled patients.

    Attributes:
        p_value: Two-sided, that the difference is zero: twice the smaller share of resamples on one side of zero, never
            below what exchanging the methods within so few patients could show, 2 / 2^patients.
    """

    p_value: float | None = None


@dataclass(frozen=True, eq=False)
class PatientBootstrap:
    """Draws patients with replacement; all items of a patient come or stay together.

    Attributes:
        patients: (items,) whose item it is.
        resamples: How many draws.
        seed: Equal seeds and patients give equal draws, so that figures of several methods are paired.
    """

    patients: tuple[str, ...]
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"resamples must be positive, got {self.resamples}")

    def estimate(self, statistic: Statistic, *, undefined: str = "") -> Estimate:
        """The figure and its percentile interval; `undefined` says why there is none if it is NaN."""
        value, patients = self._of_all(statistic), len(set(self.patients))
        if np.isnan(value):
            return Estimate(None, note=undefined or "undefined for these cases", patients=patients)
        low, high, note = self._interval(self.distribution(statistic))
        if low is None:
            return Estimate(value, note=note, patients=patients)
        note = note or " ".join(text for text in (few(patients), no_width(low, high)) if text)
        return Estimate(value, low, high, note, patients, "bootstrap")

    def share(
        self, hits: NDArray[np.bool_], among: NDArray[np.bool_], statistic: Statistic, *, undefined: str = ""
    ) -> Estimate:
        """The interval of a rate, `hits` of the items `among`: 6 of 6 is not certain to be 1.

        One item a patient: Wilson's. Several: the bootstrap over patients, but at 0 or 1, where all resamples agree,
        the exact interval with patients as items.
        """
        whose = np.asarray(self.patients, dtype=np.str_)[among]
        patients = len(set(whose.tolist()))
        value = self._of_all(statistic)
        if np.isnan(value):
            return Estimate(None, note=undefined or "undefined for these cases")
        if patients == len(whose):
            return Estimate(value, *wilson(int(hits[among].sum()), patients), few(patients), patients, "wilson")
        if value in (0.0, 1.0):
            low, high = exact(patients if value else 0, patients)
            return Estimate(value, low, high, few(patients), patients, "exact")
        return replace(self.estimate(statistic, undefined=undefined), note=few(patients), patients=patients)

    def difference(self, first: Statistic, second: Statistic, *, undefined: str = "") -> Difference:
        """First minus second, both on the same resamples."""

        def paired(weights: Weights) -> float:
            return first(weights) - second(weights)

        value, patients = self._of_all(paired), len(set(self.patients))
        if np.isnan(value):
            return Difference(None, note=undefined or "undefined for these cases", patients=patients)
        drawn = self.distribution(paired)
        low, high, note = self._interval(drawn)
        defined = drawn[~np.isnan(drawn)]
        if low is None or not len(defined):
            return Difference(value, note=note, patients=patients)
        beyond = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
        p_value = min(1.0, max(2 * (beyond + 1) / (len(defined) + 1), smallest_p(patients)))
        return Difference(value, low, high, note or few(patients), patients, "bootstrap", p_value=p_value)

    def distribution(self, statistic: Statistic) -> Weights:
        """(resamples,) the figure of every draw, NaN where undefined; empty with fewer than two patients."""
        count = int(self._index.max(initial=-1)) + 1
        if count < 2:
            return np.empty(0)

        def of_draw(drawn: NDArray[np.intp]) -> float:
            return statistic(np.bincount(drawn, minlength=count)[self._index].astype(np.float64))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # NaN among the draws is expected
            result = stats.bootstrap(
                (np.arange(count),),
                of_draw,
                vectorized=False,
                n_resamples=self.resamples,
                batch=RESAMPLES_AT_ONCE,
                method="percentile",
                random_state=np.random.default_rng(self.seed),
            )
        return np.asarray(result.bootstrap_distribution, dtype=np.float64)

    @cached_property
    def _index(self) -> NDArray[np.intp]:
        """(items,) number of the patient."""
        return np.asarray(np.unique(np.asarray(self.patients, dtype=np.str_), return_inverse=True)[1], dtype=np.intp)

    def _of_all(self, statistic: Statistic) -> float:
        return float(statistic(np.ones(len(self.patients)))) if self.patients else float("nan")

    @staticmethod
    def _interval(drawn: Weights) -> tuple[float | None, float | None, str]:
        if not len(drawn):
            return None, None, "no interval: it takes at least two patients"
        defined = drawn[~np.isnan(drawn)]
        if len(defined) < FEWEST_DEFINED * len(drawn):
            return None, None, "no interval: undefined in most resamples, there are too few patients of one kind"
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(defined, (tail, 100 - tail))
        return float(low), float(high), ""


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's interval of a share."""
    low, high = stats.binomtest(hits, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(low), float(high)


def exact(hits: int, trials: int) -> tuple[float, float]:
    """The interval of Clopper and Pearson of a share."""
    low, high = stats.binomtest(hits, trials).proportion_ci(CONFIDENCE, method="exact")
    return float(low), float(high)


def smallest_p(patients: int) -> float:
    """The smallest two-sided p-value that so many pairs can show: all of them pointing the same way."""
    return min(1.0, 2.0 ** (1 - min(patients, 1000)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number after Holm."""
    order = np.argsort(p_values)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        corrected[number] = largest
    return corrected


def no_width(low: float | None, high: float | None) -> str:
    """The note for an interval without width, empty for others."""
    return "(all resamples agree, which is no certainty)" if low is not None and low == high else ""


def few(patients: int) -> str:
    """The note for a small sample, empty for a larger one."""
    return f"only {patients} patients: read with care" if patients < FEW_PATIENTS else ""
