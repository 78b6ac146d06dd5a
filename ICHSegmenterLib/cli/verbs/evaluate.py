"""`evaluate`: methods against known truth, side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import ModelCard, method_cards
from ICHSegmenterLib.cli.arguments import add_device_arguments, require_existing
from ICHSegmenterLib.cli.layouts import layout_argument, layouts_help
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.datasets.layouts import labeled_layout
from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.request import MAP, AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

if TYPE_CHECKING:
    from ICHSegmenterLib.evaluation.predictions import Method

NEEDED = ("sklearn", "monai", "matplotlib")
RESULTS_FOLDER, HEADERS_FOLDER = "results", "headers"


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("evaluate", help="score methods against known truth; run again to go on or add methods")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data set as distributed")
    parser.add_argument(
        "--layout",
        type=layout_argument(labeled_layout),
        default="nifti",
        metavar="LAYOUT",
        help=layouts_help(),
    )
    parser.add_argument("--methods", nargs="+", default=(), metavar="METHOD", help=", ".join(method_cards()))
    parser.add_argument(
        "--results", type=Path, nargs="+", default=(), metavar="DIR", help="score what `batch` wrote here instead"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of tables and report")
    parser.add_argument(
        "--folds",
        type=Path,
        metavar="FILE",
        help="patient,fold as CSV or JSON, or HGI-SAM's folder of fold0.pt and so on: thresholds come from the other "
        "folds; of a method with as many weight files as folds, in this order, the network of a fold meets only that "
        "fold's patients",
    )
    parser.add_argument(
        "--protocol",
        choices=("exams", "slices"),
        default="exams",
        help="slices: HGI-SAM's, Dice and IoU of each bleeding slice at the network's pixels",
    )
    parser.add_argument(
        "--outline",
        choices=("bleeding", "positive"),
        default="bleeding",
        help="for --protocol slices: outline every truly bleeding slice, as its authors do, or those called positive",
    )
    parser.add_argument(
        "--brain-masks",
        type=Path,
        metavar="DIR",
        help="folder of brain masks to use instead of our own, such as brainmask_ero in the data set",
    )
    parser.add_argument("--patients", type=Path, metavar="FILE", help="exam,patient as CSV, if patients have several")
    parser.add_argument(
        "--weights",
        dest="weights",
        type=_weights,
        nargs="+",
        default=(),
        metavar="METHOD=FILE",
        help="files for a method instead of the installed ones",
    )
    add_device_arguments(parser)
    parser.add_argument("--resamples", type=int, default=1000, help="of the patients, for the intervals")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples")
    parser.add_argument("--overwrite", action="store_true", help="analyze cases again that have a result here")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb: exit code 1 if a case could not be scored."""
    require_existing(arguments, "data", "results", "folds", "patients", "weights")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"Evaluation needs {', '.join(missing)}, which are not installed: pip install 'ichsegmenter[torch,train]'"
        )
    # here, because no other verb should wait for scipy.stats
    from ICHSegmenterLib.datasets.brain_masks import brain_mask_folder, with_brain_masks
    from ICHSegmenterLib.evaluation.cases import find_cases
    from ICHSegmenterLib.evaluation.evaluate import PAGE_FILE, evaluate
    from ICHSegmenterLib.evaluation.slices.authors_folds import folds_of
    from ICHSegmenterLib.evaluation.thresholds import check_folds

    cases = find_cases(arguments.data, arguments.layout, arguments.output / HEADERS_FOLDER, arguments.patients)
    folds = None if arguments.folds is None else folds_of(arguments.folds, cases)
    if folds is not None:
        check_folds(folds, cases)
    if arguments.brain_masks is not None:
        cases = with_brain_masks(cases, brain_mask_folder(arguments.brain_masks, arguments.data))
    if arguments.protocol == "slices":
        from ICHSegmenterLib.cli.slice_evaluation import run_slices

        return run_slices(arguments, cases, folds)
    progress = TerminalProgress()
    session = Session()
    methods = [_method(name, arguments, session, progress, folds) for name in arguments.methods]
    methods += _methods_on_disk(arguments.results)

    try:
        evaluation = evaluate(
            cases,
            methods,
            arguments.output,
            folds=folds,
            resamples=arguments.resamples,
            seed=arguments.seed,
            announce=progress.announce,
        )
    finally:
        progress.close()
    for line in summary_lines(evaluation.summary):
        print(line)
    for failure in evaluation.failures:
        print(f"failed: {failure.method}, {failure.case}: {failure.message}", file=sys.stderr)
    print(f"Report: {arguments.output / PAGE_FILE}")
    return 1 if evaluation.failures else 0


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """One line a method."""
    lines = []
    for name, figures in summary["methods"].items():
        parts = [f"{name}: {figures['cases']} cases"]
        if figures["detection"] is not None:
            parts += [f"{level} AUC {_figure(figures['detection'][level]['auc'])}" for level in ("exam", "slice")]
        if figures["segmentation"] is not None:
            parts.append(f"Dice {_figure(figures['segmentation']['dice_mean'])}")
        lines.append(", ".join(parts))
    return lines


