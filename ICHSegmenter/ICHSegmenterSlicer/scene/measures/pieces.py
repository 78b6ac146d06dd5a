"""The measures of a report of the findings as they are now."""

from __future__ import annotations

import slicer

from ICHSegmenterLib.labels import ICH
from ICHSegmenterLib.measuring.piece import PieceMeasures, piece_in_steps
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.components import Component
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results.findings import Finding, skullOf
from ICHSegmenterSlicer.scene.volumes import geometryOf

MAX_MEASURED = 30
"""The most important so many are measured, as a run does it."""


def measureFindings(
    listed: tuple[Finding, ...], volumeNode: slicer.vtkMRMLScalarVolumeNode, known: dict[str, PieceMeasures]
) -> Steps[dict[str, PieceMeasures]]:
    """Checksum to measures of findings, one measure a step.

    Args:
        listed: The findings.
        volumeNode: Their exam.
        known: Of pieces that were measured before: what did not change is not measured again.
    """
    acquired, hu = geometryOf(volumeNode), slicer.util.arrayFromVolume(volumeNode)
    view = AxialView.at_border(acquired)
    axial, voxels, frame = view.geometry(acquired), view.apply(hu), skullOf(volumeNode, acquired, hu)
    measured: dict[str, PieceMeasures] = {}
    for finding in listed[:MAX_MEASURED]:
        if finding.digest in known:
            measured[finding.digest] = known[finding.digest]
            continue
        piece = _axialPiece(finding, view, acquired.shape)
        key = finding.key or ICH.key
        measured[finding.digest] = yield from piece_in_steps(piece, key, voxels, axial, frame)
    return measured


def _axialPiece(finding: Finding, view: AxialView, shape: tuple[int, int, int]) -> Component:
    """A finding on the axial slices of its exam."""
    start = [
        shape[axis] - finding.start[axis] - finding.mask.shape[axis] if isFlipped else finding.start[axis]
        for axis, isFlipped in zip(view.axes, view.flips, strict=True)
    ]
    return Component(view.apply(finding.mask), (start[0], start[1], start[2]))
