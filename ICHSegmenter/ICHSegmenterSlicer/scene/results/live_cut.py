"""The outline at a threshold that is still moved: cut from the map that the scene holds, within a frame or two.

What is shown is a preview: the worker's cut, with the method's own rules, follows when the threshold has settled.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import slicer
from scipy import ndimage

from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterSlicer.scene.results.outline import Outline
from ICHSegmenterSlicer.scene.volumes import geometryOf

LOWEST = 0.01
"""Values below the lowest threshold that can be chosen are never outlined."""
BLOCK = 2
"""Pieces are told apart on blocks of two by two pixels: that takes a quarter of the time."""
COLOR = (1.0, 0.55, 0.0)


class LiveCut:
    """The outline of a map at a threshold, in place of the segments that the run made.

    Segments that a person edited stay as they are; the others are hidden in the slice views meanwhile.
    """

    def __init__(self) -> None:
        self.outline = Outline("ICHSegmenter threshold", COLOR)
        self._version = 0
        self._box: tuple[slice, slice, slice] | None = None
        self._volumes = np.zeros(0)
        self._hidden: tuple[slicer.vtkMRMLSegmentationNode, tuple[str, ...]] | None = None

    def show(
        self,
        mapNode: slicer.vtkMRMLScalarVolumeNode,
        threshold: float,
        minVolumeMl: float,
        segmentationNode: slicer.vtkMRMLSegmentationNode | None,
        unedited: Iterable[str],
    ) -> None:
        """Outline a map.

        Args:
            mapNode: Values 0 to 1.
            threshold: From which they are outlined.
            minVolumeMl: Of a piece.
            segmentationNode: The segments of the result.
            unedited: Identifiers of those that nobody edited.
        """
        self._measure(mapNode)
        if self._hidden is None and segmentationNode is not None:
            self._hidden = (segmentationNode, tuple(unedited))
            self._setVisible(False)
        if self._box is None:
            self.outline.clear()
            return
        values = slicer.util.arrayFromVolume(mapNode)[self._box]
        mask = values >= threshold
        if minVolumeMl > 0:
            _removeSmall(mask, self._volumes[self._box[0]], minVolumeMl)
        self.outline.show(mask, [axis.start for axis in self._box], mapNode)

    def clear(self) -> None:
        """Show the segments again."""
        self.outline.clear()
        if self._hidden is not None:
            self._setVisible(True)
            self._hidden = None

    def _setVisible(self, isVisible: bool) -> None:
        node, names = self._hidden
        display = node.GetDisplayNode() if node.GetScene() is not None else None
        for name in names if display is not None else ():
            display.SetSegmentVisibility2DFill(name, isVisible)
            display.SetSegmentVisibility2DOutline(name, isVisible)

    def _measure(self, mapNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """The box of a map's values, once for each map."""
        version = mapNode.GetImageData().GetMTime()
        if version == self._version:
            return
        values = slicer.util.arrayFromVolume(mapNode)
        inSlices = np.array([plane.max() >= LOWEST for plane in values])
        self._version, self._box = version, None
        self._volumes = geometryOf(mapNode).voxel_volumes_mm3 / 1000
        if not inSlices.any():
            return
        extent = slice(int(inSlices.argmax()), len(inSlices) - int(inSlices[::-1].argmax()))
        inPlane = np.zeros(values.shape[1:], bool)
        for plane in values[extent]:
            inPlane |= plane >= LOWEST
        (rows, columns), *_ = ndimage.find_objects(inPlane.astype(np.uint8))
        self._box = (extent, rows, columns)


def _removeSmall(mask: np.ndarray, volumesMl: np.ndarray, minVolumeMl: float) -> None:
    """Take pieces of less than so many mL out of a mask; what is a pixel apart counts as one piece."""
    slices, rows, columns = mask.shape
    counts = np.zeros((slices, -(-rows // BLOCK), -(-columns // BLOCK)), np.uint8)
    parts = [(slice(None), slice(down, None, BLOCK), slice(right, None, BLOCK)) for down in (0, 1) for right in (0, 1)]
    for part in parts:
        own = mask[part]
        counts[:, : own.shape[1], : own.shape[2]] += own
    labels, count = ndimage.label(counts, structure=CONNECTIVITY_26)
    if not count:
        return
    volumes = np.zeros(count + 1)
    for plane, pixels, ofVoxel in zip(labels, counts, volumesMl, strict=True):
        if plane.any():
            volumes += np.bincount(plane.ravel(), pixels.ravel(), count + 1) * ofVoxel
    kept = volumes >= minVolumeMl
    kept[0] = True
    if not kept.all():
        isKept = kept[labels]
        for part in parts:
            own = mask[part]
            own &= isKept[:, : own.shape[1], : own.shape[2]]
