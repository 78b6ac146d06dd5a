"""`labelmap.nii.gz`: one plane for each acquired slice, on the grid of the scan."""

from __future__ import annotations

from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.volume.export import write_nifti


def write(exam: ExamOutput) -> None:
    """Write the masks; nothing for a detection."""
    if (segmentation := exam.result.segmentation) is not None:
        write_nifti(segmentation.labelmap, segmentation.geometry, exam.folder / "labelmap.nii.gz")
