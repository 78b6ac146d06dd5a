"""Methods against truth: every case scored, thresholds held out, tables, summary, pictures and a page written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError, Failure
from ICHSegmenterLib.evaluation.attempt import attempt
from ICHSegmenterLib.evaluation.dataset import KnownExam, check_cases, read_exam
from ICHSegmenterLib.evaluation.figures import draw_pictures
from ICHSegmenterLib.evaluation.predictions import Method, Prediction, predict
from ICHSegmenterLib.evaluation.records import (
    CaseRecord,
    CutOffs,
    scored_exams,
    scored_slices,
    write_tables,
)
from ICHSegmenterLib.evaluation.segmentation_metrics import score_outline
from ICHSegmenterLib.evaluation.summary import summarize
from ICHSegmenterLib.evaluation.thresholds import (
    Folds,
    Thresholds,
    best_cut,
    best_map_threshold,
    check_folds,
    map_sweep,
)
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.report.evaluation_page import write_evaluation_page

SUMMARY_FILE, PAGE_FILE = "summary.json", "report.html"

Announce = Callable[[int, int, str], None]
"""(done, total, what comes next)."""


def silent(done: int, total: int, name: str) -> None:
    """Announce to nobody."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation.

    Attributes:
        records: Method to one record a case that could be scored.
        failures: The others.
        summary: As in `summary.json`.
    """

    records: dict[str, list[CaseRecord]]
    failures: list[Failure]
    summary: dict[str, Any]


def evaluate(
    cases: Sequence[Case],
    methods: Sequence[Method],
    output: Path,
    *,
    folds: Folds | None = None,
    resamples: int = 1000,
    seed: int = 0,
    announce: Announce = silent,
) -> Evaluation:
    """Score methods on cases and write everything into a folder.

    Args:
        cases: With their truth.
        methods: One or more; results that are there already are not computed again.
        output: Made if absent.
        folds: Patient to fold: thresholds are searched on the other folds. None: the methods' own thresholds.
        resamples, seed: Settings of the bootstrap.
        announce: Called before each case.

    Raises:
        EvaluationError: Nothing to score, a leak between folds, or no case could be scored.
        CancelledError: Stopped; results so far are kept and found again.
    """
    check_cases(cases)
    if not methods:
        raise EvaluationError("No method to evaluate. Name one or more with --methods, or their results.")
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise EvaluationError(f"Two of the methods are named alike ({', '.join(names)}). Rename a folder of results.")
    if folds is not None:
        check_folds(folds, cases)
    records: dict[str, list[CaseRecord]] = {}
    failures: list[Failure] = []
    for number, method in enumerate(methods):
        records[method.name] = []
        for case_number, case in enumerate(cases):
            announce(number * len(cases) + case_number, len(methods) * len(cases), f"{method.name}: {case.name}")
            outcome = attempt(partial(score, method, case, with_sweep=folds is not None), method.name, case.name)
            if isinstance(outcome, CaseRecord):
                records[method.name].append(outcome)
            else:
                failures.append(outcome)
    announce(len(methods) * len(cases), len(methods) * len(cases), "")
    if not any(records.values()):
        first = failures[0]
        raise EvaluationError(f"None of the {len(cases)} cases could be scored. {first.case}: {first.message}")
    searched_by_method = None
    if folds is not None:
        searched_by_method = {}
        for method in methods:
            searched = search_thresholds(records[method.name], folds)
            records[method.name] = _with_held_out(records[method.name], searched, folds, method, cases)
            searched_by_method[method.name] = [asdict(thresholds) for thresholds in searched]
    summary = summarize(records, failures, folds=searched_by_method, resamples=resamples, seed=seed)
    write_tables([record for of_method in records.values() for record in of_method], failures, output)
    with replacing(output / SUMMARY_FILE) as draft:
        draft.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    pictures = draw_pictures(records, summary, methods, cases, output)
    write_evaluation_page(summary, pictures, output / PAGE_FILE)
    return Evaluation(records, failures, summary)


def search_thresholds(records: Sequence[CaseRecord], folds: Folds) -> list[Thresholds]:
    """For each fold the thresholds that are best on all the others.

    Raises:
        EvaluationError: The other folds hold only exams with, or only without, hemorrhage.
    """
    thresholds = []
    for fold in sorted({folds[record.patient] for record in records}):
        others = [record for record in records if folds[record.patient] != fold]
        held_out = {record.patient for record in records if folds[record.patient] == fold}
        if held_out & {record.patient for record in others}:
            raise EvaluationError(f"Leak: patients of fold {fold} are also in another one.")
        exams, slices = scored_exams(others), scored_slices(others)
        thresholds.append(
            Thresholds(
                fold,
                best_cut(exams.truth, exams.values),
                best_cut(slices.truth, slices.values),
                best_map_threshold([record.sweep for record in others if record.sweep]),
            )
        )
    return thresholds


def score(method: Method, case: Case, cuts: CutOffs | None = None, *, with_sweep: bool = False) -> CaseRecord:
    """One case under one method.

    Args:
        method: Its result is read, or made.
        case: With its truth.
        cuts: Thresholds to apply; the method's own if None.
        with_sweep: Also the Dice at each threshold of the map.

    Raises:
        ICHSegmenterError: The case cannot be read, analyzed or scored.
    """
    exam = read_exam(case)
    prediction = predict(method, case, exam.volume, exam.brain_mask)
    if len(prediction.slice_values) != len(exam.slice_truth):
        raise EvaluationError(
            f"{case.name}: the result speaks of {len(prediction.slice_values)} slices, the truth of "
            f"{len(exam.slice_truth)}. It was made from another exam of this name."
        )
    cuts = cuts or CutOffs(prediction.threshold, prediction.slice_threshold)
    mask = prediction.outline(method, cuts.map)
    scores = None if mask is None or exam.mask is None else score_outline(mask, exam.mask, exam.volume.geometry)
    sweep = _sweep(prediction, exam, method) if with_sweep else ()
    return CaseRecord(
        case.name,
        case.patient,
        method.name,
        exam.slice_truth,
        prediction.slice_values,
        prediction.exam_value,
        prediction.value_name,
        cuts,
        scores,
        sweep,
        prediction.seconds,
        exam.subtype_truth,
        prediction.subtype_values,
    )


def _sweep(prediction: Prediction, exam: KnownExam, method: Method) -> tuple[float, ...]:
    """Only bleeding exams say where a map should be cut."""
    if not method.map_rule or prediction.soft is None or exam.mask is None or not exam.mask.any():
        return ()
    soft = prediction.soft.copy()
    if method.positive_slices_only:
        soft[prediction.slice_values < prediction.slice_threshold] = 0
    return map_sweep(soft, exam.mask)


def _with_held_out(
    records: Sequence[CaseRecord],
    searched: Sequence[Thresholds],
    folds: Folds,
    method: Method,
    cases: Sequence[Case],
) -> list[CaseRecord]:
    """Every record at the thresholds of its fold; outlines are scored again where the map's threshold applies."""
    of_fold = {thresholds.fold: thresholds for thresholds in searched}
    by_name = {case.name: case for case in cases}
    held_out = []
    for record in records:
        thresholds = of_fold[folds[record.patient]]
        map_cut = thresholds.map if record.segmentation is not None else None
        cuts = CutOffs(thresholds.exam, thresholds.slice, map_cut, thresholds.fold)
        if cuts.map is None:
            held_out.append(replace(record, cuts=cuts))
        else:
            held_out.append(replace(score(method, by_name[record.case], cuts), sweep=record.sweep))
    return held_out
