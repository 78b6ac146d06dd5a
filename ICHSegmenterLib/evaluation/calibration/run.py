"""Calibrates a method on exams with known truth: observes them, fits, chooses operating points, writes and draws."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.analysis.verdict.outline import low_cut_of
from ICHSegmenterLib.cards.calibration import Calibration
from ICHSegmenterLib.cards.table import ModelCard
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import CancelledError, DependencyError, EvaluationError, Failure, ICHSegmenterError
from ICHSegmenterLib.evaluation import detection_metrics
from ICHSegmenterLib.evaluation.calibration.models import FittedModels, Truth, fit_models
from ICHSegmenterLib.evaluation.calibration.observations import ObservedExam, cached, observe
from ICHSegmenterLib.evaluation.calibration.points import HeldOut, choose_cuts, cross_validate
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.report import evaluation_plots as plots
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

CALIBRATION_FILE, SUMMARY_FILE, PICTURE_FILE, EXAMS_FOLDER = (
    "calibration.json",
    "summary.json",
    "reliability.png",
    "exams",
)
MIN_EXAMS_OF_A_KIND = 5

Announce = Callable[[int, int, str], None]


@dataclass(frozen=True)
class CalibrationRun:
    """The outcome of a calibration.

    Attributes:
        calibration: For the card.
        summary: Figures in cross-validation, as in `summary.json`.
        failures: Exams that could not be observed.
    """

    calibration: Calibration
    summary: dict[str, Any]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class CalibrationSettings:
    """What is counted in a calibration.

    Attributes:
        population: The exams in words, for the card; empty: the folders' names.
        min_truth_ml: An exam with less true blood, but some, is left out: no reader would call it either way.
        from_ml: True blood of the exams on which sensitivity is counted.
    """

    population: str = ""
    min_truth_ml: float = 0.1
    from_ml: float = 1.0


def calibrate(
    cases: Sequence[Case],
    request: AnalysisRequest,
    output: Path,
    settings: CalibrationSettings,
    context: RunContext,
    announce: Announce,
) -> CalibrationRun:
    """Calibrate the method of a request and write coefficients, figures and the reliability curve.

    Args:
        cases: With their truth; names are unique.
        request: The method and its settings.
        output: Made if absent; exams that were observed there already are not analyzed again.
        settings: What is counted.
        context: Progress and cancellation within an exam.
        announce: Called before each exam with (done, total, name).

    Raises:
        EvaluationError: Too few exams with, or without, hemorrhage.
        CancelledError: Stopped; what was observed is kept.
    """
    exams, failures = _observe_all(cases, request, output, context, announce)
    counted = [one for one in exams if one.truth_ml == 0 or one.truth_ml >= settings.min_truth_ml]
    is_positive = np.array([one.truth_ml > 0 for one in counted], dtype=bool)
    bleeding = int(is_positive.sum())
    if min(bleeding, len(counted) - bleeding) < MIN_EXAMS_OF_A_KIND:
        raise EvaluationError(
            f"A calibration takes at least {MIN_EXAMS_OF_A_KIND} exams with and without hemorrhage; found {bleeding} "
            f"and {len(counted) - bleeding}" + (f", and {failures[0].message}" if failures else ".")
        )
    card = request.card
    held_out = cross_validate(counted, is_positive, with_pieces=card.judges_pieces)
    models = fit_models(counted, is_positive, with_pieces=card.judges_pieces)
    calibration, summary = _summarize(card, request, counted, is_positive, (held_out, models), settings)
    summary["failures"] = [asdict(failure) for failure in failures]
    summary["left_out"] = len(exams) - len(counted)
    with replacing(output / CALIBRATION_FILE) as draft:
        draft.write_text(json.dumps(calibration.to_json(), indent=1) + "\n", encoding="utf-8")
    with replacing(output / SUMMARY_FILE) as draft:
        draft.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return CalibrationRun(calibration, summary, tuple(failures))


def write_into_card(card_file: Path, calibration: Calibration) -> None:
    """Set the calibration of a card beside a weight file.

    Raises:
        EvaluationError: It is no card.
    """
    try:
        plain = json.loads(card_file.read_text(encoding="utf-8"))
        plain["calibration"] = calibration.to_json()
        with replacing(card_file) as draft:
            draft.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise EvaluationError(
            f"{card_file.name} is no card that can be changed ({error}). Name a card file."
        ) from error


def _observe_all(
    cases: Sequence[Case], request: AnalysisRequest, output: Path, context: RunContext, announce: Announce
) -> tuple[list[ObservedExam], list[Failure]]:
    folder = output / EXAMS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    session = Session()
    settings = _key_of(request)
    exams: list[ObservedExam] = []
    failures: list[Failure] = []
    for number, case in enumerate(cases):
        announce(number, len(cases), case.name)
        files = "".join(f"{path.name} {path.stat().st_size}" for path in (*case.images, case.mask) if path is not None)
        key = hashlib.sha256(f"{settings} {files}".encode()).hexdigest()
        try:
            exams.append(
                cached(
                    folder / f"{case.name}.json",
                    key,
                    lambda case=case: observe(case, request, session, context),  # type: ignore[misc]
                )
            )
        except (CancelledError, DependencyError):
            raise
        except ICHSegmenterError as error:
            failures.append(Failure(error.kind, str(error), method=request.method, case=case.name))
    announce(len(cases), len(cases), "")
    return exams, failures


def _key_of(request: AnalysisRequest) -> str:
    """All that changes what a method says of an exam, but for processor and precision."""
    card = request.card
    facts = {key: value for key, value in request.to_json().items() if key not in ("device", "precision", "weights")}
    digests = named_digests(store.find(card, request.weights))
    threshold = card.threshold if request.threshold is None else request.threshold
    return json.dumps([facts, sorted(digests.values()), threshold, low_cut_of(card, threshold), card.option_values])


def _summarize(
    card: ModelCard,
    request: AnalysisRequest,
    exams: Sequence[ObservedExam],
    is_positive: Truth,
    fitted: tuple[HeldOut, FittedModels],
    settings: CalibrationSettings,
) -> tuple[Calibration, dict[str, Any]]:
    """The calibration, and its figures in cross-validation."""
    held_out, models = fitted
    counts = np.array([one.truth_ml >= settings.from_ml for one in exams], dtype=bool)
    empty = models.exam_value(ObservedExam("", "", 0.0, 0.0)) if models.pieces is not None else 0.0
    screening, confirming = choose_cuts(held_out, is_positive, counts, empty)
    patients = tuple(one.patient for one in exams)
    items = detection_metrics.ScoredItems(is_positive, held_out.exams, held_out.exams >= confirming.exam, patients)
    reliability = detection_metrics.calibration(items)
    rates = {
        name: {
            "sensitivity": _share(held_out.exams >= cut, is_positive),
            "sensitivity_from_ml": _share(held_out.exams >= cut, is_positive & counts),
            "specificity": _share(held_out.exams < cut, ~is_positive),
        }
        for name, cut in (("screening", screening.exam), ("confirming", confirming.exam))
    }
    threshold = card.threshold if request.threshold is None else request.threshold
    calibration = Calibration(
        exam=models.exam,
        screening=screening,
        confirming=confirming,
        population=settings.population,
        exams=len(exams),
        expected_error=reliability.expected_error,
        pieces=models.pieces,
        low_cut=low_cut_of(card, threshold) if models.pieces is not None else None,
        sensitivity=(rates["screening"]["sensitivity_from_ml"], rates["confirming"]["sensitivity_from_ml"]),
        specificity=(rates["screening"]["specificity"], rates["confirming"]["specificity"]),
        weights=tuple(sorted(named_digests(store.find(card, request.weights)).values())),
    )
    summary = {
        "method": request.method,
        "exams": len(exams),
        "bleeding": int(is_positive.sum()),
        "from_ml": settings.from_ml,
        "auc": detection_metrics.auc(items),
        "exam_reliability": asdict(reliability),
        "rates": rates,
        "pieces": len(held_out.pieces),
        "true_pieces": int(held_out.is_true.sum()),
    }
    if len(held_out.pieces):
        of_pieces = detection_metrics.ScoredItems(
            held_out.is_true, held_out.pieces, held_out.pieces >= 0.5, ("",) * len(held_out.pieces)
        )
        summary |= {
            "piece_auc": detection_metrics.auc(of_pieces),
            "piece_reliability": asdict(detection_metrics.calibration(of_pieces)),
        }
    return calibration, summary


def draw_reliability(summary: dict[str, Any], path: Path) -> Path:
    """The reliability curve of exams and pieces, in cross-validation."""
    levels = {"exam": summary["exam_reliability"]}
    if "piece_reliability" in summary:
        levels["piece"] = summary["piece_reliability"]
    bins = {
        level: {summary["method"]: (one["mean_values"], one["observed"], one["counts"])}
        for level, one in levels.items()
    }
    return plots.draw_calibration(bins, path)


def _share(hits: Truth, among: Truth) -> float:
    return float((hits & among).sum() / max(int(among.sum()), 1))
