"""Intracranial hemorrhage on head CT in 3D Slicer: the module, its panel, its logic and its self test."""

import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

# ICHSegmenterLib lies beside this file once installed, one folder up in a source checkout. Slicer appends a module's
# folder to the path, so a copy that pip put into site-packages, maybe of another version, would be found first. Ours
# goes just before the first site-packages: not to the front, where the standard library and Slicer's own modules are.
if missing := [
    folder
    for folder in map(str, Path(__file__).resolve().parents[:2])
    if folder not in takewhile(lambda entry: not entry.endswith("-packages"), sys.path)
]:
    sitePackages = next((n for n, entry in enumerate(sys.path) if entry.endswith("-packages")), len(sys.path))
    sys.path[sitePackages:sitePackages] = missing

from ICHSegmenterLib.request import CompareRequest
from ICHSegmenterSlicer.jobs import AnalysisJob, ComparisonJob, Job, RecutJob
from ICHSegmenterSlicer.logic import ICHSegmenterLogic
from ICHSegmenterSlicer.parameters import ICHSegmenterParameters
from ICHSegmenterSlicer.paths import resourcePath, rootPath
from ICHSegmenterSlicer.running_job import Outcome, RunningJob
from ICHSegmenterSlicer.scene import maps, sample, terminology
from ICHSegmenterSlicer.self_test import SelfTest
from ICHSegmenterSlicer.views.check_boxes import showDown, showFrame
from ICHSegmenterSlicer.views.compare_box import ComparisonView
from ICHSegmenterSlicer.views.input_box import InputView
from ICHSegmenterSlicer.views.method import MethodView, rememberSeconds
from ICHSegmenterSlicer.views.open_box import OpenView
from ICHSegmenterSlicer.views.options import OptionsView
from ICHSegmenterSlicer.views.queue.queue_box import QueueView
from ICHSegmenterSlicer.views.results.exam_results import ExamResults
from ICHSegmenterSlicer.views.results.report_box import ReportView
from ICHSegmenterSlicer.views.run.run_buttons import RunButtons
from ICHSegmenterSlicer.views.slice_views import displayedVolume
from ICHSegmenterSlicer.views.status import StatusView
from ICHSegmenterSlicer.views.threshold import ThresholdWatch, recutRequest


