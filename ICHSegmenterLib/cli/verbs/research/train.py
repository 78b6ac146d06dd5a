"""`train`: a recipe, data and a folder in; weights, their card, logs and pictures out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.errors import DependencyError

if TYPE_CHECKING:
    from ICHSegmenterLib.learning.recipe import Recipe
    from ICHSegmenterLib.training.trainer import TrainerOptions


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("train", help="train a network by a recipe; run again with --resume after a stop")
    parser.add_argument(
        "recipe", help="unet, swin-unetr, hgi-sam, swin-sam, swin-sam-multi, rsna-sequence, ... or a .yaml file"
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="data set as distributed, or what `prepare` made of it"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the training")
    parser.add_argument("--resume", action="store_true", help="go on where the training in this folder stopped")
    add_changes_argument(parser, "change the recipe, such as data.fold=2 or phases.0.max_epochs=5")
    parser.add_argument(
        "--folds", type=Path, metavar="FILE", help="patient,fold as CSV or JSON, in place of folds drawn by the seed"
    )
    parser.add_argument("--all-folds", action="store_true", help="train every fold, each in a folder of its own")
    parser.add_argument(
        "--part", type=part, default=(1, 1), metavar="N/OF", help="with --all-folds: do every OF-th, for several runs"
    )
    parser.add_argument(
        "--pseudo-labels",
        type=Path,
        metavar="CACHE",
        help="for series: train, label this prepared second set, and train again with what is confident",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="of a pseudo-label, 0.5 to 1 (default 0.95)")
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "gpu", "mps"))
    parser.add_argument("--devices", default="auto", type=devices, help="of each machine: auto or a number")
    parser.add_argument("--nodes", default=1, type=int, help="machines; start one process a device, as torchrun does")
    parser.add_argument("--strategy", default="auto", help="auto, ddp, or another of Lightning's")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb."""
    require_existing(arguments, "data", "folds", "pseudo_labels")
    try:
        from ICHSegmenterLib.learning.recipe_file import load_recipe
        from ICHSegmenterLib.training.callbacks import StepProgress
        from ICHSegmenterLib.training.fit import fit  # needs the train extra
        from ICHSegmenterLib.training.pseudo_labels import Confidence, UnlabeledSeries, fit_twice
        from ICHSegmenterLib.training.trainer import TrainerOptions
    except ModuleNotFoundError as error:
        raise needs_extra(error) from error
    changes = [change for several in arguments.changes for change in several]
    if arguments.folds is not None:
        changes.append(f"data.folds_file={json.dumps(str(arguments.folds.absolute()))}")
    recipe = load_recipe(arguments.recipe, changes)
    options = TrainerOptions(
        arguments.accelerator,
        arguments.devices,
        arguments.nodes,
        arguments.strategy,
        not arguments.quiet and sys.stderr.isatty(),
    )
    lines = [] if arguments.quiet or options.progress else [StepProgress(TerminalProgress().update)]
    if arguments.all_folds:
        return _run_folds(recipe, arguments, options, lines)
    if arguments.pseudo_labels is None:
        trained = fit(
            recipe, arguments.data, arguments.output, resume=arguments.resume, machine=options, callbacks=lines
        )
    else:
        unlabeled = UnlabeledSeries(arguments.pseudo_labels, Confidence(arguments.confidence))
        trained = fit_twice(
            recipe,
            arguments.data,
            unlabeled,
            arguments.output,
            resume=arguments.resume,
            machine=options,
            callbacks=lines,
        )
    measures = ", ".join(f"{name} {value:.4g}" for name, value in trained.results.items() if name.startswith("val_"))
    print(f"{recipe.keeps.capitalize()} epoch: {measures}" if measures else "No validation was done")
    print(f"Weights: {trained.weights} ({trained.seconds:.0f} s); use them with --weights")
    return 0


def _run_folds(recipe: Recipe, arguments: argparse.Namespace, options: TrainerOptions, lines: Sequence[Any]) -> int:
    from ICHSegmenterLib.training.cross_validation import fit_folds

    if arguments.pseudo_labels is not None:
        raise ValueError("--all-folds and --pseudo-labels are two trainings; give one of them")
    done = fit_folds(
        recipe,
        arguments.data,
        arguments.output,
        part=arguments.part,
        machine=options,
        callbacks=lambda fold: lines,
    )
    for path in done.weights:
        print(f"Weights: {path}")
    if done.is_complete:
        print(f"Folds: {done.folds}; score them with evaluate --folds and the weights in this order")
    else:
        print("Other folds are missing; run again, or the other parts.")
    return 0


def add_changes_argument(parser: argparse.ArgumentParser, text: str) -> None:
    """`--set`, by which a recipe is changed; `text` is its help."""
    parser.add_argument("--set", dest="changes", action="append", nargs="+", default=[], metavar="KEY=VALUE", help=text)


def part(text: str) -> tuple[int, int]:
    """N/OF of a command line.

    Raises:
        ArgumentTypeError: It does not look so.
    """
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"must look like 3/16, got {text}")
    return int(number), int(count)


def needs_extra(error: ModuleNotFoundError) -> DependencyError:
    """The error that says which package training lacks and how to install it."""
    return DependencyError(
        f"Training needs the Python package {error.name!r}, which is not installed: "
        "pip install 'ichsegmenter[torch,train]'"
    )


def devices(text: str) -> int | str:
    """A number of devices of a command line, or auto."""
    return int(text) if text.isdigit() else text
