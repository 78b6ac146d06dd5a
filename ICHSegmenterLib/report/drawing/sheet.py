"""Sheets of A4 that Matplotlib writes as PDF: text, tables and pictures from the top down, on as many as they need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ICHSegmenterLib.report.drawing.canvas import font

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS_PER_INCH = 72.0
WIDTH, HEIGHT = 595.3, 841.9
"""A4 in points."""
LEFT, RIGHT, TOP, BOTTOM = 48.0, WIDTH - 48.0, 44.0, 48.0
"""Margins in points; right as a position."""
NORMAL, SMALL, HEADING, TITLE = 9.0, 7.5, 11.0, 15.0
LEADING = 1.35
INK, MUTED, RULE = "#1b2126", "#66717a", "#c9d0d5"
SWATCH = 7.0
Column = tuple[str, float, str]
"""Heading, share of the width, and "left" or "right"."""
RGB = tuple[int, int, int]


class Sheets:
    """Pages that fill from the top; positions are points from the top left.

    Args:
        footer: On every page, before its number.
    """

    def __init__(self, footer: str) -> None:
        self._footer = footer
        self._figures: list[Figure] = []
        self._y = HEIGHT
        self._begin()

    @property
    def y(self) -> float:
        """Where the next line begins."""
        return self._y

    def space(self, points: float) -> None:
        """Leave room."""
        self._y += points

    def need(self, points: float) -> None:
        """Begin another page unless so much room is left."""
        if self._y + points > HEIGHT - BOTTOM and self._y > TOP:
            self._begin()

    def text(self, text: str, *, size: float = NORMAL, color: str = INK, bold: bool = False) -> None:
        """A paragraph, broken at spaces; it stays on one page."""
        lines = wrapped(text, size, RIGHT - LEFT, bold=bold)
        self.need(min(len(lines) * size * LEADING, HEIGHT - TOP - BOTTOM))
        for line in lines:
            self.need(size * LEADING)
            self.at(LEFT, line, size=size, color=color, bold=bold)
            self._y += size * LEADING

    def at(
        self, x: float, text: str, *, size: float = NORMAL, color: str = INK, bold: bool = False, align: str = "left"
    ) -> None:
        """One line here, without moving on."""
        self._put(x, self._y + size, text, size, color, bold=bold, align=align)

    def heading(self, text: str) -> None:
        """A heading that stays with what follows."""
        self.space(6)
        self.need(HEADING * LEADING + 40)
        self.text(text, size=HEADING, bold=True)
        self.space(2)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], colors: Sequence[RGB | None]) -> None:
        """A table whose heading is repeated on each page; colors are those of a square before each row."""
        step = NORMAL * LEADING + 3
        self.need(2 * step)
        self._row(columns, [name for name, _, _ in columns], None, MUTED)
        for row, color in zip(rows, colors, strict=True):
            if self._y + step > HEIGHT - BOTTOM:
                self._begin()
                self._row(columns, [name for name, _, _ in columns], None, MUTED)
            self._row(columns, row, color, INK)
        self.space(4)

    def picture(self, image: Image.Image, x: float, y: float, width: float) -> float:
        """A picture of so many points, its top left corner here; returns its height."""
        height = width * image.height / image.width
        axes = self.axes(x, y, width, height)
        axes.imshow(np.asarray(image), interpolation="none", aspect="auto")
        axes.axis("off")
        return height

    def axes(self, x: float, y: float, width: float, height: float) -> Any:
        """Axes for a drawing, in points from the top left."""
        return self._figures[-1].add_axes(
            (x / WIDTH, 1 - (y + height) / HEIGHT, width / WIDTH, height / HEIGHT), label=f"{x:.1f} {y:.1f}"
        )

    def save(self, path: Path, title: str) -> None:
        """Write the PDF; its text can be searched, and equal pages give equal files."""
        from matplotlib import rc_context
        from matplotlib.backends.backend_pdf import PdfPages

        information = {"Title": title, "Creator": "ICHSegmenter", "CreationDate": None}
        with rc_context({"pdf.fonttype": 42}), PdfPages(path, metadata=information) as pages:
            for number, figure in enumerate(self._figures, start=1):
                text = f"{self._footer} · page {number} of {len(self._figures)}"
                figure.text(LEFT / WIDTH, 26 / HEIGHT, text, fontsize=SMALL, color=MUTED)
                pages.savefig(figure)

    def _begin(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH / POINTS_PER_INCH, HEIGHT / POINTS_PER_INCH), facecolor="white")
        FigureCanvasAgg(figure)
        self._figures.append(figure)
        self._y = TOP

    def _row(self, columns: Sequence[Column], cells: Sequence[str], color: RGB | None, ink: str) -> None:
        x, width = LEFT, RIGHT - LEFT
        for (_, share, align), cell in zip(columns, cells, strict=True):
            start = x + (SWATCH + 5 if x == LEFT and color is not None else 0)
            room = share * width - (start - x) - 6
            text = shortened(cell, NORMAL, room)
            self.at(start if align == "left" else x + share * width - 6, text, color=ink, align=align)
            x += share * width
        if color is not None:
            self._rectangle(LEFT, self._y + 2.5, SWATCH, SWATCH, tuple(channel / 255 for channel in color))
        self._y += NORMAL * LEADING + 1.5
        self._rectangle(LEFT, self._y - 0.5, width, 0.5, RULE)
        self._y += 1.5

    def _rectangle(self, x: float, y: float, width: float, height: float, color: Any) -> None:
        from matplotlib.patches import Rectangle

        figure = self._figures[-1]
        corner, size = (x / WIDTH, 1 - (y + height) / HEIGHT), (width / WIDTH, height / HEIGHT)
        figure.add_artist(Rectangle(corner, *size, color=color, linewidth=0, transform=figure.transFigure))

    def _put(self, x: float, y: float, text: str, size: float, color: str, *, bold: bool, align: str) -> None:
        self._figures[-1].text(
            x / WIDTH,
            1 - y / HEIGHT,
            text,
            fontsize=size,
            color=color,
            weight="bold" if bold else "normal",
            ha=align,
            va="baseline",
            parse_math=False,
        )


def wrapped(text: str, size: float, width: float, *, bold: bool = False) -> list[str]:
    """Lines no wider than so many points, broken at spaces; a longer word is broken within."""
    letters, lines = font(size, bold=bold), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if letters.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = lines[-1] or word
        while letters.getlength(lines[-1]) > width:
            fits = next(n for n in range(len(lines[-1]) - 1, 0, -1) if letters.getlength(lines[-1][:n]) <= width)
            lines[-1:] = [lines[-1][:fits], lines[-1][fits:]]
    return lines


def shortened(text: str, size: float, width: float) -> str:
    """The text, or its beginning with an ellipsis if it is wider than so many points."""
    letters = font(size)
    while text and letters.getlength(text) > width:
        text = text.removesuffix("…")[:-1].rstrip() + "…"
        if text == "…":
            break
    return text
