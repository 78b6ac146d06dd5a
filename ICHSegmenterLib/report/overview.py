"""One picture of a result: the slices that matter with outlines, and the value of every slice."""

from __future__ import annotations

from pathlib import Path

from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.report.drawing.canvas import Canvas, Color, fitting_font, font
from ICHSegmenterLib.report.drawing.panels import Panels, draw_pixels
from ICHSegmenterLib.report.drawing.slices import slices_to_show
from ICHSegmenterLib.report.drawing.style import BACKGROUND, INK, MUTED, NEGATIVE_COLOR, POSITIVE_COLOR
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult
from ICHSegmenterLib.volume.volume import Volume

COLUMNS, ROWS = 4, 2
WIDTH, HEIGHT = 1320, 946
LEFT, RIGHT = 53, 1300
SLICES_TOP, PANEL_WIDTH, PANEL_HEIGHT, GAP_X, GAP_Y = 109, 307, 290, 6, 23
BARS_TOP, BARS_BOTTOM = 735, 856
"""Of the bars whose value is 1, and of all bars."""
NORMAL, SMALL, LARGE, TITLE = 13.75, 12.2, 15.3, 22.9
"""Height of letters in pixels."""
SQUARE_WIDTH, SQUARE_HEIGHT = 28, 10
THUMBNAIL_SIDE = 224
MAX_TICKS = 9
BAR_SHARE = 0.8


def write_overview(result: AnalysisResult, volume: Volume, path: Path) -> None:
    """Draw `overview.png`: eight slices in the brain window with colored outlines, a bar for every slice, legends."""
    canvas = Canvas((WIDTH, HEIGHT), BACKGROUND)
    subtitle = _subtitle(result)
    canvas.text((LEFT, 43), result.verdict, INK, fitting_font(result.verdict, TITLE, RIGHT - LEFT, bold=True))
    canvas.text((LEFT, 71), subtitle, MUTED, fitting_font(subtitle, LARGE, RIGHT - LEFT))
    _legend(canvas, LEFT + 4, 91, _segments(result))
    shown = slices_to_show(result, COLUMNS * ROWS)
    panels = Panels.of(result, volume, shown)
    for number, index in enumerate(shown):
        row, column = divmod(number, COLUMNS)
        corner = (LEFT + column * (PANEL_WIDTH + GAP_X), SLICES_TOP + row * (PANEL_HEIGHT + GAP_Y))
        _draw_slice(canvas, corner, panels, index)
    _draw_values(canvas, result, shown)
    canvas.text((LEFT, 935), RESEARCH_NOTICE, MUTED, font(NORMAL))
    canvas.save(path)


def write_thumbnail(result: AnalysisResult, volume: Volume, path: Path) -> None:
    """Draw the slice to look at first with its outlines, as small as a list of exams needs it."""
    key = result.detection.key_slice
    canvas = Canvas((THUMBNAIL_SIDE, THUMBNAIL_SIDE), "black")
    draw_pixels(canvas, (0, 0, THUMBNAIL_SIDE, THUMBNAIL_SIDE), Panels.of(result, volume, [key]), key)
    canvas.save(path)


def _draw_slice(canvas: Canvas, corner: tuple[int, int], panels: Panels, index: int) -> None:
    left, top, width, height = draw_pixels(canvas, (*corner, PANEL_WIDTH, PANEL_HEIGHT), panels, index)
    result = panels.result
    detection, letters = result.detection.slices[index], font(NORMAL)
    color = POSITIVE_COLOR if detection.is_positive else INK
    text = f"slice {result.slice_number(index)}   {detection.probabilities[ANY]:.2f}"
    canvas.text_on_slice((left + 0.03 * width, top + 0.03 * height), text, color, letters, anchor="la")
    canvas.text_on_slice((left + 0.02 * width, top + height / 2), "R", MUTED, letters, anchor="lm")
    canvas.text_on_slice((left + 0.98 * width, top + height / 2), "L", MUTED, letters, anchor="rm")


def _subtitle(result: AnalysisResult) -> str:
    parts = [f"{one.name} {one.volume_ml:.1f} mL" for one in result.measurements]
    source = f"{result.provenance.made_by}, {result.provenance.device}"
    return "   ".join([*parts, source])


