"""The color table of maps: from nothing over red and orange to pale yellow, the rarer colors of a head CT in gray."""

from __future__ import annotations

from itertools import pairwise

import slicer

NAME = "ICHSegmenter map"
TAG = "ICHSegmenterMap"
"""Singleton tag: a scene holds one of it."""
SIZE = 256
STOPS = ((0.0, (70, 0, 40)), (0.35, (200, 30, 30)), (0.7, (250, 150, 20)), (1.0, (255, 250, 190)))
"""(share of the table, RGB 0 to 255): ever brighter, so that the order holds in gray too."""


def colorNode() -> slicer.vtkMRMLColorTableNode:
    """The table of the scene, made if it is not there."""
    node = slicer.mrmlScene.GetSingletonNode(TAG, "vtkMRMLColorTableNode")
    if node is None:
        node = slicer.vtkMRMLColorTableNode()
        node.SetSingletonTag(TAG)
        node.SetName(NAME)
        node.SetTypeToUser()
        node.SetNumberOfColors(SIZE)
        for index in range(SIZE):
            node.SetColor(index, str(index), *colorAt(index / (SIZE - 1)), 1.0)
        node = slicer.mrmlScene.AddNode(node)
    return node


def colorAt(share: float) -> tuple[float, float, float]:
    """RGB, 0 to 1, at a share of the table."""
    for (low, first), (high, last) in pairwise(STOPS):
        if share <= high:
            part = (share - low) / (high - low)
            red, green, blue = ((a + (b - a) * part) / 255 for a, b in zip(first, last, strict=True))
            return red, green, blue
    red, green, blue = (channel / 255 for channel in STOPS[-1][1])
    return red, green, blue
