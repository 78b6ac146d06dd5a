"""Separate pieces of what is outlined, as it is now: measured from the labelmap alone, whoever drew it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.editing.location import Region, Side, SkullFrame
from ICHSegmenterLib.labels import SegmentLabel
from ICHSegmenterLib.measuring.piece import middle_voxel
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.verdict import Piece
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.volume import Volume

MIN_FINDING_ML = 0.01
"""Smaller components are not listed: specks of a brush."""
MAX_FINDINGS = 200
SAME_PLACE_MM = 10.0
"""A piece that the method judged is this one if its center is not farther away."""


@dataclass(frozen=True, eq=False)
class OutlinedFinding:
    """A connected component of one segment.

    Attributes:
        label: Of its segment.
        volume_ml, mean_hu: Of its voxels.
        first_slice, last_slice, key_slice: Indices of the detection's slices; the key slice has its largest section.
        center_lps_mm: (x, y, z) of its center of mass.
        side, region: By its position in the skull, None if that cannot be said.
        judged: What the method said of it, None if it said nothing.
        mask: bool (slices, rows, columns) of its box in the acquired grid; box: where that lies.
    """

    label: SegmentLabel
    volume_ml: float
    mean_hu: float
    first_slice: int
    last_slice: int
    key_slice: int
    center_lps_mm: tuple[float, float, float]
    side: Side | None
    region: Region | None
    judged: Piece | None
    mask: NDArray[np.bool_]
    box: tuple[slice, ...]

    @property
    def voxels(self) -> int:
        """How many it has."""
        return int(self.mask.sum())

    @property
    def importance(self) -> float:
        """Milliliters that are likely blood; what a person drew is."""
        return self.volume_ml * (1.0 if self.judged is None else self.judged.probability)

    @property
    def place(self) -> str:
        """Side and region in words, empty if unknown."""
        return " ".join(word.value for word in (self.side, self.region) if word is not None)


def outlined_findings(result: AnalysisResult, volume: Volume) -> tuple[OutlinedFinding, ...]:
    """All components of all segments: blood before edema, the most important first.

    Args:
        result: Of the volume; without an outline it has no findings.
        volume: As acquired.
    """
    segmentation = result.segmentation
    if segmentation is None or not segmentation.labelmap.any():
        return ()
    frame, view = SkullFrame.of(volume.hu, volume.geometry), AxialView.at_border(volume.geometry)
    exam = _Exam(volume, view, frame, result.assessment.pieces)
    findings = []
    boxes = ndimage.find_objects(segmentation.labelmap, max_label=len(segmentation.labels))
    for value, (label, box) in enumerate(zip(segmentation.labels, boxes, strict=True), start=1):
        if box is None:
            continue
        components, _ = ndimage.label(segmentation.labelmap[box] == value, CONNECTIVITY_26)
        for number, part in enumerate(ndimage.find_objects(components), start=1):
            starts = [outer.start + inner.start for outer, inner in zip(box, part, strict=True)]
            mask = components[part] == number
            at = tuple(slice(start, start + size) for start, size in zip(starts, mask.shape, strict=True))
            finding = _finding(mask, at, label, exam)
            if finding.volume_ml >= MIN_FINDING_ML:
                findings.append(finding)
    return tuple(sorted(findings, key=lambda each: (not each.label.is_blood, -each.importance))[:MAX_FINDINGS])


@dataclass(frozen=True, eq=False)
class _Exam:
    """What all findings of an exam share: voxels, turn to the detection's slices, skull, pieces of the method."""

    volume: Volume
    view: AxialView
    frame: SkullFrame | None
    pieces: Sequence[Piece]


def _finding(mask: NDArray[np.bool_], box: tuple[slice, ...], label: SegmentLabel, exam: _Exam) -> OutlinedFinding:
    """Measure one component."""
    geometry, view, frame = exam.volume.geometry, exam.view, exam.frame
    voxels = np.argwhere(mask) + [side.start for side in box]
    ml = geometry.voxel_volumes_mm3[voxels[:, 0]] / 1000
    x, y, z = (float(mm) for mm in ml @ geometry.ijk_to_lps(voxels[:, ::-1]) / ml.sum())
    place = _place(mask, box, exam)
    along = voxels[:, view.axes[0]]
    if view.flips[0]:
        along = geometry.shape[view.axes[0]] - 1 - along
    return OutlinedFinding(
        label=label,
        volume_ml=float(ml.sum()),
        mean_hu=float(exam.volume.hu[box][mask].mean(dtype=np.float64)),
        first_slice=int(along.min()),
        last_slice=int(along.max()),
        key_slice=int(np.bincount(along).argmax()),
        center_lps_mm=(x, y, z),
        side=None if frame is None else frame.side(place),
        region=None if frame is None else frame.region(place),
        judged=judged_piece(exam.pieces, label.key, (x, y, z)),
        mask=mask,
        box=box,
    )


def _place(mask: NDArray[np.bool_], box: tuple[slice, ...], exam: _Exam) -> NDArray[np.float64]:
    """LPS mm (3,) of the voxel by which the measures name its place, too."""
    middle = middle_voxel(exam.view.apply(mask))
    voxel = [0, 0, 0]
    for axis, is_flipped, position in zip(exam.view.axes, exam.view.flips, middle, strict=True):
        voxel[axis] = box[axis].start + (mask.shape[axis] - 1 - position if is_flipped else position)
    return exam.volume.geometry.ijk_to_lps(voxel[::-1])


def judged_piece(pieces: Sequence[Piece], key: str, center_lps_mm: tuple[float, float, float]) -> Piece | None:
    """What the method said of the piece at a place: of the same label, else of the nearest."""
    near = [
        (piece.subtype != key, distance, number)
        for number, piece in enumerate(pieces)
        if (distance := float(np.linalg.norm(np.subtract(piece.center_lps_mm, center_lps_mm)))) <= SAME_PLACE_MM
    ]
    return pieces[min(near)[2]] if near else None
