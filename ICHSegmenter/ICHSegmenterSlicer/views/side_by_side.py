"""Two outlines of one exam side by side: an axial view each, moved together; everything is put back afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import slicer

LEFT, RIGHT, UNSEEN = ("vtkMRMLSliceNodeRed", "vtkMRMLSliceNodeYellow", "vtkMRMLSliceNodeGreen")
"""Identifiers of the views: the two of the layout, and one that it does not show."""
ORIENTATION = "Axial"


class SideBySide:
    """The arrangement while it is on."""

    def __init__(self) -> None:
        self._layout: int | None = None
        self._orientations: dict[str, str] = {}
        self._links: dict[str, bool] = {}
        self._nodes: list[slicer.vtkMRMLSegmentationNode] = []

    @property
    def isOn(self) -> bool:
        """True between `start` and `stop`."""
        return self._layout is not None

    def start(
        self,
        left: slicer.vtkMRMLSegmentationNode,
        right: slicer.vtkMRMLSegmentationNode,
        others: Sequence[slicer.vtkMRMLSegmentationNode],
    ) -> None:
        """Show one segmentation at the left, one at the right, and others nowhere."""
        self.stop()
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        self._layout = manager.layout
        offset = _viewOf(LEFT)[0].GetSliceOffset()
        self._nodes = [left, right, *others]
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        for identifier in (LEFT, RIGHT):
            node, composite = _viewOf(identifier)
            self._orientations[identifier] = node.GetOrientation()
            self._links[identifier] = bool(composite.GetLinkedControl())
            composite.SetLinkedControl(True)
            node.SetOrientation(ORIENTATION)
        manager.resetSliceViews()
        for identifier in (LEFT, RIGHT):
            _viewOf(identifier)[0].SetSliceOffset(offset)
        for node, view in ((left, LEFT), (right, RIGHT), *((other, UNSEEN) for other in others)):
            node.GetDisplayNode().SetViewNodeIDs([view])

    def stop(self) -> None:
        """Put layout, views and outlines back as they were."""
        if self._layout is None:
            return
        for node in self._nodes:
            if node.GetScene() is not None:
                node.GetDisplayNode().RemoveAllViewNodeIDs()
        for identifier, orientation in self._orientations.items():
            node, composite = _viewOf(identifier)
            if node is not None and composite is not None:
                node.SetOrientation(orientation)
                composite.SetLinkedControl(self._links[identifier])
        manager = slicer.app.layoutManager()
        manager.setLayout(self._layout)
        manager.resetSliceViews()
        self._layout, self._nodes = None, []


def _viewOf(identifier: str) -> tuple[slicer.vtkMRMLSliceNode, slicer.vtkMRMLSliceCompositeNode]:
    """A slice node, and the node of what it shows."""
    scene = slicer.mrmlScene
    return scene.GetNodeByID(identifier), scene.GetNodeByID(identifier.replace("SliceNode", "SliceCompositeNode"))
