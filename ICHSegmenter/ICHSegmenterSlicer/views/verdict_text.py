"""The verdict in the user's language: what the method said, and what is outlined now."""

from __future__ import annotations

import html
from datetime import datetime

from slicer.i18n import tr as _

from ICHSegmenterLib.labels import ANY
from ICHSegmenterSlicer.scene.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.stored_result import StoredResult


def verdictLines(result: StoredResult, measured: MeasuredSegments | None) -> list[str]:
    """Lines of HTML: the verdict first, then what limits it, how it was made at the end.

    Args:
        result: What the method said.
        measured: The segments as they are now; None while they are as they were made.
    """
    provenance = result.analysis.provenance
    if measured is not None and measured.isEdited:
        lines = [f"<b>{_editedText(result, measured)}</b>", _("Before: {verdict}").format(verdict=methodText(result))]
    else:
        lines = [f"<b>{methodText(result)}</b>"]
    if not result.isPositive:
        lines.append(_("A negative result does not exclude hemorrhage."))
    lines += [f"⚠ {html.escape(warning)}" for warning in provenance.warnings]
    made = _("{title} · ICHSegmenter {version} · {device} · {seconds:.1f} s").format(
        title=html.escape(provenance.title),
        version=html.escape(provenance.version),
        device=html.escape(provenance.device),
        seconds=sum(provenance.seconds.values()),
    )
    return [*lines, f"<small>{made}</small>"]


def methodText(result: StoredResult) -> str:
    """One sentence: what the method said of the exam, with its value and the threshold of that."""
    analysis = result.analysis
    detection = analysis.detection
    fields = {
        "word": _("probability") if analysis.provenance.value_name == "probability" else _("score"),
        "value": detection.exam_probabilities[ANY],
        "threshold": detection.threshold,
        "slices": len(detection.positive_slices),
        "total": len(detection.slices),
        "number": analysis.slice_number(detection.key_slice),
        "volume": analysis.blood_ml,
    }
    if not result.isPositive:
        return _("No hemorrhage found ({word} {value:.2f}, threshold {threshold:.2f}).").format(**fields)
    if detection.positive_slices:
        text = _(
            "Hemorrhage suspected ({word} {value:.2f}, threshold {threshold:.2f}) on {slices} of {total} slices, "
            "most on slice {number}"
        )
    else:
        text = _(
            "Hemorrhage suspected in the exam as a whole ({word} {value:.2f}, threshold {threshold:.2f}), look first "
            "at slice {number}"
        )
    outlined = _("; {volume:.1f} mL segmented.") if result.labels else "."
    return (text + outlined).format(**fields)


def timeText(created: str) -> str:
    """UTC in ISO 8601 as this computer's time of the day, with the date if that is not today's."""
    try:
        made = datetime.fromisoformat(created).astimezone()
    except ValueError:
        return ""
    return f"{made:%H:%M}" if made.date() == datetime.now().date() else f"{made:%Y-%m-%d %H:%M}"


def _editedText(result: StoredResult, measured: MeasuredSegments) -> str:
    sliceMl = measured.sliceMl
    if not sliceMl:
        return _("Edited by hand: no hemorrhage is outlined now.")
    return _("Edited by hand: {volume:.1f} mL of hemorrhage on {slices} slices, most on slice {number}.").format(
        volume=measured.bloodMl,
        slices=len(sliceMl),
        number=result.analysis.slice_number(max(sliceMl, key=sliceMl.get)),
    )
