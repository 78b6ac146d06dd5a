"""Fits logistic models of pieces and exams, whose evidence never counts against blood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ICHSegmenterLib.analysis.verdict.scores import exam_features, logit, model_logits, sigmoid
from ICHSegmenterLib.cards.calibration import PIECE_FEATURES, LogisticModel
from ICHSegmenterLib.evaluation.calibration.observations import ObservedExam

RISING = (
    "log_volume",
    "mean_logit",
    "max_logit",
    "contrast_hu",
    "top_logit",
    "second_logit",
    "log_blood",
    "slice_logit",
)
"""Features whose weight is not negative: more or surer blood, or more contrast, never makes an exam less suspicious."""
RIDGE = 1.0
"""Penalty of the squared weights of standardized features, against the summed log-likelihood."""
FOLDS = 5

Values = NDArray[np.float64]
Truth = NDArray[np.bool_]


def fit_logistic(features: dict[str, Values], truth: Truth) -> LogisticModel:
    """The ridge logistic regression of truth (items,) over features (items,) each, by L-BFGS with bounds.

    The fit is in standardized features and returned in their own units.
    """
    names = [name for name, values in features.items() if len(values) and np.ptp(values) > 1e-9]
    signs = np.where(truth, 1.0, -1.0)
    if not names:
        share = (truth.sum() + 0.5) / (len(truth) + 1)
        return LogisticModel(float(logit(share)))
    table = np.stack([features[name] for name in names], axis=1)
    mean, deviation = table.mean(axis=0), table.std(axis=0)
    standard = (table - mean) / deviation

    def loss(parameters: Values) -> tuple[float, Values]:
        margin = signs * (standard @ parameters[1:] + parameters[0])
        slope = -signs / (1 + np.exp(np.clip(margin, -500, 500)))
        value = float(np.logaddexp(0, -margin).sum() + RIDGE / 2 * parameters[1:] @ parameters[1:])
        return value, np.r_[slope.sum(), slope @ standard + RIDGE * parameters[1:]]

    bounds = [(None, None), *((0.0 if name in RISING else None, None) for name in names)]
    fitted = minimize(loss, np.zeros(len(names) + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = fitted[1:] / deviation
    ranges = {name: (float(column.min()), float(column.max())) for name, column in zip(names, table.T, strict=True)}
    return LogisticModel(
        float(fitted[0] - weights @ mean),
        MappingProxyType({name: float(weight) for name, weight in zip(names, weights, strict=True)}),
        MappingProxyType(ranges),
    )


@dataclass(frozen=True)
class FittedModels:
    """A model of pieces, None for a method that values slices, and one of exams."""

    pieces: LogisticModel | None
    exam: LogisticModel

    def piece_values(self, exam: ObservedExam) -> Values:
        """(pieces,) probabilities."""
        if self.pieces is None or not exam.pieces:
            return np.zeros(0)
        return sigmoid(model_logits(self.pieces, features_of([exam])))

    def exam_value(self, exam: ObservedExam) -> float:
        """The probability of an exam."""
        return float(sigmoid(model_logits(self.exam, _exam_features(exam, self.piece_values(exam))))[0])


def fit_models(exams: Sequence[ObservedExam], is_positive: Truth, *, with_pieces: bool) -> FittedModels:
    """Both models on these exams; that of the exams sees its pieces as models of the other exams value them.

    Else it would take the pieces for surer than those of a new exam are.
    """
    if not with_pieces:
        table = [_exam_features(one, np.zeros(0)) for one in exams]
        slices = {"slice_logit": np.concatenate([one["slice_logit"] for one in table])}
        return FittedModels(None, fit_logistic(slices, is_positive))
    values: list[Values] = [np.zeros(0)] * len(exams)
    folds = folds_of(exams, is_positive)
    for fold in range(FOLDS):
        model = fit_pieces([one for one, its in zip(exams, folds, strict=True) if its != fold])
        for n in np.flatnonzero(folds == fold).tolist():
            values[n] = FittedModels(model, LogisticModel(0.0)).piece_values(exams[n])
    table = [_exam_features(one, its) for one, its in zip(exams, values, strict=True)]
    features = {
        name: np.concatenate([one[name] for one in table]) for name in ("top_logit", "second_logit", "log_blood")
    }
    return FittedModels(fit_pieces(exams), fit_logistic(features, is_positive))


def fit_pieces(exams: Sequence[ObservedExam]) -> LogisticModel:
    """The model of pieces on all pieces of these exams."""
    truth = np.array([piece.is_true for one in exams for piece in one.pieces], dtype=bool)
    return fit_logistic(features_of(exams), truth)


def features_of(exams: Sequence[ObservedExam]) -> dict[str, Values]:
    """(pieces,) of each feature, over all exams in order."""
    pieces = [piece for one in exams for piece in one.pieces]
    return {name: np.array([piece.features[name] for piece in pieces], dtype=np.float64) for name in PIECE_FEATURES}


def folds_of(exams: Sequence[ObservedExam], is_positive: Truth) -> NDArray[np.intp]:
    """(exams,) fold of each: a patient's exams stay together, bleeding and other patients are dealt out in turn."""
    positive = {one.patient: False for one in exams}
    for one, bleeds in zip(exams, is_positive, strict=True):
        positive[one.patient] |= bool(bleeds)
    fold_of: dict[str, int] = {}
    for kind in (True, False):
        patients = np.array(sorted(name for name, bleeds in positive.items() if bleeds is kind))
        order = np.random.default_rng(int(kind)).permutation(len(patients))
        fold_of |= {str(patients[n]): (place + kind) % FOLDS for place, n in enumerate(order)}
    return np.array([fold_of[one.patient] for one in exams], dtype=np.intp)


def _exam_features(exam: ObservedExam, values: Values) -> dict[str, Values]:
    volumes = np.array([piece.volume_ml for piece in exam.pieces[: len(values)]], dtype=np.float64)
    return exam_features(values, volumes, exam.slice_value)
