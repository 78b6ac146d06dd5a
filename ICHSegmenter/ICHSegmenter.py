"""Intracranial hemorrhage on head CT in 3D Slicer: the module, its panel, its logic and its self test."""

import json
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# ICHSegmenterLib lies beside this file once installed, one folder up in a source checkout. Slicer appends a module's
# folder to the path, so a copy that pip put into site-packages, maybe of another version, would be found first. Ours
# goes just before the first site-packages: not to the front, where the standard library and Slicer's own modules are.
if late := [
    folder
    for folder in map(str, Path(__file__).resolve().parents[:2])
    if folder not in takewhile(lambda one: not one.endswith("-packages"), sys.path)
]:
    place = next((n for n, one in enumerate(sys.path) if one.endswith("-packages")), len(sys.path))
    sys.path[place:place] = late

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.request import MAP, AnalysisRequest, CompareRequest
from ICHSegmenterLib.results import RESEARCH_NOTICE
from ICHSegmenterSlicer.client.worker_client import State
from ICHSegmenterSlicer.jobs import AnalysisJob, ComparisonJob, Job
from ICHSegmenterSlicer.logic import ICHSegmenterLogic
from ICHSegmenterSlicer.parameters import ICHSegmenterParameters
from ICHSegmenterSlicer.paths import rootPath
from ICHSegmenterSlicer.running_job import Analysis, Outcome
from ICHSegmenterSlicer.scene import edits, sample, terminology
from ICHSegmenterSlicer.scene import volume_check as fitness
from ICHSegmenterSlicer.scene.maps import MapView
from ICHSegmenterSlicer.views import slice_views as views
from ICHSegmenterSlicer.views.compare_box import ComparisonView
from ICHSegmenterSlicer.views.method import MethodView, rememberSeconds
from ICHSegmenterSlicer.views.options import OptionsView
from ICHSegmenterSlicer.views.result_box import ResultsView
from ICHSegmenterSlicer.views.status import StatusView

MIN_COMPARED = 2
INPUTS = (
    "inputSelector",
    "methodComboBox",
    "deviceComboBox",
    "outputSelector",
    "replaceCheckBox",
    "compareComboBox",
)
"""Widgets that stay as they are during a run."""


