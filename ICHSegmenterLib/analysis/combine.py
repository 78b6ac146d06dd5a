"""A detection method and a segmentation method on one exam: one says which type, the other where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.analysis import labelmap, provenance
from ICHSegmenterLib.labels import SUBTYPES_OF, SegmentLabel
from ICHSegmenterLib.results import AnalysisResult, DetectionResult, SegmentationResult, key_slice_of
from ICHSegmenterLib.volume.components import CONNECTIVITY_26
from ICHSegmenterLib.volume.volume import Volume

MIN_SUBTYPE_PROBABILITY = 0.5
"""A piece of blood is named only if its subtype is at least so probable on the slices that it spans."""
MIN_SUBTYPE_LEAD = 0.2
"""And if it is so much more probable than the next one; slices with two kinds of blood leave both unnamed."""


def combine(outlined: AnalysisResult, detected: AnalysisResult, volume: Volume) -> AnalysisResult:
    """The segments of one result named by the detection of another; both of the same volume, in the same array order.

    Args:
        outlined: Has a segmentation.
        detected: Its detection holds the subtypes.
        volume: The exam whose slices both speak of.
    """
    if outlined.segmentation is None:
        raise ValueError(f"{outlined.provenance.method} made no segmentation to name")
    segmentation = named(outlined.segmentation, detected.detection)
    return AnalysisResult(
        geometry=outlined.geometry,
        detection=_with_blood(detected.detection, labelmap.blood_per_slice_ml(segmentation)),
        segmentation=segmentation,
        measurements=labelmap.measure(segmentation, volume),
        provenance=provenance.of_pair(outlined.provenance, detected.provenance),
    )


def named(segmentation: SegmentationResult, detection: DetectionResult) -> SegmentationResult:
    """Each piece of blood without a subtype gets the one that is most probable over its slices, if certain enough.

    Labels keep their values; subtypes that are new are appended.
    """
    labels = list(segmentation.labels)
    voxels = segmentation.labelmap.copy()
    maps = None if segmentation.soft_maps is None else list(segmentation.soft_maps.copy())
    for value, label in enumerate(segmentation.labels, start=1):
        choices = SUBTYPES_OF.get(label.key, ())
        components, _ = ndimage.label(segmentation.labelmap == value, structure=CONNECTIVITY_26)
        for number, box in enumerate(ndimage.find_objects(components) if choices else (), start=1):
            piece = components[box] == number
            subtype = _subtype(choices, detection, box[0].start, piece.sum(axis=(1, 2)))
            if subtype is None:
                continue
            if subtype not in labels:
                labels.append(subtype)
                if maps is not None:
                    maps.append(np.zeros_like(maps[0]))
            new = labels.index(subtype) + 1
            voxels[box][piece] = new
            if maps is not None:
                maps[new - 1][box][piece] = maps[value - 1][box][piece]
                maps[value - 1][box][piece] = 0.0
    return replace(
        segmentation, labelmap=voxels, labels=tuple(labels), soft_maps=None if maps is None else np.stack(maps)
    )


def _subtype(
    choices: Sequence[SegmentLabel], detection: DetectionResult, first_slice: int, voxels: NDArray[np.intp]
) -> SegmentLabel | None:
    """The certain subtype of a piece with so many voxels on each slice from `first_slice`, None if none is."""
    slices = detection.slices[first_slice : first_slice + len(voxels)]
    means = [
        float(np.average([one.probabilities.get(label.key, 0.0) for one in slices], weights=voxels))
        for label in choices
    ]
    first, second = np.argsort(means)[::-1][:2]
    is_certain = means[first] >= MIN_SUBTYPE_PROBABILITY and means[first] - means[second] >= MIN_SUBTYPE_LEAD
    return choices[first] if is_certain else None


def _with_blood(detection: DetectionResult, blood_ml: NDArray[np.float64]) -> DetectionResult:
    """The detection with the volumes of the segmentation."""
    slices = tuple(replace(one, blood_ml=float(blood_ml[one.index])) for one in detection.slices)
    return replace(detection, slices=slices, key_slice=key_slice_of(slices))
