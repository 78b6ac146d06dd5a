"""The words that name a method and a detector on a command line; the library's verbs and Slicer's batch share them."""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.default_method import choose_method
from ICHSegmenterLib.cards.pairs import detectors
from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.errors import did_you_mean
from ICHSegmenterLib.outputs.table import OUTPUTS, select
from ICHSegmenterLib.request import MAP, PRECISIONS, AnalysisRequest
from ICHSegmenterLib.verdict import MIN_PIECE_VOLUME_ML, OperatingPoint

MAX_NEIGHBORS = 1000
"""So many files of a folder are compared with a name that is not there."""


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every program that runs a method."""
    names = ", ".join(method_cards())
    parser.add_argument("--method", default="auto", help=f"{names}; default: the best one whose weights are here")
    parser.add_argument(
        "--weights", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help="several make an ensemble"
    )
    add_device_arguments(parser)
    parser.add_argument(
        "--option",
        dest="options",
        type=option,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="of the method, such as masked=true",
    )
    parser.add_argument("--threshold", type=_fraction, metavar="T", help="of the maps, 0 to 1 (default: the method's)")
    parser.add_argument(
        "--detection-threshold", type=_fraction, metavar="T", help="of the exam's and slices' values, 0 to 1"
    )
    points = [point.value for point in OperatingPoint]
    parser.add_argument(
        "--operating-point",
        choices=points,
        default=points[0],
        help="which pieces are drawn: sensitivity first, or specificity first (default: %(default)s)",
    )
    parser.add_argument(
        "--min-volume",
        dest="min_volume_ml",
        type=float,
        default=MIN_PIECE_VOLUME_ML,
        metavar="ML",
        help="smaller pieces are neither listed nor drawn (default: %(default)s mL)",
    )


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """The processor and its precision, for every verb that runs a network."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """A second method, where one may detect for another."""
    names = ", ".join(card.name for card in detectors())
    parser.add_argument(
        "--detector", default="", metavar="METHOD", help=f"detects and names what --method outlines: {names}"
    )
    parser.add_argument("--detector-weights", type=Path, nargs="+", action="extend", default=[], metavar="FILE")
    parser.add_argument(
        "--detector-option",
        dest="detector_options",
        type=option,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments for the files that are written.

    `-name` begins like an option, so each stands among the options, unseen; else it would need the form
    `--outputs=-name`.
    """
    parser.add_argument(
        "--outputs",
        nargs="*",
        action="extend",
        default=[],
        metavar="NAME",
        help=f"files to write: {', '.join(OUTPUTS)}; +NAME adds to the defaults, -NAME takes away",
    )
    for name in OUTPUTS:
        parser.add_argument(f"-{name}", dest="outputs", action="append_const", const=f"-{name}", help=argparse.SUPPRESS)
    parser.add_argument(
        "--save-maps", dest="outputs", action="append_const", const=f"+{MAP}", help=f"the same as --outputs +{MAP}"
    )


def request_of(arguments: argparse.Namespace) -> AnalysisRequest:
    """The request that these arguments make; what a verb does not offer has its default.

    Raises:
        ModelNotFoundError: No such method.
        DeviceError: No processor is called so.
        ValueError: An option or weights of no use, an unknown output, or two methods that cannot work together.
    """
    given = vars(arguments)
    return AnalysisRequest(
        method=choose_method(arguments.method, arguments.weights),
        detector=given.get("detector", ""),
        weights=tuple(arguments.weights),
        detector_weights=tuple(given.get("detector_weights", ())),
        options=dict(arguments.options),
        detector_options=dict(given.get("detector_options", ())),
        threshold=given.get("threshold"),
        detection_threshold=given.get("detection_threshold"),
        operating_point=OperatingPoint.named(given.get("operating_point", OperatingPoint.SCREENING.value)),
        min_volume_ml=given.get("min_volume_ml", MIN_PIECE_VOLUME_ML),
        device=arguments.device,
        precision=arguments.precision,
        outputs=select(given.get("outputs", ())),
    )


def require_existing(arguments: argparse.Namespace, *names: str) -> None:
    """Refuse files and folders that are not there, before anything is done.

    Args:
        arguments: As parsed.
        names: Those that hold a path, several, or none, as does a verb without them; (method, path) is the path.

    Raises:
        ValueError: One does not exist; names what lies there under a similar name.
        OSError: The system refuses it.
    """
    for name in names:
        value = vars(arguments).get(name)
        for item in value if isinstance(value, list | tuple) else [value]:
            path = item[1] if isinstance(item, tuple) else item
            if path is not None:
                _require_path(path.expanduser())


def _require_path(path: Path) -> None:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.parent.is_dir():
            raise ValueError(f"{path}: there is no such file or folder, and no folder {path.parent}.") from error
        neighbors = islice((neighbor.name for neighbor in path.parent.iterdir()), MAX_NEIGHBORS)
        raise ValueError(
            f"{path}: there is no such file or folder." + did_you_mean(path.name, sorted(neighbors))
        ) from error


def option(text: str) -> tuple[str, Any]:
    """NAME=VALUE with the value as YAML and JSON write it: true, 3, 0.5, or text."""
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must look like NAME=VALUE, got {text}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}")
    return value
