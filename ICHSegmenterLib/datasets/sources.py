"""The parts of a layout's reader: plans of its series, and the content of one series at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.datasets.slices import UNKNOWN, SliceItem
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.geometry import VolumeGeometry

SUBTYPE_COUNT = 5


@dataclass(frozen=True)
class BadFile:
    """A file that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class SeriesPlan:
    """One series to read; layouts add the files that their reader needs. It travels to other processes.

    Attributes:
        patient, series: Names.
        slices: How many are expected.
    """

    patient: str
    series: str
    slices: int


@dataclass(frozen=True)
class SeriesContent:
    """The slices read of one series, and the files that failed."""

    items: list[SliceItem] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)


@dataclass(frozen=True)
class ReadOptions:
    """Settings of a reader.

    Attributes:
        cache: Where a layout may keep what takes long to read.
        allow_missing: Labels without files are noted, not an error: for a partial copy.
        pool: Processes that read headers; this one if None.
    """

    cache: Path
    allow_missing: bool = False
    pool: Executor | None = None


Plan = TypeVar("Plan", bound=SeriesPlan)


@dataclass(frozen=True)
class Source(Generic[Plan]):
    """The plans of all series of a data set with their reader.

    Attributes:
        plans: In the order of their names.
        read: Reads one series, here or in another process.
        notes: What else was noticed.
        parts: Patient to "train", "validation" or "test", of a data set that comes with a split.
    """

    plans: Sequence[Plan]
    read: Callable[[Plan], SeriesContent]
    notes: tuple[str, ...] = ()
    parts: Mapping[str, str] = field(default_factory=dict)


def existing_folder(folder: Path, *names: str) -> Path:
    """The first subfolder of these names.

    Raises:
        TrainingDataError: None of them exists.
    """
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise TrainingDataError(f"{folder} has no folder {' or '.join(names)}; it holds {_content(folder)}.")


def existing_file(folder: Path, *names: str, what: str) -> Path:
    """The first file of these names.

    Raises:
        TrainingDataError: None of them exists.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise TrainingDataError(
        f"{folder} has no {' or '.join(names)}, {what}; it holds {_content(folder)}. "
        "Put the file of the distribution beside the images."
    )


def axial_items(
    plan: SeriesPlan,
    hu: NDArray[np.float32],
    geometry: VolumeGeometry,
    mask: NDArray[np.uint8] | None,
    labels: NDArray[np.int64] | None,
) -> list[SliceItem]:
    """The slices of a volume in axial display, lowest first.

    Args:
        plan: Names of patient and series.
        hu: float32 (slices, rows, columns) as acquired.
        geometry: The grid of the array.
        mask: uint8 of the same shape, or None.
        labels: (slices, 6) as acquired; taken from the mask if None.

    Raises:
        TrainingDataError: The slices are not axial.
    """
    view = AxialView.of(geometry)
    if not view.keeps_slices:
        raise TrainingDataError(
            f"{plan.series}: its slices are sagittal or coronal; only axial exams can be learned from."
        )
    turned = view.apply(hu)
    turned_mask = None if mask is None else view.apply(mask)
    rows_mm, columns_mm = (geometry.pixel_spacing_mm[axis - 1] for axis in view.axes[1:])
    positions = view.geometry(geometry).slice_positions_mm
    positions = positions if positions[-1] >= positions[0] else -positions
    name = plan.series.replace(".", "_")  # WebDataset ends a key at the first dot
    items = []
    for number, pixels in enumerate(turned):
        outline = None if turned_mask is None else np.ascontiguousarray(turned_mask[number])
        acquired = view.acquired_index(number, len(turned))
        slice_labels = labels_of_mask(outline) if labels is None else tuple(labels[acquired].tolist())
        items.append(
            SliceItem(
                f"{name}-{number:03d}",
                plan.patient,
                plan.series,
                number,
                np.rint(pixels).astype(np.int16),
                outline,
                slice_labels,
                (float(rows_mm), float(columns_mm)),
                position_mm=float(positions[number]),
            )
        )
    return items


def labels_of_mask(mask: NDArray[np.uint8] | None, *, has_subtypes: bool = True) -> tuple[int, ...]:
    """Six labels of an outlined slice; without a mask nothing is known."""
    if mask is None:
        return (UNKNOWN,) * (SUBTYPE_COUNT + 1)
    any_blood = int(mask.any())
    if not has_subtypes:
        return (*((UNKNOWN,) * SUBTYPE_COUNT if any_blood else (0,) * SUBTYPE_COUNT), any_blood)
    return (*(int((mask == value).any()) for value in range(1, SUBTYPE_COUNT + 1)), any_blood)


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "nothing: there is no such folder"
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return (", ".join(names[:6]) + more) or "nothing"
