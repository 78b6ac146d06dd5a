"""One slice of a data set with what is known of it, and the table of all slices of a prepared data set."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.files import replacing, typed_reader
from ICHSegmenterLib.labels import SUBTYPE_LABELS

UNKNOWN = -1
"""Label of a slice of which nobody said."""


@dataclass(frozen=True, eq=False)
class SliceItem:
    """A slice in axial display (anterior up, the patient's right at the left).

    Attributes:
        key: Unique in the data set.
        patient, series: Whose it is.
        number: 0 for the lowest slice of the series.
        hu: int16 (rows, columns), Hounsfield units.
        mask: uint8 (rows, columns), 0 background, else 1 for blood or 1 to 5 for the subtypes; None if not outlined.
        labels: 1, 0 or `UNKNOWN` for each of `SUBTYPE_LABELS`; the last one is "any".
        spacing_mm: (between rows, between columns).
        header_window: (level, width) of the DICOM header; (0, 0) if it has none.
        position_mm: Along the slice normal, ascending with `number`.
    """

    key: str
    patient: str
    series: str
    number: int
    hu: NDArray[np.int16]
    mask: NDArray[np.uint8] | None
    labels: tuple[int, ...]
    spacing_mm: tuple[float, float]
    header_window: tuple[int, int] = (0, 0)
    position_mm: float = 0.0


@dataclass(frozen=True)
class SliceRow:
    """The position of a slice in the shards, and its labels; one line of `index.csv`."""

    key: str
    patient: str
    series: str
    number: int
    shard: str
    offset: int
    size: int
    mask_offset: int
    mask_size: int
    row_mm: float
    column_mm: float
    position_mm: float
    window_level: int
    window_width: int
    EDH: int
    IPH: int
    IVH: int
    SAH: int
    SDH: int
    any: int


COLUMNS: tuple[str, ...] = tuple(one.name for one in fields(SliceRow))
_DTYPES: dict[str, Any] = {"str": np.str_, "int": np.int64, "float": np.float64}


@dataclass(frozen=True, eq=False)
class SliceTable:
    """All slices of a prepared data set as columns, because there may be a million.

    Attributes:
        columns: `COLUMNS` to an array of one value a slice.
    """

    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["key"])

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(slices, 6) of 1, 0 or `UNKNOWN`, in the order of `SUBTYPE_LABELS`."""
        return np.stack([self.columns[label] for label in SUBTYPE_LABELS], axis=1)

    @cached_property
    def is_positive(self) -> NDArray[np.bool_]:
        """(slices,) True where there is blood."""
        return np.asarray(self.columns["any"] == 1)

    @property
    def patients(self) -> NDArray[np.str_]:
        """(slices,) whose slice it is."""
        return self.columns["patient"]

    def units(self, split_by: str) -> NDArray[np.str_]:
        """(slices,) of which "patient", "series" or "slice" each is."""
        return self.columns["key" if split_by == "slice" else split_by]

    def of_units(self, split_by: str, names: Iterable[str]) -> NDArray[np.intp]:
        """Indices of the slices of these patients, series or slices, in table order."""
        return np.flatnonzero(np.isin(self.units(split_by), sorted(set(names))))

    def series_of(self, indices: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """The slices of each series among these, lowest first; series in the order of their names."""
        order = np.lexsort((self.columns["number"][indices], self.columns["series"][indices]))
        ordered = indices[order]
        names = self.columns["series"][ordered]
        starts = np.flatnonzero(names[1:] != names[:-1]) + 1
        return [part for part in np.split(ordered, starts) if len(part)]


def joined(first: SliceTable, second: SliceTable) -> SliceTable:
    """The slices of two tables, those of the second after the first's."""
    return SliceTable({name: np.concatenate((first.columns[name], second.columns[name])) for name in COLUMNS})


def write_table(table: SliceTable, path: Path) -> None:
    """A whole index, all or nothing."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(zip(*(table.columns[name].tolist() for name in COLUMNS), strict=True))


def write_rows(rows: Sequence[SliceRow], path: Path) -> None:
    """A part of the index, all or nothing."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows([getattr(row, name) for name in COLUMNS] for row in rows)


def read_table(paths: Sequence[Path]) -> SliceTable:
    """The table of one or more index files.

    Raises:
        TrainingDataError: A file is damaged or has other columns, or a slice stands twice.
    """
    parts = [_read_columns(path) for path in paths] or [{name: np.array([], dtype=_dtype(name)) for name in COLUMNS}]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    unique, counts = np.unique(columns["key"], return_counts=True)
    if len(unique) < len(columns["key"]):
        raise TrainingDataError(f"{paths[0].parent}: slice {unique[counts > 1][0]} stands twice; prepare it again.")
    return SliceTable(columns)


@typed_reader(TrainingDataError)
def _read_columns(path: Path) -> dict[str, NDArray[Any]]:
    with path.open(newline="", encoding="utf-8") as stream:
        lines = csv.reader(stream)
        if tuple(next(lines, [])) != COLUMNS:
            raise TrainingDataError(f"{path}: its columns are of another version; prepare the data set again.")
        turned = list(zip(*lines, strict=True)) or [()] * len(COLUMNS)
    return {
        name: np.array(column, dtype=np.str_).astype(_dtype(name)) for name, column in zip(COLUMNS, turned, strict=True)
    }


def _dtype(name: str) -> Any:
    return _DTYPES[next(str(field.type) for field in fields(SliceRow) if field.name == name)]
