"""The measures in the user's language."""

from __future__ import annotations

import html
from collections.abc import Sequence

from slicer.i18n import tr as _

from ICHSegmenterLib.measuring.abc2 import Abc2
from ICHSegmenterLib.measuring.criteria import Criterion, Flag
from ICHSegmenterLib.measuring.follow_up import Change, FollowUp
from ICHSegmenterLib.measuring.midline import HALF_OF_LAST_DIGIT_MM, Midline, NoMidline
from ICHSegmenterLib.measuring.piece import PieceMeasures

NO_BREAK = "\N{NO-BREAK SPACE}"


def totalText(totalMl: float, count: int, *, isAll: bool) -> str:
    """All blood, and in how many pieces; there may be more of them unless these are all."""
    if not isAll:
        return _("Total {volume:.1f} mL in {count} pieces or more").format(volume=totalMl, count=count)
    text = _("Total {volume:.1f} mL in {count} pieces") if count != 1 else _("Total {volume:.1f} mL in one piece")
    return text.format(volume=totalMl, count=count)


def ventriclesText(ventricularMl: float, reaches: bool | None, *, isNow: bool) -> str:
    """Blood in the ventricles.

    Args:
        ventricularMl: Of the segment of intraventricular hemorrhage, as it is now.
        reaches: Blood touches a lateral ventricle; None if that is not known.
        isNow: That is of the segments as they are now.
    """
    if ventricularMl > 0:
        return _("{volume:.1f} mL in the ventricles").format(volume=ventricularMl)
    text = {
        True: _("Blood touches a lateral ventricle"),
        False: _("Ventricles not reached"),
        None: _("Ventricles not judged"),
    }[reaches]
    return _dated(text, isNow=isNow)


def midlineText(midline: Midline | NoMidline | None, *, isNow: bool) -> str:
    """The midline shift, or why there is none; None if the run did not measure."""
    if isinstance(midline, Midline):
        if midline.shift_mm < HALF_OF_LAST_DIGIT_MM:
            return _dated(_("No midline shift"), isNow=isNow)
        side = _("to the left") if midline.is_to_left else _("to the right")
        text = _("Midline shift {shift:.1f} mm {side}").format(shift=midline.shift_mm, side=side)
        return _dated(text, isNow=isNow)
    reasons = {
        NoMidline.NO_SKULL: _("too little of the skull was scanned"),
        NoMidline.NO_SEPTUM: _("no septum between the ventricles is seen"),
        NoMidline.UNCERTAIN: _("the septum cannot be followed"),
        None: _("the run drew no blood"),
    }
    return _dated(_("Midline shift not measured: {reason}").format(reason=reasons[midline]), isNow=isNow)


def _dated(text: str, *, isNow: bool) -> str:
    """A measure, marked if the segments were edited since."""
    return text if isNow else _("⚠ Before the edit: {text}").format(text=text)


def pieceLines(name: str, piece: PieceMeasures, diameters: Abc2, priorMl: float | None) -> list[str]:
    """Lines about one finding; `diameters` are those that are drawn, maybe corrected."""
    lengths = f"{NO_BREAK}×{NO_BREAK}".join(f"{line.length_mm:.0f}" for line in (diameters.a, diameters.b, diameters.c))
    lengths += f"{NO_BREAK}mm"
    lines = [
        f"<b>{html.escape(name)}</b>: "
        + _("{volume:.1f} mL, ABC/2 {estimate:.1f} mL ({lengths})").format(
            volume=piece.volume_ml, estimate=diameters.volume_ml, lengths=lengths
        ),
        _("Diameter {diameter:.0f} mm, thickness {thickness:.0f} mm; mean {mean:.0f}, maximum {most:.0f} HU").format(
            diameter=piece.diameter.length_mm,
            thickness=piece.thickness.length_mm,
            mean=piece.mean_hu,
            most=piece.max_hu,
        ),
    ]
    if priorMl is not None:
        lines.append(_("Prior exam: {volume:.1f} mL here").format(volume=priorMl))
    return lines


def flagLines(flags: Sequence[Flag]) -> list[str]:
    """A line for each criterion of the literature that is met, with its source."""
    texts = {
        Criterion.PARENCHYMAL_VOLUME: _("parenchymal bleed of {value:.0f} mL ({limit:.0f} or more)"),
        Criterion.VENTRICLES: _("{value:.1f} mL of blood in the ventricles"),
        Criterion.INFRATENTORIAL: _("parenchymal bleed of {value:.1f} mL in the posterior fossa"),
        Criterion.CEREBELLAR_DIAMETER: _("{value:.0f} mm in the posterior fossa (more than {limit:.0f})"),
        Criterion.SUBDURAL_THICKNESS: _("subdural bleed {value:.0f} mm thick (more than {limit:.0f})"),
        Criterion.EPIDURAL_VOLUME: _("epidural bleed of {value:.0f} mL (more than {limit:.0f})"),
        Criterion.MIDLINE_SHIFT: _("midline shift of {value:.1f} mm (more than {limit:.0f})"),
        Criterion.GROWTH: _("grew by {value:.1f} mL (more than {limit:.0f} mL or a third)"),
    }
    lines = []
    for flag in flags:
        text = texts[flag.criterion].format(value=flag.value, limit=flag.limit.value or 0.0)
        lines.append(f"⚑ {html.escape(text)} <small>{html.escape(flag.limit.source)}</small>")
    return lines


def priorLines(name: str, total: Change, followUp: FollowUp) -> list[str]:
    """Lines about the comparison with a prior exam; `total` is of the segments as they are now."""
    share = "" if total.change_share is None else f", {total.change_share:+.0%}"
    growth = (
        _("growth by more than a third or 6 mL") if total.is_growth else _("no growth by more than a third or 6 mL")
    )
    change = _("{prior:.1f} mL then, {current:.1f} mL now ({change:+.1f} mL{share})").format(
        prior=total.prior_ml, current=total.current_ml, change=total.change_ml, share=share
    )
    fit = _("The skulls fit to {residual:.1f} mm. White: the prior outline.").format(residual=followUp.residual_mm)
    return [f"<b>{change}: {growth}</b>", f"{html.escape(name)}. {fit}"]
