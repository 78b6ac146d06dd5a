"""Surfaces of segments, one a step: the window is not held while a thin scan gets its 3D view."""

from __future__ import annotations

import slicer

from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene.results import edits

MAX_SMOOTHED_VOXELS = 250_000
"""A segment whose box holds more is not smoothed: its voxels are small, and smoothing takes most of the time."""
SMOOTHING = "Smoothing factor"


def make(segmentationNode: slicer.vtkMRMLSegmentationNode) -> Steps[None]:
    """Give every segment that has none its closed surface, and leave the rest to Slicer."""
    segmentation = segmentationNode.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    identifiers = list(segmentation.GetSegmentIDs())
    for number, segmentId in enumerate(identifiers):
        segment = segmentation.GetSegment(segmentId)
        if segment is None or segment.GetRepresentation(name) is not None or edits.labelmapOf(segment) is None:
            continue
        surface = _surface(segmentation, segment, name)
        if surface is not None:
            segment.AddRepresentation(name, surface)
        if number < len(identifiers) - 1:
            yield
    segmentationNode.CreateClosedSurfaceRepresentation()  # what is there is taken; Slicer keeps it up to date


def _surface(segmentation: slicer.vtkSegmentation, segment: slicer.vtkSegment, name: str) -> object | None:
    """The surface of one segment, by Slicer's own conversion."""
    alone = slicer.vtkSegmentation()
    alone.SetSourceRepresentationName(segmentation.GetSourceRepresentationName())
    copy = slicer.vtkSegment()
    copy.DeepCopy(segment)
    alone.AddSegment(copy, "segment")
    smoothing = segmentation.GetConversionParameter(SMOOTHING)
    if edits.labelmapOf(segment).GetNumberOfPoints() > MAX_SMOOTHED_VOXELS:
        smoothing = "0"
    alone.SetConversionParameter(SMOOTHING, smoothing)
    return copy.GetRepresentation(name) if alone.CreateRepresentation(name) else None
