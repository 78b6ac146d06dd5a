"""`result.json`: the result in numbers. It is written last and means "done"."""

from __future__ import annotations

import json

from ICHSegmenterLib.outputs.writer import ExamOutput, is_orthogonal
from ICHSegmenterLib.volume.exam_name import exam_digest

DONE_FILE = "result.json"


def write(exam: ExamOutput) -> None:
    """Write the result, of which exam it is, the outputs beside it, and which grid `segmentation.seg.nrrd` is on."""
    plain = exam.result.to_json()
    if exam.source is not None:
        plain["exam"] = exam_digest(exam.result.provenance.series_uid, exam.source)
    plain["outputs"] = list(exam.names)
    if (segmentation := exam.result.segmentation) is not None:
        plain["files"] = {"segmentation_grid": "acquired" if is_orthogonal(segmentation.geometry) else "regular"}
    (exam.folder / DONE_FILE).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
