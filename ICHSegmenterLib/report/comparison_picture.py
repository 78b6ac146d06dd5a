"""One picture of several methods on one exam: the same slices with an outline a method, volumes and Dice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.comparison.compare import Comparison
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import BRAIN_WINDOW
from ICHSegmenterLib.report.drawing.slices import HIGHEST_SHOWN, LOWEST_SHOWN, display_slice, head_box
from ICHSegmenterLib.report.drawing.style import (
    BACKGROUND,
    DOTS_PER_INCH,
    INK,
    MUTED,
    legend,
    plain_axes,
    text_on_slice,
)
from ICHSegmenterLib.results import RESEARCH_NOTICE
from ICHSegmenterLib.volume.volume import Volume

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, ROWS = 4, 2
COLORS = ("#ff6b57", "#4dc3ff", "#ffd23f", "#7ee081", "#d98cff", "#ff9f43", "#f78fb3", "#9fb3ff")
"""One a method, told apart also by those who see red and green alike; repeated after the eighth."""
DASH, LINE_WIDTH = 2.5, 1.5
"""Dash in line widths; the outlines take turns along an edge that they share, so that each is seen."""
BASE_WIDTH, BASE_OPACITY = 0.8, 0.5
"""A thin line joins the dashes of each outline."""
MANY_METHODS = 6
"""More than these need smaller numbers in the matrix of Dice."""
LEAST_ML = 1.0
"""The axis of volumes reaches so far, even if no method finds blood."""
DARK_CELL = 0.55
"""Dice below it is written in light ink on its dark cell."""


def write_picture(comparison: Comparison, volume: Volume, path: Path) -> None:
    """Draw `comparison.png`.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed (as inside Slicer).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 10), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        ROWS,
        COLUMNS,
        left=0.04,
        right=0.985,
        top=0.91,
        bottom=0.33,
        hspace=0.08,
        wspace=0.02,
    )
    figure.text(0.04, 0.962, _headline(comparison), color=INK, fontsize=15, weight="bold")
    colors = {name: COLORS[n % len(COLORS)] for n, name in enumerate(comparison.results)}
    _write_legend(figure, comparison, colors)
    view = AxialView.of(volume.geometry)
    shown = slices_to_show(comparison, view, COLUMNS * ROWS)
    head = head_box([display_slice(volume.hu, view, index) for index in shown])
    for number, index in enumerate(shown):
        axes = figure.add_subplot(grid[number // COLUMNS, number % COLUMNS])
        _draw_slice(axes, comparison, volume, view, index, head, colors)
    _draw_volumes(figure.add_axes((0.13, 0.09, 0.36, 0.2)), comparison, colors)
    _draw_dice(figure.add_axes((0.6, 0.09, 0.38, 0.2)), comparison)
    figure.text(0.04, 0.012, RESEARCH_NOTICE, color=MUTED, fontsize=9)
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor=BACKGROUND, format="png")


def slices_to_show(comparison: Comparison, view: AxialView, count: int) -> list[int]:
    """Slices in ascending position, numbered as by the detections: those where methods see most blood, then others."""
    seen = view.at_detection.apply(comparison.agreement).sum(axis=(1, 2))
    ranked = [int(index) for index in np.argsort(-seen, kind="stable") if seen[index] > 0]
    lowest_first = np.argsort(_positions(comparison, view), kind="stable")
    inner = np.linspace(LOWEST_SHOWN, HIGHEST_SHOWN, count) * (len(seen) - 1)
    ranked += [int(lowest_first[round(float(x))]) for x in inner]
    shown = set(list(dict.fromkeys(ranked))[:count])
    return [int(index) for index in lowest_first if index in shown]


def _positions(comparison: Comparison, view: AxialView) -> NDArray[np.float64]:
    """(slices,) height of each shown slice above the feet, by which results number them."""
    return np.asarray(view.at_detection.geometry(comparison.geometry).slice_origins[:, 2])


def _headline(comparison: Comparison) -> str:
    positive = sum(result.detection.is_positive for result in comparison.results.values())
    text = f"{positive} of {len(comparison.results)} methods suspect hemorrhage"
    return text + (f"; {comparison.vote_ml:.1f} mL by majority" if len(comparison.outlining) > 1 else "")


def _write_legend(figure: Figure, comparison: Comparison, colors: Mapping[str, str]) -> None:
    """A line sample for each method that outlines, drawn as its outline is; a square for one that only detects."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = []
    for name, color in colors.items():
        if name in comparison.outlining:
            handles.append(Line2D([], [], color=color, linewidth=LINE_WIDTH + 1, label=name))
        else:
            handles.append(Patch(color=color, label=f"{name} (no outline)"))
    legend(figure, handles, loc="upper left", anchor=(0.04, 0.955))


def _draw_outlines(axes: Axes, masks: Sequence[tuple[str, NDArray[np.bool_]]]) -> None:
    """Edges of masks (rows, columns), each with its color; where edges coincide, the dashes of all alternate."""
    drawn = [(color, mask.astype(float)) for color, mask in masks if mask.any()]
    for color, mask in drawn:
        axes.contour(mask, levels=[0.5], colors=[color], linewidths=BASE_WIDTH, alpha=BASE_OPACITY)
    for number, (color, mask) in enumerate(drawn):
        style = dash_pattern(number, len(drawn))
        axes.contour(mask, levels=[0.5], colors=[color], linewidths=LINE_WIDTH, linestyles=[style])


def dash_pattern(number: int, count: int) -> str | tuple[float, tuple[float, float]]:
    """Line style of outline `number` of `count`: its dashes lie in the gaps of the others; a single one is solid."""
    if count == 1:
        return "solid"
    return ((count - number) % count * DASH, (DASH, DASH * (count - 1)))


def _draw_slice(
    axes: Axes,
    comparison: Comparison,
    volume: Volume,
    view: AxialView,
    index: int,
    head: tuple[slice, slice],
    colors: dict[str, str],
) -> None:
    low, high = BRAIN_WINDOW.edges
    row_mm, column_mm = view.geometry(volume.geometry).pixel_spacing_mm
    axes.imshow(
        display_slice(volume.hu, view, index)[head], cmap="gray", vmin=low, vmax=high, aspect=row_mm / column_mm
    )
    _draw_outlines(
        axes,
        [
            (colors[name], display_slice(result.segmentation.blood_mask, view, index)[head])
            for name, result in comparison.results.items()
            if result.segmentation is not None
        ],
    )
    number = int(np.argsort(np.argsort(_positions(comparison, view)))[index]) + 1
    text_on_slice(axes, (0.03, 0.97), f"slice {number}", color=INK, fontsize=9, va="top")
    text_on_slice(axes, (0.02, 0.5), "R", color=MUTED, fontsize=9, va="center")
    text_on_slice(axes, (0.98, 0.5), "L", color=MUTED, fontsize=9, va="center", ha="right")
    axes.set(facecolor="black", xticks=[], yticks=[])


def _draw_volumes(axes: Axes, comparison: Comparison, colors: dict[str, str]) -> None:
    """A bar a method: mL, and beside it what it says of the exam."""
    names = list(comparison.results)
    volumes = [result.blood_ml for result in comparison.results.values()]
    axes.barh(names, volumes, color=[colors[name] for name in names], height=0.62)
    reach = max([*volumes, LEAST_ML])
    for number, (name, volume_ml) in enumerate(zip(names, volumes, strict=True)):
        result = comparison.results[name]
        value = result.detection.exam_probabilities["any"]
        measured = f"{volume_ml:.1f} mL, " if result.segmentation is not None else "no outline, "
        axes.text(
            volume_ml + reach * 0.02,
            number,
            f"{measured}{result.provenance.value_name} {value:.2f}",
            color=INK,
            fontsize=9,
            va="center",
        )
    axes.set_xlim(0, reach * 1.55)
    axes.invert_yaxis()
    axes.set_xlabel("blood (mL)", color=MUTED, fontsize=9)
    plain_axes(axes)


def _draw_dice(axes: Axes, comparison: Comparison) -> None:
    names = comparison.outlining
    plain_axes(axes)
    if len(names) < 2:
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5,
            0.5,
            "fewer than two outlines: no Dice",
            color=MUTED,
            fontsize=10,
            ha="center",
            transform=axes.transAxes,
        )
        return
    matrix = np.array([[comparison.dice(one, other) for other in names] for one in names])
    axes.imshow(matrix, cmap="viridis", vmin=0, vmax=1)
    is_large = len(names) > MANY_METHODS
    axes.set_xticks(range(len(names)), names, rotation=45 if is_large else 20, ha="right")
    axes.set_yticks(range(len(names)), names)
    for row, column in np.ndindex(matrix.shape):
        ink = INK if matrix[row, column] < DARK_CELL else BACKGROUND
        axes.text(
            column,
            row,
            f"{matrix[row, column]:.2f}",
            color=ink,
            ha="center",
            va="center",
            fontsize=6 if is_large else 9,
        )
    axes.set_title("Dice", color=MUTED, fontsize=9)
