"""A picture drawn by Pillow, in pixels from the top left: text, lines, slices in a window, outlines.

Matplotlib takes half a second to load and another one to draw eight slices; this takes a tenth.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ICHSegmenterLib.preprocessing.spec import Window

Color = str | tuple[int, int, int]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

FILL_OPACITY = 0.28
OUTLINE_SCALE, OUTLINE_REACH = 4, 3
"""Outlines are drawn so many times larger, and reach so many of those pixels to both sides of an edge."""
RIM_PX = 2
NEAREST_SCALE = 3
"""Pixels that are drawn so much larger stay squares."""
MAX_GRAY = 255
JPEG_QUALITY, PNG_LEVEL = 85, 4


class Canvas:
    """A picture of one background color.

    Args:
        size: Width and height.
        background: Its color.
    """

    def __init__(self, size: tuple[int, int], background: Color) -> None:
        self.image = Image.new("RGB", size, background)
        self._draw = ImageDraw.Draw(self.image)

    def text(self, xy: tuple[float, float], text: str, color: Color, font: Any, *, anchor: str = "ls") -> None:
        """A line of text; anchor as of Pillow: l, m or r, then a (top), m (middle) or s (baseline)."""
        self._draw.text(xy, text, fill=color, font=font, anchor=anchor)

    def text_on_slice(self, xy: tuple[float, float], text: str, color: Color, font: Any, *, anchor: str) -> None:
        """The same with a dark rim, so that it is read on bone, too."""
        self._draw.text(xy, text, fill=color, font=font, anchor=anchor, stroke_width=RIM_PX, stroke_fill="black")

    def text_upwards(self, xy: tuple[float, float], text: str, color: Color, font: Any) -> None:
        """A line of text that runs from bottom to top, its middle at xy."""
        left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
        line = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(line).text((-left, -top), text, fill=MAX_GRAY, font=font)
        line = line.rotate(90, expand=True)
        corner = (round(xy[0] - line.width / 2), round(xy[1] - line.height / 2))
        self.image.paste(Image.new("RGB", line.size, color), corner, line)

    def rectangle(self, box: Box, color: Color) -> None:
        """A filled rectangle, its edges at whole pixels; right and bottom are the first pixels outside of it."""
        left, top, right, bottom = (round(edge) for edge in box)
        if right > left and bottom > top:
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill=color)

    def dashed_line(
        self, left: float, right: float, y: float, color: Color, *, dash: float = 5, gap: float = 3
    ) -> None:
        """A horizontal line, one pixel thick."""
        y = round(y)
        while left < right:
            self.rectangle((left, y, min(left + dash, right), y + 1), color)
            left += dash + gap

    def triangle(self, x: float, y: float, side: float, color: Color) -> None:
        """A triangle that points upwards, its middle at x and y."""
        half = side / 2
        self._draw.polygon([(x - half, y + half), (x + half, y + half), (x, y - half)], fill=color)

    def slice(self, corner: tuple[int, int], size: tuple[int, int], hu: NDArray[np.float32], window: Window) -> None:
        """A slice (rows, columns) in HU in a window, stretched to this size."""
        low, high = window.edges
        near = np.clip(hu, low - window.width, high + window.width)  # or bone would glow into its surroundings
        is_coarse = size[0] >= NEAREST_SCALE * near.shape[1]
        sampling = Image.Resampling.NEAREST if is_coarse else Image.Resampling.HAMMING
        shown = np.asarray(Image.fromarray(near.astype(np.float32)).resize(size, sampling))
        gray = np.clip((shown - low) * (MAX_GRAY / window.width), 0, MAX_GRAY).astype(np.uint8)
        self.image.paste(Image.fromarray(gray), corner)

    def outline(self, corner: tuple[int, int], size: tuple[int, int], mask: NDArray[np.bool_], color: Color) -> None:
        """The edge of a mask (rows, columns) that is stretched to this size, and its inside, faintly."""
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return
        box = (max(columns[0] - 2, 0), max(rows[0] - 2, 0), columns[-1] + 3, rows[-1] + 3)
        part = mask[box[1] : box[3], box[0] : box[2]]
        scales = size[0] / mask.shape[1], size[1] / mask.shape[0]
        shown = (max(1, round(part.shape[1] * scales[0])), max(1, round(part.shape[0] * scales[1])))
        large = (shown[0] * OUTLINE_SCALE, shown[1] * OUTLINE_SCALE)
        soft = Image.fromarray(part.astype(np.uint8) * MAX_GRAY).resize(large, Image.Resampling.BILINEAR)
        inside = np.asarray(soft) > MAX_GRAY // 2
        edge = _dilated(inside) & _dilated(~inside)
        opacity = np.maximum(edge * MAX_GRAY, inside * round(FILL_OPACITY * MAX_GRAY)).astype(np.uint8)
        at = (corner[0] + round(box[0] * scales[0]), corner[1] + round(box[1] * scales[1]))
        rgb = ImageColor.getrgb(color) if isinstance(color, str) else color
        self.image.paste(rgb, (*at, at[0] + shown[0], at[1] + shown[1]), Image.fromarray(opacity).reduce(OUTLINE_SCALE))

    def save(self, path: Path) -> None:
        """Write a PNG, or a JPEG under such a name."""
        if path.suffix == ".jpg":
            self.image.save(path, format="JPEG", quality=JPEG_QUALITY)
        else:
            self.image.save(path, format="PNG", compress_level=PNG_LEVEL)


@lru_cache
def font(pixels: float, *, bold: bool = False) -> Any:
    """DejaVu Sans, which comes with Matplotlib; where that is absent Pillow's own, of Latin letters only."""
    installed = find_spec("matplotlib")  # finds it without loading it
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    for folder in (installed.submodule_search_locations or ()) if installed is not None else ():
        path = Path(folder) / "mpl-data" / "fonts" / "ttf" / name
        if path.is_file():
            return ImageFont.truetype(str(path), pixels)
    return ImageFont.load_default(pixels)


def fitting_font(text: str, pixels: float, width: float, *, bold: bool = False) -> Any:
    """A font of this size, or of a smaller one in which the text is no wider than `width`."""
    letters = font(pixels, bold=bold)
    needed = letters.getlength(text)
    while needed > width:
        pixels *= width / needed * 0.995  # widths of letters are rounded
        letters = font(pixels, bold=bold)
        needed = letters.getlength(text)
    return letters


def _dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask grown by `OUTLINE_REACH` pixels along both axes."""
    grown = mask.copy()
    for step in range(1, OUTLINE_REACH + 1):
        grown[step:] |= mask[:-step]
        grown[:-step] |= mask[step:]
    wide = grown.copy()
    for step in range(1, OUTLINE_REACH + 1):
        wide[:, step:] |= grown[:, :-step]
        wide[:, :-step] |= grown[:, step:]
    return wide
