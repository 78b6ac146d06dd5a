"""`follow-up`: an exam compared with a prior one of the same patient, by the outlines that `segment` left of both."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ICHSegmenterLib.cli.arguments import require_existing
from ICHSegmenterLib.errors import ResultError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import SEGMENT_LABELS
from ICHSegmenterLib.measuring.follow_up import FollowUp, OutlinedExam, follow_up
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.results import RESEARCH_NOTICE
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import read_labelmap, read_volume

LABELMAP_FILE = "labelmap.nii.gz"
JSON_FILE, PRIOR_FILE = "follow_up.json", "prior_labelmap.nii.gz"


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "follow-up",
        help="an exam and a prior one: registered on the skull, growth, the prior outline on the current grid",
        description="Compares the outlines of two exams of one patient, which `segment` or `batch` made before.",
    )
    parser.add_argument("input", type=Path, help="the current exam: DICOM folder or file, NIfTI, NRRD or MHA")
    parser.add_argument("prior", type=Path, help="the prior exam")
    parser.add_argument("--result", type=Path, required=True, metavar="DIR", help="result folder of the current exam")
    parser.add_argument("--prior-result", type=Path, required=True, metavar="DIR", help="that of the prior exam")
    parser.add_argument("--output", type=Path, help="folder of the comparison (default: that of the current result)")
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder")
    parser.add_argument("--prior-series", metavar="UID", help="that of the prior exam")
    parser.add_argument("--json", action="store_true", help="print the comparison instead of a summary")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb."""
    require_existing(arguments, "input", "prior", "result", "prior_result")
    current = _outlined(arguments.input, arguments.series, arguments.result)
    prior = _outlined(arguments.prior, arguments.prior_series, arguments.prior_result)
    comparison, outline = follow_up(current, prior)
    folder = arguments.output or arguments.result
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / PRIOR_FILE) as path:
        write_nifti(outline, current.volume.geometry, path)
    text = json.dumps({"notice": RESEARCH_NOTICE, **comparison.to_json()}, indent=1)
    with replacing(folder / JSON_FILE) as path:
        path.write_text(text + "\n", encoding="utf-8")
    print(text if arguments.json else summary(comparison))
    if not arguments.json:
        print(f"Results: {folder} ({JSON_FILE}, {PRIOR_FILE})")
    return 0


def summary(comparison: FollowUp) -> str:
    """Summary for people."""
    lines = [comparison.text]
    lines += [f"  {one.name}: {one.prior_ml:.1f} mL then, {one.current_ml:.1f} mL now" for one in comparison.labels]
    lines.append(f"  The skulls differ by {comparison.residual_mm:.1f} mm on average.")
    return "\n".join([*lines, RESEARCH_NOTICE])


def _outlined(path: Path, series_uid: str | None, folder: Path) -> OutlinedExam:
    """An exam with the outline of its result folder.

    Raises:
        ResultError: The folder holds no outline, or that of another series.
    """
    try:
        result = json.loads((folder / DONE_FILE).read_text(encoding="utf-8"))
        labels = tuple(SEGMENT_LABELS[label["key"]] for label in result["labels"])
        of_series = result["provenance"].get("series_uid", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(
            f"{folder} holds no whole result ({type(error).__name__}: {error}). Name the folder that `segment` wrote."
        ) from error
    if not labels or not (folder / LABELMAP_FILE).is_file():
        raise ResultError(f"{folder} holds no {LABELMAP_FILE}. Run `segment` with a method that outlines blood.")
    volume = read_volume(path, series_uid=series_uid)
    if of_series and volume.source.series_uid and of_series != volume.source.series_uid:
        raise ResultError(f"{folder} holds the result of another series than {path.name}. Name the one of this exam.")
    return OutlinedExam(volume, read_labelmap(folder / LABELMAP_FILE, volume.geometry), labels)
