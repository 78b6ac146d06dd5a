"""`receive`: studies that come over the network, analyzed as they are complete."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.default_method import choose_method
from ICHSegmenterLib.batch.engines.engine import RunOptions
from ICHSegmenterLib.batch.summary import SUMMARY_FILE
from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.cli.stopping import stopped_by_signals
from ICHSegmenterLib.cli.watching import analysis_until, begun, ended, print_counts
from ICHSegmenterLib.receive.config import read_config
from ICHSegmenterLib.receive.service import Receiver
from ICHSegmenterLib.request import AnalysisRequest


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser("receive", help="take studies as a DICOM storage service and analyze them, until stopped")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML: see the page of the receiver")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb: exit code 0 when a signal ends it."""
    require_existing(arguments, "config")
    config = read_config(arguments.config)
    request = AnalysisRequest(
        choose_method(config.analysis.method, []), device=config.analysis.device, outputs=config.outputs
    )
    with stopped_by_signals() as stop:

        def listening(port: int) -> None:
            print(
                f"{config.ae_title} listens on {config.host}, port {port}; results in {config.output / SUMMARY_FILE}; "
                f"images are deleted after {config.retention_hours:g} h; Control-C ends it",
                file=sys.stderr,
                flush=True,
            )

        analyzed = analysis_until(RunOptions(stop), request)
        counts = Receiver(config, analyzed, request, announce=begun, after=ended, listening=listening).run(stop)
    print_counts(counts, config.output)
    return 0
