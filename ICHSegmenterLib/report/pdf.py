"""`report.pdf`: the report on paper: verdict, key slices, strip, findings, method, limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.analysis.outlined_findings import OutlinedFinding
from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.measuring.exam import ExamMeasures
from ICHSegmenterLib.report.drawing.canvas import Canvas
from ICHSegmenterLib.report.drawing.panels import Panels, draw_pixels
from ICHSegmenterLib.report.drawing.sheet import LEFT, MUTED, RIGHT, SMALL, TITLE, Column, Sheets
from ICHSegmenterLib.report.drawing.slices import slices_to_show
from ICHSegmenterLib.report.finding_rows import finding_rows, headings, slices_text
from ICHSegmenterLib.report.html import COLORS
from ICHSegmenterLib.report.measures import measure_cells, midline_text, ventricles_text
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult
from ICHSegmenterLib.volume.volume import Volume

COLUMNS, ROWS, GAP = 3, 2, 6.0
PANEL_WIDTH, PANEL_HEIGHT = 560, 480
"""Pixels of a slice: 250 dots per inch."""
STRIP_HEIGHT, STRIP_LEFT = 62.0, 24.0
NOTICE_COLOR, WARNING_COLOR = "#8a5a00", "#b3261e"
POSITIVE, NEGATIVE = "#d64533", "#9fb0bd"
FINDING_SHARES = (0.33, 0.22, 0.13, 0.1, 0.1, 0.12)
SEGMENT_COLUMNS: tuple[Column, ...] = (
    ("Segment", 0.4, "left"),
    ("mL", 0.12, "right"),
    ("Mean HU", 0.14, "right"),
    ("Slices", 0.2, "right"),
    ("Pieces", 0.14, "right"),
)
MEASURE_COLUMNS: tuple[Column, ...] = (
    ("Measured piece", 0.28, "left"),
    ("mL", 0.09, "right"),
    ("ABC/2 mL", 0.13, "right"),
    ("A × B × C mm", 0.19, "right"),
    ("Largest mm", 0.15, "right"),
    ("Max. HU", 0.16, "right"),
)
DIGEST_DIGITS = 12
METHOD_ROOM = 170.0
"""Where less is left on a page, the method begins another one."""


@dataclass(frozen=True, eq=False)
class PdfContent:
    """All that stands in the report.

    Attributes:
        result: The result.
        volume: The exam it was made from.
        findings: What is outlined, the most important first.
        exam: A name of the exam without patient data, empty if there is none.
        identity: (heading, text) of patient and study; empty unless somebody asked for it.
    """

    result: AnalysisResult
    volume: Volume
    findings: Sequence[OutlinedFinding]
    exam: str = ""
    identity: Sequence[tuple[str, str]] = ()


def write_pdf(content: PdfContent, path: Path) -> None:
    """Write the pages.

    Raises:
        ModuleNotFoundError: Matplotlib or Pillow is not installed.
    """
    result = content.result
    sheets = Sheets(" · ".join(filter(None, (result.provenance.made_by, content.exam))))
    _write_verdict(sheets, content)
    _draw_slices(sheets, content)
    _write_tables(sheets, content)
    _write_method(sheets, result)
    sheets.save(path, "Intracranial hemorrhage: report")


def _write_verdict(sheets: Sheets, content: PdfContent) -> None:
    result, used = content.result, content.result.provenance
    for heading, text in content.identity:
        sheets.text(f"{heading}: {text}")
    if content.identity:
        sheets.space(5)
    if result.implausible is not None:
        sheets.text(result.implausible.text, color=WARNING_COLOR, bold=True)
    sheets.text(result.verdict, size=TITLE, color=COLORS[result.assessment.code], bold=True)
    if result.edits is not None:
        sheets.text(f"The method's own verdict, before: {result.edits.before}", color=MUTED)
    created = f", {used.created.replace('T', ' ')}" if used.created else ""
    sheets.text(f"{used.made_by}, {used.device} ({used.precision}){created}", size=SMALL, color=MUTED)
    sheets.text(RESEARCH_NOTICE, size=SMALL, color=NOTICE_COLOR, bold=True)
    for sentence in used.warnings:
        sheets.text(f"Note: {sentence}", size=SMALL, color=WARNING_COLOR)
    sheets.space(6)


def _draw_slices(sheets: Sheets, content: PdfContent) -> None:
    """Key slices with outlines, and below them the value of every slice."""
    result = content.result
    shown = slices_to_show(result, COLUMNS * ROWS)
    panels = Panels.of(result, content.volume, shown)
    width = (RIGHT - LEFT - (COLUMNS - 1) * GAP) / COLUMNS
    for start in range(0, len(shown), COLUMNS):
        row = shown[start : start + COLUMNS]
        sheets.need(width + SMALL * 2)
        top, height = sheets.y, 0.0
        for column, index in enumerate(row):
            canvas = Canvas((PANEL_WIDTH, PANEL_HEIGHT), "black")
            draw_pixels(canvas, (0, 0, PANEL_WIDTH, PANEL_HEIGHT), panels, index)
            x = LEFT + column * (width + GAP)
            height = sheets.picture(canvas.image, x, top, width)
        sheets.space(height + 2)
        for column, index in enumerate(row):
            detection, left = result.detection.slices[index], LEFT + column * (width + GAP)
            text = f"R   slice {result.slice_number(index)}, {detection.probabilities[ANY]:.2f}"
            sheets.at(left, text, size=SMALL, color=POSITIVE if detection.is_positive else MUTED)
            sheets.at(left + width, "L", size=SMALL, color=MUTED, align="right")
        sheets.space(SMALL * 1.6)
    _draw_strip(sheets, result)


def _draw_strip(sheets: Sheets, result: AnalysisResult) -> None:
    """A bar a slice, from the lowest, and the threshold."""
    detection = result.detection
    cut = detection.threshold if detection.slice_threshold is None else detection.slice_threshold
    sheets.need(STRIP_HEIGHT + 40)
    sheets.space(4)
    axes = sheets.axes(LEFT + STRIP_LEFT, sheets.y, RIGHT - LEFT - STRIP_LEFT, STRIP_HEIGHT)
    slices = sorted(detection.slices, key=lambda one: result.slice_number(one.index))
    numbers = [result.slice_number(one.index) for one in slices]
    colors = [POSITIVE if one.is_positive else NEGATIVE for one in slices]
    axes.bar(numbers, [one.probabilities[ANY] for one in slices], width=0.8, color=colors, linewidth=0)
    axes.axhline(cut, color=MUTED, linewidth=0.6, linestyle=(0, (4, 3)))
    axes.set(ylim=(0, 1), yticks=(0, 0.5, 1), xlim=(0.4, len(slices) + 0.6))
    axes.tick_params(labelsize=SMALL - 1, colors=MUTED, width=0.5, length=2)
    axes.xaxis.get_major_locator().set_params(integer=True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=MUTED, linewidth=0.5)
    sheets.space(STRIP_HEIGHT + 14)
    name = result.provenance.value_name
    text = f"{name.capitalize()} of each slice, from the lowest; dashed: threshold {cut:.2f}; red: positive"
    sheets.text(text, size=SMALL, color=MUTED)


def _write_tables(sheets: Sheets, content: PdfContent) -> None:
    result = content.result
    if result.segmentation is None:
        return
    colors = {label.key: label.color for label in result.segmentation.labels}
    sheets.heading("Segments")
    rows = [
        (
            one.name,
            f"{one.volume_ml:.2f}",
            f"{one.mean_hu:.0f}",
            slices_text(result, one.first_slice, one.last_slice),
            str(one.components),
        )
        for one in result.measurements
    ]
    total = ("Hemorrhage in all", f"{result.blood_ml:.2f}", "", "", "")
    swatches = [colors.get(one.key) for one in result.measurements]
    sheets.table(SEGMENT_COLUMNS, [*rows, total], [*swatches, None])
    findings = finding_rows(result, content.findings)
    if not findings:
        return
    sheets.heading("Findings")
    columns = [
        (name, share, "left" if number < 2 else "right")
        for number, (name, share) in enumerate(zip(headings(result), FINDING_SHARES, strict=True))
    ]
    sheets.table(columns, [row.cells for row in findings], [row.color for row in findings])
    _write_measures(sheets, result.measures)


def _write_measures(sheets: Sheets, measures: ExamMeasures | None) -> None:
    """Diameters and ABC/2 of the pieces, midline, ventricles, criteria of the literature that are met."""
    if measures is None:
        return
    sheets.heading("Measures")
    sheets.table(MEASURE_COLUMNS, [measure_cells(piece) for piece in measures.pieces], [None] * len(measures.pieces))
    for line in (midline_text(measures.midline), ventricles_text(measures)):
        sheets.text(line)
    for flag in measures.flags:
        sheets.text(
            f"Criterion of the literature that is met, no advice for one patient: {flag.text} ({flag.limit.source})",
            size=SMALL,
        )


def _write_method(sheets: Sheets, result: AnalysisResult) -> None:
    """The method, how far to trust it, its limits, and what it ran with."""
    used, known = result.provenance, method_cards()
    sheets.need(METHOD_ROOM)
    sheets.heading("Method")
    cards = [known[name] for name in (used.method, used.detector) if name in known]
    for card in cards:
        _write_card(sheets, card)
    if not cards:
        sheets.text(f"{used.title}.")
    settings = [f"{key} {value}" for key, value in {**used.options, **used.detector_options}.items()]
    if used.threshold is not None:
        settings.insert(0, f"threshold of the map {used.threshold:g}")
    points = result.assessment
    settings.append(f"possible from {points.screening:.2f}, suspected from {points.confirming:.2f}")
    settings.append(f"pieces from {points.min_volume_ml:g} mL")
    sheets.text(f"Settings: {'; '.join(settings)}.", size=SMALL)
    for name, digest in used.weights.items():
        sheets.text(f"Weights: {name}, SHA-256 {digest[:DIGEST_DIGITS]}…", size=SMALL)
    sheets.text("Slices are counted from the lowest. Places are estimated from the skull alone.", size=SMALL)


def _write_card(sheets: Sheets, card: ModelCard) -> None:
    sheets.text(f"{card.title}: {card.summary}.")
    sheets.text(f"Limits: {card.limits}")
    for heading, text in card.trust.lines():
        sheets.text(f"{heading}: {text}", size=SMALL)
    sheets.text(f"Paper: {card.paper}.", size=SMALL)
