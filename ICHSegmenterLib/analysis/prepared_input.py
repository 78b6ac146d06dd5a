"""An exam before its method: the brain, what is found about the scan, and the scan as the method shall see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.preprocessing.checked_scan import CheckedScan
from ICHSegmenterLib.preprocessing.checks.findings import InputFinding, caps_verdict
from ICHSegmenterLib.preprocessing.harmonize import harmonize
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.preprocessing.slice_alignment import align_slices
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.volume import Volume


@dataclass(frozen=True, eq=False)
class PreparedInput:
    """An exam that passed the check.

    Attributes:
        acquired: As it was scanned: what is measured.
        seen: What the method sees; the same unless slices were put back beside each other, or smoothed.
        findings: About the scan.
    """

    acquired: PreparedVolume
    seen: PreparedVolume
    findings: tuple[InputFinding, ...]


def prepare_input(
    volume: Volume,
    quick: Sequence[InputFinding],
    card: ModelCard,
    context: RunContext,
    brain_mask: NDArray[np.bool_] | None,
    checked: CheckedScan | None = None,
) -> PreparedInput:
    """Find the brain, measure the scan, and make it alike to still and soft ones where the card asks for that.

    Args:
        volume: Axial slices.
        quick: What was found about it before.
        card: Of the method.
        context: Gets warnings and caps.
        brain_mask: bool (slices, rows, columns) to use instead of our own.
        checked: What was found before, by our own mask.
    """
    acquired = prepare(volume, card.preprocessing, brain_mask if checked is None else checked.brain_mask)
    if checked is None:
        checked = CheckedScan.behind(acquired.brain_mask, volume, quick)
    measured = checked.measured
    findings = (*quick, *measured.findings)
    shown, done = volume, []
    if card.align_slices and measured.shifts_mm is not None:
        shown, aligned = align_slices(shown, measured.shifts_mm)
        done.append(aligned)
    if card.harmonize:
        shown, smoothed = harmonize(shown, acquired.brain_mask, measured.noise)
        done.extend([smoothed] if smoothed else [])
    seen = acquired if shown is volume else replace(acquired, volume=shown)
    findings = (*findings, *done)
    for finding in findings:
        context.warn(finding)
    for code in caps_verdict(findings):
        context.cap(code)
    return PreparedInput(acquired, seen, findings)
