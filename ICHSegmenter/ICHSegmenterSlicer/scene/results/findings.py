"""Separate pieces of blood as they are now, in order of importance; a person accepts, rejects or retypes each."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from scipy import ndimage

from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.verdict import Piece
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results import edits
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments
from ICHSegmenterSlicer.scene.results.stored_result import LPS_TO_RAS, StoredResult
from ICHSegmenterSlicer.scene.volumes import geometryOf

ACCEPTED = "ICHSegmenter.accepted"
"""Attribute of a result node: JSON list of the checksums of the pieces that a person accepted."""
MIN_ML = 0.01
"""Smaller pieces are not listed: specks of a brush."""
MAX_LISTED = 200
BONE_HU = 300
MIDLINE_MM = 5.0
"""A piece whose middle is nearer to the middle of the skull is on neither side."""
SAME_PLACE_MM = 10.0
"""A piece that the method judged is this one if its middle is not farther away."""


@dataclass(frozen=True, eq=False)
class Finding:
    """A connected piece of a segment.

    Attributes:
        segmentId: Its segment.
        key: Label of that, empty if a person made it; name: as Slicer shows it.
        volumeMl, meanHu: Of its voxels.
        slices: First, last and largest slice, as people count.
        pointRas: RAS mm (3,), a voxel of it near its middle.
        side: "left", "right", "middle", or empty if it cannot be said.
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
    side: str
    judged: Piece | None
    digest: str
    mask: np.ndarray
    start: tuple[int, int, int]


def find(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    measured: MeasuredSegments,
    result: StoredResult,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
) -> Steps[tuple[Finding, ...]]:
    """The pieces of all segments that are blood, the largest first; a segment a step."""
    acquired, hu = geometryOf(volumeNode), slicer.util.arrayFromVolume(volumeNode)
    found: list[Finding] = []
    for entry in measured.blood:
        if segmentationNode.GetSegmentation().GetSegment(entry.segmentId) is None:
            continue
        mask, start = edits.maskOf(segmentationNode, entry.segmentId)
        components, count = ndimage.label(mask, structure=CONNECTIVITY_26)
        yield
        for number, box in enumerate(ndimage.find_objects(components)[:count], start=1):
            piece = components[box] == number
            corner = tuple(first + axis.start for first, axis in zip(start, box, strict=True))
            volumeMl = float(piece.sum(axis=(1, 2)) @ acquired.voxel_volumes_mm3[_span(corner, piece)]) / 1000
            if volumeMl < MIN_ML or len(found) >= MAX_LISTED:
                continue
            digest = yield from edits.digestOfMask(piece, corner)
            place = _Place.of(piece, corner, acquired, hu)
            judged = _judged(result, entry.key, place.pointLps)
            names = (entry.segmentId, entry.key, entry.name)
            found.append(
                Finding(
                    *names,
                    volumeMl,
                    float(hu[place.box][piece].mean()),
                    tuple(result.analysis.slice_number(index) for index in place.slices),
                    place.pointLps * LPS_TO_RAS,
                    place.side,
                    judged,
                    digest,
                    piece,
                    corner,
                )
            )
        yield
    return tuple(sorted(found, key=lambda finding: -finding.volumeMl))


def accepted(resultNode: slicer.vtkMRMLTextNode) -> set[str]:
    """Checksums of the pieces that a person accepted; a piece that was changed since is none of them."""
    return set(json.loads(resultNode.GetAttribute(ACCEPTED) or "[]"))


def accept(resultNode: slicer.vtkMRMLTextNode, finding: Finding, *, isAccepted: bool) -> None:
    """Keep that a person accepted a piece, or did not."""
    digests = accepted(resultNode) - {finding.digest}
    resultNode.SetAttribute(ACCEPTED, json.dumps(sorted(digests | ({finding.digest} if isAccepted else set()))))


