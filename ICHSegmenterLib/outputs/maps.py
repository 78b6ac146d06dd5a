"""`map.nii.gz`, 0 to 1 of blood (edema is none) on the acquired grid, and of an ensemble `uncertainty.nii.gz`."""

from __future__ import annotations

from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.volume.export import write_nifti


def write(exam: ExamOutput) -> None:
    """Write the maps that the result holds."""
    segmentation = exam.result.segmentation
    if segmentation is None:
        return
    if (blood := segmentation.blood_map) is not None:
        write_nifti(blood, segmentation.geometry, exam.folder / "map.nii.gz")
    if segmentation.uncertainty is not None:
        write_nifti(segmentation.uncertainty, segmentation.geometry, exam.folder / "uncertainty.nii.gz")
