"""The one door: a head CT and a request in, detection, segmentation and measurements out.

Panel, batch, command line and evaluation all call `analyze`. Nothing here needs torch before a network is loaded.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.border import as_acquired
from ICHSegmenterLib.analysis.combine import combine
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.analysis.single_method import analyze_by_one
from ICHSegmenterLib.measuring.exam import measure_exam
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.volume import Volume


def analyze(
    volume: Volume,
    request: AnalysisRequest,
    context: RunContext | None = None,
    session: Session | None = None,
    *,
    brain_mask: NDArray[np.bool_] | None = None,
) -> AnalysisResult:
    """Detect and outline hemorrhage on one head CT.

    Args:
        volume: HU on the acquired grid, stored as axial, sagittal or coronal slices.
        request: The method and its settings; with a detector, that one detects and names what the method outlines.
        context: Progress and cancellation.
        session: Keeps networks warm between exams.
        brain_mask: bool (slices, rows, columns) on the acquired grid, to use instead of our own.

    Returns:
        Masks on the acquired grid; a detection of axial slices. With a detector: its detection, the segments of the
        method with subtypes where they are certain, and both in the provenance.

    Raises:
        ICHSegmenterError: Typed; says what is wrong, what was found and what to do.
    """
    context, session = context or RunContext(), session or Session()
    view = AxialView.at_border(volume.geometry)
    axial = view.volume(volume)
    mask = None if brain_mask is None else view.apply(brain_mask)
    if request.detector:
        detected = analyze_by_one(axial, request.of_detector(), context, session, mask)
        outlined = analyze_by_one(axial, request.of_segmenter(), context, session, mask)
        result = combine(outlined, detected, axial)
    else:
        result = analyze_by_one(axial, request, context, session, mask)
    return as_acquired(measured(result, axial), view, volume)


def measured(result: AnalysisResult, volume: Volume) -> AnalysisResult:
    """A result with the measures of a report, if it draws blood; both on the same axial slices."""
    segmentation = result.segmentation
    if segmentation is None or not any(one.is_blood for one in result.measurements):
        return result
    return replace(result, measures=measure_exam(volume, segmentation.labelmap, segmentation.labels))
