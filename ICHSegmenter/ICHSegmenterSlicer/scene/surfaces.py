"""Surfaces of segments, a piece a step: the window is not held while a thin scan gets its 3D view."""

from __future__ import annotations

import math

import numpy as np
import slicer
import vtk

from ICHSegmenterLib.volume.components import Component, components_in_steps
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene import segments
from ICHSegmenterSlicer.scene.results import segment_voxels

MAX_VOXELS = 250_000
"""A piece whose box holds more is made of blocks of voxels: smoothing takes most of the time."""
SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
SMOOTHING = "Smoothing factor"
HALF = 0.5
"""Share of a block from which it belongs to the piece."""


def make(segmentationNode: slicer.vtkMRMLSegmentationNode) -> Steps[None]:
    """Give every segment that has none its closed surface, and leave the rest to Slicer.

    They are given together: while one segment has a surface, the 3D view makes those of all others at once.
    """
    segmentation = segmentationNode.GetSegmentation()
    made: dict[str, vtk.vtkPolyData] = {}
    for segmentId in list(segmentation.GetSegmentIDs()):
        segment = segmentation.GetSegment(segmentId)
        if (
            segment is None
            or segment.GetRepresentation(SURFACE) is not None
            or segment_voxels.labelmapOf(segment) is None
        ):
            continue
        mask, start = yield from segment_voxels.maskOf(segmentationNode, segmentId)
        matrix, smoothing = vtk.vtkMatrix4x4(), segmentation.GetConversionParameter(SMOOTHING)
        segment_voxels.labelmapOf(segment).GetImageToWorldMatrix(matrix)
        yield
        together = vtk.vtkAppendPolyData()
        for piece in (yield from components_in_steps(mask)):
            corner = tuple(first + low for first, low in zip(start, piece.start, strict=True))
            together.AddInputData(_surface(Component(piece.mask, corner), matrix, smoothing))
            yield
        if together.GetNumberOfInputConnections(0):
            together.Update()
            made[segmentId] = together.GetOutput()
        yield
    with slicer.util.NodeModify(segmentationNode):
        for segmentId, surface in made.items():
            if segmentation.GetSegment(segmentId) is not None:  # removed meanwhile
                segmentation.GetSegment(segmentId).AddRepresentation(SURFACE, surface)
    segmentationNode.CreateClosedSurfaceRepresentation()  # what is there is taken; Slicer keeps it up to date


def _surface(piece: Component, ijkToWorld: vtk.vtkMatrix4x4, smoothing: str) -> vtk.vtkPolyData:
    """The surface of one piece, by Slicer's own conversion."""
    block = max(1, math.ceil((piece.mask.size / MAX_VOXELS) ** (1 / 3)))
    mask, start = piece.mask, piece.start
    if block > 1:
        mask, start, ijkToWorld = _coarser(piece, block, ijkToWorld)
    alone, segment = slicer.vtkSegmentation(), slicer.vtkSegment()
    converter = slicer.vtkSegmentationConverter
    alone.SetSourceRepresentationName(converter.GetSegmentationBinaryLabelmapRepresentationName())
    segment.AddRepresentation(
        converter.GetSegmentationBinaryLabelmapRepresentationName(), segments.orientedImage(mask, start, ijkToWorld)
    )
    alone.AddSegment(segment, "segment")
    alone.SetConversionParameter(SMOOTHING, smoothing)
    return segment.GetRepresentation(SURFACE) if alone.CreateRepresentation(SURFACE) else vtk.vtkPolyData()


def _coarser(
    piece: Component, block: int, ijkToWorld: vtk.vtkMatrix4x4
) -> tuple[np.ndarray, tuple[int, int, int], vtk.vtkMatrix4x4]:
    """Mask, start and grid of a piece in blocks of `block` voxels along each axis; a thin one keeps a voxel."""
    first = [low // block for low in piece.start]
    before = [low - at * block for low, at in zip(piece.start, first, strict=True)]
    counts = [-(-(at + size) // block) for at, size in zip(before, piece.mask.shape, strict=True)]
    padded = np.zeros([count * block for count in counts], np.uint8)
    padded[tuple(slice(at, at + size) for at, size in zip(before, piece.mask.shape, strict=True))] = piece.mask
    k, j, i = counts
    share = padded.reshape(k, block, j, block, i, block).mean(axis=(1, 3, 5), dtype=np.float32)
    mask = share >= min(HALF, float(share.max()))
    coarse = vtk.vtkMatrix4x4()
    for axis in range(3):
        for line in range(3):
            coarse.SetElement(line, axis, ijkToWorld.GetElement(line, axis) * block)
    middle = ijkToWorld.MultiplyPoint([(block - 1) / 2] * 3 + [1.0])
    for line in range(3):
        coarse.SetElement(line, 3, middle[line])
    return mask, (first[0], first[1], first[2]), coarse