class ICHSegmenter(ScriptedLoadableModule):
    """The entry in Slicer's list of modules."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Intracranial Hemorrhage Segmenter")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        # In a source checkout Resources is not beside this file, where Slicer looks for the icon.
        parent.icon = qt.QIcon(str(resourcePath("Icons/ICHSegmenter.png")))
        parent.dependencies = ["Segmentations", "Terminologies"]
        parent.contributors = ["ICHSegmenter contributors"]
        parent.helpText = _(
            "Finds intracranial hemorrhage on a non-contrast head CT, names its slices, and outlines it as "
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
        self.analysis: RunningJob | None = None
        self._parameters: ICHSegmenterParameters | None = None
        self._guiTag: Any = None

    # ---- life

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(str(rootPath() / "Resources" / "UI" / "ICHSegmenter.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        for checkBox in slicer.util.findChildren(uiWidget, className="QCheckBox"):
            showFrame(checkBox)
        for button in slicer.util.findChildren(uiWidget, className="QPushButton"):
            if button.checkable:
                button.connect("toggled(bool)", lambda _checked, one=button: showDown(one))
        self.status = StatusView(self.ui)
        self.logic = ICHSegmenterLogic(log=self.status.log)
        self.input = InputView(self.ui, self.logic.client, self._updateButtons)
        self.opener = OpenView(self.ui, self.logic.client, self.status, self._updateButtons)
        self.methods = MethodView(self.ui, self.logic.client, self._onMethodSelected, self.status.fail)
        self.options = OptionsView(self.ui, self._onOptionsChanged)
        self.comparison = ComparisonView(self.ui, self._onOptionsChanged, lambda node: self.results.select(node))
        self.results = ExamResults(self.ui, self.comparison, self._onExamChanged, self.status.fail, self.logic.client)
        self.shown = self.results.shown
        self.report = ReportView(self.ui, self.logic.client, self.shown, self.status)
        self.queue = QueueView(self.ui, self.logic.start, self._queuedJob, self.results, self._onQueueChanged)
        self.buttons = RunButtons(
            self.ui, self.input, self.opener, self.methods, self.options, self.comparison, self.queue
        )
        self.threshold = ThresholdWatch(self.shown.showCut, self._recut)
        notice = _("Research software, not a medical device: do not use it for diagnosis or treatment.")
        self.ui.noticeLabel.setText(f"<small>{notice} {_('Nothing leaves this computer.')}</small>")
        self.ui.applyButton.connect("clicked()", self.onApplyButton)
        self.ui.compareButton.connect("clicked()", self.onCompareButton)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEnd)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneEnd)
        self._initializeParameterNode()

    def cleanup(self) -> None:
        """End what outlives the panel: it is destroyed, because the application closes."""
        if self.analysis:
            self.analysis.cancel()
        self.opener.cancel()
        self.queue.forget()
        self.logic.client.shutdown()
        self.results.forget()
        self.report.forget()
        self._setParameterNode(None)
        self.removeObservers()

    def onReload(self) -> None:
        """Developer mode: take the whole extension anew, not only this file."""
        for name in list(sys.modules):
            if name.split(".")[0] in ("ICHSegmenterLib", "ICHSegmenterSlicer"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self) -> None:
        self._initializeParameterNode()

    def exit(self) -> None:
        self.shown.endClicks()

    # ---- parameter node

    def _initializeParameterNode(self) -> None:
        if slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsImporting():
            return
        parameters = self.logic.getParameterNode()
        self._setParameterNode(parameters)
        if parameters.inputVolume is None and displayedVolume() is not None:
            parameters.inputVolume = displayedVolume()

    def _setParameterNode(self, parameters: ICHSegmenterParameters | None) -> None:
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameters = parameters
        self.results.setParameters(parameters)
        if parameters is not None:
            self._guiTag = parameters.connectGui(self.ui)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self.methods.choose(parameters.method, parameters.device)
            self.options.choose(parameters.detector, parameters.operatingPoint)
            self.comparison.choose(tuple(parameters.comparedMethods.split()))
            self.results.refresh()
            self._onParametersModified()

    def _onParametersModified(self, _caller: Any = None, _event: Any = None) -> None:
        if self._parameters is None:
            return
        self._onExamChanged()
        self.threshold.follow(self._parameters)
        self.shown.setOpacity(self._parameters.opacity)

    def _onExamChanged(self) -> None:
        """Another volume, or other voxels, another time point or another transform of the same one."""
        volumeNode = self._parameters.inputVolume
        self.status.follow("" if volumeNode is None else volumeNode.GetID())
        if self.input.update(volumeNode):
            self._warmUp()
        self.results.follow()
        self.queue.follow(self._parameters)
        self._updateButtons()

    def _onMethodSelected(self) -> None:
        self._parameters.method, self._parameters.device = self.methods.method, self.methods.device
        self.comparison.offer()
        self._updateButtons()
        self._warmUp()

    def _onOptionsChanged(self) -> None:
        if self._parameters is None:
            return
        self._parameters.detector = self.options.selectedDetector
        self._parameters.operatingPoint = self.options.operatingPoint
        self._parameters.comparedMethods = " ".join(self.comparison.methods)
        self._updateButtons()

    def _onQueueChanged(self) -> None:
        """Several exams begin to be analyzed, or are done."""
        if self._parameters is not None:
            self.threshold.again()
            self._updateButtons()

    def _warmUp(self) -> None:
        if self._parameters.inputVolume is not None and self.analysis is None:
            self.methods.warmUp()

    def _updateButtons(self) -> None:
        self.buttons.update(busy=self.analysis is not None)
        self.ui.replaceCheckBox.setVisible(self._parameters.outputSegmentation is not None)
        self.ui.thresholdSlider.setEnabled(self._parameters.useThreshold)
        self.shown.updateButtons()

    # ---- run

    def onApplyButton(self) -> None:
        """Detect & Segment, or Cancel while a run is on."""
        parameters, card = self._parameters, self.methods.card
        if self._cancelled() or parameters.inputVolume is None:
            return
        # Maps of the last result are kept, so that they can be looked at later; huge ones only on request.
        keepsMaps = parameters.saveMaps or maps.canBeKept(parameters.inputVolume, len(card.labels))
        request = self.options.request(parameters, card, self.methods.device, keepsMaps=keepsMaps)
        self._start(AnalysisJob(request, parameters.replaceUnedited))

    def _queuedJob(self) -> AnalysisJob:
        """The same for each exam of the list; maps of so many exams only on request."""
        parameters, methods = self._parameters, self.methods
        return AnalysisJob(
            self.options.request(parameters, methods.card, methods.device, keepsMaps=parameters.saveMaps)
        )

    def _recut(self) -> None:
        """Another threshold: the shown result is cut anew by what the worker kept of it."""
        if self.analysis is not None or self.queue.isRunning:
            return
        request = recutRequest(self._parameters)
        if request is None:
            self.shown.endCut()
        else:
            self._start(RecutJob(request, self._parameters.result))

    def onCompareButton(self) -> None:
        """Compare, or Cancel while a run is on."""
        if not self._cancelled() and self._parameters.inputVolume is not None:
            self._start(ComparisonJob(CompareRequest(self.comparison.methods, device=self.methods.device)))

    def _cancelled(self) -> bool:
        """True if a run was on: it is cancelled."""
        if self.analysis is None:
            return False
        self.status.show(_("Cancelling…"))
        self.analysis.cancel()
        return True

    def _start(self, job: Job) -> None:
        self.status.begin()
        self.status.log(str(job))  # without the volume's name, which may be the patient's
        self.analysis = self.logic.start(
            self._parameters.inputVolume,
            job,
            segmentationNode=self._parameters.outputSegmentation,
            progress=self.status.progress,
            finished=self._onFinished,
        )
        self._updateButtons()

    def _onFinished(self, outcome: Outcome) -> None:
        job, self.analysis = self.analysis and self.analysis.job, None
        self.status.end()
        if self._parameters is None or slicer.mrmlScene.IsClosing():
            return
        self.shown.endCut()
        if outcome.failure is not None and outcome.failure.kind == "not_kept":
            self.status.show(_("The threshold applies to the next run: what the method saw is no longer kept."))
        elif outcome.failure is not None:
            self.status.fail(outcome.failure)
            if outcome.failure.kind != "cancelled":
                self.results.runFailed()
        else:
            self.status.log(_("Done in {seconds:.1f} s").format(seconds=outcome.seconds))
            result = outcome.imported.result
            if isinstance(job, AnalysisJob):
                provenance = result.analysis.provenance
                rememberSeconds(provenance.method, provenance.device, outcome.seconds)
            self.methods.update()
            self.results.finish(outcome.imported.resultNode, jump=not isinstance(job, RecutJob))
            self.threshold.again()
        self._updateButtons()

    # ---- scene

    def _onSceneStartClose(self, _caller: vtk.vtkObject, _event: str) -> None:
        if self.analysis is not None:
            self.analysis.cancel()
        self.opener.cancel()
        self.queue.forget()
        self.results.forget()
        self.report.forget()
        self.threshold.forget()
        self.input.forget()
        self.status.end()
        self._setParameterNode(None)

    def _onSceneEnd(self, _caller: vtk.vtkObject, _event: str) -> None:
        """A scene was closed or loaded."""
        if self.parent.isEntered or self._parameters is None:
            self._initializeParameterNode()
        self.queue.refresh()


class ICHSegmenterTest(SelfTest):
    """Slicer's "Reload and Test" looks for a class of this name, in this file."""
