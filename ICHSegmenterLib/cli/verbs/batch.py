"""`batch`: many exams, resumable."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.batch.run import ExamOutcome, run_batch
from ICHSegmenterLib.cli.arguments import (
    add_detector_arguments,
    add_method_arguments,
    add_output_arguments,
    request_of,
    require_existing,
)
from ICHSegmenterLib.cli.batch_arguments import add_batch_arguments
from ICHSegmenterLib.cli.batches import completed_if_it_ends, conclude, exams_of, options_of
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.cli.stopping import stopped_by_signals
from ICHSegmenterLib.cli.watching import run_watch


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("batch", help="many exams, each in its own folder; run again to resume")
    parser.add_argument("inputs", type=Path, nargs="*", help="folders and files, searched with their subfolders")
    parser.add_argument(
        "--watch", type=Path, metavar="DIR", help="instead: analyze what comes into this folder, until stopped"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    add_method_arguments(parser)
    add_detector_arguments(parser)
    add_output_arguments(parser)
    add_batch_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb: exit code 1 if any exam failed, or if the run ended before the last one."""
    if arguments.watch is not None:
        require_existing(arguments, "watch", "weights", "detector_weights")
        return run_watch(arguments)
    if not arguments.inputs:
        raise ValueError("name the folders and files to analyze, or a folder to --watch")
    require_existing(arguments, "inputs", "weights", "detector_weights", "brain_masks")
    with completed_if_it_ends(arguments):
        outcomes = _outcomes(arguments)
    return conclude(outcomes, arguments)


def _outcomes(arguments: argparse.Namespace) -> list[ExamOutcome]:
    request = request_of(arguments)
    exams = exams_of(arguments.inputs, arguments)
    session, progress = Session(), TerminalProgress()
    try:
        with stopped_by_signals() as stop:
            options = options_of(arguments, stop, progress.announce_exam)
            return run_batch(
                exams,
                arguments.output,
                lambda volume, **brain: analyze(
                    volume, request, progress.run(options.is_interrupted), session, **brain
                ),
                request=request,
                overwrite=arguments.overwrite,
                map_file=arguments.map,
                options=options,
            )
    finally:
        progress.close()
