"""`batch`: many exams, resumable."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.combine import analyze_together
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.batch.run import SUMMARY_FILE, find_exams, run_batch
from ICHSegmenterLib.cli.arguments import add_detector_arguments, add_method_arguments, settings_of
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.runtime.device import check_device_request
from ICHSegmenterLib.volume.volume import Volume


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("batch", help="many exams, each in its own folder; run again to resume")
    parser.add_argument("inputs", type=Path, nargs="+", help="folders and files, searched with their subfolders")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    add_method_arguments(parser)
    add_detector_arguments(parser)
    parser.add_argument("--save-maps", action="store_true", help="also write map.nii.gz for each exam")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """The verb: exit code 1 if any exam failed."""
    settings = settings_of(chosen)
    check_device_request(chosen.device, chosen.precision)
    exams = find_exams(chosen.inputs)
    session, progress = Session(), TerminalProgress()

    def analyze(volume: Volume) -> AnalysisResult:
        return analyze_together(
            volume,
            **vars(settings),
            device=chosen.device,
            precision=chosen.precision,
            save_maps=chosen.save_maps,
            run=progress.run(),
            session=session,
        )

    def announce(done: int, total: int, name: str) -> None:
        progress.close()
        if name:
            print(f"[{done + 1}/{total}] {name}", file=sys.stderr)

    outcomes = run_batch(
        exams,
        chosen.output,
        analyze,
        settings=settings,
        overwrite=chosen.overwrite,
        save_maps=chosen.save_maps,
        announce=announce,
    )
    failed = [one for one in outcomes if one.status == "failed"]
    for one in failed:
        print(f"failed: {one.exam.name}: {one.message}", file=sys.stderr)
    done, skipped = (sum(one.status == status for one in outcomes) for status in ("done", "skipped"))
    print(f"{done} done, {skipped} done before, {len(failed)} failed: {chosen.output / SUMMARY_FILE}")
    return 1 if failed else 0
