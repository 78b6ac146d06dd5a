"""`reproduce`: a published table, from data to the paper's row beside ours; run again to go on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.cli.verbs.research.train import add_changes_argument, devices, needs_extra, part

FOLD_TABLES = ("unet", "swin-unetr")
"""Those with a network a fold."""
TABLES = ("hgi-sam", "swin-sam", *FOLD_TABLES, "rsna-sequence", "smart-net")
WITHOUT_FOLDS = TABLES[-2:]
"""Those whose test part is not one of folds."""
FOLDS = 5


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("reproduce", help="a published table: prepare, train or load, evaluate, compare")
    parser.add_argument("table", choices=TABLES, metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="the data set, or a folder whose subfolders are them"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of everything (default: reproduce-TABLE)")
    parser.add_argument(
        "--weights", type=Path, nargs="+", default=[], metavar="FILE", help="evaluate these in place of a training"
    )
    parser.add_argument("--as-authors", action="store_true", help="all quirks of the authors' code on")
    parser.add_argument("--folds", type=Path, metavar="FILE", help="patient,fold, in place of folds drawn by the seed")
    parser.add_argument("--fold-count", type=int, default=FOLDS, metavar="N", help=f"folds to draw (default: {FOLDS})")
    add_changes_argument(parser, "change the recipes; each change is listed as a deviation")
    parser.add_argument(
        "--part", type=part, default=(1, 1), metavar="N/OF", help="train every OF-th fold, for several runs"
    )
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "gpu", "mps"))
    parser.add_argument("--devices", default="auto", type=devices, help="to train on: auto or a number")
    parser.add_argument("--nodes", default=1, type=int, help="machines; start one process a device, as torchrun does")
    parser.add_argument("--strategy", default="auto", help="auto, ddp, or another of Lightning's")
    parser.add_argument("--device", default="auto", help="to evaluate on: auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--resamples", type=int, default=1000, help="of the patients, for the intervals")
    parser.add_argument("--seed", type=int, default=0, help="of drawn folds and resamples")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb."""
    require_existing(arguments, "data", "weights", "folds")
    _check_folds_apply(arguments)
    try:
        from lightning.pytorch.utilities.rank_zero import rank_zero_only

        from ICHSegmenterLib.evaluation.evaluate import silent
        from ICHSegmenterLib.reproduce.options import ReproduceOptions
        from ICHSegmenterLib.reproduce.outcome import PAGE_FILE, summary_lines
        from ICHSegmenterLib.reproduce.table import reproduce  # needs the train extra
        from ICHSegmenterLib.training.callbacks import StepProgress
        from ICHSegmenterLib.training.trainer import TrainerOptions
    except ModuleNotFoundError as error:
        raise needs_extra(error) from error
    output = arguments.output or Path(f"reproduce-{arguments.table}")
    progress = TerminalProgress()
    options = ReproduceOptions(
        arguments.data,
        output,
        tuple(arguments.weights),
        arguments.as_authors,
        tuple(change for several in arguments.changes for change in several),
        arguments.folds,
        arguments.fold_count,
        arguments.part,
        TrainerOptions(arguments.accelerator, arguments.devices, arguments.nodes, arguments.strategy, progress=False),
        arguments.device,
        arguments.resamples,
        arguments.seed,
        silent if arguments.quiet else progress.update,
        silent if arguments.quiet else progress.announce,
        lambda what: () if arguments.quiet else (StepProgress(progress.update, what),),
    )
    try:
        outcome = reproduce(arguments.table, options)
    finally:
        progress.close()
    if rank_zero_only.rank:  # of several processes that train one network the first one speaks
        return 0
    if outcome.missing:
        print(f"No table yet: {outcome.missing}.")
        return 0
    print(outcome.data)
    for line in summary_lines(outcome):
        print(line)
    print(f"{len(outcome.deviations())} deviations from the authors' code are listed in {output / PAGE_FILE}:")
    for each in outcome.deviations():
        print(f"  {each.topic}: {each.authors} / here: {each.ours}")
    return 0


def _check_folds_apply(arguments: argparse.Namespace) -> None:
    """A setting of folds is refused where it would do nothing, or let two runs train one network at once."""
    table = arguments.table
    if arguments.part != (1, 1) and table not in FOLD_TABLES:
        raise ValueError(
            f"--part shares folds, and {table} trains none. To train one network with several processes start "
            "`torchrun --nproc-per-node N -m ICHSegmenterLib reproduce ...` with --devices N"
        )
    if table in WITHOUT_FOLDS and (arguments.folds is not None or arguments.fold_count != FOLDS):
        raise ValueError(f"{table} has no folds; leave --folds and --fold-count out")
