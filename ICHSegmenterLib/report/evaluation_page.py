"""`report.html` of an evaluation: one self-contained page of tables and pictures, several methods side by side."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ICHSegmenterLib.files import replacing

PAGE = Template(
    """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Evaluation: $title</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; color: #1b2126; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
 h1 { font-size: 1.5rem; margin: 0 0 .3rem } h2 { font-size: 1.15rem; margin: 1.6rem 0 .2rem }
 .notice { background: #fff4d6; border-left: 4px solid #e0a800; padding: .4rem .8rem; margin: .8rem 0 }
 .warning { background: #fdeceb; border-left: 4px solid #d64533; padding: .4rem .8rem; margin: .4rem 0 }
 img { max-width: 100%; margin: .4rem 0 } figure { margin: 1rem 0 } figcaption { color: #66717a }
 table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem }
 th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #e3e7ea; vertical-align: top }
 th:first-child, td:first-child { text-align: left }
 small { color: #66717a } td small { display: block; white-space: nowrap }
 dt { font-weight: 600 } dd { margin: 0 0 .4rem 1rem }
</style></head><body>
<h1>Evaluation: $title</h1>
<small>$data; intervals: 95 %, $resamples resamples of patients; ICHSegmenter $version</small>
<p class="notice">$notice</p>
$warnings
$body
<h2>How it was counted</h2>
<dl>$definitions</dl>
</body></html>
"""
)

DETECTION = {
    "auc": "ROC AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "accuracy": "Accuracy",
}
SEGMENTATION = {
    "dice_mean": "Dice, mean",
    "dice_median": "Dice, median",
    "dice_median_from_1_ml": "Dice, median, from 1 mL",
    "iou_mean": "IoU, mean",
    "hd95_mm_median": "HD95, median (mm)",
    "volume_error_ml_mean": "Volume error, mean (mL)",
    "volume_error_ml_absolute_mean": "Absolute volume error, mean (mL)",
    "false_ml_in_negatives_mean": "Outlined in negatives, mean (mL)",
    "negatives_below_1_ml": "Negatives below 1 mL",
    "false_lesions_mean": "False lesions an exam",
}
SHOWN_FAILURES = 20


def write_evaluation_page(summary: Mapping[str, Any], pictures: Mapping[str, Path], path: Path) -> None:
    """Write the page; pictures (caption to file) are embedded so that the file can be moved alone."""
    data, methods = summary["data"], summary["methods"]
    body = [
        _detection(methods, "exam"),
        _detection(methods, "slice"),
        _subtypes(methods),
        _calibration(methods),
        _segmentation(methods),
        _lesions(methods),
        _comparisons(summary["comparisons"]),
        _thresholds(summary["thresholds"]),
        *(_figure(caption, file) for caption, file in pictures.items()),
    ]
    page = PAGE.substitute(
        title=escape(", ".join(methods)),
        data=f"{data['exams']} exams of {data['patients']} patients, {data['bleeding_exams']} with hemorrhage; "
        f"{data['slices']} slices, {data['bleeding_slices']} with hemorrhage",
        resamples=summary["bootstrap"]["resamples"],
        version=escape(summary["version"]),
        notice=escape(summary["notice"]),
        warnings=_failures(summary["failures"]),
        body="\n".join(body),
        definitions="".join(
            f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in summary["definitions"].items()
        ),
    )
    with replacing(path) as draft:
        draft.write_text(page, encoding="utf-8")


def _detection(methods: Mapping[str, Any], level: str) -> str:
    rows = []
    for name, summary in methods.items():
        if summary["detection"] is not None:
            figures = summary["detection"][level]
            rows.append([escape(name), f"{figures['bleeding']} of {figures['items']}", *_figures(figures, DETECTION)])
    return f"<h2>Detection of {level}s</h2>" + _table(["Method", "With blood", *DETECTION.values()], rows)


def _subtypes(methods: Mapping[str, Any]) -> str:
    """Empty unless a method and the truth tell subtypes apart."""
    by_method = {name: one["detection"]["subtypes"] for name, one in methods.items() if one["detection"]}
    by_method = {name: subtypes for name, subtypes in by_method.items() if subtypes}
    if not by_method:
        return ""
    first = next(iter(by_method.values()))
    rows = [
        [
            escape(key),
            f"{first[key]['bleeding']} of {first[key]['slices']}",
            *(_figure_cell(subtypes[key]["auc"]) for subtypes in by_method.values()),
        ]
        for key in first
    ]
    return "<h2>Subtypes on slices, ROC AUC</h2>" + _table(["Subtype", "With it", *map(escape, by_method)], rows)


def _calibration(methods: Mapping[str, Any]) -> str:
    rows = []
    for name, summary in methods.items():
        if summary["detection"] is not None:
            both = [summary["detection"][level]["calibration"] for level in ("exam", "slice")]
            numbers = [f"{it[key]:.3f}" for it in both for key in ("expected_error", "brier")]
            rows.append([escape(name), escape(summary["value_name"]), *numbers])
    heads = ["Method", "Values are", "Exam ECE", "Exam Brier", "Slice ECE", "Slice Brier"]
    return "<h2>Calibration</h2>" + _table(heads, rows)


def _segmentation(methods: Mapping[str, Any]) -> str:
    """Methods as columns: there are more figures than methods."""
    by_method = {name: one["segmentation"] for name, one in methods.items() if one["segmentation"]}
    if not by_method:
        return "<h2>Segmentation</h2><p>No method outlines, or no case has a true mask.</p>"
    rows = [[title, *(_figure_cell(one[key]) for one in by_method.values())] for key, title in SEGMENTATION.items()]
    limits = [one["bland_altman"] for one in by_method.values()]
    rows.append(["Bland-Altman bias (mL)", *(f"{one['bias_ml']:+.2f}" for one in limits)])
    rows.append(
        [
            "Limits of agreement (mL)",
            *("-" if one["low_ml"] is None else f"{one['low_ml']:+.2f} to {one['high_ml']:+.2f}" for one in limits),
        ]
    )
    return "<h2>Segmentation</h2>" + _table(["", *map(escape, by_method)], rows)


def _lesions(methods: Mapping[str, Any]) -> str:
    by_method = {name: one["segmentation"]["lesion_recall"] for name, one in methods.items() if one["segmentation"]}
    if not by_method:
        return ""
    rows = []
    for bins in zip(*by_method.values(), strict=True):
        first = bins[0]
        low, high = first["from_ml"], first["to_ml"]
        size = "all" if low == 0 and high is None else f"{low:g} and more" if high is None else f"{low:g} to {high:g}"
        cells = [_figure_cell(one["recall"], f"{one['found']} of {one['lesions']}") for one in bins]
        rows.append([size, *cells])
    return "<h2>Lesions found, by volume (mL)</h2>" + _table(["mL", *map(escape, by_method)], rows)


def _comparisons(comparisons: Sequence[Mapping[str, Any]]) -> str:
    if not comparisons:
        return ""
    rows = []
    for comparison in comparisons:
        p_values = ["-" if comparison.get(key) is None else f"{comparison[key]:.3g}" for key in ("p_value", "p_holm")]
        pair = escape(f"{comparison['first']} minus {comparison['second']}")
        rows.append(
            [
                pair,
                escape(comparison["figure"].replace("_", " ")),
                str(comparison["cases"]),
                _figure_cell(comparison),
                *p_values,
            ]
        )
    heads = ["Methods", "Figure", "Cases of both", "Difference", "p", "p of all, after Holm"]
    return "<h2>Methods against each other</h2>" + _table(heads, rows)


def _thresholds(thresholds: Mapping[str, Any] | None) -> str:
    if thresholds is None:
        return "<h2>Thresholds</h2><p>The methods' own; none was searched.</p>"
    rows = []
    for name, folds in thresholds.items():
        for fold in folds:
            cut = "-" if fold["map"] is None else f"{fold['map']:.2f}"
            rows.append([escape(name), escape(fold["fold"]), f"{fold['exam']:.3f}", f"{fold['slice']:.3f}", cut])
    note = "<p>Each was searched on the other folds and applied to the patients of its own.</p>"
    heads = ["Method", "Held-out fold", "Exam value", "Slice value", "Map"]
    return "<h2>Thresholds</h2>" + note + _table(heads, rows)


def _failures(failures: Sequence[Mapping[str, Any]]) -> str:
    if not failures:
        return ""
    paragraphs = [f"<p class='warning'>{len(failures)} times a case could not be scored; it is in no figure below.</p>"]
    paragraphs += [
        f"<p class='warning'>{escape(one['method'])}, {escape(one['case'])}: {escape(one['message'])}</p>"
        for one in failures[:SHOWN_FAILURES]
    ]
    return "\n".join(paragraphs)


def _figures(figures: Mapping[str, Any], titles: Iterable[str]) -> list[str]:
    return [_figure_cell(figures[key]) for key in titles]


def _figure_cell(figure: Mapping[str, Any], more: str = "") -> str:
    """Value and interval, or why there is none."""
    note = escape(" ".join(part for part in (more, figure.get("note", "")) if part))
    if figure["value"] is None:
        return f'<span title="{note}">-</span><small>{note}</small>'
    interval = "" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"
    patients = f"{figure['patients']} patients" if figure.get("patients") and "patients" not in note else ""
    small = "".join(f"<small>{part}</small>" for part in (interval, patients, note) if part)
    return f"{figure['value']:.3f}{small}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{one}</th>" for one in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _figure(caption: str, picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
