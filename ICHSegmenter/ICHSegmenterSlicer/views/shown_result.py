"""The result that the panel shows: its tables, its maps, its segments, and the edits of those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from ICHSegmenterLib.errors import Failure, ResultError
from ICHSegmenterSlicer.scene import edits
from ICHSegmenterSlicer.scene.stored_result import StoredResult
from ICHSegmenterSlicer.views import slice_views as views
from ICHSegmenterSlicer.views.map_box import MapView
from ICHSegmenterSlicer.views.result_box import ResultsView


class ShownResult:
    """The result box with what belongs to its result in the scene.

    Args:
        ui: The panel's widgets by name.
        fail: Shows a failure in the panel.
    """

    def __init__(self, ui: Any, fail: Callable[[Failure], None]) -> None:
        self._ui = ui
        self._fail = fail
        self._node: slicer.vtkMRMLTextNode | None = None
        self._result: StoredResult | None = None
        self._table = ResultsView(ui, self._onSliceSelected)
        self._maps = MapView(ui)
        self._editWatch = edits.EditWatch(self._onEdited)
        ui.editButton.connect("clicked()", self._onEdit)
        ui.show3DButton.connect("toggled(bool)", self._onShow3D)
        ui.resultButton.setVisible(False)

    @property
    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The segments of the result, None without."""
        if self._node is None or self._node.GetScene() is None:  # it may have been deleted
            return None
        return self._node.GetNodeReference("segmentation")

    def show(self, resultNode: slicer.vtkMRMLTextNode | None, opacity: float, *, jump: bool = False) -> None:
        """Show a result, after a run or after loading a scene; `jump` moves the views to it."""
        self._node, self._result = resultNode, self._read(resultNode)
        self._ui.resultButton.setVisible(self._result is not None)
        self._maps.show(resultNode, choose=jump)
        if self._result is None:
            self._table.clear()
            return
        self._table.show(self._result)
        self.watchEdits()
        if self.segmentationNode is not None:
            self.setOpacity(opacity)
            self._onEdited(self.segmentationNode, edits.updateTags(self.segmentationNode))
        self._uncheckShow3D()
        if jump:
            self._ui.resultButton.collapsed = False
            volumeNode = resultNode.GetNodeReference("volume")
            if volumeNode is not None:
                views.showBackground(volumeNode)
            self._table.selectIndex(self._result.analysis.detection.key_slice)

    def clear(self) -> None:
        """Forget the result and its segments: the scene closes."""
        self._node = self._result = None
        self._editWatch.stop()

    def watchEdits(self) -> None:
        """Watch all segments of the scene that runs made."""
        self._editWatch.watchAll()

    def setOpacity(self, opacity: float) -> None:
        """Opacity, 0 to 1, of the filling of the segments."""
        if self.segmentationNode is not None:
            views.setOpacity(self.segmentationNode, opacity)

    def updateButtons(self) -> None:
        """Enable what works on segments."""
        for widget in (self._ui.editButton, self._ui.show3DButton, self._ui.opacitySlider):
            widget.setEnabled(self.segmentationNode is not None)

    def _read(self, resultNode: slicer.vtkMRMLTextNode | None) -> StoredResult | None:
        try:
            return StoredResult.fromNode(resultNode) if resultNode is not None else None
        except ResultError as error:
            self._fail(Failure(error.kind, str(error)))
            return None

    def _uncheckShow3D(self) -> None:
        blocked = self._ui.show3DButton.blockSignals(True)
        self._ui.show3DButton.checked = False
        self._ui.show3DButton.blockSignals(blocked)

    def _onSliceSelected(self, index: int) -> None:
        views.jump(self._result.pointRas(index))

    def _onEdited(self, segmentationNode: slicer.vtkMRMLSegmentationNode, edited: edits.EditedVoxels) -> None:
        if self._result is not None and segmentationNode is self.segmentationNode:
            self._table.showEdits(edits.volumesMl(self._result, edited))

    def _onEdit(self) -> None:
        views.openSegmentEditor(self.segmentationNode, self._node.GetNodeReference("volume"))

    def _onShow3D(self, checked: bool) -> None:
        if self.segmentationNode is not None:
            views.setShow3D(self.segmentationNode, checked)
