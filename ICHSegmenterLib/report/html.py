"""`report.html`: one self-contained page, picture included, that opens anywhere and prints on one sheet."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.report.finding_rows import FindingRow, headings
from ICHSegmenterLib.report.measures import measures_section
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult
from ICHSegmenterLib.verdict import VerdictCode

COLORS = {VerdictCode.SUSPECTED: "#b3261e", VerdictCode.POSSIBLE: "#9a5b00", VerdictCode.NONE_FOUND: "#1d6b3a"}
"""Of the verdict, which says the same in words."""

PAGE = Template(
    """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Intracranial hemorrhage: $title</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; color: #1b2126; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
 h1 { font-size: 1.5rem; margin: 0 0 .3rem; color: $color }
 .notice { background: #fff4d6; border-left: 4px solid #e0a800; padding: .4rem .8rem; margin: .8rem 0 }
 .warning { background: #fdeceb; border-left: 4px solid #d64533; padding: .4rem .8rem; margin: .4rem 0 }
 img { width: 100%; border-radius: 6px; margin: .8rem 0 }
 table { border-collapse: collapse; width: 100%; margin: .6rem 0 1.4rem }
 th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #e3e7ea }
 th:first-child, td:first-child { text-align: left } .positive td { background: #fdeceb }
 .swatch { display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin-right: .5em }
 .bar { display: inline-block; height: .7em; background: #d64533; vertical-align: middle; margin-right: .5em }
 small { color: #66717a }
 @media screen and (max-width: 46rem) { table { display: block; overflow-x: auto } }
 @media print { body { margin: 0; max-width: none; font-size: 11px } table, img { break-inside: avoid } }
 @page { size: A4; margin: 14mm }
</style></head><body>
$identity$implausible<h1>$verdict</h1>
$before<small>$made_by, $device ($precision), $seconds s, $created</small>
<p class="notice">$notice</p>
$warnings
$picture
<table><tr><th>Segment</th><th>Volume (mL)</th><th>Mean density (HU)</th><th>Slices</th><th>Pieces</th></tr>
$segments</table>
$pieces
$measures
<table><tr><th>Slice</th><th>Position (mm)</th><th>$value_name</th><th>Blood (mL)</th></tr>
$slices</table>
<p><small>$limits Paper: $paper. Slices are counted from the lowest; positions are along the slice normal.</small></p>
</body></html>
"""
)


def write_report(
    result: AnalysisResult,
    path: Path,
    *,
    picture: Path | None,
    rows: Sequence[FindingRow] = (),
    identity: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the page.

    Args:
        result: The result.
        path: File to write.
        picture: Embedded, so that the file can be moved alone.
        rows: The findings, and the pieces below the threshold.
        identity: (heading, text) of patient and study; empty unless somebody asked for it.
    """
    used, problem = result.provenance, result.implausible
    known = method_cards()
    cards = [known[name] for name in (used.method, used.detector) if name in known]
    page = PAGE.substitute(
        title=escape(used.title),
        verdict=escape(result.verdict),
        identity=_identity(identity),
        before=f"<p>The method's own verdict, before: {escape(result.edits.before)}</p>\n" if result.edits else "",
        implausible="" if problem is None else f'<p class="warning"><b>{escape(problem.text)}</b></p>\n',
        color=COLORS[result.assessment.code],
        made_by=escape(used.made_by),
        device=escape(used.device),
        precision=escape(used.precision),
        seconds=f"{sum(used.seconds.values()):.1f}",
        created=escape(used.created),
        notice=escape(RESEARCH_NOTICE),
        warnings="".join(f'<p class="warning">{escape(sentence)}</p>' for sentence in used.warnings),
        picture=_embed(picture) if picture is not None else "",
        segments=_segment_rows(result),
        pieces=_finding_table(result, rows),
        measures=measures_section(result.measures),
        slices=_slice_rows(result),
        value_name=escape(used.value_name.capitalize()),
        limits=escape(" ".join(card.limits for card in cards)),
        paper=escape("; ".join(card.paper for card in cards)),
    )
    path.write_text(page, encoding="utf-8")


def _embed(picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    return f'<img alt="Slices with outlines and the value of every slice" src="data:image/png;base64,{data}">'


def _segment_rows(result: AnalysisResult) -> str:
    if not result.measurements:
        return '<tr><td colspan="5">No segment</td></tr>'
    colors = {} if result.segmentation is None else {label.key: label.color for label in result.segmentation.labels}
    rows = []
    for segment in result.measurements:
        red, green, blue = colors.get(segment.key, (128, 128, 128))
        numbers = sorted((result.slice_number(segment.first_slice), result.slice_number(segment.last_slice)))
        rows.append(
            f'<tr><td><span class="swatch" style="background: rgb({red},{green},{blue})"></span>'
            f"{escape(segment.name)}</td><td>{segment.volume_ml:.2f}</td><td>{segment.mean_hu:.0f}</td>"
            f"<td>{numbers[0]} to {numbers[1]}</td>"
            f"<td>{segment.components}</td></tr>"
        )
    return "\n".join(rows)


def _identity(identity: Sequence[tuple[str, str]]) -> str:
    parts = [f"<b>{escape(heading)}</b> {escape(text)}" for heading, text in identity]
    return f"<p>{' &middot; '.join(parts)}</p>\n" if parts else ""


def _finding_table(result: AnalysisResult, rows: Sequence[FindingRow]) -> str:
    """Findings that are outlined, then the pieces below the threshold; nothing if there are none."""
    if not rows:
        return ""
    lines = ["<tr>" + "".join(f"<th>{escape(heading)}</th>" for heading in headings(result)) + "</tr>"]
    for row in rows:
        swatch = f'<span class="swatch" style="background: rgb{row.color}"></span>'
        first, *others = (escape(cell) for cell in row.cells)
        lines.append(f"<tr><td>{swatch}{first}</td>" + "".join(f"<td>{cell}</td>" for cell in others) + "</tr>")
    return "<table>" + "\n".join(lines) + "</table>"


def _slice_rows(result: AnalysisResult) -> str:
    rows = []
    for detection in sorted(result.detection.slices, key=lambda each: result.slice_number(each.index)):
        value = detection.probabilities[ANY]
        row = '<tr class="positive">' if detection.is_positive else "<tr>"
        rows.append(
            f"{row}<td>{result.slice_number(detection.index)}</td><td>{detection.position_mm:.1f}</td>"
            f'<td><span class="bar" style="width: {value * 6:.2f}em"></span>{value:.3f}</td>'
            f"<td>{detection.blood_ml:.2f}</td></tr>"
        )
    return "\n".join(rows)
