"""The verdict in the user's language: what the method said, and what is outlined now."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from slicer.i18n import tr as _

from ICHSegmenterLib.plausibility import Implausible, ImplausibleReason
from ICHSegmenterLib.verdict import Assessment, Piece, VerdictCode
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.words.finding_text import findingText, readerWarningText
from ICHSegmenterSlicer.words.run_notice_text import runNoticeText


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
        if result.analysis.implausible is not None:
            lines.insert(0, f"⚠ <b>{implausibleText(result.analysis.implausible)}</b>")
    if result.analysis.assessment.code is VerdictCode.NONE_FOUND:
        lines.append(_("A negative result does not exclude hemorrhage."))
    known = {warning.text: readerWarningText(warning) for warning in result.readerWarnings}
    known.update((finding.text, findingText(finding)) for finding in provenance.input_findings)
    known.update((notice.text, runNoticeText(notice)) for notice in provenance.notices)
    lines += [f"⚠ {html.escape(known.get(sentence, sentence))}" for sentence in provenance.warnings]
    release = f" ({provenance.release})" if provenance.release else ""
    made = _("{title} · ICHSegmenter {version} · {device} · {seconds:.1f} s").format(
        title=html.escape(provenance.title + release),
        version=html.escape(provenance.version),
        device=html.escape(provenance.device),
        seconds=sum(provenance.seconds.values()),
    )
    return [*lines, f"<small>{made}</small>"]


def verdictCode(result: StoredResult, measured: MeasuredSegments | None) -> VerdictCode:
    """The verdict now: the method's, or after edits whether blood is outlined; arguments as of `verdictLines`."""
    if measured is None or not measured.isEdited:
        return result.analysis.assessment.code
    return VerdictCode.SUSPECTED if measured.sliceMl else VerdictCode.NONE_FOUND


def methodText(result: StoredResult) -> str:
    """One sentence: what the method said of the exam, with its value and the threshold of that."""
    analysis, said = result.analysis, result.analysis.statement
    assessment = analysis.assessment
    fields = {
        "value": _valueText(assessment),
        "slices": said.positive_slices,
        "total": said.slices,
        "number": said.look_at,
        "volume": analysis.blood_ml,
    }
    texts = {
        VerdictCode.NONE_FOUND: _("No hemorrhage found ({value})"),
        VerdictCode.POSSIBLE: _("Hemorrhage possible ({value})"),
        VerdictCode.SUSPECTED: _("Hemorrhage suspected ({value})"),
    }
    parts = [texts[assessment.code].format(**fields)]
    if assessment.is_positive and said.positive_slices:
        parts.append(_("{slices} of {total} slices, most on slice {number}").format(**fields))
    elif assessment.is_positive:
        parts.append(_("in the exam as a whole, look first at slice {number}").format(**fields))
    if assessment.is_positive and result.labels:
        parts.append(_("{volume:.1f} mL segmented").format(**fields))
    text = "; ".join(parts) + "."
    if assessment.caps:
        text += " " + _("Not certain because of: {reasons}.").format(reasons=", ".join(map(_capText, assessment.caps)))
    return text


def implausibleText(implausible: Implausible) -> str:
    """Why a result cannot be, and what to do."""
    figures, texts = asdict(implausible.figures), _implausibleTexts()
    said = ", ".join(texts[reason].format(**figures) for reason in implausible.reasons)
    return _(
        "This result is implausible: {reasons}. Do not use it; check the scan and the weights of the method."
    ).format(reasons=said)


def belowText(pieces: Sequence[Piece]) -> str:
    """How much lies below the threshold."""
    volumeMl = sum(piece.volume_ml for piece in pieces)
    if len(pieces) == 1:
        return _("Below the threshold: one piece, {volume:.1f} mL").format(volume=volumeMl)
    return _("Below the threshold: {count} pieces, {volume:.1f} mL").format(count=len(pieces), volume=volumeMl)


def verdictWord(code: VerdictCode) -> str:
    """The verdict in a word or two."""
    words = {
        VerdictCode.NONE_FOUND: _("none found"),
        VerdictCode.POSSIBLE: _("possible"),
        VerdictCode.SUSPECTED: _("suspected"),
    }
    return words[code]


def _valueText(assessment: Assessment) -> str:
    """The value of the exam beside the thresholds that it is compared with."""
    texts = {
        VerdictCode.NONE_FOUND: _("{word} {value:.2f}, threshold {low:.2f}"),
        VerdictCode.POSSIBLE: _("{word} {value:.2f}, possible from {low:.2f}, suspected from {high:.2f}"),
        VerdictCode.SUSPECTED: _("{word} {value:.2f}, threshold {high:.2f}"),
    }
    return texts[assessment.code].format(
        word=_("probability") if assessment.is_calibrated else _("score"),
        value=assessment.probability,
        low=min(assessment.screening, assessment.confirming),
        high=assessment.confirming,
    )


def _capText(code: str) -> str:
    """The reason for which no verdict is confident; a code of a newer version with spaces for underscores."""
    return _capTexts().get(code, code.replace("_", " "))


def _capTexts() -> dict[str, str]:
    return {
        "contrast_in_header": _("contrast agent in the header"),
        "contrast_medium": _("contrast medium"),
        "implausible": _("implausible result"),
    }


def timeText(created: str) -> str:
    """UTC in ISO 8601 as this computer's time of the day, with the date if that is not today's."""
    try:
        made = datetime.fromisoformat(created).astimezone()
    except ValueError:
        return ""
    return f"{made:%H:%M}" if made.date() == datetime.now().date() else f"{made:%Y-%m-%d %H:%M}"


def _implausibleTexts() -> dict[ImplausibleReason, str]:
    return {
        ImplausibleReason.TOO_MUCH_BLOOD: _(
            "{blood_ml:.0f} mL of blood, {brain_share:.0%} of the space inside the skull"
        ),
        ImplausibleReason.TOO_MANY_PIECES: _("{pieces} pieces"),
        ImplausibleReason.DENSITY: _("a mean density of {mean_hu:.0f} HU, which blood does not have"),
        ImplausibleReason.ALONG_BONE: _("{skull_share:.0%} of {pieces} pieces along bone"),
    }


def _editedText(result: StoredResult, measured: MeasuredSegments) -> str:
    sliceMl = measured.sliceMl
    if not sliceMl:
        return _("Edited by hand: no hemorrhage is outlined now.")
    return _("Edited by hand: {volume:.1f} mL of hemorrhage on {slices} slices, most on slice {number}.").format(
        volume=measured.bloodMl,
        slices=len(sliceMl),
        number=result.analysis.slice_number(max(sliceMl, key=sliceMl.get)),
    )
