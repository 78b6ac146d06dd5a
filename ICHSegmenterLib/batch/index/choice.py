"""Choice of the head series of a study, with the reason why each other one was passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ICHSegmenterLib.batch.index.store import SeriesRow
from ICHSegmenterLib.volume.dicom.series import MIN_SERIES_SLICES
from ICHSegmenterLib.volume.kernels import is_sharp_kernel

COVER_TOLERANCE = 0.9
"""A series that covers this part of the longest one covers as much: reconstructions end a slice apart."""
WHOLE_HEAD_MM, MAX_HEAD_MM = 160.0, 250.0
"""Slices over the first hold the whole brain; over more than the second they go on to neck or trunk."""
USUAL_THICKNESS_MM = 5.0
"""Of the head CT that the methods were made with; of equal series the nearest is read."""


@dataclass(frozen=True)
class Choice:
    """A series and why it is passed over; empty if it is the one to read."""

    row: SeriesRow
    reason: str


def choices(series: Iterable[SeriesRow], *, all_series: bool = False) -> Iterator[Choice]:
    """Each series, those of a study after each other in the order of `series`.

    Args:
        series: Those of one study must follow each other.
        all_series: Every series that is a CT scan is kept.
    """
    for _, members in groupby(series, key=lambda row: row.study or row.series):
        rows = list(members)
        reasons = {row.series: _no_scan(row) for row in rows}
        if not all_series:
            reasons |= _passed_over([row for row in rows if not reasons[row.series]])
        yield from (Choice(row, reasons[row.series]) for row in rows)


def _no_scan(row: SeriesRow) -> str:
    if not row.slices:
        return row.rejected or "no images"
    return "too few slices" if row.slices < MIN_SERIES_SLICES else ""


def _passed_over(scans: Sequence[SeriesRow]) -> dict[str, str]:
    """The reason for each series; each criterion counts only as long as something remains."""
    reasons: dict[str, str] = {}
    remaining = list(scans)

    def keep(fitting: list[SeriesRow], reason: str) -> None:
        nonlocal remaining
        if fitting:
            reasons.update((row.series, reason) for row in remaining if row not in fitting)
            remaining = fitting

    keep([row for row in remaining if row.plane in ("axial", "")], "not axial")
    keep([row for row in remaining if not is_sharp_kernel(row.kernel)], "sharp kernel")
    keep([row for row in remaining if not row.has_contrast], "contrast agent")
    longest = min(max((row.cover_mm for row in remaining), default=0.0), WHOLE_HEAD_MM)
    keep([row for row in remaining if row.cover_mm >= COVER_TOLERANCE * longest], "covers less of the head")
    keep([row for row in remaining if row.cover_mm <= MAX_HEAD_MM], "goes beyond the head")
    nearest = sorted(remaining, key=lambda row: (abs(row.thickness_mm - USUAL_THICKNESS_MM), row.number, row.series))
    keep(nearest[:1], f"its thickness is farther from {USUAL_THICKNESS_MM:g} mm, or it comes later")
    return reasons | {row.series: "" for row in remaining}
