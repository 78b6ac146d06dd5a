"""`index`: what lies below folders, and which series of each study is the head CT."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ICHSegmenterLib.batch.index.choice import choices
from ICHSegmenterLib.batch.index.fill import fill
from ICHSegmenterLib.batch.index.store import Store
from ICHSegmenterLib.batch.names import index_folder
from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.searching import Search


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("index", help="which series below folders are head CT, and why others are not")
    parser.add_argument("inputs", type=Path, nargs="+", help="folders and files, searched with their subfolders")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the results of a batch: the index is for it"
    )
    parser.add_argument("--all-series", action="store_true", help="keep every CT series of a study")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb: exit code 1 if a file cannot be read."""
    require_existing(arguments, "inputs")
    search = Search()
    kept = passed = problems = volumes = 0
    with Store(index_folder(arguments.output)) as store:
        fill(store, arguments.inputs, search)
        for choice in choices(store.series(), all_series=arguments.all_series):
            row = choice.row
            state = f"passed over: {choice.reason}" if choice.reason else "read"
            details = f"{row.slices} slices {row.plane} {row.kernel} {row.thickness_mm:g} mm over {row.cover_mm:.0f} mm"
            print(f"{row.series}: {details}: {state}")
            kept, passed = kept + (not choice.reason), passed + bool(choice.reason)
        for path in store.volumes():
            volumes += 1
            print(f"{path.name}: read")
        for _, problem in store.problems():
            problems += 1
            print(f"problem: {problem}")
    print(f"{kept} series and {volumes} files to read, {passed} series passed over, {problems} problems")
    return 1 if problems else 0
