"""Figures from rows: detection, calibration, Dice, false blood; each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ICHSegmenterLib.evaluation.bootstrap import Estimate, PatientBootstrap, Weights
from ICHSegmenterLib.evaluation.detection_metrics import Calibration, ScoredItems, auc, calibration
from Testing.accuracy.recipe import Definitions
from Testing.accuracy.rows import Row, TrueLesion
from Testing.accuracy.verdicts import Verdict

RESAMPLES, SEED = 1000, 0
SIZES_ML = (0.02, 0.1, 1.0, 3.0, 10.0, 30.0, float("inf"))


@dataclass(frozen=True)
class Share:
    """So many of so many, with Wilson's 95 % interval."""

    hits: int
    total: int

    @classmethod
    def of(cls, hits: Iterable[bool]) -> Share:
        """Count."""
        all_of = list(hits)
        return cls(sum(all_of), len(all_of))

    @property
    def value(self) -> float | None:
        """The share, None of nothing."""
        return self.hits / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the interval."""
        ends = stats.binomtest(self.hits, self.total).proportion_ci(method="wilson")
        return float(ends.low), float(ends.high)


def in_set(rows: Iterable[Row], name: str) -> list[Row]:
    """The rows of a set."""
    return [row for row in rows if name in row.sets]


def in_group(rows: Iterable[Row], name: str) -> list[Row]:
    """The rows of a group."""
    return [row for row in rows if row.group == name]


def scored(rows: Sequence[Row], from_ml: float = 0.0) -> ScoredItems:
    """Values and truth of exams; those with less blood than this are left out, those without stay."""
    kept = [row for row in rows if not row.bleeds or row.blood_ml >= from_ml]
    return ScoredItems(
        np.array([row.bleeds for row in kept], dtype=bool),
        np.array([row.value for row in kept], dtype=np.float64),
        np.array([is_screened(row) for row in kept], dtype=bool),
        tuple(row.exam for row in kept),
    )


def is_screened(row: Row) -> bool:
    """Positive at the screening point: suspected or possible."""
    return row.verdict is not Verdict.NONE


def is_confirmed(row: Row) -> bool:
    """Positive at the confirming point: suspected."""
    return row.verdict is Verdict.SUSPECTED


def exam_auc(rows: Sequence[Row], *, resamples: int = RESAMPLES) -> Estimate:
    """Area under the ROC curve of exams; no interval without resamples, here and below."""
    items = scored(rows)
    return _bootstrap(items.patients, partial(auc, items), resamples)


def sensitivity_at(rows: Sequence[Row], definitions: Definitions, *, resamples: int = RESAMPLES) -> Estimate:
    """Sensitivity from the definitions' volume at the definitions' specificity."""
    items = scored(rows, definitions.sensitivity_from_ml)
    return _bootstrap(items.patients, partial(_sensitivity_at, items, definitions.specificity), resamples)


def calibrated(rows: Sequence[Row], definitions: Definitions) -> Calibration | None:
    """Reliability of the exams' values; None without exams."""
    return calibration(scored(rows), definitions.calibration_bins) if rows else None


def chance_error(rows: Sequence[Row], definitions: Definitions, *, draws: int = RESAMPLES) -> float:
    """Calibration error, on average, of so many exams of these values if each value were the true probability."""
    items, random = scored(rows), np.random.default_rng(SEED)
    errors = [
        calibration(replace(items, truth=random.random(len(items.values)) < items.values), definitions.calibration_bins)
        for _ in range(draws)
    ]
    return float(np.mean([one.expected_error for one in errors]))


def lesions(
    rows: Iterable[Row], *, subtype: str = "", low: float = 0.0, high: float = float("inf")
) -> list[tuple[Row, TrueLesion]]:
    """True pieces of a subtype (of all without) and size, with the row they are in; none of detecting methods."""
    return [
        (row, piece)
        for row in rows
        if row.has_outline
        for piece in row.lesions
        if subtype in ("", piece.subtype) and low <= piece.volume_ml < high
    ]


def dice_median(pieces: Sequence[tuple[Row, TrueLesion]], *, resamples: int = RESAMPLES) -> Estimate:
    """Median Dice of pieces, resampled by exam."""
    return median([row.exam for row, _ in pieces], [piece.dice for _, piece in pieces], resamples=resamples)


def median(exams: Sequence[str], values: Sequence[float], *, resamples: int = RESAMPLES) -> Estimate:
    """Median with its interval over exams."""
    return _bootstrap(tuple(exams), partial(_median, np.array(values, dtype=np.float64)), resamples)


def found_share(rows: Iterable[Row], subtype: str, definitions: Definitions) -> Share:
    """Exams with so much blood of a subtype, and in how many enough of it is outlined."""
    return Share.of(
        row.shares[subtype] >= definitions.found_share
        for row in rows
        if row.has_outline and row.facts["blood_ml"][subtype] >= definitions.found_from_ml
    )


def false_ml(rows: Sequence[Row]) -> Estimate:
    """Mean drawn mL in exams without blood."""
    drawn = np.array([row.drawn_ml for row in rows], dtype=np.float64)
    return _bootstrap(tuple(row.exam for row in rows), partial(_mean, drawn), RESAMPLES)


FACTORS: tuple[tuple[str, str, Callable[[Row], bool]], ...] = (
    ("kernel", "soft", lambda row: "sharp-kernel" not in row.facts["parts"]),
    ("kernel", "sharp", lambda row: "sharp-kernel" in row.facts["parts"]),
    ("slices", "below 1.6 mm", lambda row: row.facts["slice_mm"] < 1.6),
    ("slices", "1.6 to 5.5 mm", lambda row: 1.6 <= row.facts["slice_mm"] < 5.5),
    ("slices", "from 5.5 mm", lambda row: row.facts["slice_mm"] >= 5.5),
    ("gantry", "straight", lambda row: row.facts["tilt_deg"] < 1),
    ("gantry", "tilted", lambda row: row.facts["tilt_deg"] >= 1),
    ("noise (SD)", "below 8 HU", lambda row: row.facts["noise_hu"] < 8),
    ("noise (SD)", "8 to 15 HU", lambda row: 8 <= row.facts["noise_hu"] < 15),
    ("noise (SD)", "from 15 HU", lambda row: row.facts["noise_hu"] >= 15),
)
"""What, which, and the exams that are so."""


def _bootstrap(exams: tuple[str, ...], statistic: Callable[[Weights], float], resamples: int) -> Estimate:
    if not exams:
        return Estimate(None)
    if not resamples:
        value = statistic(np.ones(len(exams)))
        return Estimate(None if np.isnan(value) else value)
    return PatientBootstrap(exams, resamples).estimate(statistic)


def _sensitivity_at(items: ScoredItems, specificity: float, weights: Weights) -> float:
    """Share of bleeding items above the lowest cut that leaves enough of the others below or at it."""
    others, bleeding = weights[~items.truth], weights[items.truth]
    if not others.sum() or not bleeding.sum():
        return float("nan")
    values = items.values[~items.truth]
    order = np.argsort(values)
    reached = np.cumsum(others[order]) >= specificity * others.sum() - 1e-9
    cut = values[order][int(np.argmax(reached))]
    return float(bleeding[items.values[items.truth] > cut].sum() / bleeding.sum())


def _mean(values: NDArray[np.float64], weights: Weights) -> float:
    return float(weights @ values / weights.sum()) if weights.sum() else float("nan")


def _median(values: NDArray[np.float64], weights: Weights) -> float:
    repeated = np.repeat(values, weights.astype(int))
    return float(np.median(repeated)) if len(repeated) else float("nan")
