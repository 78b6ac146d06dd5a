"""Threshold, smallest piece and operating point: the outline follows at once, the result a moment after a change."""

from __future__ import annotations

from collections.abc import Callable

import qt

from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterSlicer.parameters import ICHSegmenterParameters
from ICHSegmenterSlicer.scene.results.stored_result import StoredResult

SETTLE_MS = 400
"""A slider is moved in many small steps."""
TOLERANCE = 1e-3
"""Less than the slider can be moved by."""


class ThresholdWatch:
    """Asks for a new cut when the threshold has settled.

    Args:
        moved: Called at once with the threshold (None if the result has none, or this one) and the minimum volume.
        recut: Called then.
    """

    def __init__(self, moved: Callable[[float | None, float], None], recut: Callable[[], None]) -> None:
        self._last: tuple[bool, float, float, str] | None = None
        self._moved = moved
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.connect("timeout()", recut)

    def follow(self, parameters: ICHSegmenterParameters) -> None:
        """Look whether the threshold or the smallest piece was moved, or another operating point was chosen."""
        now = (parameters.useThreshold, parameters.threshold, parameters.minVolumeMl, parameters.operatingPoint)
        before, self._last = self._last, now
        if before is None or before == now or (before[2:] == now[2:] and not (before[0] or now[0])):
            return
        self._moved(cutThreshold(parameters), parameters.minVolumeMl)
        self._timer.start()

    def again(self) -> None:
        """Ask once more: it was moved while a run was on."""
        self._timer.start()

    def forget(self) -> None:
        """Take what comes next as given: another scene."""
        self._timer.stop()
        self._last = None


def recutRequest(parameters: ICHSegmenterParameters | None) -> AnalysisRequest | None:
    """The request of the shown result with what the panel holds now; None if it has that already, or no map."""
    if parameters is None or parameters.result is None:
        return None
    result = StoredResult.fromNode(parameters.result)
    provenance, card = result.analysis.provenance, method_cards().get(result.analysis.provenance.method)
    if card is None or card.threshold is None or not result.labels or result.agreement is not None:
        return None
    target = parameters.threshold if parameters.useThreshold else card.threshold
    assessment = result.analysis.assessment
    isSame = abs(assessment.min_volume_ml - parameters.minVolumeMl) < TOLERANCE
    isSame = isSame and assessment.operating_point.value == parameters.operatingPoint
    if provenance.threshold is None or (isSame and abs(provenance.threshold - target) < TOLERANCE):
        return None
    return AnalysisRequest(
        method=card.name,
        detector=provenance.detector,
        options=dict(provenance.options),
        detector_options=dict(provenance.detector_options),
        threshold=target if parameters.useThreshold else None,
        operating_point=parameters.operatingPoint,
        min_volume_ml=parameters.minVolumeMl,
        device=provenance.device,
    )


def cutThreshold(parameters: ICHSegmenterParameters) -> float | None:
    """The threshold at which the shown result would be cut now, None if it has none."""
    request = recutRequest(parameters)
    if request is None:
        return None
    return parameters.threshold if parameters.useThreshold else method_cards()[request.method].threshold
