"""A folder of NIfTI scans with masks of the same names, such as BHSD: one subfolder of each.

Mask values are 0 and 1 (blood), or 1 to 5 for EDH, IPH, IVH, SAH, SDH, as BHSD numbers them. BHSD itself is read as
distributed: outlined scans lie in `label_192/images` and `label_192/ground truths`, under RSNA's names of patient and
study; the scans beside it, `unlabel_2000`, have no outlines and are not read.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.slices import SliceItem
from ICHSegmenterLib.datasets.sources import (
    SUBTYPES,
    BadFile,
    SeriesPlan,
    Source,
    axial_items,
    existing_folder,
    labels_of_mask,
)
from ICHSegmenterLib.errors import TrainingDataError, VolumeError
from ICHSegmenterLib.volume.io import MASK_TOLERANCE_MM, read_volume
from ICHSegmenterLib.volume.nifti import read_nifti
from ICHSegmenterLib.volume.volume import Volume

IMAGE_FOLDERS = ("images", "imagesTr", "ct_scans")
MASK_FOLDERS = ("masks", "labels", "labelsTr", "ground truths")
CHANNEL_SUFFIX = "_0000"
"""Ends the names of images, not of masks, in folders laid out for nnU-Net."""
BHSD_FOLDER = "label_192"
BHSD_NAME = re.compile(r"(ID_[0-9a-f]{8})_ID_[0-9a-f]{10}")
"""Patient and study; one patient of BHSD has two."""


def source(folder: Path, *, allow_missing: bool) -> Source:
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
    if alone and (not allow_missing or len(alone) == len(images | masks)):
        kind = "image" if alone[0] in masks else "mask"
        raise TrainingDataError(
            f"{folder}: {len(alone)} scans and masks stand alone; {alone[0]} has no {kind}. Give both the same name, "
            "or give --allow-missing to leave them out."
        )
    pairs = [(name, images[name], masks[name]) for name in sorted(images.keys() & masks.keys())]
    has_subtypes = any(int(read_nifti(mask).values.max()) > 1 for _, _, mask in pairs)
    plans = [SeriesPlan(patient_of(name), name, 1, (image, mask)) for name, image, mask in pairs]
    return Source(plans, partial(read_series, has_subtypes), tuple(f"{name} stands alone" for name in alone))


def read_series(has_subtypes: bool, plan: SeriesPlan) -> tuple[list[SliceItem], list[BadFile]]:
    """The slices of one exam in axial display.

    Raises:
        TrainingDataError: The mask lies on another grid or has values that mean nothing.
    """
    image, mask_file = plan.files
    try:
        volume = read_volume(image)
        mask = read_label_mask(mask_file, volume)
    except VolumeError as error:
        return [], [BadFile(image.name, str(error))]
    if mask.max(initial=0) > SUBTYPES:
        raise TrainingDataError(
            f"{mask_file.name}: it has the value {int(mask.max())}; known are 0, 1 for blood, or 1 to {SUBTYPES} for "
            "EDH, IPH, IVH, SAH, SDH."
        )
    labels = np.array([labels_of_mask(one, has_subtypes=has_subtypes) for one in mask], dtype=np.int64)
    return axial_items(plan, volume.hu, volume.geometry, mask, labels), []


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
            f"{_place(image.geometry.slice_origins[0])}, the scan's at {_place(volume.geometry.slice_origins[0])} LPS "
            "mm). Copy the scan's header if it was drawn on it, else resample it."
        )
    return np.ascontiguousarray(image.values).astype(np.uint8)


def patient_of(name: str) -> str:
    """Whose scan this is."""
    bhsd = BHSD_NAME.fullmatch(name)
    return bhsd[1] if bhsd else name


def _by_name(folder: Path) -> dict[str, Path]:
    files = [path for path in sorted(folder.iterdir()) if path.name.endswith((".nii", ".nii.gz"))]
    return {path.name.split(".nii")[0].removesuffix(CHANNEL_SUFFIX): path for path in files}


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in reversed(shape))


def _place(point: NDArray[np.float64]) -> str:
    return ", ".join(f"{number:.1f}" for number in point)
