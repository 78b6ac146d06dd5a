"""`segment` and `detect`: one exam."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.default_method import first_run_offer
from ICHSegmenterLib.batch.existing import check_folder
from ICHSegmenterLib.cli.arguments import (
    add_detector_arguments,
    add_method_arguments,
    add_output_arguments,
    request_of,
    require_existing,
)
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.outputs.table import check_outputs
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult
from ICHSegmenterLib.volume.exam_name import exam_name
from ICHSegmenterLib.volume.io import read_mask, read_volume

DEFAULT_OUTPUT = Path("ichsegmenter-results")


def add_parsers(verbs: Any) -> None:
    """Add the verbs to the parser."""
    segment = verbs.add_parser("segment", help="detect, outline and measure hemorrhage on one exam")
    detect = verbs.add_parser("detect", help="detection only: is there blood, on which slices, of which type")
    for parser in (segment, detect):
        parser.add_argument("input", type=Path, help="DICOM folder or file, NIfTI, NRRD or MHA")
        add_method_arguments(parser)
        add_output_arguments(parser)
        parser.add_argument("--output", type=Path, help=f"folder (default: {DEFAULT_OUTPUT}/EXAM-METHOD)")
        parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder")
        parser.add_argument("--brain-mask", type=Path, metavar="FILE", help="use this mask, on the grid of the CT")
        parser.add_argument("--overwrite", action="store_true", help="replace what another exam or request left there")
        parser.add_argument("--json", action="store_true", help="print result.json instead of a summary")
    add_detector_arguments(segment)
    segment.set_defaults(run=run_segment)
    detect.set_defaults(run=run_detect)


def run_segment(arguments: argparse.Namespace) -> int:
    """The verb `segment`."""
    return _run(arguments, _request_of(arguments))


def run_detect(arguments: argparse.Namespace) -> int:
    """The verb `detect`."""
    return _run(arguments, replace(_request_of(arguments), detection_only=True))


def _request_of(arguments: argparse.Namespace) -> AnalysisRequest:
    require_existing(arguments, "input", "brain_mask", "weights", "detector_weights")
    return request_of(arguments)


def _run(arguments: argparse.Namespace, request: AnalysisRequest) -> int:
    volume = read_volume(arguments.input, series_uid=arguments.series)
    check_outputs(request.outputs, volume, arguments.input)
    words = (exam_name(volume.source.series_uid, arguments.input), request.method, request.detector)
    folder = arguments.output or DEFAULT_OUTPUT / "-".join(filter(None, words))
    if not arguments.overwrite:
        check_folder(folder, request, volume.source.series_uid, arguments.input)
    mask = None if arguments.brain_mask is None else read_mask(arguments.brain_mask, volume.geometry)
    progress = TerminalProgress()
    try:
        result = analyze(volume, request, progress.run(), brain_mask=mask)
    finally:
        progress.close()
    if arguments.method == "auto" and not arguments.weights and (offer := first_run_offer()) is not None:
        print(f"Note: {request.method} ran. {offer.sentence} Download: {offer.command}", file=sys.stderr)
    files = write_outputs(result, volume, folder, outputs=request.outputs, source=arguments.input)
    if arguments.json:
        print(json.dumps(result.to_json(), indent=1))
    else:
        print(summary(result))
        print(f"Results: {folder} ({', '.join(files)})")
    return 0


def summary(result: AnalysisResult) -> str:
    """Summary for people."""
    lines = [] if result.implausible is None else [result.implausible.text]
    lines += [result.verdict]
    lines += [f"  {each.name}: {each.volume_ml:.1f} mL, mean {each.mean_hu:.0f} HU" for each in result.measurements]
    lines += [f"  Note: {sentence}" for sentence in result.provenance.warnings]
    used = result.provenance
    timing = ", ".join(f"{phase} {value:.1f} s" for phase, value in used.seconds.items())
    lines.append(f"  {used.made_by} on {used.device} in {used.precision}: {timing}")
    lines.append(RESEARCH_NOTICE)
    return "\n".join(lines)
