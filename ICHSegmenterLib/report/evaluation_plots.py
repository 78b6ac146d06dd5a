"""Pictures of an evaluation: ROC, calibration, agreement of volumes, Dice by volume, and the worst cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ICHSegmenterLib.preprocessing.spec import BRAIN_WINDOW

Bins = tuple[Sequence[float], Sequence[float], Sequence[int]]
"""(mean value, share of bleeding items, items) of each bin."""

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")
"""Okabe and Ito's colors, distinct also for color-blind readers."""
TRUTH_COLOR, OUTLINE_COLOR = "#35c46a", "#ff4b3e"
GRID, MUTED = "#dfe3e6", "#5f6b73"
DOTS_PER_INCH = 110
SIDE_INCH = 4.6
PANELS_IN_A_ROW = 4
SHOWN_ML = (0.5, 110.0)
"""Volumes that the axis holds at least."""


@dataclass(frozen=True)
class Agreement:
    """Volumes of one method in mL, their mean difference, and the limits of agreement."""

    truth_ml: Sequence[float]
    predicted_ml: Sequence[float]
    bias_ml: float
    low_ml: float | None
    high_ml: float | None


@dataclass(frozen=True, eq=False)
class Panel:
    """One slice in axial display.

    Attributes:
        title: Above it.
        hu: (rows, columns), Hounsfield units.
        truth, outlined: bool (rows, columns).
        aspect: Height of a pixel over its width.
    """

    title: str
    hu: NDArray[np.float32]
    truth: NDArray[np.bool_]
    outlined: NDArray[np.bool_]
    aspect: float


def draw_roc(levels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]], path: Path) -> Path:
    """One axes a level ("exam", "slice") with a curve a method: label to (false, true positive rates)."""
    figure, every = _axes(len(levels))
    for axes, (level, curves) in zip(every, levels.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="chance")
        for number, (name, (false_rates, true_rates)) in enumerate(curves.items()):
            axes.plot(false_rates, true_rates, color=_color(number), linewidth=1.8, label=name)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", title=f"{level}s" if curves else f"no {level}")
        axes.set(xlabel="1 - specificity", ylabel="sensitivity")
        _legend(axes, loc="lower right")
    return _save(figure, path)


def draw_calibration(levels: Mapping[str, Mapping[str, Bins]], path: Path) -> Path:
    """One axes a level: share of bleeding items over mean value; larger dots hold more items."""
    figure, every = _axes(len(levels))
    for axes, (level, methods) in zip(every, levels.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="perfect")
        for number, (name, (values, observed, counts)) in enumerate(methods.items()):
            sizes = 18 + 160 * np.asarray(counts) / max(1, sum(counts))
            axes.plot(values, observed, color=_color(number), linewidth=1.2, label=name)
            axes.scatter(values, observed, s=sizes, color=_color(number), alpha=0.7)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=f"{level}s")
        axes.set(xlabel="mean value (larger dots: more items)", ylabel="share that bleeds")
        _legend(axes, loc="upper left")
    return _save(figure, path)


def draw_bland_altman(methods: Mapping[str, Agreement], path: Path) -> Path:
    """One axes a method: difference of the volumes over their mean, bias and limits of agreement."""
    figure, every = _axes(len(methods))
    for number, (axes, (name, agreement)) in enumerate(zip(every, methods.items(), strict=True)):
        truth, predicted = np.asarray(agreement.truth_ml), np.asarray(agreement.predicted_ml)
        axes.axhline(0, color=GRID, linewidth=1)
        axes.scatter((truth + predicted) / 2, predicted - truth, s=22, color=_color(number), alpha=0.75, label="case")
        axes.axhline(agreement.bias_ml, color=MUTED, linewidth=1.2, label=f"bias {agreement.bias_ml:+.1f} mL")
        if agreement.low_ml is not None and agreement.high_ml is not None:
            text = f"limits {agreement.low_ml:+.1f} to {agreement.high_ml:+.1f} mL"
            axes.axhline(agreement.low_ml, color=MUTED, linewidth=1.0, linestyle="--", label=text)
            axes.axhline(agreement.high_ml, color=MUTED, linewidth=1.0, linestyle="--")
        axes.set(title=name, xlabel="mean of both volumes (mL)", ylabel="outlined - true (mL)")
        _legend(axes, loc="best")
    return _save(figure, path)


def draw_dice_by_volume(methods: Mapping[str, Sequence[tuple[float, float]]], path: Path) -> Path:
    """Dice over the true volume in mL, logarithmic; a dot a bleeding case."""
    figure, (axes,) = _axes(1, width=1.7)
    for number, (name, points) in enumerate(methods.items()):
        if points:
            volumes, dice = zip(*points, strict=True)
            axes.scatter(volumes, dice, s=24, color=_color(number), alpha=0.75, label=name)
    axes.set(xscale="log", ylim=(-0.02, 1.02), xlabel="true volume of blood (mL)", ylabel="Dice")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, SHOWN_ML[0]), max(high, SHOWN_ML[1]))
    axes.xaxis.set_major_formatter("{x:g}")
    _legend(axes, loc="best")
    return _save(figure, path)


def draw_worst(panels: Sequence[Panel], path: Path, *, in_a_row: int = PANELS_IN_A_ROW) -> Path:
    """Slices in the brain window with both outlines, anterior up and the patient's right at the left."""
    from matplotlib.lines import Line2D

    figure, every = _axes(len(panels), width=0.8, in_a_row=in_a_row)
    low, high = BRAIN_WINDOW.edges
    for axes, panel in zip(every, panels, strict=True):
        axes.imshow(panel.hu, cmap="gray", vmin=low, vmax=high, aspect=panel.aspect)
        for mask, color in ((panel.truth, TRUTH_COLOR), (panel.outlined, OUTLINE_COLOR)):
            if mask.any():
                axes.contour(mask.astype(float), levels=[0.5], colors=[color], linewidths=1.3)
        axes.set_title(panel.title, fontsize=8)
        axes.set(facecolor="black", xticks=[], yticks=[])
        axes.grid(visible=False)
    lines = [
        Line2D([], [], color=color, label=label)
        for label, color in (("truth", TRUTH_COLOR), ("outline", OUTLINE_COLOR))
    ]
    figure.legend(handles=lines, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    return _save(figure, path)


def _axes(count: int, *, width: float = 1.0, in_a_row: int = PANELS_IN_A_ROW) -> tuple[Any, list[Any]]:
    """A figure with plain axes, a few in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(max(count, 1), in_a_row)
    rows = -(-count // columns)
    figure = Figure(figsize=(SIDE_INCH * width * columns, SIDE_INCH * min(width, 1.0) * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[:count]:
        axes.grid(visible=True, color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=MUTED, labelsize=8)
        axes.title.set_fontsize(10)
    return figure, grid[:count]


def _legend(axes: Any, *, loc: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=loc, fontsize=8, facecolor="white", edgecolor=GRID, framealpha=0.9)


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="white", format="png")
    return path
