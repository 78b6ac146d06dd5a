"""Colors of all pictures, and their looks for those that Matplotlib draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BACKGROUND, INK, MUTED = "#101418", "#e8eaed", "#8a939c"
POSITIVE_COLOR, NEGATIVE_COLOR = "#ff6b57", "#5b7083"
DOTS_PER_INCH = 110
LEGEND_COLUMNS = 6
RIM_POINTS = 2.5


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


def text_on_slice(axes: Axes, xy: tuple[float, float], text: str, **looks: Any) -> None:
    """A text with a dark rim, so that it is read on bone, too; xy are shares of the axes."""
    from matplotlib.patheffects import withStroke

    rim = [withStroke(linewidth=RIM_POINTS, foreground="black")]
    axes.text(*xy, text, transform=axes.transAxes, path_effects=rim, **looks)


def plain_axes(axes: Any) -> None:
    """Dark background, muted numbers, no frame."""
    axes.set_facecolor(BACKGROUND)
    axes.tick_params(colors=MUTED, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
