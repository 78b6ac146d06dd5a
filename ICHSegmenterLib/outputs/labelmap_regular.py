"""`labelmap_regular.nii.gz`: the masks on an upright grid, where one affine cannot describe the acquired slices."""

from __future__ import annotations

from ICHSegmenterLib.outputs.writer import ExamOutput
from ICHSegmenterLib.volume.export import write_nifti


def write(exam: ExamOutput) -> None:
    """Write the resampled masks; nothing where the acquired grid is upright already, and nothing for a detection."""
    labelmap = exam.orthogonal
    if labelmap is not None and not labelmap.is_acquired:
        write_nifti(labelmap.voxels, labelmap.geometry, exam.folder / "labelmap_regular.nii.gz")
