"""Maps, uncertainty and activation as volumes over the CT, and the box that chooses which one is shown."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterSlicer.scene.volumes import Steps, chunks, putBeside
from ICHSegmenterSlicer.views import slice_views as views

MIN_SHOWN = 0.05
"""Values less than this above nothing let the CT through."""
OPACITY = 0.6
MAP, METHOD, NAME, DIGEST = (f"ICHSegmenter.{name}" for name in ("map", "method", "name", "digest"))
"""Node attributes: the field that a map was, the method, and name and checksum of the voxels as the run made them."""
VOLUME_ROLE = "ICHSegmenter.volume"
"""Reference role: from a map to the CT that it is of."""


@dataclass(frozen=True)
class Kind:
    """A map.

    Attributes:
        field: Of the worker's answer; also the role of the reference from the result node to the volume.
        color: Of Slicer's built-in color tables.
        lowest: Value that means nothing; the window reaches from it to 1.
    """

    field: str
    color: str
    lowest: float = 0.0

    @property
    def title(self) -> str:
        titles = {"maps": _("Map"), "uncertainty": _("Uncertainty"), "activation": _("Activation map")}
        return titles[self.field]


KINDS = (
    Kind("maps", "Iron"),
    Kind("uncertainty", "Ocean"),
    Kind("activation", "Iron", lowest=0.5),  # the sigmoid of features that are never negative
)


def importMaps(folder: Path, message: dict[str, Any], volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps:
    """Make a volume of each map in a worker's answer, on the grid of the CT; returns {field: node}.

    Of several labels the highest value of those that are blood is taken. Closing the generator half-way takes back
    what was made.
    """
    nodes: dict[str, Any] = {}
    blood = [n for n, one in enumerate(message["result"]["labels"]) if SEGMENT_LABELS[one["key"]].is_blood]
    try:
        for kind in KINDS:
            if message.get(kind.field):
                array = np.load(folder / message[kind.field], mmap_mode="r")
                layers = [array[n] for n in blood] if kind.field == "maps" else [array]
                image, digest = yield from _image(layers)
                nodes[kind.field] = _addVolume(message["result"]["provenance"], image, kind, volumeNode)
                nodes[kind.field].SetAttribute(DIGEST, digest)
                yield
    except BaseException:
        remove(nodes)
        raise
    return nodes


def findReplaced(nodes: dict[str, Any]) -> Steps:
    """The maps of earlier runs that new ones replace: same CT, kind and method, nobody renamed or changed them.

    Returns:
        Pairs (old node, new node).
    """
    pairs = []
    for new in nodes.values():
        for old in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            isSame = old.GetNodeReferenceID(VOLUME_ROLE) == new.GetNodeReferenceID(VOLUME_ROLE) and all(
                old.GetAttribute(name) == new.GetAttribute(name) for name in (MAP, METHOD)
            )
            if old is new or not isSame or old.GetName() != old.GetAttribute(NAME) or old.GetImageData() is None:
                continue
            voxels = slicer.util.arrayFromVolume(old)
            digest = 0
            for chunk in chunks(voxels):
                digest = _digest(voxels[chunk], digest)
                yield
            if str(digest) == old.GetAttribute(DIGEST):
                pairs.append((old, new))
    return pairs


def replace(pairs: Sequence[tuple[Any, Any]]) -> None:
    """Let new maps take the names of old ones, which go."""
    for old, new in reversed(pairs):  # so that of several the oldest, which is not counted, gives its name
        name = old.GetName()
        remove({"": old})
        new.SetName(name)
        new.SetAttribute(NAME, name)


def attach(resultNode: slicer.vtkMRMLTextNode, nodes: dict[str, Any]) -> None:
    """Let a result know its maps, also after saving the scene."""
    for field, node in nodes.items():
        resultNode.SetNodeReferenceID(field, node.GetID())


def remove(nodes: dict[str, Any]) -> None:
    """Take maps out of the scene."""
    for node in nodes.values():
        slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
        slicer.mrmlScene.RemoveNode(node)


class MapView:
    """The box "Overlay" of the panel: which map of the shown result lies over the CT.

    Args:
        ui: The panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._resultNode: Any | None = None
        ui.mapComboBox.connect("currentIndexChanged(int)", self._onChosen)
        ui.mapsCheckBox.connect("clicked(bool)", self._onWanted)

    def show(self, resultNode: Any | None, *, choose: bool) -> None:
        """Offer the maps of a result; `choose` lays the first one over the CT."""
        self._resultNode = resultNode
        kinds = [kind for kind in KINDS if resultNode is not None and resultNode.GetNodeReference(kind.field)]
        box = self._ui.mapComboBox
        blocked = box.blockSignals(True)
        box.clear()
        box.addItem(_("None"), "")
        for kind in kinds:
            box.addItem(kind.title, kind.field)
        shown = [kind.field for kind in kinds if views.foreground() is resultNode.GetNodeReference(kind.field)]
        if choose and kinds:
            shown = [kinds[0].field]
        box.setCurrentIndex(max(0, box.findData(shown[0])) if shown else 0)
        box.blockSignals(blocked)
        for widget in (box, self._ui.mapLabel):
            widget.setVisible(bool(kinds))
        if choose:
            self._onChosen(0)

    def _onWanted(self, wanted: bool) -> None:
        """The user's click: what is there is shown or hidden at once, what is not comes with the next run."""
        self._ui.mapComboBox.setCurrentIndex(1 if wanted and self._ui.mapComboBox.count > 1 else 0)

    def _onChosen(self, _index: int) -> None:
        field = self._ui.mapComboBox.currentData
        node = self._resultNode.GetNodeReference(field) if self._resultNode is not None and field else None
        current = views.foreground()
        if node is not None or (current is not None and current.GetAttribute(MAP)):
            views.showForeground(node, OPACITY)  # a foreground of the user's own stays


