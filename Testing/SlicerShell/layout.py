"""The layout manager with its Red, Green and Yellow slice widgets and one 3D widget."""

import slicer

from SlicerShell.api import classFor, cxx
from SlicerShell.scene import VIEW_PX
from SlicerShell.views import SliceRenderer, ThreeDRenderer


class _Renders:
    """What slice and 3D views share: an offscreen renderer, made when first needed."""

    def _painter(self):
        if self.__dict__.get("_shell_painter") is None:
            self._shell_painter = self._makePainter()
        return self._shell_painter

    def renderWindow(self):
        return self._painter().window

    def forceRender(self):
        self._painter().render()

    def scheduleRender(self):
        """The stand-in paints only when asked."""


class qMRMLSliceView(cxx("qMRMLSliceView")):
    _painter, renderWindow = _Renders._painter, _Renders.renderWindow
    forceRender, scheduleRender = _Renders.forceRender, _Renders.scheduleRender

    def _makePainter(self):
        return SliceRenderer(self._shell_logic, VIEW_PX)

    def mrmlSliceNode(self):
        return self._shell_logic.GetSliceNode()


class qMRMLThreeDView(cxx("qMRMLThreeDView")):
    _painter, renderWindow = _Renders._painter, _Renders.renderWindow
    forceRender, scheduleRender = _Renders.forceRender, _Renders.scheduleRender

    def _makePainter(self):
        return ThreeDRenderer(self._shell_viewNode, VIEW_PX)

    def mrmlViewNode(self):
        return self._shell_viewNode

    def resetFocalPoint(self):
        self._painter().resetFocalPoint()

    def yaw(self):
        self._painter().turn(self.pitchRollYawIncrement or 5.0, 0.0)

    def pitch(self):
        self._painter().turn(0.0, self.pitchRollYawIncrement or 5.0)

    def zoomIn(self):
        self._painter().zoom(1.0 + (self.zoomFactor or 0.05))

    def zoomOut(self):
        self._painter().zoom(1.0 / (1.0 + (self.zoomFactor or 0.05)))

    def resetCamera(self, resetRotation=True, resetTranslation=True, resetDistance=True):
        self._painter().resetCamera(resetRotation)


class qMRMLSliceWidget(cxx("qMRMLSliceWidget")):
    def _setLogic(self, logic):
        self._shell_logic = logic
        self._shell_view = classFor("qMRMLSliceView")()
        self._shell_view._shell_logic = logic

    def sliceLogic(self):
        return self._shell_logic

    def mrmlSliceNode(self):
        return self._shell_logic.GetSliceNode()

    mrmlAbstractViewNode = mrmlSliceNode

    def mrmlSliceCompositeNode(self):
        return self._shell_logic.GetSliceCompositeNode()

    def sliceView(self):
        return self._shell_view

    viewWidget, logic = sliceView, sliceLogic

    def fitSliceToBackground(self):
        self._shell_logic.FitSliceToBackground()

    def sliceController(self):
        if self.__dict__.get("_shell_controller") is None:
            self._shell_controller = classFor("qMRMLSliceControllerWidget")()
            self._shell_controller._shell_logic = self._shell_logic
        return self._shell_controller

    sliceOrientation = property(
        lambda self: self.mrmlSliceNode().GetOrientation(), lambda self, name: self.mrmlSliceNode().SetOrientation(name)
    )

    def setSliceOrientation(self, name):
        self.sliceOrientation = name


class qMRMLSliceControllerWidget(cxx("qMRMLSliceControllerWidget")):
    def fitSliceToBackground(self):
        self._shell_logic.FitSliceToBackground()

    def setSliceOffsetValue(self, offset):
        self._shell_logic.SetSliceOffset(offset)

    def setSliceVisible(self, visible):
        self._shell_logic.GetSliceNode().SetSliceVisible(visible)

    def sliceLogic(self):
        return self._shell_logic

    def mrmlSliceNode(self):
        return self._shell_logic.GetSliceNode()


class qMRMLThreeDWidget(cxx("qMRMLThreeDWidget")):
    def _setNode(self, node):
        self._shell_viewNode = node
        self._shell_view = classFor("qMRMLThreeDView")()
        self._shell_view._shell_viewNode = node

    def threeDView(self):
        return self._shell_view

    viewWidget = threeDView

    def mrmlViewNode(self):
        return self._shell_viewNode

    mrmlAbstractViewNode = mrmlViewNode


class qMRMLLayoutManager(cxx("qMRMLLayoutManager")):
    def _setCore(self, core):
        self._core, self._slices, self._threeD = core, {}, []
        for index in range(core.sliceLogics.GetNumberOfItems()):
            logic = core.sliceLogics.GetItemAsObject(index)
            widget = classFor("qMRMLSliceWidget")()
            widget._setLogic(logic)
            self._slices[logic.GetSliceNode().GetLayoutName()] = widget
        for index in range(core.viewLogics.GetNumberOfItems()):
            widget = classFor("qMRMLThreeDWidget")()
            widget._setNode(core.viewLogics.GetItemAsObject(index).GetViewNode())
            self._threeD.append(widget)

    def mrmlScene(self):
        return slicer.mrmlScene

    def layoutLogic(self):
        return self._core.layoutLogic

    def sliceViewNames(self):
        return tuple(self._slices)

    def sliceWidget(self, name):
        return self._slices.get(name)

    def threeDWidget(self, index):
        return self._threeD[index] if isinstance(index, int) and index < len(self._threeD) else None

    threeDViewCount = property(lambda self: len(self._threeD))

    def plotWidget(self, index):
        return None  # a plot view exists only in layouts that show one

    def tableWidget(self, index):
        return None

    def mrmlSliceLogics(self):
        return self._core.sliceLogics

    def mrmlViewLogics(self):
        return self._core.viewLogics

    def activeMRMLThreeDViewNode(self):
        return self._threeD[0].mrmlViewNode()

    layout = property(
        lambda self: self._core.layoutLogic.GetLayoutNode().GetViewArrangement(),
        lambda self, value: self.setLayout(value),
    )

    def setLayout(self, value):
        self._core.layoutLogic.GetLayoutNode().SetViewArrangement(value)
        self.layoutChanged.emit(value)

    def resetSliceViews(self):
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self):
        for widget in self._threeD:
            widget.threeDView().resetFocalPoint()

    def pauseRender(self):
        """The stand-in paints only when asked."""

    resumeRender = pauseRender
