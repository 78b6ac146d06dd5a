"""Behavior of the MRML widgets that panels use: node selector, table view, plot view, Segment Editor."""

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from SlicerShell.api import cxx
from SlicerShell.ctk_widgets import ctkComboBox
from SlicerShell.observing import Observer


class qMRMLNodeComboBox(cxx("qMRMLNodeComboBox")):
    """Nodes of the scene of given types; follows adding, removing and renaming."""

    _EVENTS = ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._node, self._attributes, self._actions = None, None, [], []
        self._types, self._noneEnabled, self._showHidden, self._filling = (), False, False, False
        self._showChildNodeTypes, self._hideChildNodeTypes, self._noneDisplay = True, (), "None"
        self._sceneObserver, self._nodeObserver = Observer(self), Observer(self)
        self._combo = ctkComboBox()
        self._combo.elideMode = QtCore.Qt.ElideMiddle
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.currentIndexChanged.connect(lambda index: self._onIndex(index))
        self._combo.activated.connect(lambda index: self._onActivated(index))
        self.selectNodeUponCreation = True
        self.setEnabled(False)

    def _filter(name):
        def put(self, value):
            setattr(self, f"_{name}", tuple(value) if isinstance(value, (list, tuple)) else value)
            self._refresh()

        return property(lambda self: getattr(self, f"_{name}"), put)

    showHidden, showChildNodeTypes = _filter("showHidden"), _filter("showChildNodeTypes")
    hideChildNodeTypes, noneEnabled, noneDisplay = (
        _filter("hideChildNodeTypes"),
        _filter("noneEnabled"),
        _filter("noneDisplay"),
    )

    @property
    def nodeTypes(self):
        return self._types

    @nodeTypes.setter
    def nodeTypes(self, types):
        if isinstance(types, str):
            raise TypeError("nodeTypes is a list of class names")
        self._types = tuple(types)
        self._refresh()

    def addAttribute(self, nodeType, name, value=None):
        self._attributes.append((nodeType, name, value))
        self._refresh()

    def removeAttribute(self, nodeType, name):
        self._attributes = [a for a in self._attributes if a[:2] != (nodeType, name)]
        self._refresh()

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        self._scene = scene
        self._sceneObserver.clear()
        if scene:
            for event in self._EVENTS:
                self._sceneObserver.add(scene, getattr(slicer.vtkMRMLScene, event), self._onScene)
        self.setEnabled(scene is not None)
        self._refresh()

    def currentNode(self):
        return self._node

    def setCurrentNode(self, node):
        self._select(self._scene.GetNodeByID(node) if isinstance(node, str) and self._scene else (node or None))

    currentNodeID = property(
        lambda self: self._node.GetID() if self._node else "", lambda self, value: self.setCurrentNodeID(value)
    )
    currentNodeId = currentNodeID

    def setCurrentNodeID(self, nodeID):
        self._select(self._scene.GetNodeByID(nodeID) if nodeID and self._scene else None)

    def setCurrentNodeIndex(self, index):
        self._select(self.nodeFromIndex(index))

    def nodeFromIndex(self, index):
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def nodeCount(self):
        return len(self._nodes())

    def addNode(self, nodeType=None):
        node = self._scene.AddNewNodeByClass(nodeType or self._types[0], self.baseName or "")
        self.nodeAdded.emit(node)
        if self.selectNodeUponCreation:
            self._select(node)
        return node

    def _nodes(self):
        if self._scene is None:
            return []
        nodes = [self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())]
        return [n for n in nodes if self._accepts(n)]

    def _accepts(self, node):
        if node.GetHideFromEditors() and not self._showHidden:
            return False
        if any(node.IsA(t) for t in self._hideChildNodeTypes):
            return False
        known = any(node.IsA(t) if self._showChildNodeTypes else node.GetClassName() == t for t in self._types)
        rules = [a for a in self._attributes if node.IsA(a[0])]
        return known and all(
            node.GetAttribute(n) is not None and (v is None or node.GetAttribute(n) == str(v)) for _, n, v in rules
        )

    def _onScene(self, caller, event):
        if self._scene and not self._scene.IsBatchProcessing():
            self._refresh()

    def _refresh(self):
        nodes = self._nodes()
        self._nodeObserver.clear()
        for node in nodes:
            self._nodeObserver.add(node, "ModifiedEvent", lambda *_: self._rename())
        self._filling = True
        self._combo.clear()
        if self._noneEnabled:
            self._combo.addItem(self._noneDisplay, "")
        for node in nodes:
            self._combo.addItem(node.GetName() or "", node.GetID())
        self._filling = False
        known = {n.GetID() for n in nodes}
        keep = self._node if self._node and self._node.GetID() in known else None
        removed = self._node is not None and keep is None
        # Slicer selects another node only in place of a removed one, never because a node was added.
        self._select(nodes[-1] if removed and nodes and not self._noneEnabled else keep)

    def _rename(self):
        for row in range(self._combo.count):
            node = self._scene.GetNodeByID(self._combo.itemData(row) or "") if self._scene else None
            if node and self._combo.itemText(row) != (node.GetName() or ""):
                self._combo.setItemText(row, node.GetName() or "")

    def _select(self, node):
        if node is not None and not self._accepts(node):
            node = None
        self._filling = True
        self._combo.setCurrentIndex(self._combo.findData(node.GetID() if node else ""))
        self._filling = False
        if node is self._node:
            return
        self._node = node
        self.currentNodeChanged.emit(node)
        self._currentNodeChanged1.emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _onIndex(self, index):
        if not self._filling and index >= 0:
            self.setCurrentNodeID(self._combo.itemData(index))

    def _onActivated(self, index):
        self.nodeActivated.emit(self._node)


