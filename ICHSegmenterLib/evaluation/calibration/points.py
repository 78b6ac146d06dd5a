"""The two operating points, chosen on values that models of other patients gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.analysis.verdict.scores import logit, sigmoid
from ICHSegmenterLib.cards.calibration import Cuts
from ICHSegmenterLib.evaluation.calibration.models import FOLDS, FittedModels, Truth, Values, fit_models, folds_of
from ICHSegmenterLib.evaluation.calibration.observations import ObservedExam

SCREENING_SENSITIVITY = 0.95
CONFIRMING_SPECIFICITY = 0.97
"""Above the 0.95 that is aimed at: other exams than those of the calibration are seldom easier."""
MIN_SCREENING_SPECIFICITY = 0.8
"""Screening calls no more than a fifth of the exams without blood possible, even if it then misses some."""
SCREENING_PIECES = 0.95
"""Share of the true pieces that the screening point draws, within `SCREENING_PIECE_RANGE`."""
SCREENING_PIECE_RANGE = (0.25, 0.5)
CONFIRMING_PRECISION = 0.95
"""Share of the pieces drawn at the confirming point that are true, within `CONFIRMING_PIECE_RANGE`."""
CONFIRMING_PIECE_RANGE = (0.5, 0.95)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Values that models of the other folds gave.

    Attributes:
        exams: (exams,) probability of each.
        pieces: (pieces,) of all pieces in order; is_true: bool (pieces,).
    """

    exams: Values
    pieces: Values
    is_true: Truth


def cross_validate(exams: Sequence[ObservedExam], is_positive: Truth, *, with_pieces: bool) -> HeldOut:
    """Value each exam by models that were fitted without its patient."""
    folds = folds_of(exams, is_positive)
    exam_values = np.zeros(len(exams))
    piece_values: list[Values] = [np.zeros(0)] * len(exams)
    for fold in range(FOLDS):
        kept = np.flatnonzero(folds != fold).tolist()
        models: FittedModels = fit_models([exams[n] for n in kept], is_positive[kept], with_pieces=with_pieces)
        for n in np.flatnonzero(folds == fold).tolist():
            exam_values[n] = models.exam_value(exams[n])
            piece_values[n] = models.piece_values(exams[n])
    is_true = np.array([piece.is_true for one in exams for piece in one.pieces], dtype=bool)
    return HeldOut(exam_values, np.concatenate([np.zeros(0), *piece_values]), is_true)


def choose_cuts(held_out: HeldOut, is_positive: Truth, counts: Truth, empty_exam: float) -> tuple[Cuts, Cuts]:
    """The screening and the confirming point.

    Args:
        held_out: Of `cross_validate`.
        is_positive: bool (exams,).
        counts: bool (exams,), the exams that sensitivity is counted on.
        empty_exam: Probability of an exam without any piece, which is never called; 0 for a detector.

    Returns:
        Confirming: the lowest value with `CONFIRMING_SPECIFICITY`. Screening: the highest with
        `SCREENING_SENSITIVITY`; where confirming has that already, the lowest with `MIN_SCREENING_SPECIFICITY` and
        half-way, in logits, to confirming.
    """
    negatives, positives = held_out.exams[~is_positive], held_out.exams[is_positive & counts]
    confirming = max(_above(negatives, CONFIRMING_SPECIFICITY), _just_above(empty_exam))
    lowest = max(_above(negatives, MIN_SCREENING_SPECIFICITY), _just_above(empty_exam))
    screening = _reached_by(positives, SCREENING_SENSITIVITY)
    if screening >= confirming:
        lowest = min(lowest, confirming)
        screening = float(sigmoid((logit([lowest]) + logit([confirming])) / 2)[0])
    screening = min(max(screening, lowest), confirming)
    return Cuts(screening, _screening_piece(held_out)), Cuts(confirming, _confirming_piece(held_out))


def _above(values: Values, share: float) -> float:
    """A value that at least so large a share lies below: half-way, in logits, to the next one that does not."""
    if not len(values):
        return 0.5
    logits = np.sort(logit(values))
    below = logits[int(np.ceil(share * len(logits))) - 1]
    higher = logits[logits > below + 1e-9]
    return float(sigmoid(np.array([below + (min((higher[0] - below) / 2, 0.5) if len(higher) else 0.5)]))[0])


def _reached_by(values: Values, share: float) -> float:
    """The highest value that at least so large a share reaches."""
    if not len(values):
        return 0.5
    return float(np.sort(values)[::-1][int(np.ceil(share * len(values))) - 1])


def _just_above(value: float) -> float:
    return min(value + 0.01, 1.0) if value else 0.0


def _screening_piece(held_out: HeldOut) -> float:
    true = held_out.pieces[held_out.is_true]
    low, high = SCREENING_PIECE_RANGE
    return float(np.clip(_reached_by(true, SCREENING_PIECES), low, high)) if len(held_out.pieces) else 0.0


def _confirming_piece(held_out: HeldOut) -> float:
    if not len(held_out.pieces):
        return 0.0
    order = np.argsort(-held_out.pieces)
    precision = np.cumsum(held_out.is_true[order]) / np.arange(1, len(order) + 1)
    precise: NDArray[np.intp] = np.flatnonzero(precision >= CONFIRMING_PRECISION)
    low, high = CONFIRMING_PIECE_RANGE
    return float(np.clip(held_out.pieces[order][precise[-1]], low, high)) if len(precise) else high
