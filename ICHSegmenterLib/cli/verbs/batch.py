"""`batch`: many exams, resumable."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.batch.pages import complete_batch
from ICHSegmenterLib.batch.run import SUMMARY_FILE, Exam, find_exams, run_batch
from ICHSegmenterLib.batch.tables.parquet import check_parquet
from ICHSegmenterLib.cli.arguments import (
    add_detector_arguments,
    add_method_arguments,
    add_output_arguments,
    request_of,
    require_existing,
)
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.cli.watching import run_watch
from ICHSegmenterLib.datasets.brain_masks import brain_mask_of
from ICHSegmenterLib.errors import CancelledError


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
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument(
        "--brain-masks",
        type=Path,
        metavar="DIR",
        help="NAME_mask.nii.gz or NAME.nii.gz of each exam, to use instead of our own brain mask",
    )
    parser.add_argument("--map", type=Path, metavar="FILE", help="write which name belongs to which exam, for you only")
    parser.add_argument(
        "--parquet", action="store_true", help="also write the tables of exams, slices and findings as Parquet"
    )
    parser.set_defaults(run=run)


class Search:
    """Says on standard error how far the search for exams is: nothing of a short one, then a line every few seconds."""

    INTERVAL_S = 5.0

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, files: int, exams: int) -> None:
        """So many files were seen, so many exams are known."""
        now = time.monotonic()
        if now - self._said >= self.INTERVAL_S:
            self._said = now
            print(f"searching: {files} files, {exams} exams", file=sys.stderr, flush=True)


def run(arguments: argparse.Namespace) -> int:
    """The verb: exit code 1 if any exam failed."""
    if arguments.watch is not None:
        require_existing(arguments, "watch", "weights", "detector_weights")
        return run_watch(arguments)
    if not arguments.inputs:
        raise ValueError("name the folders and files to analyze, or a folder to --watch")
    require_existing(arguments, "inputs", "weights", "detector_weights", "brain_masks")
    request = request_of(arguments)
    if arguments.parquet:
        check_parquet()
    exams = find_exams(arguments.inputs, Search())
    if arguments.brain_masks is not None:
        exams = with_masks(exams, arguments.brain_masks)
    session, progress = Session(), TerminalProgress()
    try:
        outcomes = run_batch(
            exams,
            arguments.output,
            lambda volume, **brain: analyze(volume, request, progress.run(), session, **brain),
            request=request,
            overwrite=arguments.overwrite,
            announce=progress.announce_exam,
            map_file=arguments.map,
        )
    except (CancelledError, KeyboardInterrupt):
        complete_batch(arguments.output, parquet=arguments.parquet)
        raise
    finally:
        progress.close()
    pages = complete_batch(arguments.output, parquet=arguments.parquet)
    failed = [one for one in outcomes if one.status == "failed"]
    for outcome in failed:
        print(f"failed: {outcome.exam.name}: {outcome.message}", file=sys.stderr)
    done, skipped = (sum(one.status == status for one in outcomes) for status in ("done", "skipped"))
    print(f"{done} done, {skipped} done before, {len(failed)} failed: {arguments.output / SUMMARY_FILE}")
    print(f"Worklist: {pages[0]}")
    return 1 if failed else 0


def with_masks(exams: list[Exam], folder: Path) -> list[Exam]:
    """The exams, each with its brain mask.

    Raises:
        ValueError: One has none.
    """
    masks = [brain_mask_of(exam.path, folder) for exam in exams]
    absent = [exam.path.name for exam, mask in zip(exams, masks, strict=True) if mask is None]
    if absent:
        raise ValueError(
            f"{folder}: {len(absent)} of {len(exams)} exams have no brain mask ({', '.join(absent[:3])}); name each "
            "NAME_mask.nii.gz or NAME.nii.gz after its exam"
        )
    return [replace(exam, brain_mask=mask) for exam, mask in zip(exams, masks, strict=True)]
