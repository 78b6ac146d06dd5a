"""Tables of the accuracy page in Markdown, one column a method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ICHSegmenterLib.evaluation.bootstrap import Estimate
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES
from Testing.accuracy import figures
from Testing.accuracy.bars import INNOCENT_HEADS, INSERTED, SAME, bars, farthest_share, inserted_dice
from Testing.accuracy.recipe import Recipe
from Testing.accuracy.rows import Row
from Testing.accuracy.verdicts import Verdict

Methods = Mapping[str, Sequence[Row]]
"""Method to its rows."""

NOTHING = "–"
SETS = {
    "unlike": "unlike the training's",
    "clean": "clean, of the same kind",
    "contrast": "contrast medium, clean",
    "inserted": "10 mL put into real heads",
    "heads": "two real heads, the phantom without and with a bleed",
    "same-bleed": "two bleeds, twenty scans each",
}


def all_tables(methods: Methods, recipe: Recipe, absent: Sequence[str] = ()) -> dict[str, str]:
    """Heading to Markdown."""
    tables = {
        "Exams": _exams(methods, absent),
        "Bars": _bars(methods, recipe),
        "Detection and calibration": _detection(methods, recipe),
        "Dice by subtype and size": _dice(methods),
        "Blood that is found": _found(methods, recipe),
        "False blood in clean exams": _false_blood(methods),
        "Bleeding exams by acquisition": _bleeding(methods, recipe),
        "Parts that no training has seen": _parts(methods, recipe),
        "Real heads and the phantom": _heads(methods),
        "10 mL put into real heads": _inserted(methods),
        "The same bleed": _same(methods),
    }
    return {heading: text for heading, text in tables.items() if text}


def _exams(methods: Methods, absent: Sequence[str]) -> str:
    body = [
        [f"{name}: {words}", *(str(len(figures.in_set(rows, name))) for rows in methods.values())]
        for name, words in SETS.items()
    ]
    weights = [
        ", ".join(dict.fromkeys(digest[:8] for row in rows for digest in row.weights.values())) or NOTHING
        for rows in methods.values()
    ]
    body.append(["weights: SHA-256 begins with", *weights])
    return "\n\n".join((_table(["exams", *methods], body), *(f"Left out: {sentence}." for sentence in absent)))


def _bars(methods: Methods, recipe: Recipe) -> str:
    columns = [bars(rows, recipe) for rows in methods.values()]
    body = [[row[0].name, row[0].goal, *(bar.verdict for bar in row)] for row in zip(*columns, strict=True)]
    return _table(["bar", "goal", *methods], body)


def _detection(methods: Methods, recipe: Recipe) -> str:
    limits = recipe.definitions

    def share_of(name: str, is_hit: Callable[[Row], bool], *, bleeds: bool) -> Callable[[Sequence[Row]], str]:
        def text(rows: Sequence[Row]) -> str:
            return _share(
                figures.Share.of(
                    is_hit(row)
                    for row in figures.in_set(rows, name)
                    if row.bleeds == bleeds and (not bleeds or row.blood_ml >= limits.sensitivity_from_ml)
                )
            )

        return text

    def calibration_error(rows: Sequence[Row]) -> str:
        unlike = figures.in_set(rows, "unlike")
        reliability = figures.calibrated(unlike, limits)
        if reliability is None:
            return NOTHING
        return f"{reliability.expected_error:.3f} ({figures.chance_error(unlike, limits):.3f} by chance alone)"

    from_ml = f"from {limits.sensitivity_from_ml:g} mL"
    lines: dict[str, Callable[[Sequence[Row]], str]] = {
        "AUC of exams": lambda rows: _estimate(figures.exam_auc(figures.in_set(rows, "unlike")), 3),
        f"sensitivity {from_ml} at specificity {limits.specificity:g}": lambda rows: _estimate(
            figures.sensitivity_at(figures.in_set(rows, "unlike"), limits)
        ),
        f"sensitivity {from_ml}, screening": share_of("unlike", figures.is_screened, bleeds=True),
        f"sensitivity {from_ml}, confirming": share_of("unlike", figures.is_confirmed, bleeds=True),
        "specificity, screening, all clean exams": share_of("clean", _not(figures.is_screened), bleeds=False),
        "specificity, confirming, all clean exams": share_of("clean", _not(figures.is_confirmed), bleeds=False),
        "expected calibration error": calibration_error,
        "value is a": lambda rows: ", ".join(sorted({row.value_name for row in rows})) or NOTHING,
    }
    body = [[name, *(line(rows) for rows in methods.values())] for name, line in lines.items()]
    return _table(["unlike exams", *methods], body)


def _dice(methods: Methods) -> str:
    kinds = [(f"{subtype}, from 1 mL", {"subtype": subtype, "low": 1.0}) for subtype in SUBTYPES]
    kinds.append(("all, from 1 mL", {"low": 1.0}))
    for low, high in zip(figures.SIZES_ML[:-1], figures.SIZES_ML[1:], strict=True):
        words = f"from {low:g} mL" if np.isinf(high) else f"{low:g} to {high:g} mL"
        kinds.append((f"all, {words}", {"low": low, "high": high}))
    body = []
    for name, limits in kinds:
        cells = []
        for rows in methods.values():
            pieces = figures.lesions(figures.in_set(rows, "unlike"), **limits)
            cells.append(f"{_estimate(figures.dice_median(pieces))}, n = {len(pieces)}" if pieces else NOTHING)
        body.append([name, *cells])
    return _table(["median Dice of pieces", *methods], body)


def _found(methods: Methods, recipe: Recipe) -> str:
    limits = recipe.definitions
    body = [
        [
            subtype,
            *(
                _share(figures.found_share(figures.in_set(rows, "unlike"), subtype, limits))
                for rows in methods.values()
            ),
        ]
        for subtype in SUBTYPES
    ]
    return _table([f"exams with at least {limits.found_from_ml:g} mL", *methods], body)


def _false_blood(methods: Methods) -> str:
    def cell(rows: Sequence[Row]) -> str:
        if not rows:
            return NOTHING
        called = figures.Share.of(figures.is_screened(row) for row in rows)
        drawn = _estimate(figures.false_ml(rows), 1) + " mL" if rows[0].has_outline else "no outline"
        return f"{drawn}; {called.hits} of {called.total}"

    body = [["all clean exams", *(cell(figures.in_set(rows, "clean")) for rows in methods.values())]]
    for what, which, belongs in figures.FACTORS:
        cells = (cell([row for row in figures.in_set(rows, "clean") if belongs(row)]) for rows in methods.values())
        body.append([f"{what} {which}", *cells])
    body.append(["contrast medium", *(cell(figures.in_set(rows, "contrast")) for rows in methods.values())])
    return _table(["mean mL drawn; suspected or possible", *methods], body)


def _bleeding(methods: Methods, recipe: Recipe) -> str:
    body = []
    for what, which, belongs in figures.FACTORS:
        cells = [_screened_and_dice([row for row in rows if belongs(row)], recipe) for rows in methods.values()]
        body.append([f"{what} {which}", *cells])
    return _table(["suspected or possible from 1 mL; median Dice of pieces from 1 mL", *methods], body)


def _parts(methods: Methods, recipe: Recipe) -> str:
    body = []
    for part in recipe.training["without_parts"]:
        for words, has_part in ((f"with {part}", True), (f"without {part}", False)):
            cells = []
            for rows in methods.values():
                subset = [row for row in rows if (part in row.facts["parts"]) == has_part]
                clean = figures.Share.of(figures.is_screened(row) for row in figures.in_set(subset, "clean"))
                text = f"{clean.hits} of {clean.total} clean" if clean.total else NOTHING
                bleeding = _screened_and_dice(subset, recipe)
                cells.append(NOTHING if text == bleeding == NOTHING else f"{text}; {bleeding}")
            body.append([words, *cells])
    return _table(["suspected or possible: clean; bleeding, with median Dice of pieces from 1 mL", *methods], body)


def _screened_and_dice(rows: Sequence[Row], recipe: Recipe) -> str:
    """Of the bleeding exams among the unlike ones."""
    low = recipe.definitions.sensitivity_from_ml
    bleeding = [row for row in figures.in_set(rows, "unlike") if row.blood_ml >= low]
    if not bleeding:
        return NOTHING
    called = figures.Share.of(figures.is_screened(row) for row in bleeding)
    dice = figures.dice_median(figures.lesions(bleeding, low=recipe.definitions.lesion_dice_from_ml), resamples=0)
    return f"{called.hits} of {called.total}; {NOTHING if dice.value is None else f'{dice.value:.2f}'}"


def _heads(methods: Methods) -> str:
    body = []
    for group, name in {**INNOCENT_HEADS, "phantom-bleed": "phantom with 20 mL"}.items():
        cells = []
        for rows in methods.values():
            texts = [
                f"{row.verdict.value} ({row.value:.2f}), {row.drawn_ml:.2f} mL" if row.has_outline
                else f"{row.verdict.value} ({row.value:.2f})"
                for row in figures.in_group(rows, group)
            ]  # fmt: skip
            cells.append(texts[0] if texts else NOTHING)
        body.append([name, *cells])
    return _table(["head", *methods], body)


def _inserted(methods: Methods) -> str:
    body = []
    for group, name in INSERTED.items():
        if not any(figures.in_group(rows, group) for rows in methods.values()):
            continue
        for verdict in (Verdict.SUSPECTED, Verdict.POSSIBLE):
            cells = []
            for rows in methods.values():
                share = figures.Share.of(row.verdict is verdict for row in figures.in_group(rows, group))
                cells.append(f"{share.hits} of {share.total}" if share.total else NOTHING)
            body.append([f"{name}: {verdict.value}", *cells])
        for subtype in SUBTYPES:
            cells = []
            for rows in methods.values():
                exams = figures.in_group(rows, group)
                dice = inserted_dice(exams, subtype)
                names = [str(number) for number in range(len(dice))]  # each place by itself
                cells.append(f"{_estimate(figures.median(names, dice))}, n = {len(dice)}" if dice else NOTHING)
            body.append([f"{name}: {subtype}, median Dice", *cells])
    return _table(["10 mL", *methods], body)


def _same(methods: Methods) -> str:
    body = []
    for group, subtype in SAME.items():
        lines: dict[str, list[str]] = {
            "verdicts": [],
            "true mL": [],
            "drawn mL, least to most (median)": [],
            "farthest": [],
        }
        for rows in methods.values():
            scans = figures.in_group(rows, group)
            names = [row.verdict.value for row in scans]
            counts = [f"{name} {names.count(name)}" for name in dict.fromkeys(names)]
            lines["verdicts"].append(", ".join(counts) or NOTHING)
            lines["true mL"].append(_range([row.blood_ml for row in scans]))
            drawn, farthest = [row.drawn_ml for row in scans if row.has_outline], farthest_share(scans)
            middle = f" ({np.median(drawn):.1f})" if drawn else ""
            lines["drawn mL, least to most (median)"].append(_range(drawn) + middle)
            lines["farthest"].append(NOTHING if farthest is None else f"{farthest:.0%}")
        body += [[f"{subtype}: {name}", *cells] for name, cells in lines.items() if set(cells) != {NOTHING}]
    return _table(["scans of one bleed", *methods], body)


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}" if values else NOTHING


def _not(is_hit: Callable[[Row], bool]) -> Callable[[Row], bool]:
    return lambda row: not is_hit(row)


def _estimate(figure: Estimate, digits: int = 2) -> str:
    if figure.value is None:
        return NOTHING
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def _share(share: figures.Share) -> str:
    if share.value is None:
        return NOTHING
    low, high = share.interval
    return f"{share.value:.2f} ({low:.2f} to {high:.2f}), {share.hits} of {share.total}"


def _table(head: Iterable[str], body: Sequence[Sequence[str]]) -> str:
    """Empty without a row, and a row without a figure is left out."""
    names = list(head)
    filled = [row for row in body if any(cell != NOTHING for cell in row[1:])]
    if not filled:
        return ""
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, ["---"] * len(names), *filled))
