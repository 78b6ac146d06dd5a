"""`batch --watch`: exams of a folder that keeps being filled."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.analyze import begin_analysis
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.batch.engines.engine import Analyze, RunOptions, Unjudged
from ICHSegmenterLib.batch.exam import ExamOutcome
from ICHSegmenterLib.batch.summary import SUMMARY_FILE
from ICHSegmenterLib.cli.arguments import request_of
from ICHSegmenterLib.cli.batches import options_of
from ICHSegmenterLib.cli.stopping import stopped_by_signals
from ICHSegmenterLib.receive.watch import Watch, WatchedFolder
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.volume import Volume

WITHOUT = ("inputs", "overwrite", "all_series", "brain_masks", "map", "cluster", "workers")
"""Arguments of a batch that a watch does not take."""


def run_watch(arguments: argparse.Namespace) -> int:
    """Analyze what comes into `--watch` until a signal: exit code 0, whatever failed, as nobody waits for it."""
    without = [
        name for name in ("inputs", "overwrite", "brain_masks", "map", "cluster", "workers") if getattr(arguments, name)
    ]
    if without:
        raise ValueError(
            f"--watch goes without {', '.join(without)}: each exam that comes is analyzed once, on this computer"
        )
    request = request_of(arguments)
    with stopped_by_signals() as stop:
        folder = WatchedFolder(arguments.watch, arguments.output)
        options = replace(options_of(arguments, stop), checks_ahead=True)
        analyzed = analysis_until(options, request)
        watch = Watch(folder, arguments.output, analyzed, request, announce=begun, after=ended, options=options)
        print(f"watching; results in {arguments.output / SUMMARY_FILE}; Control-C ends it", file=sys.stderr, flush=True)
        counts = watch.run(stop)
    print_counts(counts, arguments.output)
    return 0


def analysis_until(options: RunOptions, request: AnalysisRequest) -> Analyze:
    """The analysis of one volume after the other by a network that stays warm, interrupted as the options say."""
    session = Session()

    def analyzed(volume: Volume, **known: Any) -> Unjudged:
        return begin_analysis(volume, request, RunContext(cancelled=options.is_interrupted), session, **known)

    return analyzed


def print_counts(counts: Mapping[str, int], output: Path) -> None:
    """The line at the end."""
    print(f"{counts['done']} done, {counts['failed']} failed: {output / SUMMARY_FILE}")


def begun(name: str) -> None:
    """A line when an exam is begun."""
    print(name, file=sys.stderr, flush=True)


def ended(outcome: ExamOutcome) -> None:
    """A line of an exam that failed."""
    if outcome.status == "failed":
        print(f"failed: {outcome.exam.name}: {outcome.message}", file=sys.stderr, flush=True)
