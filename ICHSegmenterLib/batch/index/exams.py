"""Exams of the index: of each study the series that is read, in each folder where it lies; and files of volumes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.batch.index.choice import choices
from ICHSegmenterLib.batch.index.store import Store
from ICHSegmenterLib.batch.index.walk import names_digest
from ICHSegmenterLib.volume.dicom.series import MIN_SERIES_SLICES
from ICHSegmenterLib.volume.exam_name import exam_name


def exams_of(store: Store, *, all_series: bool = False) -> Iterator[Exam]:
    """The exams that the last search has seen.

    A folder with a file whose header is damaged, or that cannot be read, is one exam, which fails: the file may be a
    slice of any series there.

    Args:
        store: Filled.
        all_series: Every series of a study that is a CT scan, not only the one that fits best.
    """
    for path in store.volumes():
        yield Exam(exam_name("", path), path)
    problems = dict(store.problem_folders())
    for folder, problem in problems.items():
        yield unreadable_exam(folder, problem)
    for choice in choices(store.series(), all_series=all_series):
        if choice.reason:
            continue
        uid = choice.row.series
        for folder, files in groupby(store.slices(choice.row.study, uid), key=lambda path: path.parent):
            names = tuple(path.name for path in files)
            if folder not in problems and len(names) * choice.row.frames >= MIN_SERIES_SLICES:
                listing = names_digest(sorted(path.name for path in store.files_in(folder)))
                yield Exam(exam_name(uid, folder), folder, uid, names, listing)


def unreadable_exam(folder: Path, problem: str) -> Exam:
    """An exam that fails, so that a folder which cannot be read has a row."""
    return Exam(f"unreadable-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}", folder, problem=problem)
