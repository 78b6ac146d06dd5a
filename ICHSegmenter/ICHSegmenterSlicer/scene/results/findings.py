"""Separate pieces of blood as they are now, in order of importance; a person accepts those that are right."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ICHSegmenterLib.editing.location import Region, Side, SkullFrame
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.verdict import Piece
from ICHSegmenterLib.volume.components import Component, components_in_steps
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegment, MeasuredSegments, maskOnGrid
from ICHSegmenterSlicer.scene.results.stored_result import LPS_TO_RAS, StoredResult
from ICHSegmenterSlicer.scene.volumes import chunks, geometryOf

ACCEPTED = "ICHSegmenter.accepted"
"""Attribute of a result node: JSON list of the checksums of the pieces that a person accepted."""
MIN_ML = 0.01
"""Smaller pieces are not listed: specks of a brush."""
MAX_LISTED = 200
"""So many of the largest."""
SAME_PLACE_MM = 10.0
"""A piece that the method judged is this one if its middle is not farther away."""
MAX_FRAMES = 8

_frames: dict[tuple[int, bytes], SkullFrame | None] = {}
"""Modification time of an image and its grid to its skull."""


@dataclass(frozen=True, eq=False)
class Finding:
    """A connected piece of a segment.

    Attributes:
        segmentId: Its segment.
        key: Label of that, empty if a person made it; name: as Slicer shows it.
        volumeMl, meanHu: Of its voxels.
        slices: First, last and largest slice, as people count.
        pointRas: RAS mm (3,), a voxel of it near its middle.
        side, region: By its position in the skull, None if that cannot be said.
        judged: What the method said of it, None if it said nothing.
        digest: Checksum of its voxels.
        mask: bool (slices, rows, columns) of its box in the acquired grid; start: where the box begins.
    """

    segmentId: str
    key: str
    name: str
    volumeMl: float
    meanHu: float
    slices: tuple[int, int, int]
    pointRas: np.ndarray
    side: Side | None
    region: Region | None
    judged: Piece | None
    digest: str
    mask: np.ndarray
    start: tuple[int, int, int]

    @property
    def importance(self) -> float:
        """Milliliters that are likely blood; what a person drew is."""
        return self.volumeMl * (1.0 if self.judged is None else self.judged.probability)

    @property
    def typeProbability(self) -> float | None:
        """Probability of its type, None if the method said nothing, or a person changed it."""
        isSame = self.judged is not None and self.judged.subtype == self.key
        return self.judged.subtype_probability if isSame else None

    def contains(self, voxel: tuple[int, int, int]) -> bool:
        """True if a voxel (slice, row, column) of the acquired grid belongs to it."""
        at = tuple(position - low for position, low in zip(voxel, self.start, strict=True))
        isInBox = all(0 <= position < size for position, size in zip(at, self.mask.shape, strict=True))
        return isInBox and bool(self.mask[at])


def find(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    measured: MeasuredSegments,
    result: StoredResult,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
) -> Steps[tuple[Finding, ...]]:
    """The pieces of all segments that are blood, the most important first; some slices a step."""
    acquired, hu = geometryOf(volumeNode), slicer.util.arrayFromVolume(volumeNode)
    frame = skullOf(volumeNode, acquired, hu)
    yield
    listed: list[Finding] = []
    for entry, piece in (yield from _largestPieces(segmentationNode, measured, volumeNode)):
        place = yield from _placeOf(piece, acquired, hu)
        if place.volumeMl < MIN_ML:
            continue
        point = place.pointLps
        listed.append(
            Finding(
                entry.segmentId,
                entry.key,
                entry.name,
                place.volumeMl,
                place.meanHu,
                tuple(result.analysis.slice_number(index) for index in place.slices),
                point * LPS_TO_RAS,
                None if frame is None else frame.side(point),
                None if frame is None else frame.region(point),
                _judged(result, entry.key, point),
                place.digest,
                piece.mask,
                piece.start,
            )
        )
    return tuple(sorted(listed, key=lambda finding: -finding.importance))


def accepted(resultNode: slicer.vtkMRMLTextNode) -> set[str]:
    """Checksums of the pieces that a person accepted; a piece that was changed since is none of them."""
    return set(json.loads(resultNode.GetAttribute(ACCEPTED) or "[]"))


def accept(resultNode: slicer.vtkMRMLTextNode, finding: Finding, *, isAccepted: bool) -> None:
    """Keep that a person accepted a piece, or did not."""
    digests = accepted(resultNode) - {finding.digest}
    resultNode.SetAttribute(ACCEPTED, json.dumps(sorted(digests | ({finding.digest} if isAccepted else set()))))


def skullOf(volumeNode: Any, acquired: VolumeGeometry, hu: np.ndarray) -> SkullFrame | None:
    """The skull of an exam, measured once."""
    version = (volumeNode.GetImageData().GetMTime(), acquired.affine.tobytes())
    if version not in _frames:
        while len(_frames) >= MAX_FRAMES:
            del _frames[next(iter(_frames))]
        _frames[version] = SkullFrame.of(hu, acquired)
    return _frames[version]


def _largestPieces(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    measured: MeasuredSegments,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
) -> Steps[list[tuple[MeasuredSegment, Component]]]:
    """The largest pieces of all segments that are blood, each with its segment, on the acquired grid."""
    pieces: list[tuple[int, MeasuredSegment, Component]] = []
    for entry in measured.blood:
        if segmentationNode.GetSegmentation().GetSegment(entry.segmentId) is None:
            continue
        mask, start = yield from maskOnGrid(segmentationNode, entry.segmentId, volumeNode)
        for piece in (yield from components_in_steps(mask)):
            corner = tuple(first + low for first, low in zip(start, piece.start, strict=True))
            pieces.append((np.count_nonzero(piece.mask), entry, Component(piece.mask, corner)))
            yield
    pieces.sort(key=lambda one: -one[0])
    return [(entry, piece) for _count, entry, piece in pieces[:MAX_LISTED]]


@dataclass(frozen=True, eq=False)
class _Place:
    """A piece in numbers: volume, density, slices of the detection, a voxel near its middle, checksum."""

    volumeMl: float
    meanHu: float
    slices: tuple[int, int, int]
    pointLps: np.ndarray
    digest: str


def _placeOf(piece: Component, acquired: VolumeGeometry, hu: np.ndarray) -> Steps[_Place]:
    """Measure a piece, some slices a step."""
    counts, huSum, digest = np.zeros(len(piece.mask), np.int64), 0.0, zlib.crc32(repr(piece.start).encode())
    view = AxialView.at_border(acquired)
    axis = view.axes[0]
    along = np.zeros(piece.mask.shape[axis], np.int64)
    box = piece.box
    for part in chunks(piece.mask):
        mask = piece.mask[part]
        inSlices = slice(box[0].start + part.start, box[0].start + part.start + len(mask))
        counts[part] = mask.sum(axis=(1, 2))
        along[part if axis == 0 else slice(None)] += mask.sum(axis=tuple(n for n in range(3) if n != axis))
        huSum += float(hu[inSlices, box[1], box[2]].sum(dtype=np.float64, where=mask))
        digest = zlib.crc32(np.packbits(mask), digest)
        yield
    middle = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
    plane = np.argwhere(piece.mask[middle])
    nearest = plane[np.abs(plane - plane.mean(axis=0)).sum(axis=1).argmin()]
    voxel = np.array([middle, *nearest]) + piece.start
    filled = np.flatnonzero(along)
    ends = [int(index) + piece.start[axis] for index in (filled[0], filled[-1], along.argmax())]
    if view.flips[0]:
        ends = [acquired.shape[axis] - 1 - index for index in ends]
    return _Place(
        float(counts @ acquired.voxel_volumes_mm3[box[0]]) / 1000,
        huSum / counts.sum(),
        (min(ends[:2]), max(ends[:2]), ends[2]),
        acquired.ijk_to_lps(voxel[::-1]),
        f"{counts.sum()}-{digest:08x}",
    )


def _judged(result: StoredResult, key: str, pointLps: np.ndarray) -> Piece | None:
    """What the method said of the piece at this place: of the same type, else of the nearest."""
    pieces = result.analysis.assessment.pieces
    distances = [float(np.linalg.norm(np.asarray(piece.center_lps_mm) - pointLps)) for piece in pieces]
    near = [
        (piece.subtype != key, distance, n)
        for n, (piece, distance) in enumerate(zip(pieces, distances, strict=True))
        if distance <= SAME_PLACE_MM
    ]
    return pieces[min(near)[2]] if near else None
