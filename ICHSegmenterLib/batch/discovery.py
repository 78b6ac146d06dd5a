"""Exams below folders: DICOM series, NIfTI, NRRD and MetaImage files, by the index; and what a CSV manifest names."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.batch.index.exams import exams_of, unreadable_exam
from ICHSegmenterLib.batch.index.fill import fill
from ICHSegmenterLib.batch.index.store import Store
from ICHSegmenterLib.batch.index.walk import folder_at
from ICHSegmenterLib.batch.manifest import MANIFEST_SUFFIX, inputs_of
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom.scan import scans_in
from ICHSegmenterLib.volume.exam_name import VOLUME_SUFFIXES, exam_name

Progress = Callable[[int, int], None]
"""Called with (files seen, headers read) after each batch of files."""


def find_exams(
    inputs: Sequence[Path],
    progress: Progress = lambda files, read: None,
    *,
    store: Store | None = None,
    all_series: bool = False,
) -> list[Exam]:
    """Every head CT below these folders and files, sorted by name.

    Folders with results of an earlier run are passed over: a labelmap is no exam. Exams of one name are told apart by
    a digest of their path, which stays when exams are added: a number would shift, and a resumed batch would take the
    results of one exam for those of another.

    Args:
        inputs: Folders, files of exams, and CSV manifests; see `batch.manifest`.
        progress: Says how far the search is.
        store: The index, whose headers are not read again; None: one in memory.
        all_series: Every CT series of a study, not only the one that fits best.

    Raises:
        VolumeError: Nothing to analyze.
    """
    paths = [path for given in inputs for path in (inputs_of(given) if _is_manifest(given) else [given])]
    for path in paths:
        if not path.exists():
            raise VolumeError(f"{path} does not exist. Check the input path.")
    exams: dict[tuple[Path, str | None], Exam] = {}
    folders = [path for path in paths if path.is_dir()]
    with nullcontext(store) if store is not None else Store(None) as index:
        found = [Exam(exam_name("", path), path) for path in paths if not path.is_dir()]
        if folders:  # or the exams of an earlier search would be found
            fill(index, folders, progress)
            found += exams_of(index, all_series=all_series)
        for exam in found:
            exams.setdefault((exam.path.resolve(), exam.series_uid), exam)
    if not exams:
        raise VolumeError(
            "No head CT was found. Name folders with DICOM series, or files ending in " + ", ".join(VOLUME_SUFFIXES)
        )
    count = Counter(exam.name for exam in exams.values())
    named = (_with_path_digest(exam) if count[exam.name] > 1 else exam for exam in exams.values())
    return sorted(named, key=lambda exam: exam.name)


def exams_in(folder: Path, *, all_series: bool = False) -> list[Exam]:
    """The exams of one folder, without the folders below it and without the index.

    Raises:
        OSError: The folder has gone, or cannot be read.
    """
    return list(_exams_in(folder, all_series))


def listing_digest(folder: Path) -> str:
    """Digest of the names in a folder.

    Raises:
        OSError: The folder has gone.
    """
    return folder_at(folder).listing


def _exams_in(path: Path, all_series: bool) -> Iterator[Exam]:
    folder = folder_at(path)
    names = [file.path.name for file in folder.files]
    volumes = [name for name in names if name.lower().endswith(VOLUME_SUFFIXES)]
    yield from (Exam(exam_name("", path / name), path / name) for name in volumes)
    if len(volumes) == len(names):
        return
    try:
        for series in scans_in(path, all_series=all_series):
            uid = series.summary.uid
            yield Exam(exam_name(uid, path), path, uid, tuple(file.path.name for file in series.files), folder.listing)
    except (VolumeError, OSError, MemoryError) as error:  # an exam too, so that its failure has a row
        yield unreadable_exam(path, str(error) or type(error).__name__)


def _is_manifest(path: Path) -> bool:
    return path.suffix.lower() == MANIFEST_SUFFIX and path.is_file()


def _with_path_digest(exam: Exam) -> Exam:
    digest = hashlib.sha256(os.fsencode(exam.path.resolve())).hexdigest()[:8]
    return replace(exam, name=f"{exam.name}-{digest}")
