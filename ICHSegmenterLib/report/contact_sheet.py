"""Slices of several volumes in rows, in the brain window, with the outlines of their labels: for looking at data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.labels import SEGMENT_LABELS, SUBTYPE_LABELS
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import BRAIN_WINDOW
from ICHSegmenterLib.report.drawing.style import text_on_slice
from ICHSegmenterLib.volume.volume import Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 8
LOWEST, HIGHEST = 0.12, 0.90
"""Part of the stack that is shown."""
INCHES, DOTS_PER_INCH = 2.2, 100
Exam = tuple[str, Volume, NDArray[np.uint8] | None]
"""Title, CT, and its labelmap in the order of the subtypes."""


def write_contact_sheet(exams: Sequence[Exam], path: Path | str, *, columns: int = COLUMNS) -> None:
    """Draw one row for each exam, lowest slice at the left, the patient's right at the left.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed (as inside Slicer).
        ValueError: There is nothing to draw.
    """
    if not exams:
        raise ValueError("a contact sheet needs at least one exam")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * INCHES, len(exams) * INCHES), facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(exams), columns, squeeze=False)
    for row, (title, volume, labelmap) in zip(axes, exams, strict=True):
        _draw_row(list(row), title, volume, labelmap)
    _write_legend(figure, [labelmap for _, _, labelmap in exams if labelmap is not None])
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0.01)
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="black", format="png")


def _draw_row(row: list[Axes], title: str, volume: Volume, labelmap: NDArray[np.uint8] | None) -> None:
    view = AxialView.of(volume.geometry)
    hu, geometry = view.apply(volume.hu), view.geometry(volume.geometry)
    labels = None if labelmap is None else view.apply(labelmap)
    low, high = BRAIN_WINDOW.edges
    aspect = geometry.pixel_spacing_mm[0] / geometry.pixel_spacing_mm[1]
    shown = np.linspace(LOWEST, HIGHEST, len(row)) * (len(hu) - 1)
    for axes, index in zip(row, np.rint(shown).astype(int), strict=True):
        axes.imshow(hu[index], cmap="gray", vmin=low, vmax=high, aspect=aspect)
        axes.set(xticks=[], yticks=[], facecolor="black")
        if labels is not None:
            _outline(axes, labels[index])
    text_on_slice(row[0], (0.02, 0.98), title, color="white", fontsize=7, va="top")


def _write_legend(figure: Figure, labelmaps: Sequence[NDArray[np.uint8]]) -> None:
    """The color of each subtype that occurs, at the top right."""
    from matplotlib.patches import Patch

    values = sorted({int(value) for labelmap in labelmaps for value in np.unique(labelmap) if value})
    labels = [SEGMENT_LABELS[SUBTYPE_LABELS[value - 1]] for value in values]
    handles = [Patch(color=tuple(channel / 255 for channel in label.color), label=label.key) for label in labels]
    if handles:
        figure.legend(
            handles=handles, loc="upper right", ncols=len(handles), frameon=False, labelcolor="white", fontsize=7
        )


def _outline(axes: Any, labels: NDArray[np.uint8]) -> None:
    for value, key in enumerate(SUBTYPE_LABELS[:-1], start=1):
        mask = labels == value
        if mask.any():
            color = tuple(channel / 255 for channel in SEGMENT_LABELS[key].color)
            axes.contour(mask.astype(float), levels=[0.5], colors=[color], linewidths=0.7)
