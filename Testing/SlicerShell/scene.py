"""The MRML scene, the application logic and the logics of Slicer's core modules, without a window."""

import slicer
import vtk

from SlicerShell import terminology
from SlicerShell.views import keepForever

SHARE = "share/Slicer-5.13"
ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
VIEW_PX = (400, 400)
LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Units": "vtkSlicerUnitsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SegmentEditor": "vtkSlicerSegmentEditorLogic",
}


class SceneCore:
    """What the C++ application owns; `home` and `temporary` are folders."""

    def __init__(self, home, temporary):
        share = home / SHARE
        (share / "ColorFiles").mkdir(parents=True, exist_ok=True)
        terminology.write(share)
        _writeGenericColors(share / "ColorFiles" / "GenericColors.txt")
        (temporary / ".slicer-cache").touch()  # or the cache manager warns
        self.scene = slicer.mrmlScene = slicer.vtkMRMLScene()
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetHomeDirectory(str(home))
        self.application.SetShareDirectory(SHARE)
        self.application.SetTemporaryPath(str(temporary))
        self.application.SetMRMLScene(self.scene)
        self._connectDataIO(temporary)
        self.logics = {name: self._logic(name, kind, share) for name, kind in LOGICS.items()}
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self._addViews()
        for kept in (self.scene, self.application, self._remote, self._data, self.sliceLogics, self.viewLogics):
            keepForever(kept)

    def _connectDataIO(self, temporary):
        """Without a remote cache directory, reading an .mrb fails."""
        self._remote, self._data = slicer.vtkMRMLRemoteIOLogic(), slicer.vtkDataIOManagerLogic()
        self._remote.GetCacheManager().SetRemoteCacheDirectory(str(temporary))
        self._remote.SetMRMLApplicationLogic(self.application)
        self._data.SetMRMLApplicationLogic(self.application)
        self._data.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self.application.SetMRMLSceneDataIO(self.scene, self._remote, self._data)

    def _logic(self, name, kind, share):
        logic = getattr(slicer, kind)()
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(str(share))
        logic.SetMRMLApplicationLogic(self.application)
        self.application.SetModuleLogic(name, logic)
        logic.SetMRMLScene(self.scene)
        return logic

    def _addViews(self):
        """Red, Yellow and Green slice nodes and a 3D view, each with its logic, as the layout manager makes them."""
        for singleton in ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode", "vtkMRMLCrosshairNode"):
            if not self.scene.GetFirstNodeByClass(singleton):
                node = self.scene.CreateNodeByClass(singleton)
                node.UnRegister(None)
                node.SetSingletonTag("default" if singleton.endswith("CrosshairNode") else "Singleton")
                self.scene.AddNode(node)
        interaction = self.scene.GetFirstNodeByClass("vtkMRMLInteractionNode")
        self.sliceLogics, self.viewLogics = vtk.vtkCollection(), vtk.vtkCollection()
        threeD = self._viewLogic("vtkMRMLViewLogic", self.viewLogics)
        threeD.AddViewNode("1").SetInteractionNode(interaction)  # before the layout logic makes one of its own
        for name, orientation in ORIENTATIONS.items():
            logic = self._viewLogic("vtkMRMLSliceLogic", self.sliceLogics)
            node = logic.AddSliceNode(name)
            node.SetInteractionNode(interaction)
            node.SetOrientation(orientation)
            logic.ResizeSliceNode(*VIEW_PX)
        self.application.SetSliceLogics(self.sliceLogics)
        self.application.SetViewLogics(self.viewLogics)
        self.layoutLogic = slicer.vtkMRMLLayoutLogic()
        self.layoutLogic.SetMRMLScene(self.scene)
        self.layoutLogic.GetLayoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def _viewLogic(self, kind, collection):
        logic = getattr(slicer, kind)()
        logic.SetMRMLApplicationLogic(self.application)
        logic.SetMRMLScene(self.scene)
        collection.AddItem(logic)
        return logic


def _writeGenericColors(path):
    """The color table of label volumes; Slicer's file is not in the wheel, this one has a few rows."""
    rows = [f"{i} region_{i} {(i * 89) % 256} {(i * 151) % 256} {(i * 197) % 256} 255" for i in range(1, 32)]
    path.write_text("0 background 0 0 0 0\n" + "\n".join(rows) + "\n", encoding="utf-8")
