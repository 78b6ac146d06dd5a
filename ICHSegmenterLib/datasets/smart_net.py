"""SMART-Net's own layout: `train|valid|test/NAME_{hemo,normal}_img.nii.gz` and `..._mask.nii.gz` or `.nii`.

Of Kyung et al., Med Image Anal 2022 (babbu3682/SMART-Net, MIT). The three folders are the split that it comes with. The
authors pair images and masks by their order and find no `.nii`, as which their page shows them; here names pair.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.datasets.nifti_folder import read_label_mask
from ICHSegmenterLib.datasets.sources import (
    BadFile,
    ReadOptions,
    SeriesContent,
    SeriesPlan,
    Source,
    axial_items,
    existing_folder,
    labels_of_mask,
)
from ICHSegmenterLib.errors import TrainingDataError, VolumeError
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import read_volume

if TYPE_CHECKING:
    from ICHSegmenterLib.synthesis.exam import SyntheticExam

HAS_SUBTYPE_MASKS = False
PARTS = {"train": "train", "valid": "validation", "test": "test"}
"""Folder to part of the split."""
IMAGE_END, MASK_ENDS = "_img.nii.gz", ("_mask.nii.gz", "_mask.nii")
HEMORRHAGE, NORMAL = "hemo", "normal"
WRITTEN_PARTS = ("train", "train", "valid", "test", "test", "train")
"""Where synthetic exams go in turn: half of them to learn from."""


@dataclass(frozen=True)
class SmartNetPlan(SeriesPlan):
    """One scan, its mask, and the folder that it lies in."""

    image: Path
    mask: Path
    part: str


def source(folder: Path, options: ReadOptions) -> Source[SmartNetPlan]:
    """The exams of all parts; each file is another patient, named by its part and sample.

    Raises:
        TrainingDataError: A folder is absent, or an image has no mask.
    """
    plans, alone = [], []
    for part in PARTS:
        for image in sorted(existing_folder(folder, part).glob(f"*{IMAGE_END}"), key=_natural):
            stem = image.name.removesuffix(IMAGE_END)
            mask = next((path for end in MASK_ENDS if (path := image.with_name(stem + end)).is_file()), None)
            if mask is None:
                alone.append(f"{part}/{image.name}")
            else:
                name = f"{part}-{stem}"
                plans.append(SmartNetPlan(name, name, 1, image, mask, part))
    if not plans or (alone and not options.allow_missing):
        what = f"{alone[0]} has no mask" if alone else f"there is no *{IMAGE_END}"
        raise TrainingDataError(
            f"{folder}: {what}. Each NAME{IMAGE_END} needs NAME{MASK_ENDS[0]} or NAME{MASK_ENDS[1]} beside it in "
            "train, valid and test; --allow-missing leaves images without a mask out."
        )
    parts = {plan.patient: PARTS[plan.part] for plan in plans}
    return Source(plans, read_series, tuple(f"{name} has no mask" for name in alone), parts)


def read_series(plan: SmartNetPlan) -> SeriesContent:
    """The slices of one exam in axial display; a slice bleeds where its mask says so.

    A file that cannot be read, or a mask on another grid, leaves the exam out.
    """
    try:
        volume = read_volume(plan.image)
        mask = (read_label_mask(plan.mask, volume) > 0).astype(np.uint8)
        labels = np.array([labels_of_mask(outline, has_subtypes=False) for outline in mask], dtype=np.int64)
        return SeriesContent(axial_items(plan, volume.hu, volume.geometry, mask, labels))
    except (VolumeError, TrainingDataError) as error:  # one bad file must not stop a night's preparation
        return SeriesContent(bad_files=[BadFile(plan.image.name, str(error))])


def cases(folder: Path, cache: Path) -> list[Case]:
    """The exams of the test part with their masks."""
    return [
        Case(plan.patient, plan.patient, (plan.image,), plan.mask)
        for plan in source(folder, ReadOptions(cache)).plans
        if plan.part == "test"
    ]


def write(exams: Iterable[SyntheticExam], folder: Path) -> int:
    """Write exams into the three parts in turn, those with and those without blood each for themselves."""
    for part in PARTS:
        (folder / part).mkdir(parents=True, exist_ok=True)
    counts = {HEMORRHAGE: 0, NORMAL: 0}
    for number, exam in enumerate(exams, start=1):
        kind = HEMORRHAGE if exam.labelmap.any() else NORMAL
        part = WRITTEN_PARTS[counts[kind] % len(WRITTEN_PARTS)]
        counts[kind] += 1
        stem, geometry = f"sample{number}_{kind}", exam.volume.geometry
        write_nifti(exam.volume.hu.astype(np.int16), geometry, folder / part / f"{stem}{IMAGE_END}")
        write_nifti((exam.labelmap > 0).astype(np.uint8), geometry, folder / part / f"{stem}{MASK_ENDS[0]}")
    return sum(counts.values())


def _natural(path: Path) -> tuple[int, str]:
    """sample2 before sample10."""
    digits = "".join(character for character in path.name.partition("_")[0] if character.isdigit())
    return int(digits or 0), path.name