class ICHSegmenter(ScriptedLoadableModule):
    """What Slicer shows in its module list."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Intracranial Hemorrhage Segmenter")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Terminologies"]
        parent.contributors = ["ICHSegmenter contributors"]
        parent.helpText = _(
            "Finds intracranial hemorrhage on a non-contrast head CT, tells on which slices, and outlines it as "
            "segments that you can edit. Choose the CT, click Detect & Segment. Nothing leaves this computer. "
            "Research software, not a medical device."
        )
        parent.acknowledgementText = _(
            "Networks and weights are those of published works; the panel names the paper and licence of each method."
        )
        slicer.app.connect("startupCompleted()", terminology.load)
        slicer.app.connect("startupCompleted()", sample.register)


class ICHSegmenterWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: wires between widgets, parameter node and logic."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: ICHSegmenterLogic | None = None
        self.analysis: Analysis | None = None
        self._parameters: ICHSegmenterParameters | None = None
        self._guiTag: Any = None
        self._fitnessKey: Any = None
        self._fitness = fitness.Fitness("", "")

    # ---- life

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(str(rootPath() / "Resources" / "UI" / "ICHSegmenter.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.status = StatusView(self.ui)
        self.logic = ICHSegmenterLogic(log=self.status.log)
        self.results = ResultsView(self.ui, self._onSliceChosen)
        self.maps = MapView(self.ui)
        self.methods = MethodView(self.ui, self.logic.client, self._onMethodChosen, self.status.fail)
        self.options = OptionsView(self.ui, self._onOptionsChosen)
        self.comparison = ComparisonView(self.ui, self._onOptionsChosen, self._onComparedChosen)
        self.editWatch = edits.EditWatch(self._onEdited)
        self.ui.noticeLabel.setText(f"<small>{RESEARCH_NOTICE} {_('Nothing leaves this computer.')}</small>")
        self.ui.applyButton.connect("clicked()", self.onApplyButton)
        self.ui.compareButton.connect("clicked()", self.onCompareButton)
        self.ui.editButton.connect("clicked()", self._onEdit)
        self.ui.show3DButton.connect("toggled(bool)", self._onShow3D)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEnd)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneEnd)
        self.ui.resultButton.setVisible(False)
        self._initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes and the module widget is destroyed."""
        if self.analysis:
            self.analysis.cancel()
        self.logic.client.shutdown()
        self.editWatch.stop()
        self._setParameterNode(None)
        self.removeObservers()

    def onReload(self) -> None:
        """Developer mode: take the whole extension anew, not only this file."""
        for name in [one for one in sys.modules if one.split(".")[0] in ("ICHSegmenterLib", "ICHSegmenterSlicer")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self) -> None:
        self._initializeParameterNode()

    # ---- parameter node

    def _initializeParameterNode(self) -> None:
        if slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsImporting():
            return
        parameters = self.logic.getParameterNode()
        self._setParameterNode(parameters)
        if parameters.inputVolume is None and views.displayedVolume() is not None:
            parameters.inputVolume = views.displayedVolume()

    def _setParameterNode(self, parameters: ICHSegmenterParameters | None) -> None:
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameters = parameters
        if parameters is not None:
            self._guiTag = parameters.connectGui(self.ui)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self.methods.choose(parameters.method, parameters.device)
            self.options.choose(parameters.detector)
            self.comparison.choose(tuple(parameters.comparedMethods.split()))
            self._showResult()
            self._onParametersModified()

    def _onParametersModified(self, _caller: Any = None, _event: Any = None) -> None:
        if self._parameters is None:
            return
        self._updateFitness()
        self._updateButtons()
        segmentationNode = self._segmentationNode()
        if segmentationNode:
            views.setOpacity(segmentationNode, self._parameters.opacity)

    def _onMethodChosen(self) -> None:
        self._parameters.method, self._parameters.device = self.methods.method, self.methods.device
        self.comparison.offer()
        self._updateButtons()
        self._warmUp()

    def _onOptionsChosen(self) -> None:
        if self._parameters is None:
            return
        self._parameters.detector = self.options.chosenDetector
        self._parameters.comparedMethods = " ".join(self.comparison.methods)
        self._updateButtons()

    # ---- input

    def _updateFitness(self) -> None:
        """Look at the volume again only if it, its voxels or its transform changed."""
        volumeNode = self._parameters.inputVolume
        key = None
        if volumeNode is not None:
            key = (
                volumeNode.GetID(),
                volumeNode.GetImageData() and volumeNode.GetImageData().GetMTime(),
                volumeNode.GetTransformNodeID(),
            )
        if key == self._fitnessKey:
            return
        self._fitnessKey = key
        self._fitness = fitness.check(volumeNode) if volumeNode is not None else fitness.Fitness("", "")
        problem = f"<br><b>{self._fitness.problem}</b>" if self._fitness.problem else ""
        self.ui.inputInfoLabel.setText(f"<small>{self._fitness.description}</small>{problem}")
        if volumeNode is not None and not self._fitness.problem:
            self._warmUp()

    def _warmUp(self) -> None:
        if self._parameters.inputVolume is not None and self.analysis is None:
            self.methods.warmUp()

    def _updateButtons(self) -> None:
        busy = self.analysis is not None
        for button, title, reason in (
            (self.ui.applyButton, _("Detect && Segment"), self._whyNot()),
            (self.ui.compareButton, _("Compare"), self._whyNotCompare()),
        ):
            button.setText(_("Cancel") if busy else title)
            button.setEnabled(busy or not reason)
            button.setToolTip(_("Stop; the scene stays as it was") if busy else reason)
        for name in INPUTS:
            getattr(self.ui, name).setEnabled(not busy)
        self.options.update(self.methods.card, busy=busy)
        self.ui.replaceCheckBox.setVisible(self._parameters.outputSegmentation is not None)
        self.ui.thresholdSlider.setEnabled(self._parameters.useThreshold)
        hasSegments = self._segmentationNode() is not None
        for widget in (self.ui.editButton, self.ui.show3DButton, self.ui.opacitySlider):
            widget.setEnabled(hasSegments)

    def _whyNot(self) -> str:
        """What is missing for a run, empty if nothing is."""
        if self._whyNoVolume():
            return self._whyNoVolume()
        if not self.methods.isReady:
            return _("The method is not ready: see what it needs above")
        return self.options.whyNot(self.methods.card)

    def _whyNotCompare(self) -> str:
        few = len(self.comparison.methods) < MIN_COMPARED
        return self._whyNoVolume() or (_("Check two methods or more") if few else "")

    def _whyNoVolume(self) -> str:
        return _("Select a head CT") if self._parameters.inputVolume is None else self._fitness.problem

    # ---- run

    def onApplyButton(self) -> None:
        """Detect & Segment, or Cancel while a run is on."""
        parameters, card = self._parameters, self.methods.card
        detector = self.options.detector(card)
        request = AnalysisRequest(
            method=card.name,
            detector=detector,
            options=self.options.requestOptions(card),
            detector_options=self.options.requestOptions(get_card(detector)) if detector else {},
            threshold=parameters.threshold if parameters.useThreshold else None,
            device=self.methods.device,
            outputs=(MAP,) if parameters.saveMaps else (),
        )
        self._startOrCancel(AnalysisJob(request, parameters.replaceUnedited))

    def onCompareButton(self) -> None:
        """Compare, or Cancel while a run is on."""
        self._startOrCancel(ComparisonJob(CompareRequest(self.comparison.methods, device=self.methods.device)))

    def _startOrCancel(self, job: Job) -> None:
        if self.analysis is not None:
            self.status.say(_("Cancelling…"))
            self.analysis.cancel()
            return
        volumeNode = self._parameters.inputVolume
        if volumeNode is None:
            return
        self.status.begin()
        self.status.log(str(job))  # without the volume's name, which may be the patient's
        self.analysis = self.logic.start(
            volumeNode,
            job,
            segmentationNode=self._parameters.outputSegmentation,
            progress=self.status.progress,
            finished=self._onFinished,
        )
        self._updateButtons()

    def _onFinished(self, outcome: Outcome) -> None:
        self.analysis = None
        self.status.end()
        if self._parameters is None or slicer.mrmlScene.IsClosing():
            return
        if outcome.failure is not None:
            self.status.fail(outcome.failure)
        else:
            self.status.log(_("Done in {seconds:.1f} s").format(seconds=outcome.seconds))
            resultNode = outcome.imported.resultNode
            result = json.loads(resultNode.GetText())
            if "agreement" in result:
                self._parameters.comparison = resultNode
            else:
                rememberSeconds(result["provenance"]["method"], result["provenance"]["device"], outcome.seconds)
            self._parameters.result = resultNode
            self.methods.update()
            self._showResult(jump=True)
        self._updateButtons()

    # ---- result

    def _showResult(self, *, jump: bool = False) -> None:
        """Show the result that the parameter node holds, after a run or after loading a scene."""
        resultNode = self._parameters.result
        self.ui.resultButton.setVisible(resultNode is not None)
        self.maps.show(resultNode, choose=jump)
        self.comparison.show(self._parameters.comparison, resultNode)
        if resultNode is None:
            self.results.clear()
            return
        result = json.loads(resultNode.GetText())
        self.results.show(result)
        self.editWatch.watchAll()
        segmentationNode = self._segmentationNode()
        if segmentationNode is not None:
            views.setOpacity(segmentationNode, self._parameters.opacity)
            self._onEdited(segmentationNode, edits.updateTags(segmentationNode))
        blocked = self.ui.show3DButton.blockSignals(True)
        self.ui.show3DButton.checked = False
        self.ui.show3DButton.blockSignals(blocked)
        if jump:
            self.ui.resultButton.collapsed = False
            volumeNode = resultNode.GetNodeReference("volume")
            if volumeNode is not None:
                views.show(volumeNode)
            self.results.selectIndex(result["key_slice"])

    def _segmentationNode(self) -> Any | None:
        resultNode = self._parameters.result if self._parameters else None
        return resultNode.GetNodeReference("segmentation") if resultNode else None

    def _onSliceChosen(self, entry: dict[str, Any]) -> None:
        views.jump(views.pointOf(json.loads(self._parameters.result.GetText()), entry))

    def _onEdited(self, segmentationNode: Any, edited: dict[str, dict[int, int]]) -> None:
        if self._parameters is not None and segmentationNode is self._segmentationNode():
            self.results.showEdits(edits.volumesMl(json.loads(self._parameters.result.GetText()), edited))

    def _onEdit(self) -> None:
        views.openSegmentEditor(self._segmentationNode(), self._parameters.result.GetNodeReference("volume"))

    def _onShow3D(self, checked: bool) -> None:
        if self._segmentationNode() is not None:
            views.setShow3D(self._segmentationNode(), checked)

    def _onComparedChosen(self, resultNode: Any) -> None:
        """Another row of the agreement: its result is shown, the views follow."""
        self._parameters.result = resultNode
        self._showResult(jump=True)

    # ---- scene

    def _onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        if self.analysis is not None:
            self.analysis.cancel()
        self.editWatch.stop()
        self._setParameterNode(None)
        self._fitnessKey = None

    def _onSceneEnd(self, _caller: Any, _event: Any) -> None:
        """A scene was closed or loaded."""
        if self.parent.isEntered or self._parameters is None:
            self._initializeParameterNode()
        self.editWatch.watchAll()


class ICHSegmenterTest(ScriptedLoadableModuleTest):
    """Slicer's "Reload and Test", and the test of the build machines: a bleed of known place in a simple head."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def test_aBleedIsFoundWhereItIs(self) -> None:
        phantom = sample.addPhantom()
        logic = ICHSegmenterLogic()
        imported = logic.process(phantom.volumeNode, "hu-threshold")
        logic.client.shutdown()
        assert imported.segmentationNode is not None
        result = json.loads(imported.resultNode.GetText())
        assert result["positive"]
        assert abs(result["blood_ml"] - phantom.bleedMl) < 0.2 * phantom.bleedMl
        assert logic.client.state is State.DONE
