"""A comparison with a prior exam as the scene keeps it, and whether the prior exam is still what it was."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.measuring.follow_up import FollowUp
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.nodes import isInScene
from ICHSegmenterSlicer.scene.results import edits, exam, segment_voxels
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.measured import maskOnGrid
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE
from ICHSegmenterSlicer.scene.volumes import geometryOf

PRIOR_ROLE = "prior"
"""Reference role: from a result node to that of the prior exam that it was compared with."""
ATTRIBUTE = "ICHSegmenter.comparison"
"""Of a result node: the comparison."""
POSITION_DIGITS = 1
"""Of the millimeters of a grid: a scene file rounds the last bits."""


@dataclass(frozen=True, eq=False)
class KeptPrior:
    """A comparison.

    Attributes:
        name: Of the prior exam.
        followUp: Volumes then and now, and how well the skulls fit.
        state: Of the prior exam when it was compared, as of `stateOf`.
        mask: bool (slices, rows, columns) of a box of the current grid: the prior blood.
        start: (slice, row, column) where the box begins.
    """

    name: str
    followUp: FollowUp
    state: str
    mask: np.ndarray
    start: tuple[int, int, int]


def keep(resultNode: slicer.vtkMRMLTextNode, priorNode: slicer.vtkMRMLTextNode, kept: KeptPrior) -> None:
    """Keep a comparison with the result of the current exam; an earlier one goes."""
    packed = zlib.compress(np.packbits(kept.mask).tobytes(), 1)
    plain = {
        "name": kept.name,
        "follow_up": kept.followUp.to_json(),
        "state": kept.state,
        "shape": list(kept.mask.shape),
        "start": list(kept.start),
        "mask": base64.b64encode(packed).decode("ascii"),
    }
    resultNode.SetNodeReferenceID(PRIOR_ROLE, priorNode.GetID())
    resultNode.SetAttribute(ATTRIBUTE, json.dumps(plain))


def keptOf(resultNode: slicer.vtkMRMLTextNode) -> KeptPrior | None:
    """The comparison that a result keeps, None if there was none."""
    plain = json.loads(resultNode.GetAttribute(ATTRIBUTE) or "null")
    if plain is None:
        return None
    bits = np.frombuffer(zlib.decompress(base64.b64decode(plain["mask"])), np.uint8)
    shape, (k, j, i) = tuple(plain["shape"]), plain["start"]
    mask = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
    return KeptPrior(plain["name"], FollowUp.from_json(plain["follow_up"]), plain["state"], mask, (k, j, i))


def priorOf(resultNode: slicer.vtkMRMLTextNode) -> slicer.vtkMRMLTextNode | None:
    """The result of the prior exam, None if it is gone."""
    node = resultNode.GetNodeReference(PRIOR_ROLE)
    isWhole = isInScene(node) and node.GetNodeReference(VOLUME_ROLE) and node.GetNodeReference(SEGMENTATION_ROLE)
    return node if isWhole else None


def versionOf(priorNode: slicer.vtkMRMLTextNode | None) -> tuple[Any, ...]:
    """What changes whenever a prior exam or its segments may have changed; of no use beyond a session."""
    if priorNode is None:
        return ()
    segmentation = priorNode.GetNodeReference(SEGMENTATION_ROLE).GetSegmentation()
    names = list(segmentation.GetSegmentIDs())
    images = [segment_voxels.labelmapOf(segmentation.GetSegment(name)) for name in names]
    times = tuple((name, image and image.GetMTime()) for name, image in zip(names, images, strict=True))
    return (priorNode.GetID(), exam.versionOf(priorNode.GetNodeReference(VOLUME_ROLE)), times)


def stateOf(priorNode: slicer.vtkMRMLTextNode) -> Steps[str]:
    """Checksum of voxels, position and segments of a prior exam; the same after the scene was saved and opened."""
    volumeNode, segmentationNode = (priorNode.GetNodeReference(role) for role in (VOLUME_ROLE, SEGMENTATION_ROLE))
    parts = [(yield from exam.checksum(volumeNode))]
    try:
        geometry = geometryOf(volumeNode)
    except VolumeError:
        return ""
    corners = geometry.ijk_to_lps([(0, 0, 0), [size - 1 for size in geometry.shape[::-1]]])
    parts.append(str((np.round(corners, POSITION_DIGITS) + 0.0).tolist()))
    for name in sorted(segmentationNode.GetSegmentation().GetSegmentIDs()):
        mask, start = yield from maskOnGrid(segmentationNode, name, volumeNode)
        parts.append((yield from edits.digestOfMask(mask, start)))
    return f"{zlib.crc32(' '.join(parts).encode()):08x}"
