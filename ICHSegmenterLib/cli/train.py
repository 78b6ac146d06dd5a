"""`train`: a recipe, data and a folder in; weights, their card, logs and pictures out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.errors import DependencyError


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
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe, such as data.fold=2 or phases.0.max_epochs=5",
    )
    parser.add_argument(
        "--pseudo-labels",
        type=Path,
        metavar="CACHE",
        help="for series: train, label this prepared second set, and train again with what is confident",
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="of a pseudo-label, 0.5 to 1 (default 0.95)")
    parser.add_argument("--accelerator", default="auto", choices=("auto", "cpu", "gpu", "mps"))
    parser.add_argument("--devices", default="auto", type=_devices, help="of each machine: auto or a number")
    parser.add_argument("--nodes", default=1, type=int, help="machines; start one process a device, as torchrun does")
    parser.add_argument("--strategy", default="auto", help="auto, ddp, or another of Lightning's")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """The verb."""
    require_existing(chosen, "data", "pseudo_labels")
    try:
        from ICHSegmenterLib.learning.recipe import load_recipe
        from ICHSegmenterLib.training.fit import TrainerOptions, fit  # needs the train extra
        from ICHSegmenterLib.training.pseudo_labels import Confidence, fit_twice
    except ModuleNotFoundError as error:
        raise needs_extra(error) from error
    recipe = load_recipe(chosen.recipe, [change for several in chosen.changes for change in several])
    machine = TrainerOptions(
        chosen.accelerator, chosen.devices, chosen.nodes, chosen.strategy, not chosen.quiet and sys.stderr.isatty()
    )
    if chosen.pseudo_labels is None:
        trained = fit(recipe, chosen.data, chosen.output, resume=chosen.resume, machine=machine)
    else:
        trained = fit_twice(
            recipe,
            chosen.data,
            chosen.pseudo_labels,
            chosen.output,
            confidence=Confidence(chosen.confidence),
            resume=chosen.resume,
            machine=machine,
        )
    found = ", ".join(f"{name} {value:.4g}" for name, value in trained.results.items() if name.startswith("val_"))
    print(f"{recipe.keeps.capitalize()} epoch: {found}" if found else "No validation was done")
    print(f"Weights: {trained.weights} ({trained.seconds:.0f} s); use them with --weights")
    return 0


def needs_extra(error: ModuleNotFoundError) -> DependencyError:
    """What to install for training."""
    return DependencyError(
        f"Training needs the Python package {error.name!r}, which is not installed: "
        "pip install 'ichsegmenter[torch,train]'"
    )


def _devices(text: str) -> int | str:
    return int(text) if text.isdigit() else text
