"""The CSV files of RSNA 2019 as the authors of the slice-and-sequence transformer write them (arXiv 2205.07556).

Prediction: no header, `row,p0 p1 p2 p3 p4 p5`, where row is the slice's line in the meta file, -1 for padding.
Submission: `ID,Label` with `<slice id>_<class>`, six lines a slice.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.files import replacing, typed_reader
from ICHSegmenterLib.labels import HemorrhageSubtype
from ICHSegmenterLib.methods.rsna_sequence.ensemble import ENSEMBLE_WEIGHTS, combine

CLASSES = tuple(subtype.value for subtype in HemorrhageSubtype)
"""In RSNA's order: epidural, intraparenchymal, intraventricular, subarachnoid, subdural, any."""
PADDING_ROW = -1
NAMED_SLICES = 10
"""So many missing slices are named."""
SUBMISSION_HEADER = ("ID", "Label")


def padded_rows(first_row: int, slices: int, length: int) -> NDArray[np.intp]:
    """(length,) meta rows of a series whose slices are `slices` lines from `first_row` on, -1 behind them."""
    rows = np.full(max(length, slices), PADDING_ROW)
    rows[:slices] = np.arange(first_row, first_row + slices)
    return rows


def write_predictions(path: Path, rows: Sequence[int], probabilities: NDArray[np.floating[Any]]) -> None:
    """Write the prediction CSV: one line for each of (N,) meta rows and (N, 6) probabilities in RSNA's order.

    Raises:
        OutputError: The file cannot be written.
    """
    if np.shape(probabilities) != (len(rows), len(CLASSES)):
        raise ValueError(f"{len(rows)} rows need ({len(rows)}, {len(CLASSES)}) values, got {np.shape(probabilities)}")
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        for row, values in zip(rows, probabilities, strict=True):
            file.write(f"{int(row)},{' '.join(repr(float(value)) for value in values)}\n")


@typed_reader(VolumeError)
def read_predictions(path: Path) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Meta rows (N,) and probabilities (N, 6) of a prediction CSV, without padding and without repeated lines.

    Distributed runs predict some slices twice; exact repetitions are one.

    Raises:
        VolumeError: A line is none of a prediction CSV.
    """
    lines = dict.fromkeys(line for line in path.read_text(encoding="utf-8").splitlines() if line)
    rows, probabilities = [], []
    for line in lines:
        row, _, values = line.partition(",")
        try:
            numbers = [float(value) for value in values.split()]
            if len(numbers) != len(CLASSES):
                raise ValueError(f"{len(numbers)} values")
            if int(row) != PADDING_ROW:
                rows.append(int(row))
                probabilities.append(numbers)
        except ValueError as error:
            raise VolumeError(
                f"{path.name}: {line[:60]!r} is no line of a prediction CSV ({error}); expected a row number, a comma "
                f"and {len(CLASSES)} values separated by spaces."
            ) from error
    return np.asarray(rows, dtype=np.intp), np.asarray(probabilities).reshape(-1, len(CLASSES))


@typed_reader(VolumeError)
def read_slice_ids(meta: Path) -> list[str]:
    """Column `slice_id` of a meta CSV; the place in the list is the meta row.

    Raises:
        VolumeError: There is no such column.
    """
    with meta.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if "slice_id" not in (reader.fieldnames or ()):
            raise VolumeError(f"{meta.name}: has no column slice_id; choose the meta CSV of the predicted slices.")
        return [row["slice_id"] for row in reader]


def write_submission(predictions: Path, slice_ids: Sequence[str], path: Path, *, complete: bool = False) -> None:
    """Turn a prediction CSV into a submission, in the order of its lines.

    Args:
        predictions: Prediction CSV.
        slice_ids: Slices of the meta file, see `read_slice_ids`.
        path: To write.
        complete: Every slice of the meta file must be predicted.

    Raises:
        VolumeError: A line names a row that the meta file does not have, or slices are missing.
        OutputError: The file cannot be written.
    """
    rows, probabilities = read_predictions(predictions)
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(slice_ids):
        raise VolumeError(
            f"{predictions.name}: predicts row {rows.max()}, but the meta file has {len(slice_ids)} slices; "
            "choose the meta CSV that belongs to it."
        )
    if complete:
        _check_all_predicted(predictions, rows, slice_ids)
    _write_values(
        path,
        (
            (f"{slice_ids[row]}_{name}", float(value))
            for row, values in zip(rows, probabilities, strict=True)
            for name, value in zip(CLASSES, values, strict=True)
        ),
    )


@typed_reader(VolumeError)
def read_submission(path: Path) -> dict[str, float]:
    """ID to value.

    Raises:
        VolumeError: It has other columns, or a value is no number.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != SUBMISSION_HEADER:
            raise VolumeError(f"{path.name}: is no submission; its columns must be ID,Label.")
        try:
            return {row["ID"]: float(row["Label"]) for row in reader}
        except (TypeError, ValueError) as error:
            raise VolumeError(f"{path.name}: a value is no number ({error}).") from error


def write_ensemble(submissions: Sequence[Path], path: Path) -> None:
    """Blend three submissions, best model first, by the authors' weights; 1 where all three exceed 0.998.

    Lines are sorted by ID, as the authors' outer join leaves them.

    Raises:
        VolumeError: The submissions are not of the same slices.
        OutputError: The file cannot be written.
    """
    if len(submissions) != len(ENSEMBLE_WEIGHTS):
        raise ValueError(f"the ensemble blends {len(ENSEMBLE_WEIGHTS)} submissions, got {len(submissions)}")
    each = [read_submission(one) for one in submissions]
    ids = sorted(set().union(*each))
    for source, values in zip(submissions, each, strict=True):
        _check_complete(source, values, ids)
    blended = combine([np.array([values[one] for one in ids]) for values in each])
    _write_values(path, zip(ids, map(float, blended), strict=True))


def _check_all_predicted(predictions: Path, rows: NDArray[np.intp], slice_ids: Sequence[str]) -> None:
    absent = sorted(set(range(len(slice_ids))) - set(rows.tolist()))
    if absent:
        names = ", ".join(slice_ids[row] for row in absent[:NAMED_SLICES])
        more = f" and {len(absent) - NAMED_SLICES} more" if len(absent) > NAMED_SLICES else ""
        raise VolumeError(
            f"{predictions.name}: lacks {len(absent)} of {len(slice_ids)} slices ({names}{more}); the competition "
            "takes no incomplete file. `rsna predict` names the series that failed: mend them and predict again."
        )


def _check_complete(source: Path, values: Mapping[str, float], ids: Sequence[str]) -> None:
    missing = [one for one in ids if one not in values]
    if missing:
        raise VolumeError(f"{source.name}: lacks {len(missing)} of {len(ids)} lines, first {missing[0]}; predict anew.")


def _write_values(path: Path, values: Iterable[tuple[str, float]]) -> None:
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SUBMISSION_HEADER)
        writer.writerows((name, repr(value)) for name, value in values)
