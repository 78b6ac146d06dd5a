"""A result whose segments a person has changed: what is outlined now in numbers, beside what the method said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis import labelmap
from ICHSegmenterLib.measuring.exam import measure_exam
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.results import AnalysisResult, DetectionResult, SegmentationResult, key_slice_of
from ICHSegmenterLib.verdict import Edits, VerdictCode
from ICHSegmenterLib.volume.volume import Volume


def with_segments(
    made: AnalysisResult, segmentation: SegmentationResult, volume: Volume, edited: Sequence[str]
) -> AnalysisResult:
    """A result with the segments as they are now.

    Args:
        made: What the method made, without arrays.
        segmentation: On the acquired grid.
        volume: As acquired.
        edited: Keys of the labels whose segments are not as they were made, also of those that are gone. Without any,
            nothing is measured anew.
    """
    if not edited:
        return replace(made, segmentation=segmentation)
    view = AxialView.at_border(volume.geometry)
    axial = view.volume(volume)
    outlined = replace(
        segmentation, labelmap=np.ascontiguousarray(view.apply(segmentation.labelmap)), geometry=axial.geometry
    )
    measurements = labelmap.measure(outlined, axial)
    is_positive = any(one.is_blood for one in measurements)
    assessment = replace(
        made.assessment,
        code=VerdictCode.SUSPECTED if is_positive else VerdictCode.NONE_FOUND,
        pieces=made.assessment.pieces if is_positive else (),
        below_threshold=(),
    )
    return replace(
        made,
        detection=_detection(made.detection, labelmap.blood_per_slice_ml(outlined), is_positive=is_positive),
        segmentation=segmentation,
        measurements=measurements,
        assessment=assessment,
        measures=measure_exam(axial, outlined.labelmap, outlined.labels) if is_positive else None,
        edits=Edits(tuple(edited), replace(made, segmentation=segmentation).verdict),
    )


def _detection(made: DetectionResult, blood_ml: NDArray[np.float64], *, is_positive: bool) -> DetectionResult:
    """The slices with the blood that is outlined on them; their values stay the method's."""
    slices = tuple(
        replace(one, is_positive=bool(blood_ml[one.index] > 0), blood_ml=float(blood_ml[one.index]))
        for one in made.slices
    )
    return replace(made, slices=slices, key_slice=key_slice_of(slices), called_positive=is_positive)
