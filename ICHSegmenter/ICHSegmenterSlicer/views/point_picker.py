"""Clicks into the views: each gives a point of the patient, by Slicer's own mode for placing markups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import qt
import slicer
from slicer.util import VTKObservationMixin

from ICHSegmenterSlicer.scene.nodes import addHidden, isInScene

GLYPH_SCALE = 1.0
"""Percent of the view: the point under the mouse is small."""


class PointPicker(VTKObservationMixin):
    """Takes clicks while it is on.

    Args:
        picked: Called with RAS mm (3,) of each click.
        stopped: Called when somebody else ended the mode, by the toolbar or the Escape key.
    """

    def __init__(self, picked: Callable[[np.ndarray], None], stopped: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._picked = picked
        self._stopped = stopped
        self._node: slicer.vtkMRMLMarkupsFiducialNode | None = None
        self._activeBefore = ""
        self._isOn = False

    @property
    def isOn(self) -> bool:
        """True while clicks are taken."""
        return self._isOn

    def start(self) -> None:
        """Take clicks in all views until `stop`."""
        selection, interaction = _selectionNode(), _interactionNode()
        self._activeBefore = selection.GetActivePlaceNodeID() or ""
        node = self._ensuredNode()
        self.addObserver(node, slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, self._onPoint)
        selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
        selection.SetActivePlaceNodeID(node.GetID())
        interaction.SetPlaceModePersistence(1)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._onMode)
        self._isOn = True

    def stop(self) -> None:
        """Take no more clicks; the mouse moves and zooms the views again."""
        if not self._isOn:
            return
        self._isOn = False
        self.removeObservers()
        interaction = _interactionNode()
        interaction.SetPlaceModePersistence(0)
        interaction.SwitchToViewTransformMode()
        _selectionNode().SetActivePlaceNodeID(self._activeBefore or None)
        if isInScene(self._node):
            self._node.RemoveAllControlPoints()

    def _ensuredNode(self) -> slicer.vtkMRMLMarkupsFiducialNode:
        if not isInScene(self._node):
            self._node = addHidden(slicer.vtkMRMLMarkupsFiducialNode(), "ICHSegmenter click")
            self._node.GetDisplayNode().SetPointLabelsVisibility(False)
            self._node.GetDisplayNode().SetGlyphScale(GLYPH_SCALE)
        return self._node

    def _onPoint(self, _caller: slicer.vtkMRMLNode, _event: str) -> None:
        qt.QTimer.singleShot(0, self._takePoint)  # not while Slicer is busy with the point

    def _takePoint(self) -> None:
        if not self._isOn or self._node.GetScene() is None:
            return
        node, isDefined = self._node, slicer.vtkMRMLMarkupsNode.PositionDefined
        points = range(node.GetNumberOfControlPoints())
        defined = [n for n in points if node.GetNthControlPointPositionStatus(n) == isDefined]
        if not defined:
            return
        point = np.zeros(3)
        self._node.GetNthControlPointPositionWorld(defined[-1], point)
        for n in reversed(defined):
            self._node.RemoveNthControlPoint(n)
        self._picked(point)

    def _onMode(self, caller: slicer.vtkMRMLNode, _event: str) -> None:
        if caller.GetCurrentInteractionMode() != caller.Place:
            self.stop()
            self._stopped()


def _selectionNode() -> slicer.vtkMRMLSelectionNode:
    return slicer.app.applicationLogic().GetSelectionNode()


def _interactionNode() -> slicer.vtkMRMLInteractionNode:
    return slicer.app.applicationLogic().GetInteractionNode()
