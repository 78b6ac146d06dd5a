"""The result that the panel shows: its tables, its maps, its segments as they are now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from slicer.util import VTKObservationMixin

from ICHSegmenterSlicer.client.steps import StepRunner, Steps, raiseError
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene import maps, surfaces
from ICHSegmenterSlicer.scene.head_surface import HeadSurface
from ICHSegmenterSlicer.scene.maps import SOFT_MAP
from ICHSegmenterSlicer.scene.nodes import isInScene
from ICHSegmenterSlicer.scene.results import edits
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.live_cut import LiveCut
from ICHSegmenterSlicer.scene.results.measured import MeasuredSegments, measure
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE, noteEdits
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views import slice_views as views
from ICHSegmenterSlicer.views.check_boxes import showDown
from ICHSegmenterSlicer.views.map_box import MapView
from ICHSegmenterSlicer.views.measures.measures_box import MeasuresView
from ICHSegmenterSlicer.views.results.below_box import BelowView
from ICHSegmenterSlicer.views.results.findings_box import FindingsView
from ICHSegmenterSlicer.views.results.result_box import ResultsView


class ShownResult(VTKObservationMixin):
    """The result box with what belongs to its result in the scene.

    Args:
        ui: The panel's widgets by name.
        client: The worker.

    Attributes:
        edited: Called when another volume is outlined than before.
    """

    def __init__(self, ui: Any, client: WorkerClient) -> None:
        VTKObservationMixin.__init__(self)
        self.edited: Callable[[], None] = lambda: None
        self._ui = ui
        self._node: slicer.vtkMRMLTextNode | None = None
        self._result: StoredResult | None = None
        self._measured: MeasuredSegments | None = None
        self._measuring: StepRunner[MeasuredSegments] | None = None
        self._drawing: StepRunner[None] | None = None
        self._table = ResultsView(ui, self._onSliceSelected)
        self.measures = MeasuresView(ui, client)
        self._findings = FindingsView(ui, self._onSegmentationAdded, self._onListed)
        self._below = BelowView(ui, views.jump)
        self._maps = MapView(ui)
        self._cut = LiveCut()
        self._head = HeadSurface()
        self._watch = edits.SegmentsWatch(self._onSegmentsChanged)
        ui.editButton.connect("clicked()", self._onEdit)
        ui.show3DButton.connect("toggled(bool)", self._onShow3D)
        ui.resultButton.setVisible(False)

    @property
    def resultNode(self) -> slicer.vtkMRMLTextNode | None:
        """The result, None without or if it was deleted."""
        return self._node if isInScene(self._node) else None

    @property
    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The segments of the result, None without."""
        return self._reference(SEGMENTATION_ROLE)

    @property
    def volumeNode(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The exam of the result, None without."""
        return self._reference(VOLUME_ROLE)

    def show(self, resultNode: slicer.vtkMRMLTextNode | None, opacity: float, *, jump: bool = False) -> None:
        """Show a result of the exam that is chosen; `jump` moves the views to its key slice.

        Raises:
            ResultError: It cannot be read.
        """
        isSame = resultNode is not None and resultNode is self._node and not jump
        index = self._table.selectedIndex if isSame else None
        self.clear()
        self._result = StoredResult.fromNode(resultNode) if resultNode is not None else None
        self._node = resultNode
        self._ui.resultButton.setVisible(self._result is not None)
        self._maps.show(resultNode)
        self._below.show(self._result)
        if self._result is not None:
            self.measures.begin(resultNode, self._result)
            self._findings.begin(resultNode, self._result)
        if self._result is None:
            self._table.clear()
            return
        self._table.show(self._result, index)
        self.setOpacity(opacity)
        self._updateShow3D()
        if views.axialSliceNode() is not None:
            self.addObserver(views.axialSliceNode(), "ModifiedEvent", self._onSliceMoved)
        self.measure()
        if jump:
            self._ui.resultButton.collapsed = False
            self._table.selectIndex(self._keySlice())

    def clear(self) -> None:
        """Forget the result and its segments."""
        self._stopMeasuring()
        self._findings.clear()
        self.measures.clear()
        self._cut.clear()
        self._head.hide()
        if self._drawing is not None:
            self._drawing.stop()
        self._watch.stop()
        self.removeObservers()
        self._node = self._result = self._measured = None

    def measure(self) -> None:
        """Measure the segments as they are now, in steps; then every number follows."""
        self._stopMeasuring()
        if self._result is None or self.volumeNode is None:
            return
        if self.segmentationNode is not None:
            self._watch.watch(self.segmentationNode)
        steps = measure(self.segmentationNode, self._result, self.volumeNode)
        self._measuring = StepRunner(steps, self._onMeasured, raiseError, startNow=True)

    def setOpacity(self, opacity: float) -> None:
        """Opacity, 0 to 1, of the filling of the segments."""
        if self.segmentationNode is not None:
            views.setOpacity(self.segmentationNode, opacity)

    def showCut(self, threshold: float | None, minVolumeMl: float) -> None:
        """Outline the map at a threshold that is moved; None shows the segments again."""
        mapNode = self._reference(SOFT_MAP)
        if mapNode is None or mapNode.GetImageData() is None or threshold is None:
            self.endCut()
            return
        unedited = [] if self._measured is None else [e.segmentId for e in self._measured.segments if not e.isEdited]
        maps.setLowest(mapNode, threshold)
        self._cut.show(mapNode, threshold, minVolumeMl, self.segmentationNode, unedited)

    def endClicks(self) -> None:
        """Let the mouse move the views again: the panel is left."""
        self._findings.clicks.stop()

    def endCut(self) -> None:
        """Show the segments, which were hidden while a threshold was moved."""
        self._cut.clear()
        mapNode = self._reference(SOFT_MAP)
        if mapNode is not None:
            maps.setLowest(mapNode, None)

    def updateButtons(self) -> None:
        """Enable what works on segments."""
        node = self.segmentationNode
        hasSegments = node is not None and node.GetSegmentation().GetNumberOfSegments() > 0
        for widget in (self._ui.editButton, self._ui.show3DButton, self._ui.opacitySlider):
            widget.setEnabled(hasSegments)

    def _reference(self, role: str) -> slicer.vtkMRMLNode | None:
        if not isInScene(self._node):  # it may have been deleted
            return None
        return self._node.GetNodeReference(role)

    def _keySlice(self) -> int:
        """The slice with most blood now, else that of the detection."""
        sliceMl = self._measured.sliceMl if self._measured is not None and self._measured.isEdited else {}
        return max(sliceMl, key=sliceMl.get) if sliceMl else self._result.analysis.detection.key_slice

    def _updateShow3D(self) -> None:
        node = self.segmentationNode
        isShown = node is not None and views.isShown3D(node)
        blocked = self._ui.show3DButton.blockSignals(True)
        self._ui.show3DButton.checked = isShown
        self._ui.show3DButton.blockSignals(blocked)
        showDown(self._ui.show3DButton)

    def _stopMeasuring(self) -> None:
        if self._measuring is not None:
            self._measuring.stop()
            self._measuring = None

    def _onMeasured(self, measured: MeasuredSegments) -> None:
        self._measured = measured
        self._table.update(self._result, measured)
        self._findings.update(self._result, measured, self.volumeNode)
        self.updateButtons()
        if noteEdits(self._node, measured):
            self.edited()
        if self._ui.show3DButton.checked:
            self._draw()  # an edit takes a surface away

    def _onSegmentsChanged(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> None:
        if segmentationNode is self.segmentationNode:
            self.measure()

    def _onListed(self) -> None:
        """Other findings, or another one is looked at."""
        if self._measured is not None:
            findings = self._findings
            self.measures.update(findings.listed, findings.current, self.volumeNode, self._measured)

    def _onSegmentationAdded(self) -> None:
        """A person added blood to a result that outlined none."""
        self.setOpacity(float(self._ui.opacitySlider.value))
        self.measure()

    def _onSliceMoved(self, _caller: slicer.vtkMRMLNode, _event: str) -> None:
        index = self._table.selectedIndex
        selected = None if index is None else (index, self._pointOf(index))
        self._table.followIndex(views.shownSlice(self._result.analysis.geometry, selected))

    def _onSliceSelected(self, index: int) -> None:
        views.jump(self._pointOf(index))

    def _pointOf(self, index: int) -> np.ndarray:
        """RAS mm (3,): where the views go for a slice."""
        return self._result.pointRas(index, self._measured and self._measured.focuses)

    def _onEdit(self) -> None:
        views.openSegmentEditor(self.segmentationNode, self.volumeNode)

    def _onShow3D(self, checked: bool) -> None:
        node = self.segmentationNode
        if self._drawing is not None:
            self._drawing.stop()
        if node is not None and checked:
            self._draw()
        elif node is not None:
            self._head.hide()
            views.setShow3D(node, False)

    def _draw(self) -> None:
        """Make the surfaces that are missing."""
        node = self.segmentationNode
        if node is None:
            return
        if self._drawing is not None:
            self._drawing.stop()  # it would show at its end what was hidden meanwhile
        isNew = not views.isShown3D(node)
        node.GetDisplayNode().SetVisibility3D(True)
        self._drawing = StepRunner(
            self._surfaces(node), lambda _: views.setShow3D(node, True, focus=isNew), raiseError, startNow=True
        )

    def _surfaces(self, node: slicer.vtkMRMLSegmentationNode) -> Steps[None]:
        """Those of the bleeds first, then that of the head around them."""
        yield from surfaces.make(node)
        if self.volumeNode is not None:
            yield from self._head.show(self.volumeNode)
