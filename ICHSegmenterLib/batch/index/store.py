"""SQLite file of the index: one row a file with the facts of its header, keyed by size and time of change.

It holds paths, which may name patients: it is readable by its owner only, and stays until it is deleted.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from ICHSegmenterLib.batch.index.walk import FileState
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.volume.dicom.facts import FileFacts

INDEX_FILE = ".ichsegmenter-index.sqlite"
SCHEMA_VERSION = 2
_COLUMNS = tuple(field.name for field in fields(FileFacts))
_SCHEMA = f"""
CREATE TABLE files (path BLOB PRIMARY KEY, folder BLOB, size INTEGER, changed_ns INTEGER, run INTEGER,
    is_volume INTEGER, {", ".join(_COLUMNS)}) WITHOUT ROWID;
CREATE INDEX by_series ON files (study, series);
CREATE INDEX by_folder ON files (folder);
PRAGMA user_version = {SCHEMA_VERSION};
"""
_SEEN = "run = (SELECT max(run) FROM files)"
"""Of the last search."""
_SERIES = f"""
SELECT study, series, max(number), sum(slices), max(plane), max(kernel), max(thickness_mm), max(has_contrast),
    coalesce(max(high_mm) - min(low_mm), 0), max(rejected), max(slices), min(path)
FROM files WHERE series != '' AND {_SEEN} GROUP BY study, series ORDER BY study, series
"""


def _path(value: bytes) -> Path:
    return Path(os.fsdecode(value))


_SERIES_TYPES: tuple[Callable[[Any], Any], ...] = (str, str, int, int, str, str, float, bool, float, str, int, _path)
"""Of the columns of `_SERIES`: a damaged database may hold others."""


@dataclass(frozen=True)
class SeriesRow:
    """A series, put together from its files.

    Attributes:
        cover_mm: Distance of its outermost slices; 0 if unknown.
        rejected: Why none of its files is a CT slice.
        frames: Slices of the file that holds most.
        path: One of its files.
    """

    study: str
    series: str
    number: int
    slices: int
    plane: str
    kernel: str
    thickness_mm: float
    has_contrast: bool
    cover_mm: float
    rejected: str
    frames: int
    path: Path


class Store:
    """The index of exams.

    Args:
        folder: Where it lies, made if absent; None: in memory, for one search.

    Raises:
        OutputError: The index cannot be written, is damaged, or is of another version.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = path = Path(":memory:") if folder is None else folder / INDEX_FILE
        with self._typed():
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                path.chmod(0o600)
            self._database = sqlite3.connect(path)
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            elif version != SCHEMA_VERSION:
                raise OutputError(f"{path} was written by another version. Delete it; the files are then read again.")
            self._run = 1 + int(self._database.execute("SELECT max(run) FROM files").fetchone()[0] or 0)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def unread(self, files: Sequence[FileState]) -> list[FileState]:
        """The files that are new or have changed; the others are marked as seen in this run."""
        unread = []
        with self._typed(), self._database:
            for file in files:
                known = self._database.execute(
                    "UPDATE files SET run = ? WHERE path = ? AND size = ? AND changed_ns = ?",
                    (self._run, os.fsencode(file.path), file.size, file.changed_ns),
                )
                if not known.rowcount:
                    unread.append(file)
        return unread

    def add(
        self,
        files: Sequence[FileState],
        facts: Sequence[FileFacts],
        *,
        is_volume: bool = False,
        folder: Path | None = None,
    ) -> None:
        """Keep what was read; it is on the disk when this returns. `folder` if it is not the files' own."""
        marks = ", ".join("?" * (6 + len(_COLUMNS)))
        rows = [
            (
                os.fsencode(file.path),
                os.fsencode(folder or file.path.parent),
                *(file.size, file.changed_ns, self._run, is_volume, *asdict(fact).values()),
            )
            for file, fact in zip(files, facts, strict=True)
        ]
        with self._typed(), self._database:
            self._database.executemany(f"INSERT OR REPLACE INTO files VALUES ({marks})", rows)

    def forget_unseen(self) -> None:
        """Drop files that a whole search did not meet any more."""
        with self._typed(), self._database:
            self._database.execute("DELETE FROM files WHERE run != ?", (self._run,))

    def series(self) -> Iterator[SeriesRow]:
        """Every series, those of one study after each other."""
        for values in self._rows(_SERIES):
            with self._typed():
                row: list[Any] = [kind(value) for kind, value in zip(_SERIES_TYPES, values, strict=True)]
            yield SeriesRow(*row)

    def slices(self, study: str, series: str) -> Iterator[Path]:
        """Files of a series that are CT slices, those of one folder after each other."""
        query = (
            f"SELECT path FROM files WHERE study = ? AND series = ? AND slices > 0 AND {_SEEN} ORDER BY folder, path"
        )
        return self._paths(query, study, series)

    def files_in(self, folder: Path) -> Iterator[Path]:
        """Files of one folder."""
        return self._paths(f"SELECT path FROM files WHERE folder = ? AND {_SEEN}", os.fsencode(folder))

    def volumes(self) -> Iterator[Path]:
        """NIfTI, NRRD and MetaImage files."""
        return self._paths(f"SELECT path FROM files WHERE is_volume AND {_SEEN} ORDER BY path")

    def problems(self) -> Iterator[tuple[Path, str]]:
        """Files and folders that cannot be read, with the reason."""
        return self._problems(f"SELECT path, problem FROM files WHERE problem != '' AND {_SEEN} ORDER BY path")

    def problem_folders(self) -> Iterator[tuple[Path, str]]:
        """Folders with such files, each with the reason of the first."""
        return self._problems(
            f"SELECT folder, problem, min(path) FROM files WHERE problem != '' AND {_SEEN} GROUP BY folder"
        )

    def _problems(self, query: str) -> Iterator[tuple[Path, str]]:
        for path, problem, *_ in self._rows(query):
            with self._typed():
                found = _path(path), str(problem)
            yield found

    def _paths(self, query: str, *values: object) -> Iterator[Path]:
        for (path,) in self._rows(query, *values):
            with self._typed():
                found = _path(path)
            yield found

    def _rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        with self._typed():
            rows = iter(self._database.execute(query, values))
        while True:
            with self._typed():
                row = next(rows, None)
            if row is None:
                return
            yield row

    @contextmanager
    def _typed(self) -> Iterator[None]:
        """A database that is damaged may fail at every step, and hold values of any kind."""
        try:
            yield
        except (OSError, sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            raise OutputError(
                f"{self._path}: the index cannot be used ({error}). Delete it if it is damaged, or name another "
                "--output."
            ) from error
