"""The bars: what is asked of a method, what it reaches, and by how much it misses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from Testing.accuracy import figures
from Testing.accuracy.recipe import Recipe
from Testing.accuracy.rows import Row
from Testing.accuracy.verdicts import Verdict

INNOCENT_HEADS = {"ge": "GE head", "invesalius": "InVesalius head", "phantom-clean": "phantom"}
INSERTED = {"inserted-ge": "GE head", "inserted-invesalius": "InVesalius head"}
DRAWN_ML = 0.1
SPECIFICITY, WARNED = 0.95, 0.95
AUC, SENSITIVITY, LESION_DICE, FOUND, ECE = 0.97, 0.90, 0.80, 0.80, 0.05
CALLED = 48 / 50
INSERTED_DICE = {"EDH": 0.80, "IPH": 0.80, "IVH": 0.80, "SDH": 0.60, "SAH": 0.45}
DEMO_SHARE, DEMO_DICE = 0.10, 0.92
SLACK = 1e-9
"""What shares of whole numbers may lose in floating point."""


@dataclass(frozen=True)
class Bar:
    """One demand on one method.

    Attributes:
        name, goal: Words.
        value: Words for what was reached; empty if it was not measured.
        missed_by: Words for the distance; empty if the bar is met.
    """

    name: str
    goal: str
    value: str = ""
    missed_by: str = ""

    @property
    def verdict(self) -> str:
        """A cell of the table."""
        if not self.value:
            return "–"
        return f"{self.value}: missed by {self.missed_by}" if self.missed_by else f"{self.value}: **met**"


def bars(rows: Sequence[Row], recipe: Recipe) -> list[Bar]:
    """Every bar for one method, in one order for all methods."""
    return [
        *_innocent(rows),
        *_contrast(rows),
        *_unlike(rows, recipe),
        *_inserted(rows),
        *_demo(rows),
        *_same(rows, recipe),
    ]


def _innocent(rows: Sequence[Row]) -> list[Bar]:
    result = []
    for group, name in INNOCENT_HEADS.items():
        bar = f"{name} without blood", f"none found, at most {DRAWN_ML} mL drawn"
        value = missed = ""
        for row in figures.in_group(rows, group):
            value = f"{row.verdict.value}, {row.drawn_ml:.2f} mL"
            excess = [] if row.verdict is Verdict.NONE else ["the verdict"]
            excess += [f"{row.drawn_ml - DRAWN_ML:.2f} mL"] if row.drawn_ml > DRAWN_ML else []
            missed = " and ".join(excess)
        result.append(Bar(*bar, value, missed))
    clean = figures.Share.of(not figures.is_confirmed(row) for row in figures.in_set(rows, "clean"))
    result.append(_at_least("specificity, confirming, clean exams", SPECIFICITY, clean.value, count=clean))
    return result


def _contrast(rows: Sequence[Row]) -> list[Bar]:
    enhanced = figures.in_set(rows, "contrast")
    warned = figures.Share.of(row.is_contrast_warned for row in enhanced)
    confident = sum(figures.is_confirmed(row) for row in enhanced)
    name, goal = "contrast medium: suspected", "in none"
    suspected = Bar(name, goal)
    if enhanced:
        suspected = Bar(name, goal, f"{confident} of {len(enhanced)}", f"{confident} exams" if confident else "")
    return [_at_least("contrast medium: warned", WARNED, warned.value, count=warned), suspected]


def _unlike(rows: Sequence[Row], recipe: Recipe) -> list[Bar]:
    unlike, limits = figures.in_set(rows, "unlike"), recipe.definitions
    result = [
        _at_least("unlike exams: AUC", AUC, figures.exam_auc(unlike, resamples=0).value, digits=3),
        _at_least(
            f"unlike exams: sensitivity at specificity {limits.specificity:g}, from {limits.sensitivity_from_ml:g} mL",
            SENSITIVITY,
            figures.sensitivity_at(unlike, limits, resamples=0).value,
        ),
        _at_least(
            f"unlike exams: lesion Dice, median, from {limits.lesion_dice_from_ml:g} mL",
            LESION_DICE,
            figures.dice_median(figures.lesions(unlike, low=limits.lesion_dice_from_ml), resamples=0).value,
        ),
    ]
    for subtype in ("SAH", "SDH"):
        share = figures.found_share(unlike, subtype, limits)
        name = f"unlike exams: {subtype} found, from {limits.found_from_ml:g} mL"
        result.append(_at_least(name, FOUND, share.value, count=share))
    reliability = figures.calibrated(unlike, limits)
    name, goal = "unlike exams: calibration error", f"at most {ECE}"
    if reliability is None:
        return [*result, Bar(name, goal)]
    error = reliability.expected_error
    return [*result, Bar(name, goal, f"{error:.3f}", f"{error - ECE:.3f}" if error > ECE else "")]


def _inserted(rows: Sequence[Row]) -> list[Bar]:
    result = []
    for group, name in INSERTED.items():
        with_lesion = figures.in_group(rows, group)
        called = figures.Share.of(figures.is_screened(row) for row in with_lesion)
        result.append(_at_least(f"10 mL in the {name}: suspected or possible", CALLED, called.value, count=called))
        for subtype, goal in INSERTED_DICE.items():
            dice = inserted_dice(with_lesion, subtype)
            value = float(np.median(dice)) if dice else None
            result.append(_at_least(f"10 mL in the {name}: {subtype}, median Dice", goal, value))
    return result


def inserted_dice(rows: Iterable[Row], subtype: str) -> list[float]:
    """Dice of all that is drawn in exams with one lesion of a subtype; 0 where nothing is."""
    return [row.dice or 0.0 for row in rows if row.has_outline and row.facts["blood_ml"][subtype] > 0]


def _demo(rows: Sequence[Row]) -> list[Bar]:
    volume, dice, segments = (f"phantom with 20 mL: {what}" for what in ("volume", "Dice", "segments"))
    goals = f"± {DEMO_SHARE:.0%} of the truth", "1"
    for row in figures.in_group(rows, "phantom-bleed"):
        if row.has_outline:
            error = row.drawn_ml / row.blood_ml - 1
            return [
                Bar(
                    volume,
                    goals[0],
                    f"{error:+.0%}",
                    f"{abs(error) - DEMO_SHARE:.1%}" if abs(error) > DEMO_SHARE else "",
                ),
                _at_least(dice, DEMO_DICE, row.dice or 0.0),
                Bar(segments, goals[1], str(row.segments), f"{abs(row.segments - 1)}" if row.segments != 1 else ""),
            ]
    return [Bar(volume, goals[0]), _at_least(dice, DEMO_DICE, None), Bar(segments, goals[1])]


def _same(rows: Sequence[Row], recipe: Recipe) -> list[Bar]:
    result, limit = [], recipe.definitions.same_volume
    for group in ("same-iph", "same-sdh"):
        subtype = group.removeprefix("same-").upper()
        scans = figures.in_group(rows, group)
        verdicts, volumes = (f"same bleed ({subtype}): {what}" for what in ("verdict", "volume"))
        goals = "equal in all scans", f"within {limit:.0%} of their median"
        if not scans:
            result += [Bar(verdicts, goals[0]), Bar(volumes, goals[1])]
            continue
        names = [row.verdict.value for row in scans]
        most = max(set(names), key=names.count)
        odd = len(names) - names.count(most)
        result.append(
            Bar(verdicts, goals[0], f"{most} in {names.count(most)} of {len(names)}", f"{odd} scans" if odd else "")
        )
        farthest = farthest_share(scans)
        if farthest is None:
            result.append(Bar(volumes, goals[1]))
        else:
            missed = f"{farthest - limit:.0%}" if farthest > limit else ""
            result.append(Bar(volumes, goals[1], f"{farthest:.0%}", missed))
    return result


def farthest_share(scans: Sequence[Row]) -> float | None:
    """Largest distance of a drawn volume from the median, as a share of it; 1 if most are 0, None without outlines."""
    drawn = np.array([row.drawn_ml for row in scans if row.has_outline])
    if not len(drawn):
        return None
    middle = float(np.median(drawn))
    return float(np.abs(drawn / middle - 1).max()) if middle else 1.0


def _at_least(
    name: str, goal: float, value: float | None, *, count: figures.Share | None = None, digits: int = 2
) -> Bar:
    words = f"at least {goal:.{digits}f}"
    if value is None:
        return Bar(name, words)
    reached = f"{value:.{digits}f}" + (f" ({count.hits} of {count.total})" if count else "")
    return Bar(
        name, words, reached, "" if value >= goal - SLACK else f"{goal - value:.{digits + (goal - value < 0.005)}f}"
    )
