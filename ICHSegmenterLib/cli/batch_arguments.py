"""Arguments of a batch beside its input, its output and its method; free of what a batch needs to run."""

from __future__ import annotations

import argparse
import math
from pathlib import Path


def add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument(
        "--all-series", action="store_true", help="every CT series of a study, not only the one that fits best"
    )
    parser.add_argument(
        "--brain-masks",
        type=Path,
        metavar="DIR",
        help="NAME_mask.nii.gz or NAME.nii.gz of each exam, to use instead of our own brain mask",
    )
    parser.add_argument("--map", type=Path, metavar="FILE", help="write which name belongs to which exam, for you only")
    parser.add_argument(
        "--parquet", action="store_true", help="also write the tables of exams, slices and findings as Parquet"
    )
    parser.add_argument(
        "--exam-timeout", type=_seconds, metavar="SECONDS", help="time that the analysis of one exam may take"
    )
    parser.add_argument(
        "--readers",
        type=count,
        metavar="N",
        help="processes that read ahead of the analysis (default: by the cores of this computer)",
    )


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a time in seconds above 0, got {text}")
    return value
