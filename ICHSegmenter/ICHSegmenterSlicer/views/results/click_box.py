"""Clicks into the views: on missed blood they show what would be added, on a finding they remove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from ICHSegmenterLib.editing.region_growing import GrownRegion, grow_region
from ICHSegmenterLib.errors import GrowingError
from ICHSegmenterSlicer.scene import maps
from ICHSegmenterSlicer.scene.nodes import isInScene
from ICHSegmenterSlicer.scene.results.findings import Finding
from ICHSegmenterSlicer.scene.results.outline import Outline
from ICHSegmenterSlicer.scene.volumes import RAS_TO_LPS, geometryOf
from ICHSegmenterSlicer.views.point_picker import PointPicker

PREVIEW_COLOR = (0.35, 1.0, 0.35)
ADD_KEYS = ("Return", "Enter")
DISCARD_KEYS = ("Esc",)


class ClickView:
    """The button and the frame of what would be added.

    Args:
        ui: The panel's widgets by name.
        reject: Called with a finding that was clicked.
        add: Called with mask, start, and the volume, of blood to be added.
    """

    def __init__(
        self,
        ui: Any,
        reject: Callable[[Finding], None],
        add: Callable[[np.ndarray, tuple[int, int, int], slicer.vtkMRMLScalarVolumeNode], None],
    ) -> None:
        self._ui = ui
        self._reject = reject
        self._add = add
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        self._volumeNode: slicer.vtkMRMLScalarVolumeNode | None = None
        self._findings: Sequence[Finding] = ()
        self._seed: tuple[int, int, int] | None = None
        self._preview: tuple[np.ndarray, tuple[int, int, int]] | None = None
        self.outline = Outline("ICHSegmenter preview", PREVIEW_COLOR)
        self._picker = PointPicker(self._onPoint, lambda: ui.clickButton.setChecked(False))
        ui.clickButton.connect("toggled(bool)", self._onToggled)
        ui.extentSlider.connect("valueChanged(double)", lambda _value: self._grow())
        ui.addButton.connect("clicked()", self.add)
        ui.discardButton.connect("clicked()", self.discard)
        self._shortcuts = []
        for keys, action in ((ADD_KEYS, self.add), (DISCARD_KEYS, self.discard)):
            for key in keys:
                # The window's: the focus is in the view that was clicked. A hidden frame takes no keys.
                shortcut = qt.QShortcut(qt.QKeySequence(key), ui.growFrame)
                shortcut.connect("activated()", action)
                self._shortcuts.append(shortcut)
        ui.growFrame.setVisible(False)

    @property
    def isPreviewing(self) -> bool:
        """True while something is shown that would be added."""
        return self._preview is not None

    def follow(
        self,
        resultNode: slicer.vtkMRMLTextNode | None,
        volumeNode: slicer.vtkMRMLScalarVolumeNode | None,
        listed: Sequence[Finding],
    ) -> None:
        """Take another result, or its findings as they are now."""
        if resultNode is not self._resultNode:
            self.stop()
        self._resultNode, self._volumeNode, self._findings = resultNode, volumeNode, listed

    def stop(self) -> None:
        """Take no more clicks, and add nothing."""
        self._ui.clickButton.setChecked(False)
        self.discard()

    def add(self) -> None:
        """Add what is shown."""
        if self._preview is not None:
            mask, start = self._preview
            self.discard()
            self._add(mask, start, self._volumeNode)

    def discard(self) -> None:
        """Show nothing that would be added."""
        self._seed = self._preview = None
        self.outline.clear()
        self._ui.growFrame.setVisible(False)

    def _onToggled(self, checked: bool) -> None:
        if checked:
            self._picker.start()
        else:
            self._picker.stop()
            self.discard()

    def _onPoint(self, pointRas: np.ndarray) -> None:
        if not isInScene(self._volumeNode):
            return
        geometry = geometryOf(self._volumeNode)
        column, row, slice_ = (int(index) for index in np.rint(geometry.lps_to_ijk(pointRas * RAS_TO_LPS)))
        self.discard()
        voxel = (slice_, row, column)
        if not all(0 <= position < size for position, size in zip(voxel, geometry.shape, strict=True)):
            return
        clicked = next((finding for finding in self._findings if finding.contains(voxel)), None)
        if clicked is not None:
            self._reject(clicked)
            return
        self._seed = voxel
        self._grow()

    def _grow(self) -> None:
        """Show what would be added from the voxel that was clicked, at this extent."""
        if self._seed is None:
            return
        hu, geometry = slicer.util.arrayFromVolume(self._volumeNode), geometryOf(self._volumeNode)
        spacing = (geometry.slice_step_mm, *geometry.pixel_spacing_mm)
        self._preview = None
        try:
            region = grow_region(
                hu, self._seed, spacing, blood_map=self._map(hu.shape), extent=float(self._ui.extentSlider.value)
            )
        except GrowingError as error:
            self._say(_refusal(error))
            return
        mask = self._withoutOutlined(region)
        if not mask.any():
            self._say(_("All of this is outlined already."))
            return
        volumeMl = float(mask.sum(axis=(1, 2)) @ geometry.voxel_volumes_mm3[region.start[0] :][: len(mask)]) / 1000
        self._preview = (mask, region.start)
        self.outline.show(mask, region.start, self._volumeNode)
        self._say(_text(region, volumeMl))

    def _say(self, text: str) -> None:
        if self._preview is None:
            self.outline.clear()
        self._ui.growLabel.setText(text)
        self._ui.addButton.setEnabled(self._preview is not None)
        self._ui.growFrame.setVisible(True)

    def _map(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """The method's map on the grid of the exam, None without."""
        node = self._resultNode.GetNodeReference(maps.SOFT_MAP) if self._resultNode is not None else None
        voxels = slicer.util.arrayFromVolume(node) if node is not None and node.GetImageData() is not None else None
        return voxels if voxels is not None and voxels.shape == shape else None

    def _withoutOutlined(self, region: GrownRegion) -> np.ndarray:
        """The mask of a region without the voxels of findings."""
        mask = region.mask.copy()
        for finding in self._findings:
            low = [max(a, b) for a, b in zip(region.start, finding.start, strict=True)]
            high = [
                min(a + n, b + m)
                for a, n, b, m in zip(region.start, mask.shape, finding.start, finding.mask.shape, strict=True)
            ]
            if all(first < last for first, last in zip(low, high, strict=True)):
                own, other = (
                    tuple(slice(first - at, last - at) for first, last, at in zip(low, high, start, strict=True))
                    for start in (region.start, finding.start)
                )
                mask[own] &= ~finding.mask[other]
        return mask


def _text(region: GrownRegion, volumeMl: float) -> str:
    text = _("{volume:.1f} mL denser than {edge:.0f} HU (click {seed:.0f}, around {background:.0f} HU)").format(
        volume=volumeMl, edge=region.edge_hu, seed=region.seed_hu, background=region.background_hu
    )
    return text + "<br>" + _("⚠ It may go on farther than was looked.") if region.is_cut else text


def _refusal(error: GrowingError) -> str:
    if not error.densities:
        return _("⚠ There is no skull around this point. Click on blood inside the skull.")
    seed, background = error.densities
    return _(
        "⚠ {seed:.0f} HU here, {background:.0f} HU around: too little contrast to find an edge. Click into the densest "
        "part, or draw it in Segment Editor."
    ).format(seed=seed, background=background)
