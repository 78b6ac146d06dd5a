"""The findings of a result in words, for the reports on screen and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ICHSegmenterLib.analysis.outlined_findings import OutlinedFinding
from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.verdict import Piece

UNKNOWN = "–"


@dataclass(frozen=True)
class FindingRow:
    """A piece of blood, or of edema.

    Attributes:
        name: Its type; color: RGB of that, 0 to 255.
        place: Side and part of the brain.
        value: Probability or score that it is blood.
        volume, density: In mL and HU; slices: as people count.
        is_outlined: False for a piece below the threshold.
    """

    name: str
    color: tuple[int, int, int]
    place: str
    value: str
    volume: str
    density: str
    slices: str
    is_outlined: bool = True

    @property
    def cells(self) -> tuple[str, ...]:
        """All but color and threshold, in the order of `headings`."""
        return self.name, self.place, self.value, self.volume, self.density, self.slices


def headings(result: AnalysisResult) -> tuple[str, ...]:
    """Of the columns."""
    return "Finding", "Place", result.assessment.value_name.capitalize(), "mL", "Mean HU", "Slices"


def finding_rows(result: AnalysisResult, findings: Sequence[OutlinedFinding]) -> list[FindingRow]:
    """What is outlined now, then the pieces that the method saw below its threshold."""
    rows = [
        FindingRow(
            finding.label.name,
            finding.label.color,
            finding.place or UNKNOWN,
            UNKNOWN if finding.judged is None else f"{finding.judged.probability:.2f}",
            f"{finding.volume_ml:.2f}",
            f"{finding.mean_hu:.0f}",
            slices_text(result, finding.first_slice, finding.last_slice),
        )
        for finding in findings
    ]
    return rows + [_below(result, piece) for piece in result.assessment.below_threshold]


def slices_text(result: AnalysisResult, first: int, last: int) -> str:
    """First and last slice as people count, once if they are the same."""
    low, high = sorted((result.slice_number(first), result.slice_number(last)))
    return str(low) if low == high else f"{low} to {high}"


def _below(result: AnalysisResult, piece: Piece) -> FindingRow:
    label = SEGMENT_LABELS.get(piece.subtype)
    return FindingRow(
        f"{piece.subtype if label is None else label.name}, below threshold",
        (160, 160, 160),
        UNKNOWN,
        f"{piece.probability:.2f}",
        f"{piece.volume_ml:.2f}",
        f"{piece.mean_hu:.0f}",
        slices_text(result, piece.first_slice, piece.last_slice),
        is_outlined=False,
    )
