"""`evaluate`: methods against known truth, side by side."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cards.table import MODEL_CARDS, get_card
from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.request import MAP, PRECISIONS, AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
from ICHSegmenterLib.volume.volume import Volume
from ICHSegmenterLib.weights import store
from ICHSegmenterLib.weights.digests import named_digests

if TYPE_CHECKING:
    from ICHSegmenterLib.evaluation.predictions import Method

LAYOUTS = ("nifti", "physionet", "rsna")
NEEDED = ("sklearn", "monai", "matplotlib")
RESULTS_FOLDER, HEADERS_FOLDER = "results", "headers"


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("evaluate", help="score methods against known truth; run again to go on or add methods")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data set as distributed")
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default="nifti",
        help="nifti: images/ and masks/ with the same names; physionet: CT-ICH; rsna: RSNA 2019 stage 2",
    )
    parser.add_argument("--methods", nargs="+", default=(), metavar="METHOD", help=", ".join(MODEL_CARDS))
    parser.add_argument(
        "--results", type=Path, nargs="+", default=(), metavar="DIR", help="score what `batch` wrote here instead"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of tables and report")
    parser.add_argument(
        "--folds", type=Path, metavar="FILE", help="patient,fold as CSV or JSON: thresholds come from the other folds"
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
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--resamples", type=int, default=1000, help="of the patients, for the intervals")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples")
    parser.add_argument("--overwrite", action="store_true", help="analyze cases again that have a result here")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """The verb: exit code 1 if a case could not be scored."""
    require_existing(chosen, "data", "results", "folds", "patients", "weights")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"Evaluation needs {', '.join(missing)}, which are not installed: pip install 'ichsegmenter[torch,train]'"
        )
    # here, because no other verb should wait for scipy.stats
    from ICHSegmenterLib.evaluation.cases import find_cases
    from ICHSegmenterLib.evaluation.evaluate import PAGE_FILE, evaluate
    from ICHSegmenterLib.evaluation.thresholds import read_folds

    folds = None if chosen.folds is None else read_folds(chosen.folds)
    progress = TerminalProgress()
    session = Session()
    methods = [_method(name, chosen, session, progress) for name in chosen.methods] + _methods_on_disk(chosen.results)
    cases = find_cases(chosen.data, chosen.layout, chosen.output / HEADERS_FOLDER, chosen.patients)

    try:
        found = evaluate(
            cases,
            methods,
            chosen.output,
            folds=folds,
            resamples=chosen.resamples,
            seed=chosen.seed,
            announce=progress.announce,
        )
    finally:
        progress.close()
    for line in summary_lines(found.summary):
        print(line)
    for failure in found.failures:
        print(f"failed: {failure.method}, {failure.case}: {failure.message}", file=sys.stderr)
    print(f"Report: {chosen.output / PAGE_FILE}")
    return 1 if found.failures else 0


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """One line a method."""
    lines = []
    for name, one in summary["methods"].items():
        parts = [f"{name}: {one['cases']} cases"]
        if one["detection"] is not None:
            parts += [f"{level} AUC {_figure(one['detection'][level]['auc'])}" for level in ("exam", "slice")]
        if one["segmentation"] is not None:
            parts.append(f"Dice {_figure(one['segmentation']['dice_mean'])}")
        lines.append(", ".join(parts))
    return lines


def _figure(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return one.get("note", "undefined")
    interval = "" if one["low"] is None else f" ({one['low']:.3f} to {one['high']:.3f})"
    return f"{one['value']:.3f}{interval}"


def _method(name: str, chosen: argparse.Namespace, session: Session, progress: TerminalProgress) -> Method:
    """A method to run; its weights must be here before the first case."""
    from ICHSegmenterLib.evaluation.predictions import Method

    given = tuple(path for method, path in chosen.weights if method == name)
    card = get_card(name)
    files = store.find(card, given)
    searches_map = chosen.folds is not None and bool(card.labels) and card.labelmap_rule != "argmax"
    request = AnalysisRequest(
        name,
        weights=given,
        device=chosen.device,
        precision=chosen.precision,
        outputs=(MAP,) if searches_map else (),
    )

    def analyze_and_show(volume: Volume) -> AnalysisResult:
        return analyze(volume, request, progress.run(), session)

    folder = chosen.output / RESULTS_FOLDER / name
    if chosen.overwrite:
        for done in folder.glob("*/result.json"):
            done.unlink()
    digests = named_digests(files)
    return Method(name, folder, analyze_and_show, digests, searches_map, card.positive_slices_only)


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
