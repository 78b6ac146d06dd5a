"""The own threshold and the operating point: they re-cut the result that is shown, a moment after they were changed."""

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
        recut: Called then.
    """

    def __init__(self, recut: Callable[[], None]) -> None:
        self._last: tuple[bool, float, str] | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.connect("timeout()", recut)

    def follow(self, parameters: ICHSegmenterParameters) -> None:
        """Look whether the threshold was moved, or another operating point was chosen."""
        now = (parameters.useThreshold, parameters.threshold, parameters.operatingPoint)
        before, self._last = self._last, now
        if before is None or before == now:
            return
        if before[2] == now[2] and not (before[0] or now[0]):
            return
        self._timer.start()

    def again(self) -> None:
        """Ask once more: it was moved while a run was on."""
        self._timer.start()

    def forget(self) -> None:
        """Take what comes next as given: another scene."""
        self._timer.stop()
        self._last = None


def recutRequest(result: StoredResult, parameters: ICHSegmenterParameters) -> AnalysisRequest | None:
    """The request of a result with threshold and operating point of the panel; None if it has these, or no map."""
    provenance, card = result.analysis.provenance, method_cards().get(result.analysis.provenance.method)
    if card is None or card.threshold is None or not result.labels or result.agreement is not None:
        return None
    target = parameters.threshold if parameters.useThreshold else card.threshold
    assessment = result.analysis.assessment
    isSamePoint = assessment.operating_point.value == parameters.operatingPoint
    if provenance.threshold is None or (isSamePoint and abs(provenance.threshold - target) < TOLERANCE):
        return None
    return AnalysisRequest(
        method=card.name,
        detector=provenance.detector,
        options=dict(provenance.options),
        detector_options=dict(provenance.detector_options),
        threshold=target if parameters.useThreshold else None,
        operating_point=parameters.operatingPoint,
        min_volume_ml=assessment.min_volume_ml,
        device=provenance.device,
    )
