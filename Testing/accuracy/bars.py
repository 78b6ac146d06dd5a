"""The bars: what is asked of a method, what it reaches, and by how much it misses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from Testing.accuracy import figures
from Testing.accuracy.recipe import ExamPlan, Recipe
from Testing.accuracy.rows import Row
from Testing.accuracy.verdicts import Verdict

INNOCENT_HEADS = {"ge": "GE head", "invesalius": "InVesalius head", "phantom-clean": "phantom"}
INSERTED = {"inserted-ge": "GE head", "inserted-invesalius": "InVesalius head"}
SAME = {"same-iph": "IPH", "same-sdh": "SDH"}
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
        part: Words for how many of its exams it was judged on; empty for all.
    """

    name: str
    goal: str
    value: str = ""
    missed_by: str = ""
    part: str = ""

    @property
    def verdict(self) -> str:
        """A cell of the table."""
        if not self.value:
            return "–"
        words = f"missed by {self.missed_by}" if self.missed_by else "**met**"
        return f"{self.value}: {words}{f', on {self.part}' if self.part else ''}"


def bars(rows: Sequence[Row], recipe: Recipe) -> list[Bar]:
    """Every bar for one method, in one order for all methods."""
    clean = figures.in_set(rows, "clean")
    result = _innocent(rows)
    result += _on_part([_specificity(clean)], clean, recipe.of_sets(["clean"]))
    enhanced = figures.in_set(rows, "contrast")
    result += _on_part(_contrast(enhanced), enhanced, recipe.of_sets(["contrast"]))
    unlike = figures.in_set(rows, "unlike")
    result += _on_part(_unlike(unlike, recipe), unlike, recipe.of_sets(["unlike"]))
    for group, name in INSERTED.items():
        with_lesion = figures.in_group(rows, group)
        result += _on_part(_inserted(with_lesion, name), with_lesion, recipe.of_group(group))
    result += _demo(rows)
    for group in SAME:
        scans = figures.in_group(rows, group)
        result += _on_part(_same(scans, group, recipe), scans, recipe.of_group(group))
    return result


def _on_part(result: Iterable[Bar], rows: Sequence[Row], plans: Sequence[ExamPlan]) -> list[Bar]:
    """The bars, each saying on how many of the exams it was judged, unless on all."""
    part = f"{len(rows)} of {len(plans)} exams" if len(rows) < len(plans) else ""
    return [replace(bar, part=part) for bar in result]


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
    return result


def _specificity(clean: Sequence[Row]) -> Bar:
    share = figures.Share.of(not figures.is_confirmed(row) for row in clean)
    return _at_least("specificity, confirming, clean exams", SPECIFICITY, share.value, count=share)


def _contrast(enhanced: Sequence[Row]) -> list[Bar]:
    warned = figures.Share.of(row.is_contrast_warned for row in enhanced)
    confident = sum(figures.is_confirmed(row) for row in enhanced)
    name, goal = "contrast medium: suspected", "in none"
    suspected = Bar(name, goal)
    if enhanced:
        suspected = Bar(name, goal, f"{confident} of {len(enhanced)}", f"{confident} exams" if confident else "")
    return [_at_least("contrast medium: warned", WARNED, warned.value, count=warned), suspected]


def _unlike(unlike: Sequence[Row], recipe: Recipe) -> list[Bar]:
    limits = recipe.definitions
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


def _inserted(with_lesion: Sequence[Row], name: str) -> list[Bar]:
    called = figures.Share.of(figures.is_screened(row) for row in with_lesion)
    result = [_at_least(f"10 mL in the {name}: suspected or possible", CALLED, called.value, count=called)]
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


def _same(scans: Sequence[Row], group: str, recipe: Recipe) -> list[Bar]:
    limit = recipe.definitions.same_volume
    verdicts, volumes = (f"same bleed ({SAME[group]}): {what}" for what in ("verdict", "volume"))
    goals = "equal in all scans", f"within {limit:.0%} of their median"
    farthest = farthest_share(scans)
    if farthest is None:
        volume = Bar(volumes, goals[1])
    else:
        volume = Bar(volumes, goals[1], f"{farthest:.0%}", f"{farthest - limit:.0%}" if farthest > limit else "")
    if not scans:
        return [Bar(verdicts, goals[0]), volume]
    names = [row.verdict.value for row in scans]
    most = max(set(names), key=names.count)
    odd = len(names) - names.count(most)
    text = f"{most} in {names.count(most)} of {len(names)}"
    return [Bar(verdicts, goals[0], text, f"{odd} scans" if odd else ""), volume]


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
