"""Nodes of the scene: whether one is still there, and those that the panel needs for itself, in no list and no file."""

from __future__ import annotations

import slicer


def addHidden(node: slicer.vtkMRMLDisplayableNode, name: str) -> slicer.vtkMRMLDisplayableNode:
    """Add a new node to the scene, hidden from editors and not saved, with a display node that is not saved either."""
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSaveWithScene(False)
    return node


def removeWhole(node: slicer.vtkMRMLDisplayableNode) -> None:
    """Take a node out of the scene, and what Slicer's readers made for it: the display and the path of its file."""
    parts = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    parts += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    for part in (node, *parts):
        if part is not None:
            slicer.mrmlScene.RemoveNode(part)


def isInScene(node: slicer.vtkMRMLNode | None) -> bool:
    """True while the scene holds the node; closing the scene takes it out."""
    return node is not None and node.GetScene() is not None
