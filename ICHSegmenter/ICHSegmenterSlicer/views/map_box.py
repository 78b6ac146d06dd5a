"""The box "Overlay" of the panel: it chooses which map of the shown result lies over the CT."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ICHSegmenterSlicer.scene import maps
from ICHSegmenterSlicer.views import slice_views as views


class MapView:
    """The box "Overlay".

    Args:
        ui: The panel's widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._resultNode: slicer.vtkMRMLTextNode | None = None
        ui.mapComboBox.connect("currentIndexChanged(int)", self._onMapSelected)
        ui.mapsCheckBox.connect("clicked(bool)", self._onShowMaps)
        ui.mapOpacitySlider.connect("valueChanged(double)", lambda _value: self._onMapSelected(0))

    def show(self, resultNode: slicer.vtkMRMLTextNode | None) -> None:
        """Offer the maps of a result, and lay the first one over the CT while the box is checked."""
        self._resultNode = resultNode
        kinds = [kind for kind in maps.KINDS if resultNode is not None and resultNode.GetNodeReference(kind.field)]
        box = self._ui.mapComboBox
        blocked = box.blockSignals(True)
        box.clear()
        box.addItem(_("None"), "")
        for kind in kinds:
            box.addItem(kind.title, kind.field)
        shown = [kind.field for kind in kinds if views.foreground() is resultNode.GetNodeReference(kind.field)]
        isRequested = not shown and bool(kinds) and self._ui.mapsCheckBox.checked
        if isRequested:
            shown = [kinds[0].field]
        box.setCurrentIndex(max(0, box.findData(shown[0])) if shown else 0)
        box.blockSignals(blocked)
        for widget in (box, self._ui.mapLabel, self._ui.mapOpacitySlider, self._ui.mapOpacityLabel):
            widget.setVisible(bool(kinds))
        if isRequested:
            self._onMapSelected(0)
        self._enableOpacity()

    def _onShowMaps(self, checked: bool) -> None:
        """The user's click: the map of the shown result is shown or hidden at once."""
        self._ui.mapComboBox.setCurrentIndex(1 if checked and self._ui.mapComboBox.count > 1 else 0)

    def _enableOpacity(self) -> None:
        """Without an overlay there is nothing to be seen through."""
        for widget in (self._ui.mapOpacitySlider, self._ui.mapOpacityLabel):
            widget.setEnabled(bool(self._ui.mapComboBox.currentData))

    def _onMapSelected(self, _index: int) -> None:
        self._enableOpacity()
        field = self._ui.mapComboBox.currentData
        node = self._resultNode.GetNodeReference(field) if self._resultNode is not None and field else None
        current = views.foreground()
        if node is not None:
            node.SetHideFromEditors(False)  # what is looked at is a volume like any other
        if node is not None or (current is not None and current.GetAttribute(maps.MAP)):
            views.showForeground(node, float(self._ui.mapOpacitySlider.value))  # a foreground of the user's own stays
