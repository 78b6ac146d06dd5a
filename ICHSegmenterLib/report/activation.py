"""Picture of an encoder's activation over the slices of the exam."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import BRAIN_WINDOW
from ICHSegmenterLib.report.drawing.slices import display_slice, head_box
from ICHSegmenterLib.report.drawing.style import BACKGROUND, DOTS_PER_INCH, INK, MUTED
from ICHSegmenterLib.results import RESEARCH_NOTICE
from ICHSegmenterLib.volume.volume import Volume

COLUMNS, ROWS = 4, 2
OPACITY = 0.45


def write_activation(
    activation: NDArray[np.float32], volume: Volume, indices: Sequence[int], title: str, path: Path
) -> None:
    """Draw eight slices, evenly spread, with the activation in color; one scale for all, from its least to its most.

    Args:
        activation: float32 (slices, rows, columns) on the grid of the volume.
        volume: Whose axial slices are drawn.
        indices: Slices of the axial view to choose from, from the lowest.
        title: Above the picture.
        path: PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.9), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(ROWS, COLUMNS, left=0.02, right=0.92, top=0.92, bottom=0.06, hspace=0.03, wspace=0.02)
    view = AxialView.of(volume.geometry)
    positions = np.linspace(0, len(indices) - 1, min(COLUMNS * ROWS, len(indices)))
    shown = [indices[round(float(position))] for position in positions]
    head = head_box([display_slice(volume.hu, view, index) for index in shown])
    maps = [display_slice(activation, view, index)[head] for index in shown]
    least, most = float(np.min(maps)), float(np.max(maps))
    low, high = BRAIN_WINDOW.edges
    row_mm, column_mm = view.geometry(volume.geometry).pixel_spacing_mm
    for number, (index, slice_map) in enumerate(zip(shown, maps, strict=True)):
        axes = figure.add_subplot(grid[number // COLUMNS, number % COLUMNS])
        slice_hu = display_slice(volume.hu, view, index)[head]
        axes.imshow(slice_hu, cmap="gray", vmin=low, vmax=high, aspect=row_mm / column_mm)
        heat = axes.imshow(slice_map, cmap="inferno", vmin=least, vmax=most, alpha=OPACITY, aspect=row_mm / column_mm)
        axes.set(facecolor="black", xticks=[], yticks=[])
    bar = figure.colorbar(heat, cax=figure.add_axes((0.94, 0.2, 0.012, 0.6)))
    bar.ax.tick_params(colors=MUTED, labelsize=8)
    bar.set_label("activation", color=MUTED, fontsize=9)
    figure.text(0.02, 0.95, title, color=INK, fontsize=13, weight="bold")
    figure.text(0.02, 0.015, RESEARCH_NOTICE, color=MUTED, fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, facecolor=BACKGROUND, format="png")
