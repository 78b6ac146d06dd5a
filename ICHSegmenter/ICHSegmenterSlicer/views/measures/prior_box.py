"""The prior exam in the box of the measures: which one, the change, and its outline beside the current one."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from scipy import ndimage
from slicer.i18n import tr as _

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.measuring.follow_up import Change
from ICHSegmenterLib.volume.components import CONNECTIVITY_26, component_volumes
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.measures.prior import ComparedPrior, PriorComparison, candidates
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.findings import Finding
from ICHSegmenterSlicer.scene.results.outline import Outline
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.scene.volumes import geometryOf
from ICHSegmenterSlicer.views.measures.measures_text import flagLines, priorLines
from ICHSegmenterSlicer.views.whole_text import setWholeText

PRIOR_COLOR = (1.0, 1.0, 1.0)


class PriorView:
    """The comparison with a prior exam.

    Args:
        ui: The panel's widgets by name.
        client: The worker.
        compared: Called when a comparison came or went.
    """

    def __init__(self, ui: Any, client: WorkerClient, compared: Callable[[], None]) -> None:
        self._ui = ui
        self._compared = compared
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        self._volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._answer: ComparedPrior | None = None
        self._parts: np.ndarray | None = None
        self._partsMl: np.ndarray = np.zeros(0)
        self._priorName = ""
        self._comparison = PriorComparison(client, self._onDone, self._onFailed)
        self.outline = Outline("ICHSegmenter prior outline", PRIOR_COLOR)
        ui.priorButton.connect("clicked()", self._onClicked)
        ui.priorComboBox.connect("currentIndexChanged(int)", lambda _index: self._name())

    def show(self, resultNode: slicer.vtkMRMLTextNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Offer the results of other exams; what was compared before stays while the result does."""
        self._resultNode, self._volumeNode = resultNode, volumeNode
        box, nodes = self._ui.priorComboBox, candidates(volumeNode)
        identifiers = [node.GetID() for node in nodes]
        if identifiers != [box.itemData(n) for n in range(box.count)]:
            blocked = box.blockSignals(True)
            box.clear()
            for node in nodes:
                title = StoredResult.fromNode(node).analysis.provenance.title
                box.addItem(f"{node.GetNodeReference(VOLUME_ROLE).GetName()} · {title}", node.GetID())
            box.blockSignals(blocked)
        self._ui.priorFrame.setVisible(bool(nodes))
        self._name()

    def clear(self) -> None:
        """Forget the comparison."""
        self._comparison.stop()
        self._resultNode = self._volumeNode = self._answer = self._parts = None
        self.outline.clear()
        self._say("")
        self._ui.priorFrame.setVisible(False)
        self._ui.priorButton.setEnabled(True)

    def write(self, totalMl: float) -> None:
        """Say the change by all blood as it is now."""
        if self._answer is None:
            return
        followUp = self._answer.followUp
        total = Change("total", followUp.total.prior_ml, totalMl)
        flags = [total.flag] if total.flag is not None else []
        self._say("<br>".join([*priorLines(self._priorName, total, followUp), *flagLines(flags)]))

    def priorMl(self, finding: Finding) -> float | None:
        """How much the prior blood had that lies on a finding, None before a comparison."""
        if self._parts is None:
            return None
        box = tuple(slice(low, low + size) for low, size in zip(finding.start, finding.mask.shape, strict=True))
        met = np.unique(self._parts[box][finding.mask])
        return float(sum(self._partsMl[number - 1] for number in met if number))

    def _onClicked(self) -> None:
        prior = slicer.mrmlScene.GetNodeByID(self._ui.priorComboBox.currentData or "")
        if prior is None or self._resultNode is None:
            return
        self._ui.priorButton.setEnabled(False)
        self._priorName = self._ui.priorComboBox.currentText
        self._say(_("Laying the exams over each other…"))
        self._comparison.begin(self._resultNode, prior)

    def _onDone(self, answer: ComparedPrior) -> None:
        self._ui.priorButton.setEnabled(True)
        self._answer = answer
        mask = answer.outline > 0
        self._parts, count = ndimage.label(mask, CONNECTIVITY_26)
        voxelsMl = geometryOf(self._volumeNode).voxel_volumes_mm3 / 1000
        self._partsMl = component_volumes(self._parts, count, voxelsMl)
        if count:
            low, high = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0) + 1
            box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
            self.outline.show(mask[box], tuple(int(first) for first in low), self._volumeNode)
        self._compared()

    def _onFailed(self, failure: Failure) -> None:
        self._ui.priorButton.setEnabled(True)
        self._answer = self._parts = None
        self.outline.clear()
        self._say(f"⚠ {html.escape(failure.message)}")

    def _name(self) -> None:
        setWholeText(self._ui.priorComboBox, self._ui.priorComboBox.currentText)

    def _say(self, text: str) -> None:
        self._ui.priorLabel.setText(text)
        self._ui.priorLabel.setVisible(bool(text))
