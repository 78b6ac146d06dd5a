"""The box "Advanced" of the panel: a second method that detects, the mirror image, the maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ICHSegmenterLib.cards.pairs import can_be_named, detectors
from ICHSegmenterLib.cards.table import ModelCard, get_card
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.request import MAP, AnalysisRequest
from ICHSegmenterLib.verdict import OperatingPoint
from ICHSegmenterLib.weights import store
from ICHSegmenterSlicer.parameters import ICHSegmenterParameters
from ICHSegmenterSlicer.views.method import itemText, stateText
from ICHSegmenterSlicer.views.whole_text import setWholeText

MIRROR_OPTION = "tta"


class OptionsView:
    """Options of a run, as far as the method has them.

    Args:
        ui: The panel's widgets by name.
        changed: Called when another detector was selected.
    """

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self._ui = ui
        self._changed = changed
        ui.detectorComboBox.addItem(_("Same method"), "")
        self._offerDetectors()
        ui.detectorComboBox.connect("currentIndexChanged(int)", lambda _index: changed())
        ui.operatingPointComboBox.addItem(_("All possible (screening)"), OperatingPoint.SCREENING.value)
        ui.operatingPointComboBox.addItem(_("Nearly certain (confirming)"), OperatingPoint.CONFIRMING.value)
        ui.operatingPointComboBox.connect("currentIndexChanged(int)", lambda _index: changed())

    @property
    def selectedDetector(self) -> str:
        """The detector in the box, whether the method can use it or not."""
        return self._ui.detectorComboBox.currentData

    @property
    def operatingPoint(self) -> str:
        """Name of the operating point in the box."""
        return self._ui.operatingPointComboBox.currentData

    def choose(self, detector: str, operatingPoint: str) -> None:
        """Show a detector and an operating point, as a loaded scene holds them."""
        for box, data in ((self._ui.detectorComboBox, detector), (self._ui.operatingPointComboBox, operatingPoint)):
            blocked = box.blockSignals(True)
            box.setCurrentIndex(max(0, box.findData(data)))
            box.blockSignals(blocked)

    def detector(self, card: ModelCard) -> str:
        """The detector of a run of this method, empty for the method itself."""
        return self.selectedDetector if can_be_named(card) and self.selectedDetector != card.name else ""

    def requestOptions(self, card: ModelCard) -> dict[str, Any]:
        """Options of a method as they are checked, those that it has."""
        isMirrored = self._ui.mirrorCheckBox.checked and MIRROR_OPTION in card.option_values
        return {MIRROR_OPTION: True} if isMirrored else {}

    def request(
        self, parameters: ICHSegmenterParameters, card: ModelCard, device: str, *, keepsMaps: bool
    ) -> AnalysisRequest:
        """What a run with this method asks for, as the panel is set.

        Args:
            parameters: Of the panel.
            card, device: The method and the processor.
            keepsMaps: Let the maps come too.
        """
        detector = self.detector(card)
        return AnalysisRequest(
            method=card.name,
            detector=detector,
            options=self.requestOptions(card),
            detector_options=self.requestOptions(get_card(detector)) if detector else {},
            threshold=parameters.threshold if parameters.useThreshold else None,
            min_volume_ml=parameters.minVolumeMl,
            operating_point=parameters.operatingPoint,
            device=device,
            outputs=(MAP,) if keepsMaps and hasMap(card) else (),
        )

    def whyNot(self, card: ModelCard) -> str:
        """The reason why the detector cannot run, empty if it can."""
        detector = self.detector(card)
        if not detector or store.is_ready(get_card(detector)):
            return ""
        return _("The detector is not ready ({state}): choose it as method to get what it needs").format(
            state=stateText(get_card(detector))
        )

    def update(self, card: ModelCard, *, busy: bool) -> None:
        """Offer what this method has."""
        ui = self._ui
        self._offerDetectors()
        ui.detectorComboBox.setEnabled(can_be_named(card) and not busy)
        for row in range(1, ui.detectorComboBox.count):
            other = get_card(ui.detectorComboBox.itemData(row))
            ui.detectorComboBox.setItemText(row, itemText(other))
        setWholeText(ui.detectorComboBox, ui.detectorComboBox.currentText)
        detector = self.detector(card)
        cards = (card, get_card(detector)) if detector else (card,)
        ui.mirrorCheckBox.setEnabled(any(MIRROR_OPTION in usable.option_values for usable in cards) and not busy)
        ui.mapsCheckBox.setEnabled(hasMap(card) and not busy)
        ui.operatingPointComboBox.setEnabled(bool(card.labels) and not busy)

    def _offerDetectors(self) -> None:
        """List the methods that name subtypes; adds and removes those of cards that came or went."""
        box, cards = self._ui.detectorComboBox, {card.name: card for card in detectors()}
        blocked = box.blockSignals(True)
        for row in reversed(range(1, box.count)):
            if box.itemData(row) not in cards:
                box.removeItem(row)
        for card in cards.values():
            if box.findData(card.name) < 0:
                box.addItem(card.title, card.name)
        box.blockSignals(blocked)


def hasMap(card: ModelCard) -> bool:
    """True if it outlines by a map, or shows where its encoder is active."""
    return bool(card.labels) or isinstance(card.preprocessing, SmartNetPreprocessing)
