"""The results that a folder holds already: those of the same exam by an equal request may be replaced, others stay.

The same exam is the same DICOM series, or else the same file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ICHSegmenterLib.analysis.comparison.differences import differences
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.exam_name import exam_digest


def check_folder(folder: Path, request: AnalysisRequest, series_uid: str, source: Path) -> None:
    """Refuse to replace results of another exam, or of this one by another request.

    Args:
        folder: May be absent; without a whole result nothing is refused.
        request: The run that would write there.
        series_uid: Of the exam, empty unless DICOM.
        source: File or folder that the exam is read from.

    Raises:
        OutputError: Something else than this run would write is there; says what.
    """
    path = folder / DONE_FILE
    if not path.is_file():
        return
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        reasons = _reasons(result, request, exam_digest(series_uid, source))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reasons = [f"a {DONE_FILE} that is damaged, or another program's"]
    if reasons:
        raise OutputError(
            f"{folder} holds {'; '.join(reasons)}. Name another --output folder, or replace what is there by "
            "--overwrite."
        )


def _reasons(result: Mapping[str, Any], request: AnalysisRequest, exam: str) -> list[str]:
    """Differences of the results there from what the request would make of the exam."""
    series_uid = result["provenance"].get("series_uid", "")
    there = result.get("exam") or (exam_digest(series_uid, Path()) if series_uid else "unknown, by an earlier version")
    if there != exam:
        return [f"results of another exam ({there}; this one is {exam})"]
    changes = differences(request, result)
    if request.detection_only and result["labels"]:
        changes.append("outlines instead of a detection alone")
    return [f"results of this exam by other settings: {'; '.join(changes)}"] if changes else []
