"""Maps, uncertainty and activation as volumes on the grid of the CT; hidden from lists until one is looked at."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util import numpy_support

from ICHSegmenterLib.results import Provenance
from ICHSegmenterSlicer.client.answer import Answer
from ICHSegmenterSlicer.client.steps import Steps
from ICHSegmenterSlicer.scene import map_colors
from ICHSegmenterSlicer.scene.volumes import chunks, matrixOf, putBeside

MIN_SHOWN = 0.05
"""Values less than this above nothing let the CT through."""
SOFT_MAP, UNCERTAINTY, ACTIVATION = "maps", "uncertainty", "activation"
MAP, METHOD, NAME, DIGEST = (f"ICHSegmenter.{name}" for name in ("map", "method", "name", "digest"))
"""Node attributes: the field that a map was, the method, and name and checksum of the voxels as the run made them."""
MAX_KEPT_BYTES = 2_000_000_000
"""A run keeps its maps unless the worker would have to write more than this: 300 slices of five labels are kept."""
VOLUME_ROLE = "ICHSegmenter.volume"
"""Reference role: from a map to its CT."""


@dataclass(frozen=True)
class MapKind:
    """A kind of map.

    Attributes:
        field: Name in the worker's answer; also the role of the reference from the result node to the volume.
        color: Name of one of Slicer's color tables, empty for our own.
        lowest: Value that means nothing; the window reaches from it to 1.
    """

    field: str
    color: str
    lowest: float = 0.0

    @property
    def title(self) -> str:
        titles = {SOFT_MAP: _("Map"), UNCERTAINTY: _("Uncertainty"), ACTIVATION: _("Activation map")}
        return titles[self.field]


KINDS = (
    MapKind(SOFT_MAP, ""),
    MapKind(UNCERTAINTY, "Ocean"),
    MapKind(ACTIVATION, "", lowest=0.5),  # the sigmoid of features that are never negative
)


MapNodes = dict[str, slicer.vtkMRMLScalarVolumeNode]
"""Field of a kind of map to its volume."""

ReplacedMap = tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLScalarVolumeNode]
"""An old node and the new one that replaces it."""


def importMaps(answer: Answer, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Steps[MapNodes]:
    """Make a volume of each map in a worker's answer, on the grid of the CT.

    Of several labels the highest value of those that are blood is taken; edema is none. Closing the generator
    half-way takes back what was made.
    """
    nodes: MapNodes = {}
    try:
        for kind in KINDS:
            layers = _layers(answer, kind)
            if layers:
                image, digest = yield from _image(layers)
                nodes[kind.field] = _addVolume(answer.result.provenance, image, kind, volumeNode)
                nodes[kind.field].SetAttribute(DIGEST, digest)
                yield
    except BaseException:
        remove(nodes)
        raise
    return nodes


def findReplaced(nodes: MapNodes) -> Steps[list[ReplacedMap]]:
    """The maps of earlier runs that new ones replace: same CT, kind and method, nobody renamed or changed them."""
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


def replace(pairs: Sequence[ReplacedMap]) -> None:
    """Let new maps take the names of old ones, which go."""
    for old, new in reversed(pairs):  # so that of several the oldest, which is not counted, gives its name
        name = old.GetName()
        remove({"": old})
        new.SetName(name)
        new.SetAttribute(NAME, name)


def canBeKept(volumeNode: slicer.vtkMRMLScalarVolumeNode, labels: int) -> bool:
    """True if the maps of so many labels on the grid of a volume are small enough to be kept without being asked."""
    return 4 * max(1, labels) * volumeNode.GetImageData().GetNumberOfPoints() <= MAX_KEPT_BYTES


def removeUnseen(volumeNode: slicer.vtkMRMLScalarVolumeNode, kept: MapNodes) -> None:
    """Take the maps of earlier runs on a volume out of the scene, those that nobody looked at."""
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        isOfVolume = node.GetAttribute(MAP) and node.GetNodeReferenceID(VOLUME_ROLE) == volumeNode.GetID()
        if isOfVolume and node.GetHideFromEditors() and node not in kept.values():
            remove({"": node})


def attach(resultNode: slicer.vtkMRMLTextNode, nodes: MapNodes) -> None:
    """Reference the maps from their result, also after saving the scene."""
    for field, node in nodes.items():
        resultNode.SetNodeReferenceID(field, node.GetID())


def setLowest(mapNode: slicer.vtkMRMLScalarVolumeNode, value: float | None) -> None:
    """Let the CT through where a map is below a value; None: where it says nothing."""
    lowest = next(kind.lowest for kind in KINDS if kind.field == mapNode.GetAttribute(MAP)) + MIN_SHOWN
    mapNode.GetDisplayNode().SetThreshold(lowest if value is None else max(lowest, value), 1.0)


def remove(nodes: MapNodes) -> None:
    """Take maps out of the scene."""
    for node in nodes.values():
        slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
        slicer.mrmlScene.RemoveNode(node)


def _layers(answer: Answer, kind: MapKind) -> list[np.ndarray]:
    """float (slices, rows, columns) arrays of a kind of map, none if the answer has no such map."""
    if kind.field == ACTIVATION:
        return [] if answer.activation is None else [answer.activation]
    outlined = answer.result.segmentation
    if outlined is None:
        return []
    if kind.field == UNCERTAINTY:
        return [] if outlined.uncertainty is None else [outlined.uncertainty]
    soft = outlined.soft_maps
    return [] if soft is None else [layer for label, layer in zip(outlined.labels, soft, strict=True) if label.is_blood]


def _image(layers: Sequence[np.ndarray]) -> Steps[tuple[vtk.vtkImageData, str]]:
    """float (slices, rows, columns) arrays as one VTK image of their highest values, and the checksum of its voxels."""
    image = vtk.vtkImageData()
    image.SetDimensions(*layers[0].shape[::-1])
    image.AllocateScalars(vtk.VTK_FLOAT, 1)
    voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(layers[0].shape)
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
    provenance: Provenance, image: vtk.vtkImageData, kind: MapKind, volumeNode: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLScalarVolumeNode:
    scene = slicer.mrmlScene
    name = f"{volumeNode.GetName()} {kind.title.lower()} ({provenance.title})"
    if scene.GetFirstNodeByName(name) is not None:
        name = scene.GenerateUniqueName(name)
    display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetAutoWindowLevel(False)  # before the voxels come, or they are searched for their range
    display.SetWindowLevelMinMax(kind.lowest, 1.0)
    display.SetThreshold(kind.lowest + MIN_SHOWN, 1.0)
    display.SetApplyThreshold(True)
    table = f"vtkMRMLColorTableNode{kind.color}" if kind.color else map_colors.colorNode().GetID()
    display.SetAndObserveColorNodeID(table)
    node = scene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node = scene.AddNode(node)
    node.SetIJKToRASMatrix(matrixOf(volumeNode))
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    node.SetAttribute(MAP, kind.field)
    node.SetAttribute(METHOD, f"{provenance.method} {provenance.detector}".strip())
    node.SetAttribute(NAME, name)
    node.SetNodeReferenceID(VOLUME_ROLE, volumeNode.GetID())
    node.SetAndObserveDisplayNodeID(display.GetID())
    node.SetAndObserveImageData(image)
    putBeside(volumeNode, node)
    return node
