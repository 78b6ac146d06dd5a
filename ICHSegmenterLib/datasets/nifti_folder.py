"""A folder of NIfTI scans with masks of the same names, such as BHSD: one subfolder of each.

Mask values are 0 and 1 (blood), or 1 to 5 for EDH, IPH, IVH, SAH, SDH, as BHSD numbers them. BHSD itself is read as
distributed: outlined scans lie in `label_192/images` and `label_192/ground truths`, under RSNA's names of patient and
study; the scans beside it, `unlabel_2000`, have no outlines and are not read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.datasets.sources import (
    SUBTYPE_COUNT,
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
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.volume.exam_name import exam_name
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import MASK_TOLERANCE_MM, read_volume
from ICHSegmenterLib.volume.nifti import read_nifti
from ICHSegmenterLib.volume.volume import Volume

if TYPE_CHECKING:
    from ICHSegmenterLib.synthesis.exam import SyntheticExam

HAS_SUBTYPE_MASKS = True

IMAGE_FOLDERS = ("images", "imagesTr", "ct_scans")
MASK_FOLDERS = ("masks", "labels", "labelsTr", "ground truths")
CHANNEL_SUFFIX = "_0000"
"""Ends the names of images, not of masks, in folders laid out for nnU-Net."""
BHSD_FOLDER = "label_192"
BHSD_NAME = re.compile(r"(ID_[0-9a-f]{8})_ID_[0-9a-f]{10}")
"""Patient and study; one patient of BHSD has two."""


TRUTH_CSV = "truth.csv"
"""Volumes of synthetic exams."""


@dataclass(frozen=True)
class NiftiPlan(SeriesPlan):
    """One scan and its mask."""

    image: Path
    mask: Path


def source(folder: Path, options: ReadOptions) -> Source[NiftiPlan]:
    """The exams of the folder; each file is taken for another patient, unless its name is one of BHSD's.

    Raises:
        TrainingDataError: A subfolder is absent, or masks and images do not pair.
    """
    if (folder / BHSD_FOLDER).is_dir():
        folder = folder / BHSD_FOLDER
    images = _by_name(existing_folder(folder, *IMAGE_FOLDERS))
    masks = _by_name(existing_folder(folder, *MASK_FOLDERS))
    if not images:
        raise TrainingDataError(f"{folder}: there is no .nii or .nii.gz among the images.")
    alone = sorted(images.keys() ^ masks.keys())
    if alone and (not options.allow_missing or len(alone) == len(images | masks)):
        kind = "image" if alone[0] in masks else "mask"
        raise TrainingDataError(
            f"{folder}: {len(alone)} scans and masks stand alone; {alone[0]} has no {kind}. Give both the same name, "
            "or give --allow-missing to leave them out."
        )
    names = sorted(images.keys() & masks.keys())
    plans = [NiftiPlan(patient_of(name), name, 1, images[name], masks[name]) for name in names]
    has_subtypes = any(_holds_subtypes(plan.mask) for plan in plans)
    return Source(plans, partial(read_series, has_subtypes), tuple(f"{name} stands alone" for name in alone))


def read_series(has_subtypes: bool, plan: NiftiPlan) -> SeriesContent:
    """The slices of one exam in axial display; a file that cannot be read or does not fit leaves the exam out."""
    try:
        volume = read_volume(plan.image)
        mask = read_subtype_mask(plan.mask, volume)
        labels = np.array([labels_of_mask(outline, has_subtypes=has_subtypes) for outline in mask], dtype=np.int64)
        return SeriesContent(axial_items(plan, volume.hu, volume.geometry, mask, labels))
    except (VolumeError, TrainingDataError) as error:  # one bad file must not stop a night's preparation
        return SeriesContent(bad_files=[BadFile(plan.image.name, str(error))])


def cases(folder: Path, cache: Path) -> list[Case]:
    """The exams of the folder with their masks."""
    plans = source(folder, ReadOptions(cache)).plans
    return [Case(exam_name("", plan.image), plan.patient, (plan.image,), plan.mask) for plan in plans]


def write(exams: Iterable[SyntheticExam], folder: Path) -> int:
    """Write `images/NNNN.nii.gz`, `masks/NNNN.nii.gz` and the volumes as CSV; returns the number of exams."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    subtypes = SUBTYPE_LABELS[:-1]
    rows: list[tuple[object, ...]] = []
    for number, exam in enumerate(exams):
        name = f"{number:04d}"
        write_nifti(exam.volume.hu.astype(np.int16), exam.volume.geometry, folder / "images" / f"{name}.nii.gz")
        write_nifti(exam.labelmap, exam.volume.geometry, folder / "masks" / f"{name}.nii.gz")
        rows.append((name, exam.seed, *(round(exam.blood_ml[key], 3) for key in subtypes)))
    with replacing(folder / TRUTH_CSV) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("exam", "seed", *(f"{key}_ml" for key in subtypes)))
        writer.writerows(rows)
    return len(rows)


def read_label_mask(path: Path, volume: Volume) -> NDArray[np.uint8]:
    """Mask values uint8 (slices, rows, columns) on the grid of the scan.

    Raises:
        TrainingDataError: The mask lies on another grid.
        VolumeError: The file cannot be read.
    """
    image = read_nifti(path)
    if image.values.shape != volume.geometry.shape:
        raise TrainingDataError(
            f"{path.name}: the mask has {_size(image.values.shape)} voxels, its scan {_size(volume.geometry.shape)}; "
            "it was drawn on another grid. Resample it to the scan."
        )
    if not image.geometry.matches(volume.geometry, tolerance_mm=MASK_TOLERANCE_MM):
        raise TrainingDataError(
            f"{path.name}: the mask has as many voxels as its scan, but its header puts them elsewhere (first voxel at "
            f"{_point(image.geometry.slice_origins[0])}, the scan's at {_point(volume.geometry.slice_origins[0])} LPS "
            "mm). Copy the scan's header if it was drawn on it, else resample it."
        )
    return np.ascontiguousarray(image.values).astype(np.uint8)


def read_subtype_mask(path: Path, volume: Volume) -> NDArray[np.uint8]:
    """Mask values uint8 (slices, rows, columns) on the grid of the scan: 0, 1 for blood, or a subtype from 1.

    Raises:
        TrainingDataError: The mask lies on another grid or has values that mean nothing.
        VolumeError: The file cannot be read.
    """
    mask = read_label_mask(path, volume)
    if mask.max(initial=0) > SUBTYPE_COUNT:
        raise TrainingDataError(
            f"{path.name}: it has the value {int(mask.max())}; known are 0, 1 for blood, or 1 to {SUBTYPE_COUNT} "
            "for EDH, IPH, IVH, SAH, SDH."
        )
    return mask


def patient_of(name: str) -> str:
    """Name of the patient: BHSD's, else that of the file."""
    bhsd = BHSD_NAME.fullmatch(name)
    return bhsd[1] if bhsd else name


def _holds_subtypes(mask: Path) -> bool:
    """False of a file that cannot be read as well: its exam is left out when its turn comes."""
    try:
        return int(read_nifti(mask).values.max()) > 1
    except VolumeError:
        return False


def _by_name(folder: Path) -> dict[str, Path]:
    files = [path for path in sorted(folder.iterdir()) if path.name.endswith((".nii", ".nii.gz"))]
    return {path.name.split(".nii")[0].removesuffix(CHANNEL_SUFFIX): path for path in files}


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in reversed(shape))


def _point(point: NDArray[np.float64]) -> str:
    return ", ".join(f"{number:.1f}" for number in point)
