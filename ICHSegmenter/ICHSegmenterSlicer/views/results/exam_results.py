"""The results of the exam that is chosen: which one the panel shows, and why it shows none."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ICHSegmenterLib.errors import Failure, ResultError
from ICHSegmenterSlicer.client.steps import StepRunner
from ICHSegmenterSlicer.client.worker_client import WorkerClient
from ICHSegmenterSlicer.parameters import ICHSegmenterParameters
from ICHSegmenterSlicer.scene.maps import MAP
from ICHSegmenterSlicer.scene.results import compared_results, exam, runs
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult
from ICHSegmenterSlicer.views import slice_views as views
from ICHSegmenterSlicer.views.compare_box import ComparisonView
from ICHSegmenterSlicer.views.results.run_table import RunTable
from ICHSegmenterSlicer.views.results.shown_result import ShownResult
from ICHSegmenterSlicer.views.results.verdict_text import timeText

UNKNOWN = ()
"""Version of the exam before any was looked at; that of an empty selector is None."""


class ExamResults(VTKObservationMixin):
    """A result is shown with no other exam than its own.

    Args:
        ui: The panel's widgets by name.
        comparison: The box of the agreement.
        examChanged: Called when the chosen volume, its voxels, its time point or its transform changed.
        fail: Shows a failure in the panel.
        client: The worker.

    Attributes:
        presented: Called with the result node that is shown from now on or whose segments were edited, None if there
            is none.
    """

    def __init__(
        self,
        ui: Any,
        comparison: ComparisonView,
        examChanged: Callable[[], None],
        fail: Callable[[Failure], None],
        client: WorkerClient,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._ui = ui
        self._comparison = comparison
        self._examChanged = examChanged
        self._fail = fail
        self._parameters: ICHSegmenterParameters | None = None
        self._version: tuple[Any, ...] | None = UNKNOWN
        self._state: exam.ExamState | None = None
        self._reader: StepRunner[exam.ExamState] | None = None
        self._shownNode: slicer.vtkMRMLTextNode | None = None
        self._hasFailed = False
        self.presented: Callable[[slicer.vtkMRMLTextNode | None], None] = lambda resultNode: None
        self.shown = ShownResult(ui, client)
        self.shown.edited = self._onEdited
        self._table = RunTable(ui, self.select)
        ui.noResultLabel.setVisible(False)

    @property
    def shownNode(self) -> slicer.vtkMRMLTextNode | None:
        """The result that is shown, None if there is none."""
        return self._shownNode

    def setParameters(self, parameters: ICHSegmenterParameters | None) -> None:
        """Take the volume and the result of a parameter node."""
        self._parameters = parameters

    def follow(self) -> None:
        """Look whether the exam changed: its results are shown then, and those of any other exam are hidden."""
        volumeNode = self._parameters.inputVolume
        version = None if volumeNode is None else exam.versionOf(volumeNode)
        if version == self._version:
            return
        before, self._version = self._version, version
        isOther = before != UNKNOWN and (before and before[0]) != (version and version[0])
        self._stopReading()
        self._watch(volumeNode)
        if volumeNode is None:
            self._settle(None, isOther=isOther)
            return
        steps = exam.stateOf(volumeNode)
        self._reader = StepRunner(
            steps, lambda state: self._settle(state, isOther=isOther), self._onReadingFailed, startNow=True
        )
        if self._reader.isRunning:
            self._present(None, (), ())
            self._say(_("Reading the voxels of {volume}…"))

    def refresh(self) -> None:
        """Show the results anew: nodes came or went, or the panel is entered."""
        if self._parameters is not None and self._state is not None:
            self._settle(self._state, isOther=False)

    def finish(self, resultNode: slicer.vtkMRMLTextNode, *, jump: bool = True) -> None:
        """A run has ended well: show its result, if it is of the exam that is chosen; `jump` moves the views."""
        self._hasFailed = False
        self._parameters.result = resultNode
        if self._state is None:
            return
        self._settle(self._state, isOther=False, jump=jump)

    def add(self, resultNode: slicer.vtkMRMLTextNode) -> None:
        """A run in the background has ended well: show its result if it is of the exam that is chosen, else hide it."""
        if self._state is not None and exam.match(resultNode, self._state) is exam.Match.SAME:
            self.finish(resultNode, jump=False)
        else:
            runs.show(self._shownNode)

    def runFailed(self) -> None:
        """A run has failed: an earlier result that is shown must not be taken for its own."""
        self._hasFailed = True
        self._describe()

    def select(self, resultNode: slicer.vtkMRMLTextNode) -> None:
        """Show another run of the exam, or another one of the methods compared; the views follow."""
        self._hasFailed = False
        self._parameters.result = resultNode
        self._settle(self._state, isOther=False, jump=True)

    def forget(self) -> None:
        """The scene closes."""
        self._stopReading()
        self.removeObservers()
        self.shown.clear()
        self._version, self._state, self._shownNode, self._hasFailed = UNKNOWN, None, None, False
        self._parameters = None
        for name in ("resultButton", "noResultLabel", "runTable"):
            getattr(self._ui, name).setVisible(False)

    # ---- the exam

    def _watch(self, volumeNode: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Observe the chosen volume, and what is removed from the scene."""
        self.removeObservers()
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onNodeRemoved)
        if volumeNode is None:
            return
        for event in (
            slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
            "ModifiedEvent",
        ):
            self.addObserver(volumeNode, event, self._onVolumeModified)

    def _onVolumeModified(self, _caller: slicer.vtkMRMLNode, _event: str) -> None:
        if self._parameters is not None and not slicer.mrmlScene.IsBatchProcessing():
            self._examChanged()

    def _onNodeRemoved(self, _caller: slicer.vtkMRMLScene, _event: str) -> None:
        if slicer.mrmlScene.IsBatchProcessing() or self._parameters is None:
            return
        if self._state is not None and slicer.mrmlScene.GetNodeByID(self._state.volumeId) is None:
            self._examChanged()  # the volume itself; the selector follows by itself
        elif self._shownNode is not None:
            self._onPartRemoved()

    def _onPartRemoved(self) -> None:
        if self._shownNode.GetScene() is None:
            self.refresh()
        else:
            self.shown.measure()
            self.shown.updateButtons()

    def _stopReading(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _onReadingFailed(self, error: Exception) -> None:
        raise error

    # ---- its results

    def _settle(self, state: exam.ExamState | None, *, isOther: bool, jump: bool = False) -> None:
        """Choose the result to show: the one that was chosen if it is of this exam, else the latest one."""
        self._state = state
        self._hasFailed = self._hasFailed and not isOther
        parameters = self._parameters
        current, reasons = runs.of(state) if state is not None else ([], [])
        selected = parameters.result
        if not self._isReadable(selected) or (runs.voteOf(selected) or selected) not in current:
            selected = current[-1] if current else None
        votes = [node for node in current if compared_results.resultNodes(node)]
        parameters.result = selected
        parameters.comparison = runs.voteOf(selected) or (votes[-1] if votes else None)
        if isOther and parameters.inputVolume is not None:
            views.showBackground(parameters.inputVolume)
        self._present(selected, current, reasons, jump=jump or isOther)

    def _present(
        self,
        resultNode: slicer.vtkMRMLTextNode | None,
        current: Sequence[slicer.vtkMRMLTextNode],
        reasons: Sequence[exam.Match],
        *,
        jump: bool = False,
    ) -> None:
        if jump or resultNode is not self._shownNode:
            runs.show(resultNode)
            foreground = views.foreground()
            if foreground is not None and foreground.GetAttribute(MAP) and not runs.isMapOf(foreground, resultNode):
                views.showForeground(None, 0.0)
        self._shownNode = resultNode
        self._comparison.show(self._parameters.comparison if current else None, resultNode)
        self._table.show(current, runs.voteOf(resultNode) or resultNode)
        self.shown.show(resultNode, self._parameters.opacity, jump=jump)
        self.shown.updateButtons()
        self._describe()
        self._say(_reasonText(reasons[-1]) if reasons and resultNode is None else "")
        self.presented(resultNode)

    def _onEdited(self) -> None:
        self._comparison.markEdits()
        self.presented(self._shownNode)

    def _isReadable(self, resultNode: slicer.vtkMRMLTextNode | None) -> bool:
        try:
            return resultNode is not None and StoredResult.fromNode(resultNode) is not None
        except ResultError as error:
            self._fail(Failure.of(error))
            return False

    def _describe(self) -> None:
        """Name the exam of the result that is shown."""
        if self._shownNode is None or self.shown.volumeNode is None:
            return
        created = StoredResult.fromNode(self._shownNode).analysis.provenance.created
        parts = [f"<b>{html.escape(self.shown.volumeNode.GetName())}</b>"]
        if self._state.timePoint:
            index = f"{self._state.timePoint} {exam.timeUnit(self.shown.volumeNode)}".strip()
            parts.append(_("time point {index}").format(index=html.escape(index)))
        if timeText(created):
            parts.append(_("analyzed {time}").format(time=timeText(created)))
        text = " · ".join(parts)
        if self._hasFailed:
            text += "<br>" + _("⚠ The last run failed. This is an earlier result.")
        self._ui.examLabel.setText(text)

    def _say(self, text: str) -> None:
        """The reason why no result is shown, empty if there is none."""
        name = self._parameters.inputVolume.GetName() if self._parameters.inputVolume is not None else ""
        self._ui.noResultLabel.setText(text.format(volume=html.escape(name)))
        self._ui.noResultLabel.setVisible(bool(text))


def _reasonText(reason: exam.Match) -> str:
    return {
        exam.Match.OTHER_VOXELS: _(
            "⚠ The result of {volume} is hidden: its voxels changed since they were analyzed. Analyze it again."
        ),
        exam.Match.OTHER_TIME_POINT: _(
            "⚠ This time point of {volume} was not analyzed; the results of others are hidden."
        ),
        exam.Match.OTHER_POSITION: _(
            "⚠ The result of {volume} is hidden: its transform changed since it was analyzed. Analyze it again, or "
            "take the change back."
        ),
    }[reason]
