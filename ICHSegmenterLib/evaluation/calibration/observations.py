"""What a calibration is fitted on: of each exam its pieces, measured, and whether they are true; kept on disk.

A piece is true if at least a tenth of its volume is true blood: a bleed drawn too large stays a bleed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.analysis.single_method import PredictedExam, predict_by_one
from ICHSegmenterLib.analysis.verdict.assess import find_pieces
from ICHSegmenterLib.analysis.verdict.detection import summarize
from ICHSegmenterLib.analysis.verdict.scores import piece_features
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.dataset import read_exam
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import ANY
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext

MIN_TRUE_SHARE = 0.1
CACHE_FORMAT = 1


@dataclass(frozen=True)
class ObservedPiece:
    """A piece and its truth.

    Attributes:
        features: As of `PIECE_FEATURES`.
        volume_ml, true_ml: Of it, and of the true blood in it.
    """

    features: Mapping[str, float]
    volume_ml: float
    true_ml: float

    @property
    def is_true(self) -> bool:
        """At least `MIN_TRUE_SHARE` of it is blood."""
        return self.true_ml >= MIN_TRUE_SHARE * self.volume_ml


@dataclass(frozen=True)
class ObservedExam:
    """An exam as a calibration sees it.

    Attributes:
        name, patient: As of the case.
        truth_ml: True blood; of an exam without a mask 1 mL if a slice is labeled, else 0.
        slice_value: The value that the method's own slice rule gives the exam.
        pieces: All from the minimum volume on, empty for a method that values slices.
    """

    name: str
    patient: str
    truth_ml: float
    slice_value: float
    pieces: tuple[ObservedPiece, ...] = ()

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ObservedExam:
        """The exam that was kept."""
        pieces = tuple(ObservedPiece(**piece) for piece in plain["pieces"])
        return cls(plain["name"], plain["patient"], plain["truth_ml"], plain["slice_value"], pieces)


def observe(case: Case, request: AnalysisRequest, session: Session, context: RunContext) -> ObservedExam:
    """Run a method on an exam with known truth and measure its pieces.

    Raises:
        ICHSegmenterError: The exam cannot be read or analyzed.
    """
    known = read_exam(case)
    view = AxialView.at_border(known.volume.geometry)
    volume = view.volume(known.volume)
    predicted = predict_by_one(volume, request, context, session, None)
    own = summarize(predicted.predictions, volume.geometry, predicted.card.detection_threshold)
    slice_value = float(own.exam_probabilities[ANY])
    if known.mask is None:
        if predicted.card.judges_pieces:
            raise EvaluationError(f"{case.name}: pieces can only be judged by a mask of the true blood. Add masks.")
        return ObservedExam(case.name, case.patient, float(known.slice_truth.any()), slice_value)
    truth = view.apply(known.mask)
    truth_ml = float(truth.sum(axis=(1, 2)) @ volume.geometry.voxel_volumes_mm3) / 1000
    pieces = _pieces(predicted, request, truth) if predicted.card.judges_pieces else ()
    return ObservedExam(case.name, case.patient, truth_ml, slice_value, pieces)


def _pieces(predicted: PredictedExam, request: AnalysisRequest, truth: Any) -> tuple[ObservedPiece, ...]:
    candidates, _ = find_pieces(predicted.predictions, predicted.exam, predicted.card, request)
    voxels, measures = candidates.voxels, candidates.measures
    geometry = predicted.exam.volume.geometry
    is_true = truth.reshape(geometry.shape[0], -1)[voxels.slices, voxels.pixels]
    true_ml = np.bincount(
        candidates.piece_of,
        weights=is_true * geometry.voxel_volumes_mm3[voxels.slices] / 1000,
        minlength=len(measures) + 1,
    )[1:]
    features = piece_features(measures)
    return tuple(
        ObservedPiece(
            {name: round(float(values[n]), 6) for name, values in features.items()},
            float(measures.volume_ml[n]),
            float(true_ml[n]),
        )
        for n in range(len(measures))
    )


def cached(file: Path, key: str, make: Callable[[], ObservedExam]) -> ObservedExam:
    """The exam kept in `file` if it was made under the same key, else a new one, which is kept."""
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        if plain["key"] == key and plain["format"] == CACHE_FORMAT:
            return ObservedExam.from_json(plain["exam"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        pass  # absent, cut off, or of another version: it is made again
    exam = make()
    with replacing(file) as draft:
        draft.write_text(json.dumps({"format": CACHE_FORMAT, "key": key, "exam": asdict(exam)}), encoding="utf-8")
    return exam
