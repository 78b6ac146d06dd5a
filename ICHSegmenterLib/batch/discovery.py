"""Exams below folders: DICOM series, NIfTI, NRRD and MetaImage files. Each header is read once."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ICHSegmenterLib.batch.exam import Exam
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.files import SCRATCH_PREFIX
from ICHSegmenterLib.outputs.result_json import DONE_FILE
from ICHSegmenterLib.volume.dicom.files import Seen
from ICHSegmenterLib.volume.dicom.scan import scans_in
from ICHSegmenterLib.volume.exam_name import VOLUME_SUFFIXES, exam_name

Progress = Callable[[int, int], None]
"""Called with (files seen, exams so far) after each file and folder."""


@dataclass(frozen=True)
class _Folder:
    """Names in a folder; `files` are regular files only: a pipe would be waited for without end."""

    path: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]


def find_exams(inputs: Sequence[Path], progress: Progress = lambda files, exams: None) -> list[Exam]:
    """Every head CT below these folders and files, sorted by name.

    Folders with results of an earlier run are passed over: a labelmap is no exam. Exams of one name are told apart by
    a digest of their path, which stays when exams are added: a number would shift, and a resumed batch would take the
    results of one exam for those of another.

    Raises:
        VolumeError: Nothing to analyze.
    """
    exams: dict[tuple[Path, str | None], Exam] = {}
    files = 0
    for path in inputs:
        if not path.exists():
            raise VolumeError(f"{path} does not exist. Check the input path.")
        for seen, below in _searched(path, lambda seen: progress(files + seen, len(exams))):  # noqa: B023 (the count of that moment)
            files += seen
            for exam in below:
                exams.setdefault((exam.path.resolve(), exam.series_uid), exam)
            progress(files, len(exams))
    if not exams:
        raise VolumeError(
            "No head CT was found. Name folders with DICOM series, or files ending in " + ", ".join(VOLUME_SUFFIXES)
        )
    count = Counter(exam.name for exam in exams.values())
    named = (_with_path_digest(exam) if count[exam.name] > 1 else exam for exam in exams.values())
    return sorted(named, key=lambda exam: exam.name)


def exams_in(folder: Path) -> list[Exam]:
    """The exams of one folder, without the folders below it."""
    return list(_exams_of(_listed(folder)))


def listing_digest(folder: Path) -> str:
    """Digest of the names in a folder.

    Raises:
        OSError: The folder has gone.
    """
    return _digest(_listed(folder).files)


def _searched(path: Path, progress: Seen) -> Iterator[tuple[int, list[Exam]]]:
    """For each folder the number of its files, and its exams."""
    if not path.is_dir():
        yield 1, [Exam(exam_name("", path), path)]
        return
    waiting = [path]
    while waiting:
        here = waiting.pop()
        try:
            folder = _listed(here)
        except OSError as error:  # an exam that fails, since exams may lie there
            reason = error.strerror or type(error).__name__
            yield 0, [_unreadable(here, f"The folder cannot be read ({reason}). Ask for the right, or check the disk.")]
            continue
        if DONE_FILE in folder.files and ("slices.csv" in folder.files or _is_result(here / DONE_FILE)):
            continue
        yield len(folder.files), list(_exams_of(folder, progress))
        waiting += [here / name for name in reversed(folder.folders)]


def _is_result(path: Path) -> bool:
    """True for a `result.json` of this program, False for another program's."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(plain, dict) and {"provenance", "verdict"} <= set(plain)


def _listed(path: Path) -> _Folder:
    files, folders = [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(SCRATCH_PREFIX):
                    folders.append(entry.name)
            elif entry.is_file():
                files.append(entry.name)
    return _Folder(path, tuple(sorted(files)), tuple(sorted(folders)))


def _exams_of(folder: _Folder, progress: Seen = lambda files: None) -> Iterator[Exam]:
    volumes = [name for name in folder.files if name.lower().endswith(VOLUME_SUFFIXES)]
    yield from (Exam(exam_name("", folder.path / name), folder.path / name) for name in volumes)
    if len(volumes) == len(folder.files):
        return
    try:
        for series in scans_in(folder.path, progress):
            names = tuple(file.path.name for file in series.files)
            uid = series.summary.uid
            yield Exam(exam_name(uid, folder.path), folder.path, uid, names, _digest(folder.files))
    except (VolumeError, OSError, MemoryError) as error:  # an exam too, so that its failure has a row
        yield _unreadable(folder.path, str(error) or type(error).__name__)


def _unreadable(folder: Path, problem: str) -> Exam:
    name = "unreadable-" + hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Exam(name, folder, problem=problem)


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256(b"\0".join(map(os.fsencode, names))).hexdigest()


def _with_path_digest(exam: Exam) -> Exam:
    digest = hashlib.sha256(os.fsencode(exam.path.resolve())).hexdigest()[:8]
    return replace(exam, name=f"{exam.name}-{digest}")
