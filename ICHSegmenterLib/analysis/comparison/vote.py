"""The majority vote of several methods as a result of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ICHSegmenterLib.analysis import labelmap, provenance
from ICHSegmenterLib.analysis.analyze import measured
from ICHSegmenterLib.analysis.border import as_acquired
from ICHSegmenterLib.analysis.comparison.compare import Comparison
from ICHSegmenterLib.labels import ANY, ICH
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.results import (
    AnalysisResult,
    DetectionResult,
    SegmentationResult,
    SliceDetection,
    key_slice_of,
)
from ICHSegmenterLib.verdict import Assessment, VerdictCode
from ICHSegmenterLib.volume.volume import Volume


def vote_result(comparison: Comparison, volume: Volume) -> AnalysisResult:
    """Majority of several methods: the value of a slice is the fraction of the methods that find it positive.

    Args:
        comparison: Holds at least one result.
        volume: The exam that was compared.

    Raises:
        ValueError: No method gave a result.
    """
    results = list(comparison.results.values())
    if not results:
        raise ValueError("no method gave a result to vote on")
    view = AxialView.at_border(volume.geometry)
    axial = view.volume(volume)
    segmentation = None
    blood_ml = np.zeros(len(results[0].detection.slices))
    if comparison.outlining:
        voxels = np.ascontiguousarray(view.apply(comparison.vote.astype(np.uint8)))
        segmentation = SegmentationResult(voxels, axial.geometry, (ICH,))
        blood_ml = labelmap.blood_per_slice_ml(segmentation)
    detection = _detection([one.detection for one in results], blood_ml.tolist())
    result = AnalysisResult(
        geometry=results[0].geometry,
        detection=detection,
        segmentation=segmentation,
        measurements=() if segmentation is None else labelmap.measure(segmentation, axial),
        provenance=provenance.of_vote([one.provenance for one in results]),
        assessment=_assessment([one.assessment for one in results], detection),
    )
    return as_acquired(measured(result, axial), view, volume)


def _detection(votes: Sequence[DetectionResult], blood_ml: Sequence[float]) -> DetectionResult:
    majority = (len(votes) // 2 + 1) / len(votes)
    slices = []
    for opinions, blood in zip(zip(*(one.slices for one in votes), strict=True), blood_ml, strict=True):
        value = sum(one.is_positive for one in opinions) / len(votes)
        slices.append(
            SliceDetection(opinions[0].index, opinions[0].position_mm, {ANY: value}, value >= majority, blood)
        )
    exam = sum(one.is_positive for one in votes) / len(votes)
    return DetectionResult(tuple(slices), {ANY: exam}, majority, key_slice_of(slices))


def _assessment(votes: Sequence[Assessment], detection: DetectionResult) -> Assessment:
    """The verdict of most: suspected if most suspect, possible if most find something, else none found."""
    suspecting = sum(one.code is VerdictCode.SUSPECTED for one in votes) / len(votes)
    code = VerdictCode.NONE_FOUND
    if detection.is_positive:
        code = VerdictCode.SUSPECTED if suspecting >= detection.threshold else VerdictCode.POSSIBLE
    caps = tuple(dict.fromkeys(cap for one in votes for cap in one.caps))
    value = float(detection.exam_probabilities[ANY])
    return Assessment(code, value, detection.threshold, detection.threshold, caps=caps)
