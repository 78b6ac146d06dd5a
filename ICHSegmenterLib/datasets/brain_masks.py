"""Brain masks that come with a data set, such as the folder `brainmask_ero` of HGI-SAM's authors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError

AUTHORS_FOLDER = "brainmask_ero"
"""Name of the folder that HGI-SAM's authors put into the root of PhysioNet CT-ICH."""
MASK_ENDINGS = ("_mask.nii.gz", "_mask.nii", ".nii.gz", ".nii")
"""Of `049_mask.nii.gz`, as the authors', and of files named as the scan."""
SCAN_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


def brain_mask_folder(given: Path, data: Path) -> Path:
    """The folder of brain masks: as given, or within the data set.

    Raises:
        EvaluationError: Neither exists.
    """
    for folder in (given, data / given):
        if folder.is_dir():
            return folder
    raise EvaluationError(f"{given}: there is no such folder, nor one in {data}. Name the folder of brain masks.")


def brain_mask_of(scan: Path, folder: Path) -> Path | None:
    """The brain mask of a scan: `NAME_mask.nii.gz` or `NAME.nii.gz` (or .nii); None if there is none."""
    name = scan.name
    stem = next((name[: -len(end)] for end in SCAN_ENDINGS if name.lower().endswith(end)), name)
    return next((folder / f"{stem}{end}" for end in MASK_ENDINGS if (folder / f"{stem}{end}").is_file()), None)


def with_brain_masks(cases: Sequence[Case], folder: Path) -> list[Case]:
    """The cases, each with its brain mask.

    Raises:
        EvaluationError: A case has none.
    """
    masks = {case.name: brain_mask_of(case.images[0], folder) for case in cases}
    absent = [name for name, mask in masks.items() if mask is None]
    if absent:
        raise EvaluationError(
            f"{folder}: {len(absent)} of {len(cases)} exams have no brain mask ({', '.join(absent[:3])}). Its files "
            "must be named NAME_mask.nii.gz or NAME.nii.gz; without --brain-masks the program finds the brain itself."
        )
    return [replace(case, brain_mask=masks[case.name]) for case in cases]
