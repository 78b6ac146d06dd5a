"""`batch`: many exams, resumable."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ICHSegmenterLib.analysis.analyze import begin_analysis
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.batch.engines.embedded import EmbeddedEngine
from ICHSegmenterLib.batch.engines.engine import OpenEngine, RunOptions, Unjudged
from ICHSegmenterLib.batch.run import ExamOutcome, run_exams
from ICHSegmenterLib.cli.arguments import (
    add_detector_arguments,
    add_method_arguments,
    add_output_arguments,
    request_of,
    require_existing,
)
from ICHSegmenterLib.cli.batch_arguments import add_batch_arguments, count
from ICHSegmenterLib.cli.batches import completed_if_it_ends, conclude, exams_of, options_of
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.cli.stopping import stopped_by_signals
from ICHSegmenterLib.cli.watching import run_watch
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.volume import Volume


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("batch", help="many exams, each in its own folder; run again to resume")
    parser.add_argument("inputs", type=Path, nargs="*", help="folders, files, zip files, CSV manifests")
    parser.add_argument(
        "--watch", type=Path, metavar="DIR", help="instead: analyze what comes into this folder, until stopped"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    add_method_arguments(parser)
    add_detector_arguments(parser)
    add_output_arguments(parser)
    add_batch_arguments(parser)
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="analyze on a cluster of Ray: auto, local (one is started on this computer), or as Ray writes addresses",
    )
    parser.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="of the cluster (default: one for each graphics card, or for four cores where there is none)",
    )
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
    if arguments.workers is not None and arguments.cluster is None:
        raise ValueError("--workers are those of a --cluster; without one there is one network")
    request = request_of(arguments)
    progress = TerminalProgress()
    try:
        with ExitStack() as opened:
            exams = opened.enter_context(exams_of(arguments.inputs, arguments))
            ray = None if arguments.cluster is None else opened.enter_context(_cluster(arguments))
            stop = opened.enter_context(stopped_by_signals())  # Ray sets handlers of its own
            options = options_of(arguments, stop, progress.announce_exam)
            return run_exams(
                exams,
                arguments.output,
                _embedded(request, progress, options) if ray is None else _on_cluster(ray, options, arguments.workers),
                request=request,
                overwrite=arguments.overwrite,
                map_file=arguments.map,
                announce=options.announce,
            )
    finally:
        progress.close()


def _embedded(request: AnalysisRequest, progress: TerminalProgress, options: RunOptions) -> OpenEngine:
    session = Session()

    def analyzed(volume: Volume, **known: Any) -> Unjudged:
        return begin_analysis(volume, request, progress.run(options.is_interrupted), session, **known)

    return lambda steps: EmbeddedEngine(steps, analyzed, replace(options, checks_ahead=True))


def _cluster(arguments: argparse.Namespace) -> AbstractContextManager[ModuleType]:
    from ICHSegmenterLib.batch.cluster.connection import connected

    return connected(arguments.cluster, arguments.workers)


def _on_cluster(ray: ModuleType, options: RunOptions, workers: int | None) -> OpenEngine:
    from ICHSegmenterLib.batch.cluster.engine import ClusterEngine

    return lambda steps: ClusterEngine(ray, steps, options, workers)
