"""Soft maps on the acquired grid, 0 to 1 of blood, with the pieces that are not drawn.

`map.nii.gz` (edema is none), `below_threshold.nii.gz`, and of an ensemble `uncertainty.nii.gz`.
"""

from __future__ import annotations

import numpy as np

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
    if segmentation.below_threshold is not None and segmentation.below_threshold.any():
        write_nifti(
            segmentation.below_threshold.astype(np.uint8), segmentation.geometry, exam.folder / "below_threshold.nii.gz"
        )
