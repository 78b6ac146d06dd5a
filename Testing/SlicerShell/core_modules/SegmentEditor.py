"""Slicer's Segment Editor module as far as others reach it: `widgetRepresentation().self().editor`."""

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget

SINGLETON_TAG = "SegmentEditor"


class SegmentEditor(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "Segment Editor"
        parent.categories = ["", "Segmentation"]


class SegmentEditorWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        super().setup()
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.layout.addWidget(self.editor)

    def enter(self):
        """Work on the nodes of the scene's one editor node, as Slicer does each time the module is shown."""
        node = slicer.mrmlScene.GetSingletonNode(SINGLETON_TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(SINGLETON_TAG)
            node = slicer.mrmlScene.AddNode(node)
        self.editor.setMRMLSegmentEditorNode(node)
