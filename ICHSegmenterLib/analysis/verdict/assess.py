"""Predictions of an exam to its verdict, its slices, and the blood that is drawn: one judgement, so that all agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis import labelmap
from ICHSegmenterLib.analysis.verdict import detection, scores
from ICHSegmenterLib.analysis.verdict.candidates import Candidates, find_candidates, split_by_subtype
from ICHSegmenterLib.analysis.verdict.edges import refine_edges
from ICHSegmenterLib.analysis.verdict.outline import outline_voxels
from ICHSegmenterLib.analysis.verdict.surroundings import Surroundings
from ICHSegmenterLib.cards.calibration import Cuts
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import DetectionResult, SegmentationResult
from ICHSegmenterLib.verdict import Assessment, OperatingPoint, Piece, VerdictCode, verdict_code

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is said of an exam; segmentation is None where nothing is outlined."""

    detection: DetectionResult
    segmentation: SegmentationResult | None
    assessment: Assessment


def assess(
    predictions: Sequence[SlicePrediction],
    exam: PreparedVolume,
    card: ModelCard,
    request: AnalysisRequest,
    caps: Sequence[str] = (),
) -> Judgement:
    """Judge an exam.

    Args:
        predictions: One a slice, in array order.
        exam: HU, grid and brain.
        card: The method's rule and calibration.
        request: Thresholds, operating point and minimum volume.
        caps: Codes of reasons for which no verdict may be confident.
    """
    outlines = bool(card.labels) and not (
        request.detection_only and all(prediction.maps is None for prediction in predictions)
    )
    if not card.judges_pieces:
        return _judge_by_slices(predictions, exam, card, request, (tuple(caps), outlines))
    screening, confirming = scores.operating_cuts(card, request.detection_threshold)
    pieces, around = find_pieces(predictions, exam, card, request)
    whole = scores.piece_probabilities(None if card.calibration is None else card.calibration.pieces, pieces.measures)
    value = scores.exam_probability(card.calibration, whole, pieces.measures.volume_ml)
    code = verdict_code(value, screening.exam, confirming.exam, tuple(caps))
    at = confirming if request.operating_point is OperatingPoint.CONFIRMING else screening
    is_drawn = _drawn(whole, value, at)
    parts = split_by_subtype(pieces, exam, around)
    probabilities, is_drawn = whole[parts.whole], is_drawn[parts.whole]
    if card.refine_edges and request.threshold in (None, card.threshold):
        parts = refine_edges(parts, exam, around, is_drawn, request.min_volume_ml)
    segmentation = _segmentation(predictions, exam, card, request, (parts, is_drawn))
    listed = _pieces(parts, card, probabilities)
    found = detection.of_pieces(
        predictions,
        exam.volume.geometry,
        detection.SlicePieces(parts.measures.voxels_on_slice, probabilities, is_drawn, listed),
        exam=value,
        cuts=(screening.exam, at.piece, own_threshold(card, request)),
    )
    assessment = Assessment(
        code,
        value,
        screening.exam,
        confirming.exam,
        is_calibrated=card.calibration is not None,
        operating_point=request.operating_point,
        min_volume_ml=request.min_volume_ml,
        pieces=_sorted(listed, is_drawn),
        below_threshold=_sorted(listed, ~is_drawn),
        caps=tuple(caps),
    )
    return Judgement(found, segmentation, assessment)


def own_threshold(card: ModelCard, request: AnalysisRequest) -> float:
    """The threshold of the method's own slice values."""
    return card.detection_threshold if request.detection_threshold is None else request.detection_threshold


def find_pieces(
    predictions: Sequence[SlicePrediction], exam: PreparedVolume, card: ModelCard, request: AnalysisRequest
) -> tuple[Candidates, Surroundings]:
    """Whole pieces, and the brain around them."""
    voxels = outline_voxels(
        predictions,
        exam.volume.geometry,
        card,
        threshold=card.threshold if request.threshold is None else request.threshold,
        detection_threshold=own_threshold(card, request),
    )
    around = Surroundings.of(exam.volume, exam.brain_mask)
    return find_candidates(voxels, exam, request.min_volume_ml, around), around


def _drawn(probabilities: Values, exam: float, at: Cuts) -> Mask:
    """(pieces,) those that are drawn: none in an exam below the operating point, else at least the likeliest."""
    if exam < at.exam or not len(probabilities):
        return np.zeros(len(probabilities), dtype=bool)
    return np.asarray(probabilities >= min(at.piece, float(probabilities.max())))


