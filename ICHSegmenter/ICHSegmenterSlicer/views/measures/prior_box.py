"""The prior exam in the box of the measures: which one, the change, and its outline beside the current one."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ICHSegmenterLib.errors import Failure
from ICHSegmenterLib.measuring.follow_up import Change
from ICHSegmenterLib.volume.components import Component, components_in_steps
from ICHSegmenterSlicer.client.steps import StepRunner, Steps, raiseError
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.scene.measures import kept_prior
from ICHSegmenterSlicer.scene.measures.kept_prior import KeptPrior
from ICHSegmenterSlicer.scene.measures.prior import PriorComparison, candidates
from ICHSegmenterSlicer.scene.nodes import isInScene
from ICHSegmenterSlicer.scene.results.edits import SegmentsWatch
from ICHSegmenterSlicer.scene.results.exam import VOLUME_ROLE
from ICHSegmenterSlicer.scene.results.findings import Finding
from ICHSegmenterSlicer.scene.results.outline import Outline
from ICHSegmenterSlicer.scene.results.runs import SEGMENTATION_ROLE
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.scene.volumes import geometryOf
from ICHSegmenterSlicer.views.measures.measures_text import flagLines, priorLines
from ICHSegmenterSlicer.views.whole_text import setWholeText
from ICHSegmenterSlicer.words.failure_text import failureText

PRIOR_COLOR = (1.0, 1.0, 1.0)


class PriorView(VTKObservationMixin):
    """The comparison with a prior exam, which the result keeps; shown while the prior exam is what it was.

    Args:
        ui: The panel's widgets by name.
        client: The worker.
        compared: Called when a comparison came or went.
    """

    def __init__(self, ui: Any, client: WorkerClient, compared: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._compared = compared
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        self._volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._kept: KeptPrior | None = None
        self._version: tuple[Any, ...] | None = None
        self._parts: list[tuple[Component, float]] | None = None
        self._reader: StepRunner[list[tuple[Component, float]] | None] | None = None
        self._comparison = PriorComparison(client, self._onDone, self._onFailed)
        self._watch = SegmentsWatch(lambda _node: self._check())
        self.outline = Outline("ICHSegmenter prior outline", PRIOR_COLOR)
        ui.priorButton.connect("clicked()", self._onClicked)
        ui.priorComboBox.connect("currentIndexChanged(int)", lambda _index: self._name())

    def show(self, resultNode: slicer.vtkMRMLTextNode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Offer the results of other exams, and show what the result keeps of a comparison."""
        isOther, self._resultNode, self._volumeNode = resultNode is not self._resultNode, resultNode, volumeNode
        box, nodes = self._ui.priorComboBox, candidates(volumeNode)
        identifiers = [node.GetID() for node in nodes]
        if identifiers != [box.itemData(n) for n in range(box.count)]:
            blocked = box.blockSignals(True)
            box.clear()
            for node in nodes:
                title = StoredResult.fromNode(node).analysis.provenance.title
                box.addItem(f"{node.GetNodeReference(VOLUME_ROLE).GetName()} · {title}", node.GetID())
            box.blockSignals(blocked)
        if isOther:
            self._take()
        else:
            self._check()
        self._ui.priorFrame.setVisible(bool(nodes) or self._kept is not None)
        self._name()

    def clear(self) -> None:
        """Show none."""
        self._comparison.stop()
        self._forget()
        self._resultNode = self._volumeNode = None
        self._ui.priorFrame.setVisible(False)
        self._ui.priorButton.setEnabled(True)

    def write(self, totalMl: float) -> None:
        """Say the change by all blood as it is now."""
        if self._kept is None or self._parts is None:
            return
        followUp = self._kept.followUp
        total = Change("total", followUp.total.prior_ml, totalMl)
        flags = [total.flag] if total.flag is not None else []
        self._say("<br>".join([*priorLines(self._kept.name, total, followUp), *flagLines(flags)]))

    def priorMl(self, finding: Finding) -> float | None:
        """How much the prior blood had that lies on a finding, None before a comparison."""
        if self._parts is None:
            return None
        own = Component(finding.mask, finding.start)
        return sum(volumeMl for piece, volumeMl in self._parts if _meet(own, piece))

    def _onClicked(self) -> None:
        prior = slicer.mrmlScene.GetNodeByID(self._ui.priorComboBox.currentData or "")
        if prior is None or self._resultNode is None:
            return
        self._forget()
        self._ui.priorButton.setEnabled(False)
        self._say(_("Laying the exams over each other…"))
        self._comparison.begin(self._resultNode, prior, self._ui.priorComboBox.currentText)

    def _onDone(self) -> None:
        self._ui.priorButton.setEnabled(True)
        self._take()

    def _onFailed(self, failure: Failure) -> None:
        self._ui.priorButton.setEnabled(True)
        self._forget()
        self._say(f"⚠ {html.escape(failureText(failure))}")

    # ---- what the result keeps

    def _take(self) -> None:
        """Show the comparison that the result keeps, if the prior exam is what it was."""
        self._forget()
        self._kept = kept_prior.keptOf(self._resultNode)
        if self._kept is None:
            return
        prior = kept_prior.priorOf(self._resultNode)
        if prior is not None:
            self._watch.watch(prior.GetNodeReference(SEGMENTATION_ROLE))
            volumeNode = prior.GetNodeReference(VOLUME_ROLE)
            for event in (
                slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
                slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
                "ModifiedEvent",  # by a script that sets voxels
            ):
                self.addObserver(volumeNode, event, self._onPriorModified)
            self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onPriorModified)
            index = self._ui.priorComboBox.findData(prior.GetID())
            self._ui.priorComboBox.setCurrentIndex(max(0, index))
        self._check()

    def _onPriorModified(self, _caller: slicer.vtkMRMLNode | slicer.vtkMRMLScene, _event: str) -> None:
        if not slicer.mrmlScene.IsBatchProcessing():
            self._check()

    def _check(self) -> None:
        """Look whether the prior exam changed."""
        if self._kept is None or not isInScene(self._resultNode) or self._comparison.isRunning:
            return
        prior = kept_prior.priorOf(self._resultNode)
        version = kept_prior.versionOf(prior)
        if version == self._version:
            return
        self._stopReading()
        self._version = version
        if prior is None:
            self._onChecked(None)
        else:
            self._reader = StepRunner(self._pieces(prior), self._onChecked, raiseError, startNow=True)

    def _pieces(self, prior: slicer.vtkMRMLTextNode) -> Steps[list[tuple[Component, float]] | None]:
        """The prior pieces on the current grid, each with its mL there; None if the prior exam changed."""
        if (yield from kept_prior.stateOf(prior)) != self._kept.state:
            return None
        voxelsMl = geometryOf(self._volumeNode).voxel_volumes_mm3 / 1000
        listed = []
        for piece in (yield from components_in_steps(self._kept.mask)):
            corner = tuple(first + low for first, low in zip(self._kept.start, piece.start, strict=True))
            slices = slice(corner[0], corner[0] + len(piece.mask))
            listed.append((Component(piece.mask, corner), float(piece.mask.sum(axis=(1, 2)) @ voxelsMl[slices])))
            yield
        return listed

    def _onChecked(self, pieces: list[tuple[Component, float]] | None) -> None:
        self._parts = pieces
        if pieces is None:
            self.outline.clear()
            name = html.escape(self._kept.name)
            self._say(_("⚠ {name} changed or is gone since it was compared. Compare again.").format(name=name))
        elif self._kept.mask.any():
            self.outline.show(self._kept.mask, self._kept.start, self._volumeNode)
        self._compared()

    def _forget(self) -> None:
        self._stopReading()
        self._watch.stop()
        self.removeObservers()
        self._kept = self._parts = self._version = None
        self.outline.clear()
        self._say("")

    def _stopReading(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _name(self) -> None:
        setWholeText(self._ui.priorComboBox, self._ui.priorComboBox.currentText)

    def _say(self, text: str) -> None:
        self._ui.priorLabel.setText(text)
        self._ui.priorLabel.setVisible(bool(text))


def _meet(one: Component, other: Component) -> bool:
    """True if two pieces of a grid have a voxel in common."""
    low = [max(a, b) for a, b in zip(one.start, other.start, strict=True)]
    high = [
        min(a + n, b + m) for a, n, b, m in zip(one.start, one.mask.shape, other.start, other.mask.shape, strict=True)
    ]
    if any(first >= last for first, last in zip(low, high, strict=True)):
        return False
    here, there = (
        piece.mask[tuple(slice(first - at, last - at) for first, last, at in zip(low, high, piece.start, strict=True))]
        for piece in (one, other)
    )
    return bool((here & there).any())