class FindingEditor:
    """Takes pieces away and brings them back, by the history that Segment Editor uses too."""

    def __init__(self) -> None:
        self._history: slicer.vtkSegmentationHistory | None = None

    def begin(self, segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> None:
        """Edit this segmentation; what was done to another one cannot be undone any more."""
        self._history = None
        if segmentationNode is not None:
            self._history = slicer.vtkSegmentationHistory()
            self._history.SetSegmentation(segmentationNode.GetSegmentation())

    def reject(self, segmentationNode: slicer.vtkMRMLSegmentationNode, finding: Finding) -> None:
        """Take the voxels of a piece out of its segment."""
        segment = segmentationNode.GetSegmentation().GetSegment(finding.segmentId)
        if segment is None or edits.labelmapOf(segment) is None:
            return
        self._history.SaveState()
        _paint(segment, finding, 0)
        segmentationNode.GetSegmentation().InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)

    @property
    def canUndo(self) -> bool:
        """True if a step can be taken back."""
        return self._history is not None and bool(self._history.IsRestorePreviousStateAvailable())

    def undo(self) -> bool:
        """Take the last step back; False if there is none."""
        return self.canUndo and bool(self._history.RestorePreviousState())

    def redo(self) -> bool:
        """Do the step again that was taken back; False if there is none."""
        return self._history is not None and bool(self._history.RestoreNextState())


def _paint(segment: slicer.vtkSegment, finding: Finding, value: int) -> None:
    image = edits.labelmapOf(segment)
    extent = image.GetExtent()
    shape = (extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1)
    voxels = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    first = [position - low for position, low in zip(finding.start, (extent[4], extent[2], extent[0]), strict=True)]
    box = tuple(slice(low, low + size) for low, size in zip(first, finding.mask.shape, strict=True))
    voxels[box][finding.mask] = value
    image.GetPointData().GetScalars().Modified()
    image.Modified()
    segment.Modified()


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a piece lies: box in the acquired array, slices of the detection, a voxel near its middle, side."""

    box: tuple[slice, slice, slice]
    slices: tuple[int, int, int]
    pointLps: np.ndarray
    side: str

    @classmethod
    def of(cls, piece: np.ndarray, corner: tuple[int, int, int], acquired: VolumeGeometry, hu: np.ndarray) -> _Place:
        box = tuple(slice(low, low + size) for low, size in zip(corner, piece.shape, strict=True))
        voxels = np.argwhere(piece)
        nearest = voxels[np.abs(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()] + corner
        view = AxialView.at_border(acquired)
        axis, size = view.axes[0], acquired.shape[view.axes[0]]
        counts = piece.sum(axis=tuple(other for other in range(3) if other != axis))
        indices = np.flatnonzero(counts) + corner[axis]
        largest = int(counts.argmax()) + corner[axis]
        ends = [int(indices[0]), int(indices[-1]), largest]
        if view.flips[0]:
            ends = [size - 1 - index for index in ends]
        point = acquired.ijk_to_lps(nearest[::-1])
        return cls(box, (min(ends[:2]), max(ends[:2]), ends[2]), point, _side(point, nearest, acquired, hu))


def _side(point: np.ndarray, voxel: np.ndarray, acquired: VolumeGeometry, hu: np.ndarray) -> str:
    """The side of the middle of the skull on the acquired slice of a voxel, by LPS x."""
    rows, columns = np.nonzero(hu[voxel[0]] > BONE_HU)
    if not len(columns) or abs(acquired.normal[0]) > 0.5:
        return ""
    index = np.column_stack((columns, rows, np.full(len(rows), voxel[0])))
    x = acquired.ijk_to_lps(index)[:, 0]
    distance = float(point[0] - (x.min() + x.max()) / 2)
    if abs(distance) < MIDLINE_MM:
        return "middle"
    return "left" if distance > 0 else "right"


def _judged(result: StoredResult, key: str, pointLps: np.ndarray) -> Piece | None:
    """The piece of the same type that the method judged at this place."""
    pieces = [piece for piece in result.analysis.assessment.pieces if piece.subtype == key and key in SEGMENT_LABELS]
    distances = [float(np.linalg.norm(np.asarray(piece.center_lps_mm) - pointLps)) for piece in pieces]
    if not distances or min(distances) > SAME_PLACE_MM:
        return None
    return pieces[int(np.argmin(distances))]


def _span(corner: tuple[int, int, int], piece: np.ndarray) -> slice:
    return slice(corner[0], corner[0] + piece.shape[0])
