"""A folder of NIfTI scans as `nifti_folder` reads it, but prepared as slabs: what a network with context sees.

Slabs lie around the brain at the network's pixels, so a prepared cache serves one preprocessing, that of the bundled
method. Slabs without brain are kept as neighbors; their labels are unknown, so that nothing is learned from them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets import nifti_folder
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.datasets.nifti_folder import NiftiPlan, read_subtype_mask
from ICHSegmenterLib.datasets.slices import UNKNOWN, SliceItem
from ICHSegmenterLib.datasets.sources import (
    SUBTYPE_COUNT,
    BadFile,
    ReadOptions,
    SeriesContent,
    Source,
    labels_of_mask,
)
from ICHSegmenterLib.errors import TrainingDataError, VolumeError
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.pipeline import MIN_BRAIN_AREA_CM2
from ICHSegmenterLib.preprocessing.slabs import SlabGrid
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

HAS_SUBTYPE_MASKS = True
PREPROCESSING = SlabPreprocessing()
BLOOD_SHARE = 0.45
"""A pixel of the network is blood if so much of it is outlined: thin sulcal blood would vanish at a half."""


def source(folder: Path, options: ReadOptions) -> Source[NiftiPlan]:
    """The exams of the folder, read in slabs.

    Raises:
        TrainingDataError: A subfolder is absent, or masks and images do not pair.
    """
    whole = nifti_folder.source(folder, options)
    return replace(whole, read=partial(read_series, PREPROCESSING))


def cases(folder: Path, cache: Path) -> list[Case]:
    """The exams of the folder with their masks."""
    return nifti_folder.cases(folder, cache)


def read_series(preprocessing: SlabPreprocessing, plan: NiftiPlan) -> SeriesContent:
    """The slabs of one exam, lowest first; masks hold subtypes 1 to 5. What cannot be read leaves the exam out."""
    try:
        volume = read_volume(plan.image)
        mask = read_subtype_mask(plan.mask, volume)
        brain = brain_mask(volume)
    except (VolumeError, TrainingDataError) as error:
        return SeriesContent(bad_files=[BadFile(plan.image.name, str(error))])
    return SeriesContent(slab_items(plan, volume, mask, brain, preprocessing))


def slab_items(
    plan: NiftiPlan,
    volume: Volume,
    mask: NDArray[np.uint8],
    brain: NDArray[np.bool_],
    preprocessing: SlabPreprocessing,
) -> list[SliceItem]:
    """Slabs of a volume with their outlines.

    Args:
        plan: Names of patient and series.
        volume: The exam.
        mask: uint8 (slices, rows, columns), 0 or a subtype from 1.
        brain: bool of the same shape.
        preprocessing: Of the network.
    """
    grid = SlabGrid.of(volume.geometry, brain, preprocessing)
    hu = np.rint(grid.forward(volume.hu)).astype(np.int16)
    outlines = slab_mask(grid, mask)
    brain_cm2 = grid.forward_share(brain).sum(axis=(1, 2)) * preprocessing.spacing_mm**2 / 100
    name = plan.series.replace(".", "_")  # WebDataset ends a key at the first dot
    items = []
    for number, (slab, outline) in enumerate(zip(hu, outlines, strict=True)):
        has_brain = brain_cm2[number] >= MIN_BRAIN_AREA_CM2 or outline.any()
        labels = labels_of_mask(outline) if has_brain else (UNKNOWN,) * (SUBTYPE_COUNT + 1)
        items.append(
            SliceItem(
                f"{name}-{number:03d}",
                plan.patient,
                plan.series,
                number,
                slab,
                outline,
                labels,
                (preprocessing.spacing_mm, preprocessing.spacing_mm),
                position_mm=float(grid.positions_mm[number]),
            )
        )
    return items


def slab_mask(grid: SlabGrid, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (slabs, side, side): the subtype that fills most of a pixel, where blood fills `BLOOD_SHARE` of it."""
    side = grid.preprocessing.side
    largest = np.zeros((grid.count, side, side), dtype=np.float32)
    total, subtype = np.zeros_like(largest), np.zeros(largest.shape, dtype=np.uint8)
    for value in range(1, SUBTYPE_COUNT + 1):
        present = mask == value
        if not present.any():
            continue
        share = grid.forward_share(present)
        total += share
        leads = share > largest
        largest[leads], subtype[leads] = share[leads], value
    return np.where(total >= BLOOD_SHARE, subtype, 0).astype(np.uint8)
