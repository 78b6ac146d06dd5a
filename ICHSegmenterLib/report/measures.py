"""The measures of an exam as a part of `report.html`: diameters, ABC/2, midline, criteria with their sources."""

from __future__ import annotations

from html import escape

from ICHSegmenterLib.measuring.exam import ExamMeasures
from ICHSegmenterLib.measuring.midline import HALF_OF_LAST_DIGIT_MM, NO_MIDLINE_WORDS, Midline, NoMidline
from ICHSegmenterLib.measuring.piece import PieceMeasures

HEADING = (
    "<tr><th>Measured piece</th><th>Volume (mL)</th><th>ABC/2 (mL)</th><th>A × B × C (mm)</th>"
    "<th>Largest diameter (mm)</th><th>Thickness (mm)</th><th>Mean, max. HU</th><th>Ventricle</th></tr>"
)


def measures_section(measures: ExamMeasures | None) -> str:
    """A table of the pieces, and lines about the exam; nothing if nothing was measured."""
    if measures is None:
        return ""
    rows = "\n".join(_row(piece) for piece in measures.pieces)
    lines = [midline_text(measures.midline), ventricles_text(measures)]
    if measures.count > len(measures.pieces):
        lines.append(f"{measures.count} pieces in all; the {len(measures.pieces)} largest are measured.")
    flags = "".join(
        f"<li>{escape(flag.text)} <small>{escape(flag.limit.source)}</small></li>" for flag in measures.flags
    )
    listed = f"<p>Criteria of the literature that are met, no advice for one patient:</p><ul>{flags}</ul>"
    text = "<br>".join(escape(line) for line in lines)
    return f"<table>{HEADING}\n{rows}</table>\n<p>{text}</p>{listed if flags else ''}"


def midline_text(midline: Midline | NoMidline) -> str:
    """The midline shift in words, or why it was not measured."""
    if isinstance(midline, NoMidline):
        return f"Midline shift not measured: {NO_MIDLINE_WORDS[midline]}."
    if midline.shift_mm < HALF_OF_LAST_DIGIT_MM:
        return "No midline shift at the septum."
    side = "left" if midline.is_to_left else "right"
    return f"Midline shift at the septum: {midline.shift_mm:.1f} mm towards the {side}."


def ventricles_text(measures: ExamMeasures) -> str:
    """Whether blood reaches the ventricles, in words."""
    if measures.ventricular_ml > 0:
        return f"Blood in the ventricles: {measures.ventricular_ml:.1f} mL."
    known = {True: "blood touches a lateral ventricle", False: "not reached by blood", None: "not judged"}
    return f"Ventricles: {known[measures.reaches_ventricles]}."


def measure_cells(piece: PieceMeasures) -> tuple[str, ...]:
    """Piece, volume, ABC/2, its three diameters, largest diameter and highest density, for the report on paper."""
    place = " ".join(part.value for part in (piece.side, piece.region) if part is not None)
    diameters = " × ".join(f"{line.length_mm:.0f}" for line in (piece.abc2.a, piece.abc2.b, piece.abc2.c))
    return (
        f"{piece.label} {place}",
        f"{piece.volume_ml:.2f}",
        f"{piece.abc2.volume_ml:.2f}",
        diameters,
        f"{piece.diameter.length_mm:.0f}",
        f"{piece.max_hu:.0f}",
    )


def _row(piece: PieceMeasures) -> str:
    place = " ".join(part.value for part in (piece.side, piece.region) if part is not None)
    abc, touches = piece.abc2, {True: "touched", False: "no", None: "–"}[piece.touches_ventricle]
    diameters = " × ".join(f"{line.length_mm:.0f}" for line in (abc.a, abc.b, abc.c))
    return (
        f"<tr><td>{escape(piece.label)} {escape(place)}</td><td>{piece.volume_ml:.2f}</td><td>{abc.volume_ml:.2f}</td>"
        f"<td>{diameters}</td><td>{piece.diameter.length_mm:.0f}</td><td>{piece.thickness.length_mm:.0f}</td>"
        f"<td>{piece.mean_hu:.0f}, {piece.max_hu:.0f}</td><td>{touches}</td></tr>"
    )
