"""The majority vote of several methods as a result of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

import numpy as np

from ICHSegmenterLib import __version__
from ICHSegmenterLib.analysis import labelmap
from ICHSegmenterLib.analysis.analyze import as_acquired
from ICHSegmenterLib.analysis.compare import Comparison
from ICHSegmenterLib.labels import ANY, ICH
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.results import (
    AnalysisResult,
    DetectionResult,
    Provenance,
    SegmentationResult,
    SliceDetection,
)
from ICHSegmenterLib.volume.volume import Volume

METHOD = "vote"


def vote_result(comparison: Comparison, volume: Volume) -> AnalysisResult:
    """What most methods say: the value of a slice is the fraction of the methods that find it positive.

    Args:
        comparison: Holds at least one result.
        volume: The exam that was compared.

    Raises:
        ValueError: No method gave a result.
    """
    results = list(comparison.results.values())
    if not results:
        raise ValueError("no method gave a result to vote on")
    view = AxialView.of(volume.geometry)
    axial = volume if view.keeps_slices else view.volume(volume)
    segmentation = None
    blood_ml = np.zeros(len(results[0].detection.slices))
    if comparison.outlining:
        vote = np.asarray(comparison.vote, dtype=np.uint8)
        voxels = vote if view.keeps_slices else np.ascontiguousarray(view.apply(vote))
        segmentation = SegmentationResult(voxels, axial.geometry, (ICH,))
        blood_ml = labelmap.blood_per_slice_ml(segmentation)
    result = AnalysisResult(
        geometry=results[0].geometry,
        detection=_detection([one.detection for one in results], blood_ml.tolist()),
        segmentation=segmentation,
        measurements=() if segmentation is None else labelmap.measure(segmentation, axial),
        provenance=_provenance([one.provenance for one in results]),
    )
    return result if view.keeps_slices else as_acquired(result, view, volume)


def _detection(votes: Sequence[DetectionResult], blood_ml: Sequence[float]) -> DetectionResult:
    majority = (len(votes) // 2 + 1) / len(votes)
    slices = []
    for opinions, blood in zip(zip(*(one.slices for one in votes), strict=True), blood_ml, strict=True):
        value = sum(one.is_positive for one in opinions) / len(votes)
        slices.append(
            SliceDetection(opinions[0].index, opinions[0].position_mm, {ANY: value}, value >= majority, blood)
        )
    key = max(slices, key=lambda one: (one.is_positive, one.blood_ml, one.probabilities[ANY]))
    exam = sum(one.is_positive for one in votes) / len(votes)
    return DetectionResult(tuple(slices), {ANY: exam}, majority, key.index)


def _provenance(of_methods: Sequence[Provenance]) -> Provenance:
    return Provenance(
        method=METHOD,
        title=f"Majority vote of {len(of_methods)}",
        version=__version__,
        device=" and ".join(dict.fromkeys(one.device for one in of_methods)),
        precision=" and ".join(dict.fromkeys(one.precision for one in of_methods)),
        value_name="score",
        seconds={one.method: round(sum(one.seconds.values()), 3) for one in of_methods},
        warnings=tuple(dict.fromkeys(warning for one in of_methods for warning in one.warnings)),
        series_uid=of_methods[0].series_uid,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
