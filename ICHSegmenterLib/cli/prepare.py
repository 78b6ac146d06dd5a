"""`prepare`: a data set as it is distributed into shards that training reads; stop it and run it again at will."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.cli.train import needs_extra

LAYOUTS = ("rsna", "rsna-unlabeled", "physionet", "nifti")


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("prepare", help="turn a data set into a compact cache for training; resumable")
    parser.add_argument(
        "layout",
        choices=LAYOUTS,
        help="RSNA 2019 stage 2 (its test images are unlabeled), PhysioNet CT-ICH, or NIfTI with masks",
    )
    parser.add_argument("--data", type=Path, required=True, help="the data set as distributed")
    parser.add_argument("--output", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--workers", type=int, default=4, help="processes (default 4)")
    parser.add_argument(
        "--part", type=_part, default=(1, 1), metavar="N/OF", help="do every OF-th shard, for several machines"
    )
    parser.add_argument("--allow-missing", action="store_true", help="prepare what is there of a partial copy")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """The verb."""
    require_existing(chosen, "data")
    try:
        from ICHSegmenterLib.datasets.prepare import BAD_FILES, prepare  # needs the train extra
    except ModuleNotFoundError as error:
        raise needs_extra(error) from error
    progress = TerminalProgress()
    try:
        done = prepare(
            chosen.data,
            chosen.output,
            chosen.layout,
            workers=chosen.workers,
            part=chosen.part,
            allow_missing=chosen.allow_missing,
            progress=progress.update,
        )
    finally:
        progress.close()
    print(
        f"{done.slices} slices in {done.seconds:.1f} s ({done.slices_a_second:.0f} a second), "
        f"{done.skipped} shards done before"
    )
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    if done.bad_files:
        print(f"note: {len(done.bad_files)} files were left out, see {chosen.output / BAD_FILES}", file=sys.stderr)
    if not done.is_complete:
        print("Other parts are missing; the run that finishes last writes the index.")
    else:
        print(f"{done.total} slices: {chosen.output}")
    return 0


def _part(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"must look like 3/16, got {text}")
    return int(number), int(count)
