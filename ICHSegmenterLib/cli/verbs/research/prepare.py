"""`prepare`: a data set as it is distributed into shards that training reads; stop it and run it again at will."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.layouts import layout_argument, layouts_help
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.cli.verbs.research.train import add_changes_argument, needs_extra, part
from ICHSegmenterLib.datasets.layouts import get_layout


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("prepare", help="turn a data set into a compact cache for training; resumable")
    parser.add_argument("layout", type=layout_argument(get_layout), metavar="LAYOUT", help=layouts_help())
    parser.add_argument("--data", type=Path, required=True, help="the data set as distributed")
    parser.add_argument("--output", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--workers", type=int, default=4, help="processes (default 4)")
    parser.add_argument(
        "--part", type=part, default=(1, 1), metavar="N/OF", help="do every OF-th shard, for several machines"
    )
    parser.add_argument("--allow-missing", action="store_true", help="prepare what is there of a partial copy")
    parser.add_argument(
        "--inputs-of",
        metavar="RECIPE",
        help="also compute what this recipe's network sees, for all its trainings: their first epoch is as fast as "
        "later ones, for 1.8 MB a slice of HGI-SAM and the U-Nets and 0.15 MB of rsna-sequence",
    )
    add_changes_argument(parser, "with --inputs-of: change the recipe as for `train`")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb."""
    require_existing(arguments, "data")
    try:
        from ICHSegmenterLib.datasets.prepare import BAD_FILES, PrepareOptions, prepare_dataset  # needs the train extra
    except ModuleNotFoundError as error:
        raise needs_extra(error) from error
    progress = TerminalProgress()
    try:
        options = PrepareOptions(arguments.workers, arguments.part, arguments.allow_missing)
        done = prepare_dataset(arguments.data, arguments.output, arguments.layout, options, progress=progress.update)
    finally:
        progress.close()
    print(
        f"{done.slices} slices in {done.seconds:.1f} s ({done.slices_a_second:.0f} a second), "
        f"{done.skipped} shards done before"
    )
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    if done.bad_files:
        print(f"note: {len(done.bad_files)} files were left out, see {arguments.output / BAD_FILES}", file=sys.stderr)
    if not done.is_complete:
        print("Other parts are missing; the run that finishes last writes the index.")
        return 0
    print(f"{done.total} slices: {arguments.output}")
    if arguments.inputs_of is not None:
        _prepare_inputs(arguments)
    return 0


def _prepare_inputs(arguments: argparse.Namespace) -> None:
    try:
        from ICHSegmenterLib.learning.recipe_file import load_recipe
        from ICHSegmenterLib.training.prepare_inputs import prepare_inputs  # needs the train extra
    except ModuleNotFoundError as error:
        raise needs_extra(error) from error
    recipe = load_recipe(arguments.inputs_of, [change for several in arguments.changes for change in several])
    progress = TerminalProgress()
    try:
        count = prepare_inputs(recipe, arguments.output, workers=arguments.workers, progress=progress.update)
    finally:
        progress.close()
    print(f"Inputs of {recipe.name}: {count} ready")