class qMRMLTableView(cxx("qMRMLTableView")):
    """The cells of a vtkMRMLTableNode, read-only."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._table, self._observer = None, Observer(self)
        self._model = QtGui.QStandardItemModel(self)
        self.setModel(self._model)
        self.setEditTriggers(QtWidgets.QAbstractItemView.NoEditTriggers)

    def mrmlTableNode(self):
        return self._table

    def setMRMLTableNode(self, node):
        self._table = node
        self._observer.clear()
        if node:
            self._observer.add(node, "ModifiedEvent", lambda *_: self._fill())
        self._fill()

    def _fill(self):
        self._model.clear()
        if self._table is None or self._table.GetTable() is None:
            return
        table = self._table.GetTable()
        columns = range(table.GetNumberOfColumns())
        self._model.setHorizontalHeaderLabels([table.GetColumnName(c) or "" for c in columns])
        for row in range(table.GetNumberOfRows()):
            self._model.appendRow([QtGui.QStandardItem(table.GetValue(row, c).ToString()) for c in columns])


class qMRMLSegmentEditorWidget(cxx("qMRMLSegmentEditorWidget")):
    """Which nodes the editor works on; it has no effects and paints nothing."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._editorNode, self._segmentation, self._source = None, None, None

    def mrmlSegmentEditorNode(self):
        return self._editorNode

    def setMRMLSegmentEditorNode(self, node):
        self._editorNode = node
        self._segmentation = node.GetSegmentationNode() if node else None
        self._source = node.GetSourceVolumeNode() if node else None

    def segmentationNode(self):
        return self._segmentation

    def segmentationNodeID(self):
        return self._segmentation.GetID() if self._segmentation else ""

    def setSegmentationNode(self, node):
        self._segmentation = node
        if self._editorNode:
            self._editorNode.SetAndObserveSegmentationNode(node)
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self):
        return self._source

    def sourceVolumeNodeID(self):
        return self._source.GetID() if self._source else ""

    def setSourceVolumeNode(self, node):
        self._source = node
        if self._editorNode:
            self._editorNode.SetAndObserveSourceVolumeNode(node)
        self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self):
        return (self._editorNode.GetSelectedSegmentID() or "") if self._editorNode else ""

    def setCurrentSegmentID(self, segmentID):
        if self._editorNode:
            self._editorNode.SetSelectedSegmentID(segmentID)
            self.currentSegmentIDChanged.emit(segmentID)

    def activeEffect(self):
        return None

    def setActiveEffectByName(self, name):
        if name:
            raise NotImplementedError("The Slicer stand-in has no Segment Editor effects")