def _image(layers: Sequence[np.ndarray]) -> Steps:
    """float (slices, rows, columns) arrays as one VTK image of their highest values, a chunk a step.

    Returns:
        The image and the checksum of its voxels.
    """
    image = vtk.vtkImageData()
    image.SetDimensions(*layers[0].shape[::-1])
    image.AllocateScalars(vtk.VTK_FLOAT, 1)
    voxels = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(layers[0].shape)
    digest = 0
    for chunk in chunks(voxels):
        voxels[chunk] = layers[0][chunk]
        for layer in layers[1:]:
            np.maximum(voxels[chunk], layer[chunk], out=voxels[chunk])
        digest = _digest(voxels[chunk], digest)
        yield
    return image, str(digest)


def _digest(voxels: np.ndarray, start: int) -> int:
    """Checksum of voxels that follow others whose checksum is `start`."""
    return zlib.crc32(np.ascontiguousarray(voxels), start)


def _addVolume(
    provenance: dict[str, Any], image: vtk.vtkImageData, kind: Kind, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLScalarVolumeNode:
    scene = slicer.mrmlScene
    name = f"{volumeNode.GetName()} {kind.title.lower()} ({provenance['title']})"
    if scene.GetFirstNodeByName(name) is not None:
        name = scene.GenerateUniqueName(name)
    display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetAutoWindowLevel(False)  # before the voxels come, or they are searched for their range
    display.SetWindowLevelMinMax(kind.lowest, 1.0)
    display.SetThreshold(kind.lowest + MIN_SHOWN, 1.0)
    display.SetApplyThreshold(True)
    display.SetAndObserveColorNodeID(f"vtkMRMLColorTableNode{kind.color}")
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    ijkToRas = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijkToRas)
    node.SetIJKToRASMatrix(ijkToRas)
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetAttribute(MAP, kind.field)
    node.SetAttribute(METHOD, f"{provenance['method']} {provenance.get('detector', '')}".strip())
    node.SetAttribute(NAME, name)
    node.SetNodeReferenceID(VOLUME_ROLE, volumeNode.GetID())
    node.SetAndObserveDisplayNodeID(display.GetID())
    node.SetAndObserveImageData(image)
    putBeside(volumeNode, node)
    return node
