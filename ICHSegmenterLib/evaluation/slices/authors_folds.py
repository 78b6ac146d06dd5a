"""The folds of HGI-SAM's authors: `fold0.pt` and so on, pickles of slice numbers, turned into folds of patients.

Their number counts the slices of all scans in the order in which a folder listed them on their computer; here it is
that of the names. Their first release split slices, so that patients stand in several folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ICHSegmenterLib.checkpoints.pdparams import read_plain_pickle
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.thresholds import Folds, read_folds

GIT_LFS_START = b"version https://git-lfs"


def folds_of(path: Path, cases: Sequence[Case]) -> Folds:
    """Patient to fold, of a file of patients and folds or of the authors' folder.

    Args:
        path: CSV, JSON, or a folder with fold0.pt and so on.
        cases: Of PhysioNet CT-ICH with the labels of their slices, for the folder.

    Raises:
        EvaluationError: The folder does not fit the cases, or its folds are not of patients.
        WeightsCorruptError: A fold file is damaged or would run code.
    """
    if not path.is_dir():
        return read_folds(path)
    files = sorted(path.glob("fold*.pt"))
    if len(files) < 2:
        raise EvaluationError(f"{path}: there are no files fold0.pt, fold1.pt and so on. Name the authors' folder.")
    patients = np.array([case.patient for case in sorted(cases, key=_scan_name) for _ in case.slice_labels or ()])
    fold_of = np.full(len(patients), -1)
    for number, file in enumerate(files):
        if file.read_bytes()[: len(GIT_LFS_START)] == GIT_LFS_START:
            raise EvaluationError(f"{file.name}: is only a pointer of Git LFS; get the file itself (git lfs pull).")
        indices = np.asarray(read_plain_pickle(file, "a list of slices"), dtype=np.intp).ravel()
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(patients):
            raise EvaluationError(
                f"{file.name}: names slice {indices.max()}, the data set has {len(patients)}. Is it complete?"
            )
        fold_of[indices] = number
    folds: dict[str, str] = {}
    for patient in dict.fromkeys(patients.tolist()):
        numbers = set(fold_of[patients == patient].tolist())
        if len(numbers) != 1 or numbers == {-1}:
            raise EvaluationError(
                f"{path}: slices of patient {patient} are in the folds {sorted(numbers)} (-1: in none), so these are "
                "no folds of patients. The authors' first release split slices; take later files, or one of your own."
            )
        folds[patient] = str(numbers.pop())
    return folds


def _scan_name(case: Case) -> str:
    return case.images[0].name
