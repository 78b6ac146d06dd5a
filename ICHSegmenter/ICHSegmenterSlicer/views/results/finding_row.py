"""A finding in words: the cells of its row, and all that is known of it in the tooltip."""

from __future__ import annotations

from slicer.i18n import tr as _

from ICHSegmenterLib.editing.location import Region, Side
from ICHSegmenterLib.labels import SUBTYPES_OF
from ICHSegmenterSlicer.scene.results.findings import Finding


def findingText(finding: Finding) -> str:
    """Type with its probability, unless it leaves the subtype open; side and region."""
    share = None if finding.key in SUBTYPES_OF else finding.typeProbability
    parts = [finding.key or finding.name, "" if share is None else f"{share:.0%}", _where(finding)]
    return " ".join(part for part in parts if part)


def numbers(finding: Finding) -> tuple[str, str, str, str]:
    """Probability that it is blood, mL, mean HU, slices."""
    first, last, _largest = finding.slices
    return (
        "" if finding.judged is None else f"{finding.judged.probability:.2f}",
        f"{finding.volumeMl:.1f}",
        f"{finding.meanHu:.0f}",
        str(first) if first == last else f"{first}–{last}",
    )


def tooltip(finding: Finding) -> str:
    """All that is known of a finding, a line each."""
    lines = [finding.name]
    if _where(finding):
        lines.append(_("{place} (by its position in the skull, without an atlas)").format(place=_where(finding)))
    lines.append(
        _("{volume:.2f} mL, mean {density:.0f} HU, largest on slice {number}").format(
            volume=finding.volumeMl, density=finding.meanHu, number=finding.slices[2]
        )
    )
    if finding.judged is None:
        lines.append(_("drawn or changed by a person: the method said nothing of it"))
    else:
        lines.append(_("blood with {value:.2f}").format(value=finding.judged.probability))
    if finding.typeProbability is not None:
        lines.append(_("this type with {share:.0%}").format(share=finding.typeProbability))
    return "\n".join(lines)


def _where(finding: Finding) -> str:
    sides = {Side.LEFT: _("left"), Side.RIGHT: _("right"), Side.MIDDLE: _("middle")}
    regions = {
        Region.FRONTAL: _("frontal"),
        Region.PARIETAL: _("parietal"),
        Region.TEMPORAL: _("temporal"),
        Region.OCCIPITAL: _("occipital"),
        Region.DEEP: _("deep"),
        Region.POSTERIOR_FOSSA: _("posterior fossa"),
    }
    return " ".join(part for part in (sides.get(finding.side, ""), regions.get(finding.region, "")) if part)
