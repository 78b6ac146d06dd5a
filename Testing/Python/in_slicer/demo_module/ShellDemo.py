"""A scripted module as small as it can be, to test the Slicer stand-in with."""

import enum
from typing import Annotated

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Mode(enum.Enum):
    ABOVE = "above"
    BELOW = "below"


@parameterNodeWrapper
class ShellDemoParameters:
    volume: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    threshold: Annotated[float, WithinRange(-1000, 1000), Default(60.0)]
    mode: Mode = Mode.ABOVE
    name: str = "bright"
    smooth: bool = False


class ShellDemo(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = _("Shell demo")
        self.parent.categories = ["Testing"]


class ShellDemoWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameters = None
        self.binding = None

    def setup(self):
        super().setup()
        self.panel = slicer.util.loadUI(self.resourcePath("UI/ShellDemo.ui"))
        self.layout.addWidget(self.panel)
        self.ui = slicer.util.childWidgetVariables(self.panel)
        self.panel.setMRMLScene(slicer.mrmlScene)
        self.logic = ShellDemoLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndClose)
        self.bind()

    def cleanup(self):
        self.unbind()
        self.removeObservers()

    def enter(self):
        self.bind()

    def exit(self):
        self.unbind()

    def bind(self):
        self.unbind()
        self.parameters = ShellDemoParameters(self.logic.getParameterNode())
        self.binding = self.parameters.connectGui(self.panel)
        self.addObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButton)
        self.updateButton()

    def unbind(self):
        if self.parameters is not None:
            self.parameters.disconnectGui(self.binding)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateButton)
            self.parameters = None

    def onSceneStartClose(self, caller, event):
        self.unbind()

    def onSceneEndClose(self, caller, event):
        self.bind()

    def updateButton(self, caller=None, event=None):
        self.ui.applyButton.enabled = self.parameters is not None and self.parameters.volume is not None

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("Thresholding failed.")):
            node = self.logic.process(self.parameters)
            self.parameters.segmentation = node
            self.ui.segmentsTable.setSegmentationNode(node)
            self.ui.resultLabel.text = _("{count} segment(s)").format(count=self.ui.segmentsTable.segmentCount)


class ShellDemoLogic(ScriptedLoadableModuleLogic):
    def process(self, parameters):
        volume = slicer.util.arrayFromVolume(parameters.volume)
        above = volume >= parameters.threshold
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Demo")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(parameters.volume)
        segmentId = node.GetSegmentation().AddEmptySegment(parameters.name, parameters.name, (0.9, 0.2, 0.1))
        mask = above if parameters.mode is Mode.ABOVE else ~above
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype("uint8"), node, segmentId, parameters.volume)
        return node


class ShellDemoTest(ScriptedLoadableModuleTest):
    def test_bright(self):
        self.delayDisplay("thresholding an empty scene")
        assert ShellDemoLogic().getParameterNode() is not None
