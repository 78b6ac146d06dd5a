"""Who is learned from, validated and tested on: by patient, saved, and checked for leaks."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ICHSegmenterLib.training.failures import TrainingDataError
from ICHSegmenterLib.volume.atomic import replacing


@dataclass(frozen=True)
class Split:
    """Patients of each part.

    Attributes:
        train, validation, test: Names; test is empty without folds.
        seed, folds, fold: How it was drawn.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int
    folds: int
    fold: int

    def __post_init__(self) -> None:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for one, other in combinations(parts, 2):
            both = sorted(set(parts[one]) & set(parts[other]))
            if both:
                raise TrainingDataError(
                    f"Leak: {len(both)} patients are in both {one} and {other} ({', '.join(both[:3])}). "
                    "Every patient may be in one part only."
                )
        if not self.train or not self.validation:
            raise TrainingDataError(
                f"A split needs at least one patient to learn from and one to validate on; there are {len(self.train)} "
                f"and {len(self.validation)}. Take fewer folds, or a larger data.validation_share."
            )


def split_patients(
    bleeds: Mapping[str, bool], *, folds: int = 0, fold: int = 0, validation_share: float = 0.1, seed: int = 0
) -> Split:
    """Draw a split; each part gets its share of the patients with and without blood.

    Args:
        bleeds: Patient to whether any slice bleeds.
        folds: Parts of about equal size, of which number `fold` is the test part; 0 for no test part.
        fold: The folds of one seed are disjoint and cover all patients.
        validation_share: Of the patients outside the test part, at least one.
        seed: Equal seeds give equal splits on every machine.
    """
    test: list[str] = []
    rest: list[list[str]] = []
    for is_positive in (True, False):
        patients = np.array(sorted(name for name, one in bleeds.items() if one == is_positive))
        shuffled = np.random.default_rng((seed, int(is_positive))).permutation(patients)
        place = (np.arange(len(shuffled)) + (0 if is_positive else 1)) % max(folds, 1)
        held_out = place == fold if folds else np.zeros(len(shuffled), dtype=bool)
        test += shuffled[held_out].tolist()
        rest.append(shuffled[~held_out].tolist())
    validation = [name for names in rest for name in names[: round(len(names) * validation_share)]]
    validation = validation or next((names[:1] for names in rest if names), [])
    train = [name for names in rest for name in names if name not in set(validation)]
    return Split(tuple(sorted(train)), tuple(sorted(validation)), tuple(sorted(test)), seed, folds, fold)


def save_folds(bleeds: Mapping[str, bool], path: Path, *, folds: int, seed: int) -> None:
    """Write `patient,fold` for all patients, as `evaluate --folds` reads it; fold n is the test part of its split."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("patient", "fold"))
        for fold in range(folds):
            writer.writerows((name, fold) for name in split_patients(bleeds, folds=folds, fold=fold, seed=seed).test)


def check_split(
    split: Split, series: Sequence[str] | NDArray[np.str_], patients: Sequence[str] | NDArray[np.str_]
) -> None:
    """Check a split against the table: every series has one patient, every patient of the split is in the data.

    Args:
        split: The parts.
        series: (slices,) of each slice.
        patients: (slices,) of each slice.

    Raises:
        TrainingDataError: A series has two patients, so that it could be in two parts; or the split is of other data.
    """
    names, first = np.unique(np.asarray(series), return_index=True)
    owner = np.asarray(patients)[first]
    place = np.searchsorted(names, np.asarray(series))
    foreign = np.flatnonzero(owner[place] != np.asarray(patients))
    if len(foreign):
        raise TrainingDataError(f"Leak: series {np.asarray(series)[foreign[0]]} belongs to several patients.")
    known = set(np.unique(np.asarray(patients)).tolist())
    unknown = sorted({*split.train, *split.validation, *split.test} - known)
    if unknown:
        raise TrainingDataError(
            f"The split names {len(unknown)} patients that the data do not have ({', '.join(unknown[:3])}); "
            "it belongs to another data set."
        )


def save_split(split: Split, path: Path) -> None:
    """Write the split as JSON."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(asdict(split), indent=1), encoding="utf-8")


def load_split(path: Path) -> Split:
    """Read a saved split; leaks are found again."""
    content = json.loads(path.read_text(encoding="utf-8"))
    parts = {name: tuple(content[name]) for name in ("train", "validation", "test")}
    return Split(**parts, seed=content["seed"], folds=content["folds"], fold=content["fold"])
