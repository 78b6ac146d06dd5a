"""Measured lines over the views: Slicer's own line markups, whose ends a person can drag."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import slicer
from slicer.util import VTKObservationMixin

from ICHSegmenterLib.measuring.line import Line
from ICHSegmenterSlicer.scene.nodes import addHidden, isInScene
from ICHSegmenterSlicer.scene.results.stored_result import LPS_TO_RAS

TEXT_SCALE = 3.0
GLYPH_SCALE = 1.0
"""Percent of the view."""


class MeasuredLines(VTKObservationMixin):
    """Some lines by name, drawn while they are shown.

    Args:
        colors: Name of each line to RGB, 0 to 1.
        moved: Called with the name of a line that a person moved, and where it lies now.
    """

    def __init__(self, colors: Mapping[str, tuple[float, float, float]], moved: Callable[[str, Line], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._colors = colors
        self._moved = moved
        self._nodes: dict[str, slicer.vtkMRMLMarkupsLineNode] = {}
        self._isSetting = False

    def node(self, name: str) -> slicer.vtkMRMLMarkupsLineNode | None:
        """The markups of a line that is shown, None of others."""
        node = self._nodes.get(name)
        isShown = isInScene(node) and node.GetNumberOfControlPoints() == 2
        return node if isShown and node.GetDisplayNode().GetVisibility() else None

    def show(self, lines: Mapping[str, Line]) -> None:
        """Draw these lines, LPS mm, and none of the others."""
        self._isSetting = True
        for name in self._colors:
            if name in lines:
                self._set(self._ensured(name), lines[name])
            elif isInScene(self._nodes.get(name)):
                self._nodes[name].GetDisplayNode().SetVisibility(False)
        self._isSetting = False

    def remove(self) -> None:
        """Take the markups out of the scene."""
        self.removeObservers()
        for node in self._nodes.values():
            if isInScene(node):
                slicer.mrmlScene.RemoveNode(node)
        self._nodes = {}

    def _set(self, node: slicer.vtkMRMLMarkupsLineNode, line: Line) -> None:
        for index, point in enumerate((line.start, line.end)):
            ras = np.asarray(point) * LPS_TO_RAS
            if index >= node.GetNumberOfControlPoints():
                node.AddControlPointWorld(ras)
            else:
                node.SetNthControlPointPositionWorld(index, ras)
        _label(node, line)
        node.GetDisplayNode().SetVisibility(True)

    def _ensured(self, name: str) -> slicer.vtkMRMLMarkupsLineNode:
        if not isInScene(self._nodes.get(name)):
            node = addHidden(slicer.vtkMRMLMarkupsLineNode(), name)
            display = node.GetDisplayNode()
            display.SetSelectedColor(self._colors[name])
            display.SetColor(self._colors[name])
            display.SetPointLabelsVisibility(True)
            display.SetPropertiesLabelVisibility(False)  # in the middle, where lines cross
            display.SetTextScale(TEXT_SCALE)
            display.SetGlyphScale(GLYPH_SCALE)
            self._nodes[name] = node
            self.addObserver(node, slicer.vtkMRMLMarkupsNode.PointModifiedEvent, partial(self._onPoint, name))
        return self._nodes[name]

    def _onPoint(self, name: str, caller: slicer.vtkMRMLMarkupsLineNode, _event: str) -> None:
        if self._isSetting or caller.GetNumberOfControlPoints() != 2:
            return
        ends = []
        for index in range(2):
            ras = np.zeros(3)
            caller.GetNthControlPointPositionWorld(index, ras)
            ends.append(ras * LPS_TO_RAS)
        line = Line.between(*ends)
        self._isSetting = True
        _label(caller, line)
        self._isSetting = False
        self._moved(name, line)


def _label(node: slicer.vtkMRMLMarkupsLineNode, line: Line) -> None:
    """Write name and length at the second end."""
    node.SetNthControlPointLabel(0, "")
    node.SetNthControlPointLabel(1, f"{node.GetName()} {line.length_mm:.0f} mm")
