"""Offscreen painting of slice and 3D views with Slicer's real displayable managers."""

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = (
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


def keepForever(item):
    """Never destroy an object: the order in which Python ends would crash the displayable managers."""
    item.Register(None)


class _Renderer:
    def __init__(self, node, managers, size):
        self.window, self.renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
        self.window.SetOffScreenRendering(True)
        self.window.SetMultiSamples(8)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        self._addBackground()  # first: what is added later is drawn over it
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        for name in managers:
            manager = getattr(slicer, name)()
            manager.SetMRMLApplicationLogic(slicer.app.applicationLogic())
            self.group.AddDisplayableManager(manager)
        self.group.SetMRMLDisplayableNode(node)
        for kept in (self.window, self.renderer, self._interactor, self.group):
            keepForever(kept)

    def _addBackground(self):
        """Nothing to draw below the displayable managers."""

    def render(self):
        self.window.Render()

    def image(self):
        """The view as it is now: uint8 (height, width, 3)."""
        self.render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        width, height, _ = grab.GetOutput().GetDimensions()
        pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
        return np.ascontiguousarray(pixels.reshape(height, width, -1)[::-1, :, :3])


class SliceRenderer(_Renderer):
    def __init__(self, logic, size):
        self.logic = logic
        super().__init__(logic.GetSliceNode(), SLICE_MANAGERS, size)
        self._style, idle = slicer.vtkMRMLSliceViewInteractorStyle(), vtk.vtkInteractorStyleUser()
        self._interactor.SetInteractorStyle(idle)  # VTK's own styles would turn the camera
        self._style.SetInteractor(self._interactor)
        self._style.SetSliceLogic(logic)
        self._style.SetDisplayableManagers(self.group)
        for kept in (self._style, idle):
            keepForever(kept)
        self.resize(size)

    def _addBackground(self):
        self._mapper, actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        actor.SetMapper(self._mapper)
        self.renderer.AddViewProp(actor)

    def resize(self, size):
        self.window.SetSize(*size)
        self.logic.ResizeSliceNode(*size)

    def render(self):
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self.window.Render()

    def position(self, ras):
        """Pixel (x, y) from the lower left corner at which a point of the shown slice is drawn."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.logic.GetSliceNode().GetXYToRAS(), inverse)
        x, y, _, _ = inverse.MultiplyPoint((*ras, 1.0))
        return round(x), round(y)

    def click(self, ras):
        """Mouse events of a click at a point of the shown slice, through Slicer's own interactor style."""
        self.render()
        self._interactor.SetEventInformation(*self.position(ras))
        for event in ("EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
            self._interactor.InvokeEvent(event)


class ThreeDRenderer(_Renderer):
    def __init__(self, node, size):
        super().__init__(node, THREE_D_MANAGERS, size)

    def resize(self, size):
        self.window.SetSize(*size)

    def turn(self, azimuth, elevation):
        camera = self.renderer.GetActiveCamera()
        camera.Azimuth(azimuth)
        camera.Elevation(elevation)
        camera.OrthogonalizeViewUp()
        self.renderer.ResetCameraClippingRange()

    def zoom(self, factor):
        self.renderer.GetActiveCamera().Dolly(factor)
        self.renderer.ResetCameraClippingRange()

    def resetFocalPoint(self):
        self.renderer.ResetCamera()

    def resetCamera(self, resetRotation=True):
        camera = self.renderer.GetActiveCamera()
        if resetRotation:
            camera.SetFocalPoint(0, 0, 0)
            camera.SetPosition(0, 500, 0)
            camera.SetViewUp(0, 0, 1)
        self.renderer.ResetCamera()
