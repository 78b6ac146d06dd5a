"""The one door: a head CT and a request in, detection, segmentation and measurements out.

Panel, batch, command line and evaluation all call `analyze`. Nothing here needs torch before a network is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.border import as_acquired
from ICHSegmenterLib.analysis.combine import combine
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.analysis.single_method import analyze_by_one, begin_by_one
from ICHSegmenterLib.measuring.exam import measure_exam
from ICHSegmenterLib.preprocessing.checked_scan import CheckedScan
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
    return begin_analysis(volume, request, context, session, brain_mask=brain_mask)()


def begin_analysis(
    volume: Volume,
    request: AnalysisRequest,
    context: RunContext | None = None,
    session: Session | None = None,
    *,
    brain_mask: NDArray[np.bool_] | None = None,
    checked: CheckedScan | None = None,
) -> Callable[[], AnalysisResult]:
    """All of `analyze` up to the network, which is free for another exam then; arguments and errors are the same.

    Args:
        volume, request, context, session, brain_mask: As of `analyze`.
        checked: What was found about the volume before, by our own mask; found here if None.

    Returns:
        The rest, to be called once, by any thread: judging and measuring, which raises what `analyze` raises.
    """
    context, session = context or RunContext(), session or Session()
    view = AxialView.at_border(volume.geometry)
    axial = view.volume(volume)
    mask = None if brain_mask is None else view.apply(brain_mask)
    detected: AnalysisResult | None = None
    if request.detector:
        detected = analyze_by_one(axial, request.of_detector(), context, session, mask, checked)
        request = request.of_segmenter()
    judged = begin_by_one(axial, request, context, session, mask, checked)

    def finished() -> AnalysisResult:
        outlined = judged()
        result = outlined if detected is None else combine(outlined, detected, axial)
        return as_acquired(measured(result, axial), view, volume)

    return finished


def measured(result: AnalysisResult, volume: Volume) -> AnalysisResult:
    """A result with the measures of a report, if it draws blood; both on the same axial slices."""
    segmentation = result.segmentation
    if segmentation is None or not any(one.is_blood for one in result.measurements):
        return result
    return replace(result, measures=measure_exam(volume, segmentation.labelmap, segmentation.labels))
