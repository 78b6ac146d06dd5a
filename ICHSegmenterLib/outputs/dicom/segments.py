"""The segments of a DICOM SEG: one a finding, so that a structured report can speak of each.

DICOM refers to a segment or to frames, never to the frames of one segment; a finding that shall be referred to needs a
segment of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.outlined_findings import OutlinedFinding
from ICHSegmenterLib.labels import SegmentLabel
from ICHSegmenterLib.results import SegmentationResult
from ICHSegmenterLib.volume.volume import Volume

MAX_OWN = 20
"""Findings of one label with a segment of their own; the others share one."""


@dataclass(frozen=True)
class DicomSegment:
    """A segment of the SEG.

    Attributes:
        number: From 1.
        label: Its kind.
        name: For people; identifier: short, the same in the structured report.
        finding: The finding that it is; None for those that share it.
    """

    number: int
    label: SegmentLabel
    name: str
    identifier: str
    finding: OutlinedFinding | None


@dataclass(frozen=True, eq=False)
class DicomSegments:
    """All segments of a labelmap.

    Attributes:
        numbered: uint8 (slices, rows, columns) on the acquired grid, number of the segment.
        segments: In the order of their numbers.
    """

    numbered: NDArray[np.uint8]
    segments: tuple[DicomSegment, ...]

    @classmethod
    def of(cls, segmentation: SegmentationResult, findings: Sequence[OutlinedFinding]) -> DicomSegments:
        """The segments of an outline; every voxel of its labelmap belongs to one.

        Args:
            segmentation: The outline.
            findings: Its components, the most important first; specks need not be among them.
        """
        numbered = np.zeros_like(segmentation.labelmap)
        segments: list[DicomSegment] = []
        for value, label in enumerate(segmentation.labels, start=1):
            mask = segmentation.labelmap == value
            voxels = int(mask.sum())
            if not voxels:
                continue
            own = [finding for finding in findings if finding.label is label][:MAX_OWN]
            is_only = len(own) == 1 and own[0].voxels == voxels
            has_others = sum(finding.voxels for finding in own) < voxels
            if has_others:
                numbered[mask] = len(segments) + len(own) + 1
            for count, finding in enumerate(own, start=1):
                number = len(segments) + 1
                numbered[finding.box][finding.mask] = number
                name = label.name if is_only else f"{label.name} {count}"
                segments.append(DicomSegment(number, label, name, f"{label.key} {count}", finding))
            if has_others:
                name = f"{label.name}, further pieces" if own else label.name
                segments.append(DicomSegment(len(segments) + 1, label, name, f"{label.key} further", None))
        return cls(numbered, tuple(segments))

    def slices_of(self, segment: DicomSegment) -> list[int]:
        """Indices of the acquired slices that a segment lies on."""
        return np.flatnonzero((self.numbered == segment.number).any(axis=(1, 2))).tolist()

    def measure(self, segment: DicomSegment, volume: Volume) -> tuple[float, float]:
        """Volume in mL and mean density in HU of a segment."""
        if segment.finding is not None:
            return segment.finding.volume_ml, segment.finding.mean_hu
        mask = self.numbered == segment.number
        voxels = mask.sum(axis=(1, 2))
        ml = float(voxels @ volume.geometry.voxel_volumes_mm3) / 1000
        return ml, float(volume.hu[mask].mean(dtype=np.float64))
