"""One picture of a result: the slices that matter with outlines, and the value of every slice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import BRAIN_WINDOW
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult
from ICHSegmenterLib.volume.volume import Volume

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

COLUMNS, ROWS = 4, 2
LEGEND_COLUMNS = 6
LEFT, RIGHT = 0.04, 0.985
"""Parts of the picture, as shares of its width."""
BACKGROUND, INK, MUTED = "#101418", "#e8eaed", "#8a939c"
POSITIVE_COLOR, NEGATIVE_COLOR = "#ff6b57", "#5b7083"
DOTS_PER_INCH = 110
LOWEST_SHOWN, HIGHEST_SHOWN = 0.2, 0.9
"""Part of the stack from which slices are shown when few are positive: below lies the neck, above the vertex."""
HEAD_HU = -200.0
COARSE_PIXELS, MARGIN_PIXELS = 4, 8


def write_overview(result: AnalysisResult, volume: Volume, path: Path) -> None:
    """Draw `overview.png`: eight slices in the brain window with colored outlines, a bar for every slice, legends.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed (as inside Slicer).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.6), facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        ROWS + 1,
        COLUMNS,
        height_ratios=(1, 1, 0.42),
        left=LEFT,
        right=RIGHT,
        top=0.885,
        bottom=0.095,
        hspace=0.1,
        wspace=0.02,
    )
    fit_width(figure.text(LEFT, 0.955, result.verdict, color=INK, fontsize=15, weight="bold"))
    fit_width(figure.text(LEFT, 0.925, _subtitle(result), color=MUTED, fontsize=10))
    view = AxialView.of(volume.geometry)
    shown = slices_to_show(result, COLUMNS * ROWS)
    head = head_box([display_slice(volume.hu, view, index) for index in shown])
    for number, index in enumerate(shown):
        _draw_slice(figure.add_subplot(grid[number // COLUMNS, number % COLUMNS]), result, volume, view, index, head)
    values = figure.add_subplot(grid[ROWS, :])
    _draw_values(values, result, shown)
    _write_legends(figure, values, result)
    figure.text(LEFT, 0.012, RESEARCH_NOTICE, color=MUTED, fontsize=9)
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor=BACKGROUND, format="png")


def fit_width(line: Text) -> None:
    """Make the letters of a line smaller if it would run out of the picture."""
    room = line.figure.bbox.width * (RIGHT - LEFT)
    width = line.get_window_extent().width
    if width > room:
        line.set_fontsize(float(line.get_fontsize()) * room / width)


def slices_to_show(result: AnalysisResult, count: int) -> list[int]:
    """Acquired indices, lowest slice first: the positive slices with most blood, then evenly spread others."""
    slices = result.detection.slices
    ranked = sorted(
        (one for one in slices if one.is_positive), key=lambda each: (-each.blood_ml, -each.probabilities[ANY])
    )
    indices = [result.detection.key_slice, *(one.index for one in ranked)]
    inner = np.linspace(LOWEST_SHOWN, HIGHEST_SHOWN, count) * (len(slices) - 1)
    lowest_first = sorted((one.index for one in slices), key=result.slice_number)
    indices += [lowest_first[round(float(x))] for x in inner]
    return sorted(list(dict.fromkeys(indices))[:count], key=result.slice_number)


def _subtitle(result: AnalysisResult) -> str:
    parts = [f"{one.name} {one.volume_ml:.1f} mL" for one in result.measurements]
    source = f"{result.provenance.made_by}, {result.provenance.device}"
    return "   ".join([*parts, source])


def head_box(slices: list[NDArray[np.float32]]) -> tuple[slice, slice]:
    """Rows and columns that hold the head on all these slices, without the head rest."""
    coarse = np.max(slices, axis=0)[::COARSE_PIXELS, ::COARSE_PIXELS] > HEAD_HU
    pieces, count = ndimage.label(ndimage.binary_opening(coarse, iterations=2))
    if count == 0:
        return slice(None), slice(None)
    rows, columns = np.nonzero(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)
    return (_with_margin(rows), _with_margin(columns))


def _with_margin(coarse: NDArray[np.intp]) -> slice:
    low, high = int(coarse.min()) * COARSE_PIXELS, (int(coarse.max()) + 1) * COARSE_PIXELS
    return slice(max(0, low - MARGIN_PIXELS), high + MARGIN_PIXELS)


def _draw_slice(
    axes: Axes, result: AnalysisResult, volume: Volume, view: AxialView, index: int, head: tuple[slice, slice]
) -> None:
    low, high = BRAIN_WINDOW.edges
    row_mm, column_mm = view.geometry(volume.geometry).pixel_spacing_mm
    axes.imshow(
        display_slice(volume.hu, view, index)[head], cmap="gray", vmin=low, vmax=high, aspect=row_mm / column_mm
    )
    if result.segmentation is not None:
        labels = display_slice(result.segmentation.labelmap, view, index)[head]
        for value, label in enumerate(result.segmentation.labels, start=1):
            outline(axes, labels == value, tuple(channel / 255 for channel in label.color))
    detection = result.detection.slices[index]
    color = POSITIVE_COLOR if detection.is_positive else INK
    text = f"slice {result.slice_number(index)}   {detection.probabilities[ANY]:.2f}"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, color=color, fontsize=9, va="top")
    axes.text(0.02, 0.5, "R", transform=axes.transAxes, color=MUTED, fontsize=9, va="center")
    axes.text(0.98, 0.5, "L", transform=axes.transAxes, color=MUTED, fontsize=9, va="center", ha="right")
    axes.set(facecolor="black", xticks=[], yticks=[])


def display_slice(acquired: NDArray[Any], view: AxialView, index: int) -> NDArray[Any]:
    """Slice `index` of the detection, anterior up and the patient's right at the left."""
    return view.apply_to_slices(acquired[index]) if view.keeps_slices else view.apply(acquired)[index]


def outline(axes: Axes, mask: NDArray[np.bool_], color: tuple[float, ...], *, opacity: float = 0.28) -> None:
    """Draw the edge of a mask (rows, columns) and fill it faintly; color is RGB, 0 to 1."""
    if not mask.any():  # a contour of nothing is a warning
        return
    fill = np.zeros((*mask.shape, 4))
    fill[mask] = (*color, opacity)
    axes.imshow(fill, aspect=axes.get_aspect(), interpolation="nearest")
    axes.contour(mask.astype(float), levels=[0.5], colors=[color], linewidths=1.2)


def _draw_values(axes: Axes, result: AnalysisResult, shown: list[int]) -> None:
    slices = result.detection.slices
    cut = result.detection.threshold if result.detection.slice_threshold is None else result.detection.slice_threshold
    numbers = [result.slice_number(one.index) for one in slices]
    colors = [POSITIVE_COLOR if one.is_positive else NEGATIVE_COLOR for one in slices]
    axes.bar(numbers, [one.probabilities[ANY] for one in slices], color=colors, width=0.8)
    axes.axhline(
        cut,
        color=MUTED,
        linewidth=0.9,
        linestyle="--",
        label=f"threshold {cut:.2f}",
    )
    axes.plot(
        [result.slice_number(index) for index in shown],
        [-0.06] * len(shown),
        "^",
        label="shown above",
        color=INK,
        markersize=4,
        clip_on=False,
    )
    axes.set(xlim=(0.3, len(slices) + 0.7), ylim=(0, 1))
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlabel("slice, from the lowest", color=MUTED, fontsize=9)
    axes.set_ylabel(result.provenance.value_name, color=MUTED, fontsize=9)
    plain_axes(axes)


def _write_legends(figure: Figure, values: Axes, result: AnalysisResult) -> None:
    """Above the slices the color of each segment that occurs, below the bars what their colors and marks mean."""
    from matplotlib.patches import Patch

    segmentation = result.segmentation
    occurring = {measurement.key for measurement in result.measurements}
    segments = [
        Patch(color=tuple(channel / 255 for channel in label.color), label=label.name)
        for label in (() if segmentation is None else segmentation.labels)
        if label.key in occurring
    ]
    legend(figure, segments, loc="upper left", anchor=(LEFT, 0.921))
    bars = [Patch(color=POSITIVE_COLOR, label="positive"), Patch(color=NEGATIVE_COLOR, label="negative")]
    marks, _ = values.get_legend_handles_labels()
    legend(figure, [*bars, *marks], loc="lower right", anchor=(RIGHT, 0.0))


def legend(figure: Figure, handles: Sequence[Artist], *, loc: str, anchor: tuple[float, float]) -> None:
    """A legend in a line, without frame; anchor is a share of width and height of the picture."""
    if handles:
        figure.legend(
            handles=list(handles),
            loc=loc,
            bbox_to_anchor=anchor,
            ncols=min(len(handles), LEGEND_COLUMNS),
            frameon=False,
            labelcolor=INK,
            fontsize=9,
            borderpad=0.2,
            borderaxespad=0.2,
            columnspacing=1.4,
        )


def plain_axes(axes: Any) -> None:
    """Dark background, muted numbers, no frame."""
    axes.set_facecolor(BACKGROUND)
    axes.tick_params(colors=MUTED, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
