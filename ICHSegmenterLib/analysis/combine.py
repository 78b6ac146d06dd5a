"""A detection method and a segmentation method on one exam: one says which type, the other where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ICHSegmenterLib.analysis import labelmap, provenance
from ICHSegmenterLib.analysis.detection import with_blood
from ICHSegmenterLib.labels import SUBTYPES_OF, SegmentLabel
from ICHSegmenterLib.results import AnalysisResult, DetectionResult, SegmentationResult, key_slice_of
from ICHSegmenterLib.verdict import Assessment, Piece, VerdictCode
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
    assessment = _joined(outlined.assessment, detected.assessment, segmentation)
    blood_ml = labelmap.blood_per_slice_ml(segmentation)
    return AnalysisResult(
        geometry=outlined.geometry,
        detection=_detection(detected.detection, blood_ml, assessment.is_positive),
        segmentation=segmentation,
        measurements=labelmap.measure(segmentation, volume),
        provenance=provenance.of_pair(outlined.provenance, detected.provenance),
        assessment=assessment,
        implausible=outlined.implausible,
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
    means = [float(np.average([one.own.get(label.key, 0.0) for one in slices], weights=voxels)) for label in choices]
    first, second = np.argsort(means)[::-1][:2]
    is_certain = means[first] >= MIN_SUBTYPE_PROBABILITY and means[first] - means[second] >= MIN_SUBTYPE_LEAD
    return choices[first] if is_certain else None


def _joined(outlined: Assessment, detected: Assessment, segmentation: SegmentationResult) -> Assessment:
    """The detector's verdict with the pieces that were outlined, by the names that they have now.

    Where the detector finds nothing but the outline alone would have been called, the exam is possible: "no hemorrhage
    found" is not said over drawn blood.
    """
    raised = detected.code is VerdictCode.NONE_FOUND and outlined.is_positive
    return replace(
        detected,
        code=VerdictCode.POSSIBLE if raised else detected.code,
        pieces=tuple(replace(one, subtype=_subtype_now(one, segmentation)) for one in outlined.pieces),
        below_threshold=outlined.below_threshold,
        min_volume_ml=outlined.min_volume_ml,
        caps=tuple(dict.fromkeys((*detected.caps, *outlined.caps))),
    )


def _subtype_now(piece: Piece, segmentation: SegmentationResult) -> str:
    """The label that the piece has now: on its largest section, of the voxel that is nearest to its center."""
    possible = [piece.subtype, *(label.key for label in SUBTYPES_OF.get(piece.subtype, ()))]
    values = [n for n, label in enumerate(segmentation.labels, start=1) if label.key in possible]
    section = segmentation.labelmap[piece.key_slice]
    rows, columns = np.nonzero(np.isin(section, values))
    if not len(rows):
        return piece.subtype
    column, row, _ = segmentation.geometry.lps_to_ijk(piece.center_lps_mm)
    nearest = int(np.argmin((rows - row) ** 2 + (columns - column) ** 2))
    return segmentation.labels[int(section[rows[nearest], columns[nearest]]) - 1].key


def _detection(detected: DetectionResult, blood_ml: NDArray[np.float64], is_positive: bool) -> DetectionResult:
    """The detector's detection with the volumes of the segmentation; if only the outline speaks, with its slices."""
    with_volumes = with_blood(detected, blood_ml)
    if detected.is_positive or not is_positive:
        return with_volumes
    slices = tuple(replace(one, is_positive=one.blood_ml > 0) for one in with_volumes.slices)
    return replace(with_volumes, slices=slices, key_slice=key_slice_of(slices), called_positive=True)
