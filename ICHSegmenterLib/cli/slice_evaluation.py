"""`evaluate --protocol slices`: HGI-SAM's protocol on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.cli.verbs.evaluate import has_networks_of_folds
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.evaluation.fold_networks import FoldNetworks, warn_of_training_data
from ICHSegmenterLib.evaluation.slices.evaluate import METHODS_FILE, SliceProtocol, evaluate_slices
from ICHSegmenterLib.evaluation.slices.methods import SliceMethod
from ICHSegmenterLib.weights import store


def run_slices(arguments: argparse.Namespace, cases: Sequence[Case], folds: Mapping[str, str] | None) -> int:
    """Score the methods of `evaluate` slice by slice: exit code 1 if a case could not be scored."""
    if arguments.results:
        raise ValueError(
            "--protocol slices needs the maps at the network's pixels, which results of `batch` do not hold"
        )
    session = Session()
    methods = [_method(name, arguments, folds, session) for name in arguments.methods]
    if not methods:
        raise ValueError("no method to evaluate; name one or more with --methods")
    progress = TerminalProgress()
    protocol = SliceProtocol(folds, arguments.outline == "bleeding", resamples=arguments.resamples, seed=arguments.seed)
    try:
        evaluation = evaluate_slices(cases, methods, arguments.output, protocol, announce=progress.announce)
    finally:
        progress.close()
    for name, groups in evaluation.summary["methods"].items():
        for fold, figures in groups.items():
            print(slice_line(name, fold, figures))
    for failure in evaluation.failures:
        print(f"failed: {failure.method}, {failure.case}: {failure.message}", file=sys.stderr)
    print(f"Tables: {arguments.output / METHODS_FILE}")
    return 1 if evaluation.failures else 0


def slice_line(name: str, fold: str, figures: Mapping[str, Any]) -> str:
    """One line of a method and fold."""
    dice, detection = figures["dice"], figures["detection"]
    parts = [f"{name}, fold {fold}: {figures['patients']} patients, {figures['outlined_slices']} bleeding slices"]
    if dice["value"] is not None:
        interval = "" if dice["low"] is None else f" ({dice['low']:.3f} to {dice['high']:.3f})"
        parts.append(f"Dice {dice['value']:.3f}{interval}, SD {dice['sd']:.3f}, SEM {dice['sem'] or 0:.3f}")
        parts.append(f"IoU {figures['iou']['value']:.3f}")
    if detection["auc"]["value"] is not None:
        parts.append(f"slice AUC {detection['auc']['value']:.3f}")
        parts.append(f"of hard labels {figures['hard_label_auc']['value']:.3f}")
    return ", ".join(parts)


def _method(name: str, arguments: argparse.Namespace, folds: Mapping[str, str] | None, session: Session) -> SliceMethod:
    given: tuple[Path, ...] = tuple(path for method, path in arguments.weights if method == name)
    card = store.card_of(name, given)
    files = store.find(card, given)
    networks = None
    if folds is not None and has_networks_of_folds(card, files, folds):
        networks = FoldNetworks.of(folds, files)
        print(f"{name}: {networks.described()}")
    else:
        warn_of_training_data(card, files)
    return SliceMethod(card, files, networks, arguments.device, arguments.precision, session)
