"""An exam with known truth in memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.dicom.files import DICOM_SUFFIXES
from ICHSegmenterLib.volume.io import read_mask, read_volume
from ICHSegmenterLib.volume.volume import Volume


@dataclass(frozen=True, eq=False)
class KnownExam:
    """An exam in memory with its truth.

    Attributes:
        volume: The exam.
        mask: bool (slices, rows, columns) as acquired, None if only slices are labeled.
        slice_truth: bool (slices,) in the order that a detection speaks of: acquired slices, or axial ones of an exam
            that was stored as sagittal or coronal slices.
        slice_labels: bool (slices,) in the same order, as labeled, whatever the mask says; None without labels.
        brain_mask: bool of the same shape, given with the data; None without one.
        subtype_truth: bool (slices, 5) of EDH, IPH, IVH, SAH, SDH in the same order, None if not known.
    """

    volume: Volume
    mask: NDArray[np.bool_] | None
    slice_truth: NDArray[np.bool_]
    subtype_truth: NDArray[np.bool_] | None = None
    brain_mask: NDArray[np.bool_] | None = None
    slice_labels: NDArray[np.bool_] | None = None


def check_cases(cases: Sequence[Case]) -> None:
    """Check that there is something to evaluate, under names of its own.

    Raises:
        EvaluationError: No case, or two of one name.
    """
    if not cases:
        raise EvaluationError("There are no cases. Name the folder of a data set with truth, and its --layout.")
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise EvaluationError(f"{len(twice)} names stand for several exams ({', '.join(twice[:3])}). Rename the files.")


def read_exam(case: Case) -> KnownExam:
    """Read exam and truth.

    Raises:
        VolumeError: A file cannot be read, or the mask lies on another grid.
        EvaluationError: There are not as many labels as slices.
    """
    order: Sequence[int] | None = None
    if len(case.images) == 1 and not _is_slice(case.images[0]):
        volume = read_volume(case.images[0])
    else:
        with _folder_of(case.images) as folder:
            volume = read_volume(folder)
        order = _array_order(case, volume)
    mask = None if case.mask is None else read_mask(case.mask, volume.geometry, allow_empty=True)
    view = AxialView.at_border(volume.geometry)
    slices = volume.geometry.shape[view.axes[0]]
    truth = np.zeros(slices, dtype=bool)
    if mask is not None:
        truth |= view.apply(mask).any(axis=(1, 2))
    labels = _ordered(case.slice_labels, order, slices, case.name)
    if labels is not None:
        truth |= labels  # an outlined slice bleeds, whatever its label says
    subtypes = _ordered(case.slice_subtypes, order, slices, case.name)
    brain = None if case.brain_mask is None else read_mask(case.brain_mask, volume.geometry)
    return KnownExam(volume, mask, truth, subtypes, brain, labels)


def _ordered(
    labels: Sequence[Any] | None, order: Sequence[int] | None, slices: int, name: str
) -> NDArray[np.bool_] | None:
    """Labels as bool (slices, ...) in array order."""
    if labels is None:
        return None
    ordered = np.asarray(labels, dtype=bool)[slice(None) if order is None else list(order)]
    if len(ordered) != slices:
        raise EvaluationError(
            f"{name}: there are {len(ordered)} labels for {slices} slices. Are both of the same release?"
        )
    return ordered


def _is_slice(file: Path) -> bool:
    return file.suffix.lower() in DICOM_SUFFIXES


@contextmanager
def _folder_of(files: Sequence[Path]) -> Iterator[Path]:
    """A folder with nothing but these files: data sets keep hundreds of thousands of files in one."""
    with tempfile.TemporaryDirectory(prefix="ichsegmenter-") as name:
        folder = Path(name)
        for file in files:
            try:
                (folder / file.name).symlink_to(file.resolve())
            except OSError:  # Windows lets only administrators link
                shutil.copyfile(file, folder / file.name)
        yield folder


def _array_order(case: Case, volume: Volume) -> list[int]:
    """For each slice the number of its file among the case's, by SOPInstanceUID."""
    uids = [
        str(pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        for file in case.images
    ]
    number_of = {uid: number for number, uid in enumerate(uids)}
    return [number_of[uid] for uid in volume.source.instance_uids]