def _draw_values(canvas: Canvas, result: AnalysisResult, shown: list[int]) -> None:
    """A bar a slice with axes, the threshold, marks below the slices that are shown, and what all that means."""
    slices, detection = result.detection.slices, result.detection
    cut = detection.threshold if detection.slice_threshold is None else detection.slice_threshold
    step, height = (RIGHT - LEFT) / (len(slices) + 0.4), BARS_BOTTOM - BARS_TOP

    def middle(number: int) -> float:
        return LEFT + (number - 0.3) * step

    for one in slices:
        x, value = middle(result.slice_number(one.index)), one.probabilities[ANY]
        box = (x - step * BAR_SHARE / 2, BARS_BOTTOM - value * height, x + step * BAR_SHARE / 2, BARS_BOTTOM)
        canvas.rectangle(box, POSITIVE_COLOR if one.is_positive else NEGATIVE_COLOR)
    canvas.dashed_line(LEFT, RIGHT, BARS_BOTTOM - cut * height, MUTED)
    canvas.rectangle((LEFT, BARS_TOP, LEFT + 1, BARS_BOTTOM + 1), MUTED)
    canvas.rectangle((LEFT, BARS_BOTTOM, RIGHT, BARS_BOTTOM + 1), MUTED)
    for value in (0, 0.5, 1):
        y = round(BARS_BOTTOM - value * height)
        canvas.rectangle((LEFT - 5, y, LEFT, y + 1), MUTED)
        canvas.text((LEFT - 10, y), f"{value:g}", MUTED, font(SMALL), anchor="rm")
    for number in _ticks(len(slices)):
        canvas.rectangle((middle(number), BARS_BOTTOM, middle(number) + 1, BARS_BOTTOM + 5), MUTED)
        canvas.text((middle(number), BARS_BOTTOM + 20), str(number), MUTED, font(SMALL), anchor="ms")
    for index in shown:
        canvas.triangle(middle(result.slice_number(index)), BARS_BOTTOM + 7, 6, INK)
    canvas.text(((LEFT + RIGHT) / 2, BARS_BOTTOM + 40), "slice, from the lowest", MUTED, font(NORMAL), anchor="ms")
    canvas.text_upwards((10, (BARS_TOP + BARS_BOTTOM) / 2), result.provenance.value_name, MUTED, font(NORMAL))
    _bar_legend(canvas, f"threshold {cut:.2f}")


def _ticks(slices: int) -> range:
    """Round numbers of slices, so few that they do not touch."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, slices) if slices / step <= MAX_TICKS)
    return range(step, slices + 1, step)


def _segments(result: AnalysisResult) -> list[tuple[Color, str]]:
    occurring = {measurement.key for measurement in result.measurements}
    labels = () if result.segmentation is None else result.segmentation.labels
    return [(label.color, label.name) for label in labels if label.key in occurring]


def _legend(canvas: Canvas, left: float, baseline: float, entries: list[tuple[Color, str]]) -> float:
    """Colored squares with their names in a line; returns where the next one would begin."""
    letters = font(NORMAL)
    for color, name in entries:
        canvas.rectangle((left, baseline - SQUARE_HEIGHT, left + SQUARE_WIDTH, baseline), color)
        canvas.text((left + SQUARE_WIDTH + 11, baseline), name, INK, letters)
        left += SQUARE_WIDTH + 11 + letters.getlength(name) + 20
    return left


def _bar_legend(canvas: Canvas, threshold: str) -> None:
    letters, shown = font(NORMAL), "shown above"
    squares: list[tuple[Color, str]] = [(POSITIVE_COLOR, "positive"), (NEGATIVE_COLOR, "negative")]
    texts = [*(name for _, name in squares), threshold, shown]
    left = RIGHT - 5 - sum(letters.getlength(text) + SQUARE_WIDTH + 11 for text in texts) - 20 * (len(texts) - 1)
    left = _legend(canvas, left, 937, squares)
    canvas.dashed_line(left, left + SQUARE_WIDTH, 932, MUTED)
    canvas.text((left + SQUARE_WIDTH + 11, 937), threshold, INK, letters)
    left += SQUARE_WIDTH + 31 + letters.getlength(threshold)
    canvas.triangle(left + SQUARE_WIDTH / 2, 932, 6, INK)
    canvas.text((left + SQUARE_WIDTH + 11, 937), shown, INK, letters)
