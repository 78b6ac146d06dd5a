"""Pictures of a training: curves over the epochs, and examples with truth and prediction over the brain window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.report.drawing.style import BACKGROUND, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH_COLOR, PREDICTION_COLOR = "#5ad1ff", "#ff6b57"
TRAINING_COLOR, VALIDATION_COLOR = "#5ad1ff", "#ff6b57"
GRID = "#252c33"
DOTS_PER_INCH = 100
COLUMNS = 4
AXES_IN_A_ROW, AXES_INCHES = 3, (4.6, 3.6)
EPOCH_TICKS = 8
TITLES = {"loss": "loss", "dice": "Dice", "slice_auc": "ROC AUC of slices"}
"""Quantities of the history, without the part that they are of, and what they are called."""
SHARES = ("dice", "slice_auc")
"""Quantities that lie between 0 and 1."""
PARTS = {"train": ("training", TRAINING_COLOR), "val": ("validation", VALIDATION_COLOR)}


@dataclass(frozen=True, eq=False)
class Example:
    """One validation slice.

    Attributes:
        image: float32 (rows, columns), 0 to 1.
        truth, prediction: bool (rows, columns) outlines, or None.
        title: Above the picture.
    """

    image: NDArray[np.float32]
    truth: NDArray[np.bool_] | None
    prediction: NDArray[np.bool_] | None
    title: str


Rows = Sequence[Mapping[str, float]]


def write_curves(rows: Rows, path: Path, title: str) -> None:
    """Draw losses and validation measures over all epochs, one axes a quantity; a line marks where a phase begins."""
    quantities = _quantities(rows)
    columns = min(len(quantities), AXES_IN_A_ROW)
    lines = -(-len(quantities) // columns)
    figure = _figure(AXES_INCHES[0] * columns, AXES_INCHES[1] * lines)
    grid = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for axes, quantity in zip(grid, quantities, strict=False):
        _draw_quantity(axes, rows, quantity)
    for axes in grid[len(quantities) :]:
        axes.remove()
    figure.suptitle(title, color=INK)
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor=BACKGROUND, format="png")


def write_examples(examples: Sequence[Example], path: Path) -> None:
    """Draw slices with the outlines of truth and prediction where they have any, and a legend of both."""
    lines = max(1, -(-len(examples) // COLUMNS))
    figure = _figure(3 * COLUMNS, 3.2 * lines + 0.3)
    grid = figure.subplots(lines, COLUMNS, squeeze=False).ravel().tolist()
    for axes in grid:
        axes.set_axis_off()
    for axes, example in zip(grid, examples, strict=False):
        axes.imshow(example.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for outline, color in ((example.truth, TRUTH_COLOR), (example.prediction, PREDICTION_COLOR)):
            if outline is not None and outline.any() and not outline.all():
                axes.contour(outline, levels=[0.5], colors=[color], linewidths=1)
        axes.set_title(example.title, color=INK, fontsize=8)
    if any(example.truth is not None or example.prediction is not None for example in examples):
        _outline_legend(figure)
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor=BACKGROUND, format="png")


def _quantities(rows: Rows) -> list[str]:
    """Names without "train_" or "val_": the loss first, then the others in the order of their names."""
    names = {name for row in rows for name in row if name.startswith(("train_", "val_"))}
    return sorted({name.partition("_")[2] for name in names} | {"loss"}, key=lambda name: (name != "loss", name))


def _draw_quantity(axes: Axes, rows: Rows, quantity: str) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, len(rows) + 1)
    for part, (label, color) in PARTS.items():
        values = [row.get(f"{part}_{quantity}", np.nan) for row in rows]
        if not np.isnan(values).all():
            axes.plot(epochs, values, color=color, marker="o", markersize=3, label=label)
    starts = [number for number in range(1, len(rows)) if rows[number].get("phase") != rows[number - 1].get("phase")]
    for number in starts:
        once = "next phase" if number == starts[0] else None
        axes.axvline(number + 0.5, color=MUTED, linewidth=0.8, linestyle="--", label=once)
    axes.xaxis.set_major_locator(MaxNLocator(EPOCH_TICKS, integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, max(len(rows), 1) + 0.5)
    if quantity in SHARES:
        axes.set_ylim(-0.02, 1.02)
    axes.set_facecolor(BACKGROUND)
    axes.set_xlabel("epoch", color=MUTED)
    axes.set_title(TITLES.get(quantity, quantity.replace("_", " ")), color=INK, fontsize=10)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    if axes.get_legend_handles_labels()[0]:
        corner = "lower right" if quantity in SHARES else "upper right"
        axes.legend(loc=corner, facecolor=BACKGROUND, edgecolor=GRID, labelcolor=INK, fontsize=8)


def _outline_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    parts = (("truth", TRUTH_COLOR), ("prediction", PREDICTION_COLOR))
    lines = [Line2D([], [], color=color, label=label) for label, color in parts]
    figure.legend(
        handles=lines, loc="outside lower left", ncols=2, frameon=False, labelcolor=INK, fontsize=9, borderaxespad=0.4
    )


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
