"""Methods against truth by HGI-SAM's protocol: every slice scored, thresholds from other folds, tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ICHSegmenterLib import __version__
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError, Failure
from ICHSegmenterLib.evaluation.attempt import attempt
from ICHSegmenterLib.evaluation.dataset import check_cases
from ICHSegmenterLib.evaluation.evaluate import Announce, silent
from ICHSegmenterLib.evaluation.fold_networks import fold_names
from ICHSegmenterLib.evaluation.slices.figures import CutScores, best_threshold, cut, figures_of
from ICHSegmenterLib.evaluation.slices.methods import SliceMethod
from ICHSegmenterLib.evaluation.slices.run import score_slices, scores_file
from ICHSegmenterLib.evaluation.slices.slice_scores import SliceScores, load_pictures
from ICHSegmenterLib.evaluation.slices.tables import write_method_table, write_slice_table
from ICHSegmenterLib.evaluation.thresholds import Folds, check_folds
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.report.slice_pictures import draw_slice
from ICHSegmenterLib.results import RESEARCH_NOTICE

SUMMARY_FILE, SLICES_FILE, METHODS_FILE, PICTURES = "summary.json", "slices.csv", "methods.csv", "pictures"
DEFINITIONS = {
    "slice": "every slice of every exam, on the square that the network sees; it bleeds if its label or mask says so, "
    "or its label alone where bleeding_by_label is true",
    "dice, iou": "of each slice whose mask has a pixel there; mean, SD and SEM over slices",
    "interval": "95 % bootstrap over patients, whose slices are drawn together",
    "threshold": "of the maps: highest mean Dice over the bleeding slices of the other folds; else the method's own",
    "hard-label AUC": "of the decisions in place of the values, as the authors compute it: the mean of sensitivity and "
    "specificity",
}


@dataclass(frozen=True)
class SliceProtocol:
    """Settings.

    Attributes:
        folds: Patient to fold; None: the methods' own thresholds.
        every_bleeding: Outline every slice with true blood, as the authors do; else those that are called positive.
        climb: Thresholds of the authors' search; without any all of `THRESHOLDS` are compared.
        by_label: A slice bleeds if its label says so, as the authors count; else if its label or its mask does.
        pictures: Draw each bleeding slice under each method.
        resamples, seed: Of the bootstrap.
    """

    folds: Folds | None = None
    every_bleeding: bool = True
    climb: tuple[float, ...] = ()
    by_label: bool = False
    pictures: bool = True
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class SliceEvaluation:
    """The outcome: `summary` as in `summary.json`, and the cases that failed."""

    summary: dict[str, Any]
    failures: list[Failure]


def evaluate_slices(
    cases: Sequence[Case],
    methods: Sequence[SliceMethod],
    output: Path,
    protocol: SliceProtocol,
    *,
    announce: Announce = silent,
) -> SliceEvaluation:
    """Score methods slice by slice and write everything into a folder; done cases are not computed again.

    Raises:
        EvaluationError: Nothing to score, or folds that do not fit.
        CancelledError: Stopped; results so far are kept.
    """
    check_cases(cases)
    if protocol.folds is not None:
        check_folds(protocol.folds, cases)
    failures: list[Failure] = []
    cuts: dict[str, list[CutScores]] = {}
    for number, method in enumerate(methods):
        scores: list[SliceScores] = []
        for case_number, case in enumerate(_by_fold(cases, protocol.folds)):
            announce(number * len(cases) + case_number, len(methods) * len(cases), f"{method.name}: {case.name}")
            outcome = attempt(partial(score_slices, method, case, output), method.name, case.name)
            if isinstance(outcome, SliceScores):
                scores.append(outcome.by_label() if protocol.by_label else outcome)
            else:
                failures.append(outcome)
        if not scores:
            raise EvaluationError(f"None of the {len(cases)} cases could be scored: {failures[-1].message}")
        cuts[method.name] = _cut(scores, method, protocol)
    announce(len(methods) * len(cases), len(methods) * len(cases), "")
    summary = _summary(cuts, failures, protocol)
    write_slice_table((each for of_method in cuts.values() for each in of_method), output / SLICES_FILE)
    write_method_table(summary["methods"], output / METHODS_FILE)
    if protocol.pictures:
        by_name = {case.name: case for case in cases}
        for method in methods:
            _draw(method, cuts[method.name], by_name, output)
    with replacing(output / SUMMARY_FILE) as draft:
        draft.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return SliceEvaluation(summary, failures)


def _by_fold(cases: Sequence[Case], folds: Folds | None) -> list[Case]:
    """Cases of one fold together, so that each network is loaded once."""
    return list(cases) if folds is None else sorted(cases, key=lambda case: folds[case.patient])


def _cut(scores: Sequence[SliceScores], method: SliceMethod, protocol: SliceProtocol) -> list[CutScores]:
    """Every exam at the threshold of its fold."""
    folds = protocol.folds
    own = 0.5 if method.card.threshold is None else method.card.threshold
    thresholds: dict[str, float] = {}
    if folds is not None and method.searches_threshold:
        of_scores = {each.patient: folds[each.patient] for each in scores}
        for fold in fold_names(of_scores):
            thresholds[fold] = best_threshold([each for each in scores if folds[each.patient] != fold], protocol.climb)
    cuts = []
    for each in scores:
        fold = "" if folds is None else folds[each.patient]
        cuts.append(
            cut(
                each,
                fold=fold,
                threshold=thresholds.get(fold, own),
                detection_threshold=method.card.detection_threshold,
                every_bleeding=protocol.every_bleeding,
            )
        )
    return cuts


def _summary(
    cuts: Mapping[str, Sequence[CutScores]], failures: Sequence[Failure], protocol: SliceProtocol
) -> dict[str, Any]:
    return {
        "format": 1,
        "notice": RESEARCH_NOTICE,
        "version": __version__,
        "protocol": "slices",
        "every_bleeding_slice_outlined": protocol.every_bleeding,
        "bleeding_by_label": protocol.by_label,
        "bootstrap": {"resamples": protocol.resamples, "seed": protocol.seed, "unit": "patient"},
        "methods": {
            name: figures_of(of_method, resamples=protocol.resamples, seed=protocol.seed)
            for name, of_method in cuts.items()
        },
        "failures": [
            {"method": each.method, "case": each.case, "kind": each.kind, "message": each.message} for each in failures
        ],
        "definitions": DEFINITIONS,
    }


def _draw(method: SliceMethod, cuts: Sequence[CutScores], cases: Mapping[str, Case], output: Path) -> None:
    """`pictures/METHOD/CASE_SLICE.png` for each bleeding slice that has none yet."""
    for each in cuts:
        if not len(each.dice):
            continue
        stored = load_pictures(scores_file(method, cases[each.scores.case], output), each.scores.outlined)
        for n, index in enumerate(each.scores.outlined.tolist()):
            path = output / PICTURES / method.name / f"{each.scores.case}_{index:03d}.png"
            draw_slice(stored.gray[n], stored.truth[n], stored.soft[n] >= each.threshold, path)
