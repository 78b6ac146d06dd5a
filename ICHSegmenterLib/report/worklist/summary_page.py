"""`summary.html`: how a batch went, with plots of volumes, values, failures by kind and exams an hour."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.report.worklist.figures import BatchFigures
from ICHSegmenterLib.report.worklist.page import SUMMARY_PAGE, WORKLIST_FILE
from ICHSegmenterLib.results import RESEARCH_NOTICE

INK = "#010203"
"""Stands in a plot for the color of the page's text, light or dark."""
COLORS = {"suspected": "#e0604f", "possible": "#d99a2b", "none_found": "#3f9a63"}
NAMES = {"suspected": "suspected", "possible": "possible", "none_found": "none found", "failed": "failed"}
BAR_COLOR, FAILED_COLOR = "#4a90c2", "#8a939c"
VALUE_BINS, VOLUME_BINS = 20, 24
INCHES = (5.4, 3.1)

PAGE = Template(
    """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Summary of a batch: intracranial hemorrhage</title>
<style>
 :root { color-scheme: light dark; --ground: #f5f7f8; --card: #fff; --ink: #1b2126; --muted: #56616b; --line: #d9dfe3;
  --accent: #0b5fa5 }
 @media (prefers-color-scheme: dark) { :root { --ground: #101418; --card: #181e24; --ink: #e8eaed; --muted: #a3adb6;
  --line: #2d363e; --accent: #7cc0ff } }
 body { font: 15px/1.5 system-ui, sans-serif; margin: 0; padding: 1.2rem clamp(.8rem, 3vw, 2.2rem) 2rem;
  background: var(--ground); color: var(--ink) }
 h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1rem; margin: 0 0 .4rem } p { margin: .2rem 0 }
 a { color: var(--accent) } .muted { color: var(--muted) }
 .notice { border-left: 4px solid #b87b14; padding: .3rem .7rem; margin: .8rem 0; background: var(--card) }
 dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.6rem, 1fr)); gap: .7rem; margin: 1rem 0 }
 dl div, figure { background: var(--card); border: 1px solid var(--line); border-radius: 6px; margin: 0;
  padding: .6rem .8rem }
 dt { color: var(--muted) } dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums }
 .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: .8rem }
 svg { width: 100%; height: auto; color: var(--ink) } figcaption { color: var(--muted) }
</style></head><body>
<h1>Summary of a batch</h1>
<p class="muted">$about <a href="$worklist">Worklist</a></p>
<p class="notice">$notice</p>
<dl>$numbers</dl>
<div class="plots">$plots</div>
</body></html>
"""
)


def write_summary_page(figures: BatchFigures, folder: Path) -> Path:
    """Write the page into the folder of the results.

    Raises:
        OutputError: It cannot be written.
        ModuleNotFoundError: Matplotlib is not installed (as inside Slicer).
    """
    plots = [
        ("Volumes", "Exams by outlined blood; each bar is a range of milliliters.", _draw_volumes),
        ("Values", "Exams by probability, or by score of a method that is not calibrated.", _draw_values),
        ("Failures", "Failed exams by kind.", _draw_failures),
        ("Exams an hour", "From the first to the last exam, pauses between runs among them.", _draw_rate),
    ]
    page = PAGE.substitute(
        about=escape(f"{figures.exams} exams; written {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC."),
        worklist=WORKLIST_FILE,
        notice=escape(RESEARCH_NOTICE),
        numbers="".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in _numbers(figures)
        ),
        plots="".join(
            f"<figure><h2>{title}</h2>{_svg(figures, draw, title)}<figcaption>{caption}</figcaption></figure>"
            for title, caption, draw in plots
        ),
    )
    path = folder / SUMMARY_PAGE
    with replacing(path) as draft:
        draft.write_text(page, encoding="utf-8")
    return path


def _numbers(figures: BatchFigures) -> list[tuple[str, str]]:
    texts = [
        ("analyzed now", str(figures.status["done"])),
        ("done before", str(figures.status["skipped"])),
        *((NAMES[verdict], str(count)) for verdict, count in figures.verdicts.items()),
    ]
    if figures.seconds:
        median, late = np.percentile(np.frombuffer(figures.seconds), (50, 95))
        texts.append(("seconds each, median (95 %)", f"{median:.1f} ({late:.1f})"))
    if len(figures.times) > 1 and (hours := (max(figures.times) - min(figures.times)) / 3600) > 0:
        texts.append(("exams an hour", f"{(len(figures.times) - 1) / hours:.0f}"))
    return texts


def _svg(figures: BatchFigures, draw: Callable[[Any, BatchFigures], bool], title: str) -> str:
    """A plot as SVG whose texts and lines take the color of the page."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif"}):
        figure = Figure(figsize=INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        if not draw(axes, figures):
            return "<p>None.</p>"
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(INK)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(id="|url\(#|href="#)', rf"\1{title.split()[0]}-", text)  # four plots share a page
    return text.replace(INK, "currentColor").replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def _draw_volumes(axes: Any, figures: BatchFigures) -> bool:
    volumes = np.frombuffer(figures.blood_ml) if figures.blood_ml else np.zeros(0)
    if not volumes.size:
        return False
    low, high = max(volumes.min(), 0.05), max(volumes.max(), 0.1)
    axes.hist(volumes, bins=np.geomspace(low, high * 1.001 + low * 1e-3, VOLUME_BINS + 1), color=BAR_COLOR)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="blood (mL)", ylabel="exams")
    _whole_numbers(axes.yaxis)
    return True


def _draw_values(axes: Any, figures: BatchFigures) -> bool:
    values = {verdict: list(values) for verdict, values in figures.values.items() if values}
    if not values:
        return False
    edges = np.linspace(0, 1, VALUE_BINS + 1)
    colors, names = [COLORS[verdict] for verdict in values], [NAMES[verdict] for verdict in values]
    axes.hist(list(values.values()), bins=edges, stacked=True, color=colors, label=names)
    axes.set(xlim=(0, 1), xlabel="value of the exam", ylabel="exams")
    axes.legend(frameon=False, labelcolor=INK, ncols=len(values), loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    _whole_numbers(axes.yaxis)
    return True


def _draw_failures(axes: Any, figures: BatchFigures) -> bool:
    kinds = figures.failures.most_common()
    if not kinds:
        return False
    axes.barh(
        [kind.replace("_", " ") for kind, _ in kinds], [count for _, count in kinds], color=FAILED_COLOR, height=0.6
    )
    axes.invert_yaxis()
    axes.set_xlabel("exams")
    _whole_numbers(axes.xaxis)
    return True


def _draw_rate(axes: Any, figures: BatchFigures) -> bool:
    hours, rates = figures.exams_an_hour()
    if not rates.size:
        return False
    axes.stairs(rates, hours, fill=True, color=BAR_COLOR)
    axes.set(xlabel="hours since the first exam", ylabel="exams an hour", xlim=(0, hours[-1]), ylim=(0, None))
    return True


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=6))
