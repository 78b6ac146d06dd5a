"""`rsna predict|score|submission|ensemble`: the files of the RSNA 2019 competition."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cli.arguments import add_method_arguments, request_of, require_existing
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.datasets.rsna import read_labels
from ICHSegmenterLib.evaluation.rsna.csv_files import (
    CLASSES,
    read_slice_ids,
    read_submission,
    write_ensemble,
    write_submission,
)
from ICHSegmenterLib.evaluation.rsna.metric import score_submission
from ICHSegmenterLib.evaluation.rsna.run import PredictSeries, by_series, by_volume, predict_folder
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store

METHOD = "rsna-sequence"


def add_parsers(verbs: Any) -> None:
    """Add the verbs to the parser."""
    rsna = verbs.add_parser("rsna", help="prediction, submission and ensemble files of RSNA 2019")
    actions = rsna.add_subparsers(title="actions", metavar="ACTION", required=True)
    predict = actions.add_parser("predict", help="six probabilities for each slice of a folder of .dcm files")
    predict.add_argument("folder", type=Path)
    predict.add_argument("--output", type=Path, required=True, metavar="FILE", help="prediction CSV to write")
    predict.add_argument("--meta", type=Path, required=True, metavar="FILE", help="meta CSV to write")
    add_method_arguments(predict)
    predict.set_defaults(run=run_predict, method=METHOD)
    score = actions.add_parser("score", help="the competition's weighted log loss of a submission")
    score.add_argument("submission", type=Path)
    score.add_argument("--labels", type=Path, required=True, metavar="FILE", help="ID,Label of the same images")
    score.set_defaults(run=run_score)
    submit = actions.add_parser("submission", help="prediction CSV to ID,Label; refuses an incomplete one")
    submit.add_argument("predictions", type=Path)
    submit.add_argument("--meta", type=Path, required=True, metavar="FILE", help="meta CSV of the predicted slices")
    submit.add_argument("--output", type=Path, required=True, metavar="FILE")
    submit.set_defaults(run=run_submission)
    blend = actions.add_parser("ensemble", help="three submissions, best model first, blended as the authors do")
    blend.add_argument("submissions", type=Path, nargs=3)
    blend.add_argument("--output", type=Path, required=True, metavar="FILE")
    blend.set_defaults(run=run_ensemble)


def run_predict(arguments: argparse.Namespace) -> int:
    """The action `predict`: exit code 1 if a series failed."""
    require_existing(arguments, "folder", "weights")
    request = request_of(arguments)
    if not request.card.knows_subtypes:
        raise ValueError(f"{request.method} tells no subtypes of hemorrhage; choose {METHOD}")
    progress = TerminalProgress()
    predict = _predict_series(request, progress)
    try:
        failures = predict_folder(
            arguments.folder, arguments.output, arguments.meta, predict, announce=progress.announce
        )
    finally:
        progress.close()
    for series, message in failures.items():
        print(f"failed: {series}: {message}", file=sys.stderr)
    print(f"{arguments.output} and {arguments.meta}; {len(failures)} series failed")
    return 1 if failures else 0


def _predict_series(request: AnalysisRequest, progress: TerminalProgress) -> PredictSeries:
    """The sequence transformer sees the images as they are; other methods see volumes."""
    session, card = Session(), request.card
    if card.predictor != "rsna_sequence":

        def analyze_and_show(volume: Volume) -> AnalysisResult:
            return analyze(volume, request, progress.run(), session)

        return by_volume(analyze_and_show)
    device = session.device(card, request.device, request.precision)
    predictor: Any = session.predictor(card, store.find(card, request.weights), device)
    return by_series(predictor, xyz_order=bool(card.option_values["xyz_order"]))


def run_score(arguments: argparse.Namespace) -> int:
    """The action `score`."""
    require_existing(arguments, "submission", "labels")
    loss = score_submission(read_submission(arguments.submission), read_labels(arguments.labels), classes=CLASSES)
    print(f"weighted log loss {loss.total:.5f} of {loss.slices} slices")
    for label, value in loss.by_label.items():
        print(f"  {label} {value:.5f}")
    return 0


def run_submission(arguments: argparse.Namespace) -> int:
    """The action `submission`."""
    require_existing(arguments, "predictions", "meta")
    write_submission(arguments.predictions, read_slice_ids(arguments.meta), arguments.output, complete=True)
    print(arguments.output)
    return 0


def run_ensemble(arguments: argparse.Namespace) -> int:
    """The action `ensemble`."""
    require_existing(arguments, "submissions")
    write_ensemble(arguments.submissions, arguments.output)
    print(arguments.output)
    return 0
