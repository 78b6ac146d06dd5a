"""Pictures of a training: curves over the epochs, and examples with truth and prediction over the brain window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.report.overview import BACKGROUND, INK, MUTED

TRUTH_COLOR, PREDICTION_COLOR = "#5ad1ff", "#ff6b57"
COLORS = ("#5ad1ff", "#ff6b57", "#f2c14e", "#9be28f", "#c792ea")
DOTS_PER_INCH = 100
COLUMNS = 4


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


def write_curves(rows: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Draw losses and validation measures over all epochs; a line marks where a new phase begins."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    measures = sorted({name for row in rows for name in row if name.startswith("val_")} - {"val_loss"})
    for place, (names, label) in enumerate(((("train_loss", "val_loss"), "loss"), (measures, "validation"))):
        axes = figure.add_subplot(1, 2, place + 1, facecolor=BACKGROUND)
        for color, name in zip(COLORS, names, strict=False):
            values = [row.get(name, np.nan) for row in rows]
            axes.plot(range(1, len(rows) + 1), values, color=color, marker="o", markersize=3, label=name)
        for number in range(1, len(rows)):
            if rows[number].get("phase") != rows[number - 1].get("phase"):
                axes.axvline(number + 0.5, color=MUTED, linewidth=0.8, linestyle="--")
        axes.set_xlabel("epoch", color=MUTED)
        axes.set_ylabel(label, color=MUTED)
        axes.tick_params(colors=MUTED)
        if names:
            axes.legend(facecolor=BACKGROUND, edgecolor=MUTED, labelcolor=INK, fontsize=8)
    figure.suptitle(title, color=INK)
    figure.tight_layout()
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor=BACKGROUND, format="png")


def write_examples(examples: Sequence[Example], path: Path) -> None:
    """Draw slices with the truth in blue and the prediction in red."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = max(1, -(-len(examples) // COLUMNS))
    figure = Figure(figsize=(3 * COLUMNS, 3.2 * rows), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    for number, example in enumerate(examples):
        axes = figure.add_subplot(rows, COLUMNS, number + 1)
        axes.imshow(example.image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for outline, color in ((example.truth, TRUTH_COLOR), (example.prediction, PREDICTION_COLOR)):
            if outline is not None and outline.any() and not outline.all():
                axes.contour(outline, levels=[0.5], colors=[color], linewidths=1)
        axes.set_title(example.title, color=INK, fontsize=8)
        axes.set_axis_off()
    figure.text(0.01, 0.01, "truth blue, prediction red", color=MUTED, fontsize=8)
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor=BACKGROUND, format="png")
