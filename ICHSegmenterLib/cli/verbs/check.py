"""`check`: what a scan is and whether it fits, before any method runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ICHSegmenterLib.errors import ICHSegmenterError
from ICHSegmenterLib.preprocessing.checks.findings import InputFinding, Severity
from ICHSegmenterLib.preprocessing.input_check import check_input
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume

ERROR = "error"


def add_parsers(verbs: Any) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "check",
        help="say what a scan is and whether it fits: noise, kernel, contrast medium, metal, motion, what is missing",
        description="Measures scans without any network. Exit code 1 if one of them cannot be analyzed.",
    )
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="DICOM folder or file, NIfTI, NRRD or MHA"
    )
    parser.add_argument("--series", metavar="UID", help="which series of a DICOM folder")
    parser.add_argument("--json", action="store_true", help="print the findings with their numbers")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The verb `check`."""
    checks = [_check(path, arguments.series) for path in arguments.inputs]
    if arguments.json:
        print(json.dumps(checks, indent=1))
    else:
        print("\n".join(_table(check) for check in checks))
    return int(any(check["severity"] in (ERROR, Severity.BLOCKS.value) for check in checks))


def _check(path: Path, series_uid: str | None) -> dict[str, Any]:
    """The findings of one input; an input that cannot be read has the severity "error"."""
    try:
        volume = read_volume(path, series_uid=series_uid)
        findings = check_input(volume)
    except (ICHSegmenterError, OSError) as error:
        return {"input": str(path), "severity": ERROR, "error": str(error), "findings": []}
    return {
        "input": str(path),
        "description": _description(volume.geometry),
        "severity": _worst(findings),
        "warnings": list(volume.source.warnings),
        "findings": [finding.to_json() for finding in findings],
    }


def _worst(findings: tuple[InputFinding, ...]) -> str:
    order = [severity.value for severity in Severity]
    return max((finding.severity.value for finding in findings), key=order.index, default=Severity.INFO.value)


def _description(geometry: VolumeGeometry) -> str:
    slices, rows, columns = geometry.shape
    between_rows, between_columns = geometry.pixel_spacing_mm
    tilt = f", gantry tilt {geometry.tilt_deg:.1f}°" if geometry.tilt_deg else ""
    size = f"{between_columns:.2f} x {between_rows:.2f} x {geometry.slice_step_mm:.2f} mm"
    return f"{slices} slices of {columns} x {rows}, {size}{tilt}"


def _table(check: dict[str, Any]) -> str:
    if check["severity"] == ERROR:
        return f"{check['input']}\n  {ERROR:8} {check['error']}"
    lines = [f"{check['input']}: {check['description']}"]
    texts = {finding["text"] for finding in check["findings"]}
    lines += [f"  {'reader':8} {'':18} {text}" for text in check["warnings"] if text not in texts]
    lines += [f"  {each['severity']:8} {each['code']:18} {each['text']}" for each in check["findings"]]
    return "\n".join(lines if len(lines) > 1 else [*lines, "  fits; nothing to say"])
