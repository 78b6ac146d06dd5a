"""Splits into training, validation and test part: by patient, saved, and checked for leaks.

Authors split by series or by slice; that is possible too, with a warning, to repeat what they did.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.files import replacing, typed_reader

SplitBy = Literal["patient", "series", "slice"]
_PLURALS = {"patient": "patients", "series": "series", "slice": "slices"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Patients of each part.

    Attributes:
        train, validation, test: Names; test is empty without folds.
        seed, folds, fold: How it was drawn.
        split_by: What the names are of.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int
    folds: int
    fold: int
    split_by: SplitBy = "patient"

    def __post_init__(self) -> None:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for first, second in combinations(parts, 2):
            both = sorted(set(parts[first]) & set(parts[second]))
            if both:
                raise TrainingDataError(
                    f"Leak: {len(both)} {_PLURALS[self.split_by]} are in both {first} and {second} "
                    f"({', '.join(both[:3])}). Every {self.split_by} may be in one part only."
                )
        if not self.train or not self.validation:
            raise TrainingDataError(
                f"A split needs at least one {self.split_by} to learn from and one to validate on; there are "
                f"{len(self.train)} and {len(self.validation)}. Take fewer folds, or a larger data.validation_share."
            )


def split_patients(
    bleeds: Mapping[str, bool],
    *,
    folds: int = 0,
    fold: int = 0,
    validation_share: float = 0.1,
    seed: int = 0,
    split_by: SplitBy = "patient",
) -> Split:
    """Draw a split; each part gets its share of the patients with and without blood.

    Args:
        bleeds: Patient (or series, or slice) to whether any slice bleeds.
        folds: Parts of about equal size, of which number `fold` is the test part; 0 for no test part.
        fold: The folds of one seed are disjoint and cover all patients.
        validation_share: Share of the patients outside the test part, at least one.
        seed: Equal seeds give equal splits on every machine.
        split_by: What the names are of.
    """
    test: list[str] = []
    rest: list[list[str]] = []
    for is_positive in (True, False):
        patients = np.array(sorted(name for name, is_bleeding in bleeds.items() if is_bleeding == is_positive))
        shuffled = np.random.default_rng((seed, int(is_positive))).permutation(patients)
        fold_of = (np.arange(len(shuffled)) + (0 if is_positive else 1)) % max(folds, 1)
        held_out = fold_of == fold if folds else np.zeros(len(shuffled), dtype=bool)
        test += shuffled[held_out].tolist()
        rest.append(shuffled[~held_out].tolist())
    validation = [name for names in rest for name in names[: round(len(names) * validation_share)]]
    validation = validation or next((names[:1] for names in rest if names), [])
    validated = set(validation)
    train = [name for names in rest for name in names if name not in validated]
    return Split(tuple(sorted(train)), tuple(sorted(validation)), tuple(sorted(test)), seed, folds, fold, split_by)


def split_given(
    bleeds: Mapping[str, bool],
    held_out: Sequence[str],
    *,
    folds: int,
    fold: int,
    validation_share: float,
    seed: int,
    split_by: SplitBy = "patient",
) -> Split:
    """A split whose test part is given; the validation part is drawn from the rest.

    Args:
        bleeds: Patient (or slice) to whether any slice bleeds.
        held_out: Those of the test part.
        folds, fold: How many folds were given, and which one this is.
        validation_share: Share of those outside the test part, at least one.
        seed: Of the validation part.
        split_by: What the names are of.
    """
    test = set(held_out)
    rest = {name: is_bleeding for name, is_bleeding in bleeds.items() if name not in test}
    drawn = split_patients(rest, validation_share=validation_share, seed=seed)
    return Split(drawn.train, drawn.validation, tuple(sorted(test & set(bleeds))), seed, folds, fold, split_by)


def save_folds(bleeds: Mapping[str, bool], path: Path, *, folds: int, seed: int) -> None:
    """Write `patient,fold` for all patients, as `evaluate --folds` reads it; fold n is the test part of its split."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("patient", "fold"))
        for fold in range(folds):
            writer.writerows((name, fold) for name in split_patients(bleeds, folds=folds, fold=fold, seed=seed).test)


def check_split(
    split: Split,
    series: Sequence[str] | NDArray[np.str_],
    patients: Sequence[str] | NDArray[np.str_],
    *,
    split_by: SplitBy = "patient",
    units: Sequence[str] | NDArray[np.str_] | None = None,
) -> None:
    """Check a split against the table: every series has one patient, every patient of the split is in the data.

    A split by series or by slice is let pass only if it was asked for, and warns of the patients in several parts.

    Args:
        split: The parts.
        series: (slices,) of each slice.
        patients: (slices,) of each slice.
        split_by: What was asked for.
        units: (slices,) which patient, series or slice each is; the patients if None.

    Raises:
        TrainingDataError: A series has two patients, so that it could be in two parts; or the split is of other data,
            or of another kind than was asked for.
    """
    if split.split_by != split_by:
        raise TrainingDataError(
            f"The saved split is by {split.split_by}, but the recipe's data.split_by is {split_by}. "
            "Take another --output, or the recipe that the split was drawn for."
        )
    names, first = np.unique(np.asarray(series), return_index=True)
    owner = np.asarray(patients)[first]
    row = np.searchsorted(names, np.asarray(series))
    foreign = np.flatnonzero(owner[row] != np.asarray(patients))
    if len(foreign):
        raise TrainingDataError(f"Leak: series {np.asarray(series)[foreign[0]]} belongs to several patients.")
    names_of = np.asarray(patients if units is None else units)
    known = set(np.unique(names_of).tolist())
    unknown = sorted({*split.train, *split.validation, *split.test} - known)
    if unknown:
        raise TrainingDataError(
            f"The split names {len(unknown)} {_PLURALS[split_by]} that the data do not have "
            f"({', '.join(unknown[:3])}); it belongs to another data set."
        )
    if split_by != "patient":
        leaked, total = _shared_patients(split, names_of, np.asarray(patients)), len(np.unique(np.asarray(patients)))
        _log.warning(
            "data.split_by=%s leaks: %d of %d patients are in more than one part of the split, so that validation and "
            "test results look better than they are on new patients. Use data.split_by=patient.",
            split_by,
            leaked,
            total,
        )


def _shared_patients(split: Split, units: NDArray[np.str_], patients: NDArray[np.str_]) -> int:
    """Number of patients in more than one part, and of all patients."""
    parts = [np.unique(patients[np.isin(units, part)]) for part in (split.train, split.validation, split.test)]
    _, counts = np.unique(np.concatenate(parts), return_counts=True)
    return int((counts > 1).sum())


def save_split(split: Split, path: Path) -> None:
    """Write the split as JSON."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(asdict(split), indent=1), encoding="utf-8")


@typed_reader(TrainingDataError)
def load_split(path: Path) -> Split:
    """Read a saved split; leaks are found again."""
    content = json.loads(path.read_text(encoding="utf-8"))
    parts = {name: tuple(content[name]) for name in ("train", "validation", "test")}
    split_by = content.get("split_by", "patient")  # files of earlier versions do not say
    return Split(**parts, seed=content["seed"], folds=content["folds"], fold=content["fold"], split_by=split_by)
