"""slicer.app.ioManager(): loading and saving of the file types that slicer.util asks for."""

import os

import slicer

from SlicerShell.api import cxx

SCENE, VOLUME, SEGMENTATION, MODEL = "SceneFile", "VolumeFile", "SegmentationFile", "ModelFile"


class qSlicerCoreIOManager(cxx("qSlicerCoreIOManager")):
    def fileType(self, path):
        lower = str(path).lower()
        if lower.endswith((".mrb", ".mrml")):
            return SCENE
        if lower.endswith((".seg.nrrd", ".seg.nhdr")):
            return SEGMENTATION
        return MODEL if lower.endswith((".vtk", ".vtp", ".stl", ".ply", ".obj")) else VOLUME

    def fileWriterFileType(self, node, extension=""):
        kinds = (("vtkMRMLSegmentationNode", SEGMENTATION), ("vtkMRMLVolumeNode", VOLUME), ("vtkMRMLModelNode", MODEL))
        return next((kind for name, kind in kinds if node.IsA(name)), "NoFile")

    def loadNodes(self, fileType, properties, loadedNodes=None, userMessages=None):
        path = properties["fileName"]
        if not os.path.exists(path):
            return False
        if fileType == SCENE:
            return self.loadScene(path, properties.get("clear", False), userMessages)
        node = self._loadNode(fileType, path, properties)
        if node is not None and loadedNodes is not None:
            loadedNodes.AddItem(node)
        return node is not None

    def _loadNode(self, fileType, path, properties):
        logic = {
            VOLUME: slicer.modules.volumes,
            SEGMENTATION: slicer.modules.segmentations,
            MODEL: slicer.modules.models,
        }[fileType].logic()
        name = properties.get("name", os.path.basename(path).split(".")[0])
        if fileType == VOLUME:
            options = (1 if properties.get("labelmap") else 0) + (8 if properties.get("singleFile") else 0)
            node = logic.AddArchetypeVolume(path, name, options)
            if node is not None and properties.get("show", True) and slicer.app.layoutManager():
                slicer.util.setSliceViewerLayers(background=node, fit=True)
            return node
        if fileType == SEGMENTATION:
            return logic.LoadSegmentationFromFile(path, properties.get("autoOpacities", True), name)
        return logic.AddModel(path)

    def loadScene(self, path, clear=True, userMessages=None):
        scene = slicer.mrmlScene
        if path.lower().endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear, userMessages))
        scene.SetURL(path)
        return bool(scene.Connect(userMessages) if clear else scene.Import(userMessages))

    def saveNodes(self, fileType, properties, userMessages=None, scene=None):
        path = str(properties["fileName"])
        if fileType == SCENE:
            return self.saveScene(path, None, userMessages)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        return bool(storage.WriteData(node))

    def saveScene(self, path, screenShot=None, userMessages=None):
        if path.lower().endswith(".mrb"):
            return bool(slicer.mrmlScene.WriteToMRB(path, None, userMessages))
        if not path.lower().endswith(".mrml"):
            os.makedirs(path, exist_ok=True)
            return bool(slicer.app.applicationLogic().SaveSceneToSlicerDataBundleDirectory(path, None))
        slicer.mrmlScene.SetURL(path)
        return bool(slicer.mrmlScene.Commit(path))


class qSlicerIOManager(cxx("qSlicerIOManager")):
    loadNodes = qSlicerCoreIOManager.loadNodes
