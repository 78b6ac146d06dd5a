"""`doctor`: what is installed, which devices work, which methods are ready."""

from __future__ import annotations

import argparse
from typing import Any

from ICHSegmenterLib.cards.table import MODEL_CARDS, method_cards
from ICHSegmenterLib.computer.diagnosis import diagnosis_lines, method_lines
from ICHSegmenterLib.computer.processor_check import check_processor
from ICHSegmenterLib.weights.cache import weights_folder


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("doctor", help="what is installed, which devices work")
    parser.add_argument("--test", metavar="DEVICE", help="compute on this device, and compare with the CPU")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb."""
    if arguments.test is not None:
        tested = check_processor(arguments.test)
        print(f"{tested.device} works: {tested.milliseconds:.1f} ms in {tested.precision}")
        return 0
    own = [card for name, card in method_cards().items() if name not in MODEL_CARDS]
    for line in (*diagnosis_lines(), *method_lines(own)):
        print(line)
    print(f"Weights: {weights_folder()}")
    return 0
