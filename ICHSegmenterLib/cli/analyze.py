"""`segment` and `detect`: one exam."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ICHSegmenterLib.batch import exam_name
from ICHSegmenterLib.cli.progress import TerminalProgress
from ICHSegmenterLib.inference.combination import analyze_together, detectors
from ICHSegmenterLib.inference.default_method import choose_method
from ICHSegmenterLib.inference.device import PRECISIONS
from ICHSegmenterLib.inference.settings import Settings
from ICHSegmenterLib.model_cards import MODEL_CARDS
from ICHSegmenterLib.report.write import write_outputs
from ICHSegmenterLib.results import RESEARCH_NOTICE, AnalysisResult
from ICHSegmenterLib.volume.io import read_mask, read_volume

DEFAULT_OUTPUT = Path("ichsegmenter-results")


def add_parsers(verbs: Any) -> None:
    """Add the verbs to the parser."""
    segment = verbs.add_parser("segment", help="detect, outline and measure hemorrhage on one exam")
    detect = verbs.add_parser("detect", help="detection only: is there blood, on which slices, of which type")
    for parser in (segment, detect):
        parser.add_argument("input", type=Path, help="DICOM folder or file, NIfTI, NRRD or MHA")
        add_method_arguments(parser)
        parser.add_argument("--output", type=Path, help=f"folder (default: {DEFAULT_OUTPUT}/EXAM-METHOD)")
        parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder")
        parser.add_argument("--brain-mask", type=Path, metavar="FILE", help="use this mask, on the grid of the CT")
        parser.add_argument("--json", action="store_true", help="print result.json instead of a summary")
    segment.add_argument(
        "--save-maps",
        action="store_true",
        help="also write map.nii.gz (and uncertainty.nii.gz), 0 to 1 on the input grid",
    )
    add_detector_arguments(segment)
    segment.set_defaults(run=run_segment)
    detect.set_defaults(run=run_detect, save_maps=False, detector="", detector_weights=(), detector_options=())


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """What `segment`, `detect` and `batch` share."""
    names = ", ".join(MODEL_CARDS)
    parser.add_argument("--method", default="auto", help=f"{names}; default: the best one whose weights are here")
    parser.add_argument(
        "--weights", type=Path, nargs="+", action="extend", default=[], metavar="FILE", help="several make an ensemble"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument(
        "--option", dest="options", type=option, nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help="of the method, such as masked=true",
    )  # fmt: skip
    parser.add_argument("--threshold", type=_fraction, metavar="T", help="of the maps, 0 to 1 (default: the method's)")
    parser.add_argument("--detection-threshold", type=_fraction, metavar="T", help="of the slice values, 0 to 1")


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """A second method, of `segment` and `batch`."""
    names = ", ".join(card.name for card in detectors())
    parser.add_argument(
        "--detector", default="", metavar="METHOD", help=f"detects and names what --method outlines: {names}"
    )
    parser.add_argument("--detector-weights", type=Path, nargs="+", action="extend", default=[], metavar="FILE")
    parser.add_argument(
        "--detector-option", dest="detector_options", type=option, nargs="+", action="extend", default=[],
        metavar="NAME=VALUE",
    )  # fmt: skip


def settings_of(chosen: argparse.Namespace) -> Settings:
    """What these arguments say of method and detector."""
    return Settings(
        method=choose_method(chosen.method),
        weights=tuple(chosen.weights),
        options=dict(chosen.options),
        threshold=chosen.threshold,
        detection_threshold=chosen.detection_threshold,
        detector=chosen.detector,
        detector_weights=tuple(chosen.detector_weights),
        detector_options=dict(chosen.detector_options),
    )


def run_segment(chosen: argparse.Namespace) -> int:
    """The verb `segment`."""
    return _run(chosen, detection_only=False)


def run_detect(chosen: argparse.Namespace) -> int:
    """The verb `detect`."""
    return _run(chosen, detection_only=True)


def _run(chosen: argparse.Namespace, *, detection_only: bool) -> int:
    settings = settings_of(chosen)
    volume = read_volume(chosen.input, series_uid=chosen.series)
    mask = None if chosen.brain_mask is None else read_mask(chosen.brain_mask, volume.geometry)
    progress = TerminalProgress()
    try:
        result = analyze_together(
            volume, **vars(settings), device=chosen.device, precision=chosen.precision, brain_mask=mask,
            save_maps=chosen.save_maps, run=progress.run(),
        )  # fmt: skip
    finally:
        progress.close()
    if detection_only:
        result = replace(result, segmentation=None, measurements=())
    words = (exam_name(volume.source.series_uid, chosen.input), settings.method, settings.detector)
    folder = chosen.output or DEFAULT_OUTPUT / "-".join(filter(None, words))
    files = write_outputs(result, volume, folder, save_maps=chosen.save_maps)
    if chosen.json:
        print(json.dumps(result.to_json(), indent=1))
    else:
        print(summary(result))
        print(f"Results: {folder} ({', '.join(files)})")
    return 0


def summary(result: AnalysisResult) -> str:
    """What a person reads after a run."""
    lines = [result.verdict]
    lines += [f"  {one.name}: {one.volume_ml:.1f} mL, mean {one.mean_hu:.0f} HU" for one in result.measurements]
    lines += [f"  Note: {sentence}" for sentence in result.provenance.warnings]
    used = result.provenance
    timing = ", ".join(f"{phase} {value:.1f} s" for phase, value in used.seconds.items())
    lines.append(f"  {used.title} on {used.device} in {used.precision}: {timing}")
    lines.append(RESEARCH_NOTICE)
    return "\n".join(lines)


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
