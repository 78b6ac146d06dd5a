"""`compare`: several methods on one exam, and how far they agree."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.comparison.compare import Comparison, compare
from ICHSegmenterLib.analysis.default_method import ready_methods
from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.cli.arguments import add_device_arguments, add_output_arguments, option, require_existing
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.outputs.comparison import write_comparison
from ICHSegmenterLib.outputs.table import check_outputs, select
from ICHSegmenterLib.request import CompareRequest
from ICHSegmenterLib.results import RESEARCH_NOTICE
from ICHSegmenterLib.volume.io import read_mask, read_volume

ALL = "all"


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("compare", help="several methods on one exam: outlines, volumes, Dice, majority vote")
    parser.add_argument("input", type=Path, help="DICOM folder or file, NIfTI, NRRD or MHA")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[ALL],
        metavar="METHOD",
        help=f"{', '.join(method_cards())}, or {ALL}: every method whose weights are here (default)",
    )
    parser.add_argument(
        "--weights",
        type=_method_file,
        nargs="+",
        action="extend",
        default=[],
        metavar="METHOD=FILE",
        help="use this file for this method; several for one method make an ensemble",
    )
    parser.add_argument(
        "--option",
        dest="options",
        type=_method_option,
        nargs="+",
        action="extend",
        default=[],
        metavar="METHOD:NAME=VALUE",
        help="of this method, such as unet:tta=true",
    )
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder")
    parser.add_argument("--brain-mask", type=Path, metavar="FILE", help="use this mask, on the grid of the CT")
    add_device_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb: exit code 1 if any method failed."""
    require_existing(arguments, "input", "brain_mask", "weights")
    request = _request_of(arguments)
    volume = read_volume(arguments.input, series_uid=arguments.series)
    check_outputs(request.outputs, volume, arguments.input)
    mask = None if arguments.brain_mask is None else read_mask(arguments.brain_mask, volume.geometry)
    progress = TerminalProgress()
    try:
        comparison = compare(volume, request, progress.run(), brain_mask=mask)
    finally:
        progress.close()
    files = write_comparison(comparison, volume, arguments.output, outputs=request.outputs, source=arguments.input)
    for failure in comparison.failures:
        print(f"failed: {failure.method}: {failure.message}", file=sys.stderr)
    print(summary(comparison))
    print(f"Results: {arguments.output} ({', '.join([*comparison.results, *files])})")
    return 1 if comparison.failures else 0


def _request_of(arguments: argparse.Namespace) -> CompareRequest:
    weights: dict[str, list[Path]] = {}
    for method, file in arguments.weights:
        weights.setdefault(method, []).append(file)
    options: dict[str, dict[str, Any]] = {}
    for method, name, value in arguments.options:
        options.setdefault(method, {})[name] = value
    methods = arguments.methods
    if methods == [ALL]:
        methods = list(dict.fromkeys((*ready_methods(), *weights)))
    return CompareRequest(
        methods=tuple(methods),
        weights={method: tuple(files) for method, files in weights.items()},
        options=options,
        device=arguments.device,
        precision=arguments.precision,
        outputs=select(arguments.outputs),
    )


def summary(comparison: Comparison) -> str:
    """Summary for people."""
    width = max((len(name) for name in comparison.results), default=0)
    lines = [f"{name:{width}}  {result.verdict}" for name, result in comparison.results.items()]
    lines += [f"Dice {one.first} and {one.second}: {one.dice:.2f}" for one in comparison.pairs]
    if len(comparison.outlining) > 1:
        lines.append(f"Majority of {len(comparison.outlining)} methods: {comparison.vote_ml:.1f} mL")
    return "\n".join([*lines, RESEARCH_NOTICE])


def _method_file(text: str) -> tuple[str, Path]:
    method, separator, file = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must look like METHOD=FILE, got {text}")
    return method, Path(file)


def _method_option(text: str) -> tuple[str, str, Any]:
    method, separator, rest = text.partition(":")
    if not separator or "=" in method:
        raise argparse.ArgumentTypeError(f"must look like METHOD:NAME=VALUE, got {text}")
    return method, *option(rest)
