"""`calibrate`: a method's values become probabilities, with a screening and a confirming point."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cli.arguments import add_device_arguments, require_existing
from ICHSegmenterLib.cli.layouts import layout_argument, layouts_help
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.datasets.layouts import labeled_layout
from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.verdict import MIN_PIECE_VOLUME_ML

NEEDED = ("sklearn", "matplotlib")
HEADERS_FOLDER = "headers"


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "calibrate", help="fit probabilities and operating points of a method on exams with truth; run again to go on"
    )
    parser.add_argument("method", help="whose card gets the calibration")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="data sets as distributed")
    parser.add_argument(
        "--layout", type=layout_argument(labeled_layout), default="nifti", metavar="LAYOUT", help=layouts_help()
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="coefficients, figures and pieces")
    parser.add_argument("--weights", type=Path, nargs="+", default=[], metavar="FILE", help="several make an ensemble")
    parser.add_argument("--threshold", type=float, metavar="T", help="of the maps, 0 to 1 (default: the method's)")
    parser.add_argument(
        "--min-volume",
        type=float,
        default=MIN_PIECE_VOLUME_ML,
        metavar="ML",
        help="of a piece (default: %(default)s mL)",
    )
    parser.add_argument("--from-ml", type=float, default=1.0, help="sensitivity is counted from here (default: 1 mL)")
    parser.add_argument("--population", default="", metavar="TEXT", help="the exams in words, for the card")
    parser.add_argument("--card", type=Path, metavar="FILE", help="write the calibration into this card, too")
    add_device_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb: exit code 1 if an exam could not be observed."""
    require_existing(arguments, "data", "weights", "card")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise DependencyError(
            f"Calibration needs {', '.join(missing)}, which are not installed: pip install 'ichsegmenter[torch,train]'"
        )
    # here, because no other verb should wait for scipy.optimize
    from ICHSegmenterLib.evaluation.calibration.run import (
        CALIBRATION_FILE,
        PICTURE_FILE,
        CalibrationSettings,
        calibrate,
        draw_reliability,
        write_into_card,
    )
    from ICHSegmenterLib.evaluation.cases import find_cases

    request = AnalysisRequest(
        arguments.method,
        weights=tuple(arguments.weights),
        threshold=arguments.threshold,
        min_volume_ml=arguments.min_volume,
        device=arguments.device,
        precision=arguments.precision,
    )
    cases = [
        replace(case, name=f"{folder.name}-{case.name}", patient=f"{folder.name}-{case.patient}")
        for folder in arguments.data
        for case in find_cases(folder, arguments.layout, arguments.output / HEADERS_FOLDER)
    ]
    names = ", ".join(folder.name for folder in arguments.data)
    settings = CalibrationSettings(arguments.population or f"exams of {names}", from_ml=arguments.from_ml)
    progress = TerminalProgress()
    try:
        outcome = calibrate(cases, request, arguments.output, settings, progress.run(), progress.announce)
    finally:
        progress.close()
    draw_reliability(outcome.summary, arguments.output / PICTURE_FILE)
    if arguments.card is not None:
        write_into_card(arguments.card, outcome.calibration)
    for line in summary_lines(outcome.summary):
        print(line)
    for failure in outcome.failures:
        print(f"failed: {failure.case}: {failure.message}", file=sys.stderr)
    print(f"Calibration: {arguments.output / CALIBRATION_FILE}")
    return 1 if outcome.failures else 0


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The figures in cross-validation, for people."""
    error = summary["exam_reliability"]["expected_error"]
    counts = f"{summary['exams']} exams, {summary['bleeding']} of them bleeding"
    figures = f"exam AUC {summary['auc']:.3f}, calibration error {error:.3f} (cross-validated)"
    lines = [f"{summary['method']}: {counts}, {figures}"]
    for name, rates in summary["rates"].items():
        lines.append(
            f"  {name}: sensitivity {rates['sensitivity']:.3f}, from {summary['from_ml']:g} mL "
            f"{rates['sensitivity_from_ml']:.3f}, specificity {rates['specificity']:.3f}"
        )
    return lines