def _figure(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return estimate.get("note", "undefined")
    interval = "" if estimate["low"] is None else f" ({estimate['low']:.3f} to {estimate['high']:.3f})"
    patients = f", {estimate['patients']} patients" if estimate.get("patients") else ""
    return f"{estimate['value']:.3f}{interval}{patients}"


def _method(
    name: str, arguments: argparse.Namespace, session: Session, progress: TerminalProgress, folds: Any
) -> Method:
    """A method to run; its weights must be here before the first case."""
    from ICHSegmenterLib.evaluation.fold_networks import FoldNetworks, warn_of_training_data
    from ICHSegmenterLib.evaluation.predictions import Method

    given = tuple(path for method, path in arguments.weights if method == name)
    card = store.card_of(name, given)
    files = store.find(card, given)
    searches_map = arguments.folds is not None and bool(card.labels) and card.labelmap_rule != "argmax"
    folder = arguments.output / RESULTS_FOLDER / (name if arguments.brain_masks is None else f"{name}-brain-masks")
    if arguments.overwrite:
        for done in folder.glob("*/result.json"):
            done.unlink()

    def with_files(weights: tuple[Path, ...], known: Sequence[Path]) -> Method:
        request = AnalysisRequest(
            name,
            weights=weights,
            device=arguments.device,
            precision=arguments.precision,
            outputs=(MAP,) if searches_map else (),
        )

        def analyze_and_show(volume: Volume, **brain: Any) -> AnalysisResult:
            return analyze(volume, request, progress.run(), session, **brain)

        return Method(name, folder, analyze_and_show, named_digests(known), searches_map, card.positive_slices_only)

    together = with_files(given, files)
    if folds is None or not has_networks_of_folds(card, files, folds):
        warn_of_training_data(card, files)
        return together
    networks = FoldNetworks.of(folds, files)
    print(f"{name}: {networks.described()}")
    each = {file: with_files((file,), (file,)) for file in files}
    return replace(together, of_patient=lambda patient: each[networks.file_of(patient)])


def has_networks_of_folds(card: ModelCard, files: Sequence[Path], folds: Mapping[str, str]) -> bool:
    """True if a method has one network a fold: it is an ensemble of folds by its card, and there are as many."""
    return card.default_models > 1 and len(files) > 1 and len(files) == len(set(folds.values()))


def _methods_on_disk(folders: Sequence[Path]) -> list[Method]:
    """Results of `batch`, named after the folder if several are of the same method."""
    from ICHSegmenterLib.evaluation.predictions import Method, read_provenance

    names = [str(read_provenance(folder)["method"]) for folder in folders]
    return [
        Method(name if names.count(name) == 1 else folder.name, folder)
        for name, folder in zip(names, folders, strict=True)
    ]


def _weights(text: str) -> tuple[str, Path]:
    method, separator, file = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must look like METHOD=FILE, got {text}")
    return method, Path(file)