def _judge_by_slices(
    predictions: Sequence[SlicePrediction],
    exam: PreparedVolume,
    card: ModelCard,
    request: AnalysisRequest,
    given: tuple[tuple[str, ...], bool],
) -> Judgement:
    """Judge an exam whose slices a classifier values: pieces have the value of their slices."""
    caps, outlines = given
    screening, confirming = scores.operating_cuts(card, request.detection_threshold)
    at = confirming if request.operating_point is OperatingPoint.CONFIRMING else screening
    found = detection.summarize(
        predictions,
        exam.volume.geometry,
        at.exam,
        calibrate=lambda value: scores.calibrated_value(card.calibration, value),
        own_threshold=own_threshold(card, request),
    )
    value = float(found.exam_probabilities[ANY])
    code = verdict_code(value, screening.exam, confirming.exam, caps)
    segmentation, listed, is_drawn = None, [], np.zeros(0, dtype=bool)
    if outlines:
        parts, _ = find_pieces(predictions, exam, card, request)
        on_slice = np.array([one.probabilities[ANY] for one in found.slices])
        probabilities = np.where(parts.measures.voxels_on_slice > 0, on_slice, 0.0).max(axis=1, initial=0.0)
        is_drawn = (probabilities >= at.exam) & (value >= at.exam)
        segmentation = _segmentation(predictions, exam, card, request, (parts, is_drawn))
        listed = _pieces(parts, card, probabilities)
        found = detection.with_blood(found, labelmap.blood_per_slice_ml(segmentation))
    assessment = Assessment(
        code,
        value,
        screening.exam,
        confirming.exam,
        is_calibrated=card.calibration is not None,
        operating_point=request.operating_point,
        min_volume_ml=request.min_volume_ml,
        pieces=_sorted(listed, is_drawn),
        below_threshold=_sorted(listed, ~is_drawn),
        caps=caps,
    )
    return Judgement(detection.with_verdict(found, code is not VerdictCode.NONE_FOUND), segmentation, assessment)


def _segmentation(
    predictions: Sequence[SlicePrediction],
    exam: PreparedVolume,
    card: ModelCard,
    request: AnalysisRequest,
    drawn: tuple[Candidates, Mask],
) -> SegmentationResult:
    """The labelmap of the pieces that are drawn, each with its one label; what is no blood stays as it is."""
    parts, is_drawn = drawn
    voxels = parts.voxels
    of_piece = np.r_[0, np.where(is_drawn, parts.label + 1, 0)].astype(np.uint8)
    labels = np.where(voxels.is_drawn, of_piece[parts.piece_of], voxels.labels).astype(np.uint8)
    below, soft, uncertainty = None, None, None
    if request.keeps_maps:
        soft, uncertainty = labelmap.soft_maps(predictions, exam.volume.geometry, card)
        below = voxels.labelmap(np.r_[False, ~is_drawn][parts.piece_of].astype(np.uint8)) > 0
    return SegmentationResult(voxels.labelmap(labels), exam.volume.geometry, card.labels, soft, uncertainty, below)


def _pieces(parts: Candidates, card: ModelCard, probabilities: Values) -> list[Piece]:
    """The pieces as data, in the order of the candidates."""
    measures = parts.measures
    return [
        Piece(
            subtype=card.labels[parts.label[n]].key,
            subtype_probability=float(parts.share[n]),
            probability=float(probabilities[n]),
            volume_ml=float(measures.volume_ml[n]),
            mean_probability=float(measures.mean_probability[n]),
            max_probability=float(measures.max_probability[n]),
            mean_hu=float(measures.mean_hu[n]),
            contrast_hu=float(measures.contrast_hu[n]),
            extent_mm=float(measures.extent_mm[n]),
            area_mm2=float(measures.area_mm2[n]),
            skull_distance_mm=float(measures.skull_distance_mm[n]),
            midplane_distance_mm=float(measures.midplane_distance_mm[n]),
            relative_height=float(measures.relative_height[n]),
            first_slice=int(measures.first_slice[n]),
            last_slice=int(measures.last_slice[n]),
            key_slice=int(measures.key_slice[n]),
            center_lps_mm=(
                float(measures.center_lps_mm[n, 0]),
                float(measures.center_lps_mm[n, 1]),
                float(measures.center_lps_mm[n, 2]),
            ),
        )
        for n in range(len(measures))
    ]


def _sorted(pieces: Sequence[Piece], is_listed: Mask) -> tuple[Piece, ...]:
    """Those that are listed, the most probable and then the largest first."""
    listed = (piece for piece, is_in in zip(pieces, is_listed, strict=True) if is_in)
    return tuple(sorted(listed, key=lambda one: (-one.probability, -one.volume_ml)))
