"""Rows of the table of segments: as the run made them, or as they are now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slicer.i18n import tr as _

from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult

UNKNOWN_COLOR = (128, 128, 128)


@dataclass(frozen=True)
class SegmentRow:
    """A segment in words.

    Attributes:
        segmentId: Empty for the total.
        name, volume, density, extent: Cells of the table.
        color: RGB, 0 to 255; None for the total.
    """

    segmentId: str
    name: str
    volume: str
    density: str
    extent: str
    color: tuple[int, int, int] | None


def rowsAsMade(result: StoredResult) -> list[SegmentRow]:
    """The segments that the run made, and their total."""
    colors = {label.key: label.color for label in result.labels}
    rows = [
        SegmentRow(
            result.segmentIds.get(measured.key, ""),
            measured.name,
            f"{measured.volume_ml:.1f}",
            f"{measured.mean_hu:.0f}",
            _extent(result, (measured.first_slice, measured.last_slice)),
            colors.get(measured.key, UNKNOWN_COLOR),
        )
        for measured in result.analysis.measurements
    ]
    return _withTotal(rows, result.analysis.blood_ml, isEdited=False)


def rowsNow(result: StoredResult, measured: MeasuredSegments) -> list[SegmentRow]:
    """The segments as they are now, and their total."""
    rows = [
        SegmentRow(
            segment.segmentId,
            segment.name,
            _volume(segment.volumeMl, isEdited=segment.isEdited),
            "" if segment.meanHu is None else f"{segment.meanHu:.0f}",
            _extent(result, segment.sliceMl),
            segment.color,
        )
        for segment in measured.segments
    ]
    return _withTotal(rows, measured.bloodMl, isEdited=measured.isEdited)


def _withTotal(rows: list[SegmentRow], volumeMl: float, *, isEdited: bool) -> list[SegmentRow]:
    if not rows:
        return []
    total = SegmentRow("", _("Hemorrhage in all"), _volume(volumeMl, isEdited=isEdited), "", "", None)
    return [*rows, total]


def _volume(volumeMl: float, *, isEdited: bool) -> str:
    return (_("{volume:.1f} (edited)") if isEdited else "{volume:.1f}").format(volume=volumeMl)


def _extent(result: StoredResult, indices: Iterable[int]) -> str:
    """First and last slice, as people count."""
    numbers = sorted(result.analysis.slice_number(index) for index in indices)
    if not numbers:
        return ""
    return str(numbers[0]) if numbers[0] == numbers[-1] else f"{numbers[0]}–{numbers[-1]}"
