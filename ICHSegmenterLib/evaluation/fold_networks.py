"""Networks of a cross-validation: the network of a fold meets only the patients that its training held out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.cards.card import ModelCard
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.thresholds import Folds

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldNetworks:
    """Patients, folds and weight files.

    Attributes:
        folds: Patient to fold.
        files: Fold to the file that was trained without its patients.
    """

    folds: Folds
    files: dict[str, Path]

    @classmethod
    def of(cls, folds: Folds, files: Sequence[Path]) -> FoldNetworks:
        """The files in the order of the folds' names, numbers by their value.

        Raises:
            EvaluationError: There are not as many files as folds.
        """
        names = fold_names(folds)
        if len(names) != len(files):
            raise EvaluationError(
                f"There are {len(files)} networks for {len(names)} folds ({', '.join(names[:6])}). Give one weight "
                "file a fold, in the order of the folds' names, or one file for all."
            )
        return cls(folds, dict(zip(names, files, strict=True)))

    def file_of(self, patient: str) -> Path:
        """The file of the fold that holds this patient out.

        Raises:
            EvaluationError: The patient is in no fold.
        """
        if patient not in self.folds:
            raise EvaluationError(f"Patient {patient} has no fold, so no network is known that never met it.")
        return self.files[self.folds[patient]]

    def described(self) -> str:
        """Which file meets which fold, for a log."""
        return ", ".join(f"fold {name}: {file.name}" for name, file in self.files.items())


def fold_names(folds: Folds) -> list[str]:
    """The folds, numbers by their value and before words."""
    return sorted(set(folds.values()), key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def warn_of_training_data(card: ModelCard, files: Sequence[Path]) -> None:
    """Warn of an ensemble of folds that is scored as one: on the data it learned from, its scores are too good."""
    if card.default_models > 1 and len(files) > 1:
        _log.warning(
            "%s: its %d networks are the folds of one cross-validation and are averaged here. On the data set that "
            "they learned from (PhysioNet CT-ICH) four of five knew each patient, so the scores are too good; give "
            "--folds FILE, and the network of a fold meets only that fold's patients.",
            card.name,
            len(files),
        )
