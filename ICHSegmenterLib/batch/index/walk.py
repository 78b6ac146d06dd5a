"""The one way through the folders of exams: without results of earlier runs, without links to folders."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.files import DRAFT_PREFIX, SCRATCH_PREFIX
from ICHSegmenterLib.outputs.result_json import DONE_FILE


@dataclass(frozen=True)
class FileState:
    """A file and what tells a changed one from the one that was read."""

    path: Path
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path, status: os.stat_result) -> FileState:
        """The state that the system tells."""
        return cls(path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Folder:
    """A folder with its regular files (a pipe would be waited for without end), sorted by name.

    Attributes:
        problem: Why it cannot be read; exams may lie there.
    """

    path: Path
    files: tuple[FileState, ...] = ()
    folders: tuple[Path, ...] = ()
    problem: str = ""

    @property
    def listing(self) -> str:
        """Digest of the names of its files; another one means that files came or went."""
        return names_digest([file.path.name for file in self.files])


def folders_below(root: Path) -> Iterator[Folder]:
    """A folder and those below it."""
    waiting = [root]
    while waiting:
        here = waiting.pop()
        try:
            folder = folder_at(here)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            yield Folder(here, problem=f"The folder cannot be read ({reason}). Ask for the right, or check the disk.")
            continue
        if not _holds_results(folder):
            yield folder
            waiting += reversed(folder.folders)


def folder_at(path: Path) -> Folder:
    """One folder.

    Raises:
        OSError: It has gone, or cannot be read.
    """
    files, folders = [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith((SCRATCH_PREFIX, DRAFT_PREFIX)):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(path / entry.name)
            elif entry.is_file():
                files.append(FileState.of(path / entry.name, entry.stat()))
    return Folder(path, tuple(sorted(files, key=lambda file: file.path.name)), tuple(sorted(folders)))


def names_digest(names: Sequence[str]) -> str:
    """Digest of sorted names."""
    return hashlib.sha256(b"\0".join(map(os.fsencode, names))).hexdigest()


def _holds_results(folder: Folder) -> bool:
    names = {file.path.name for file in folder.files}
    return DONE_FILE in names and ("slices.csv" in names or _is_result(folder.path / DONE_FILE))


def _is_result(path: Path) -> bool:
    """True for a `result.json` of this program, False for another program's."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(plain, dict) and {"provenance", "verdict"} <= set(plain)
