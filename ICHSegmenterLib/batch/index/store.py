"""SQLite file of the index: one row a file with the facts of its header, keyed by size and time of change.

It holds paths, which may name patients: it is readable by its owner only, and stays until it is deleted.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.volume.dicom.facts import FileFacts

INDEX_FILE = ".ichsegmenter-index.sqlite"
SCHEMA_VERSION = 1
_COLUMNS = tuple(field.name for field in fields(FileFacts))
_SCHEMA = f"""
CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER, changed_ns INTEGER, run INTEGER, is_volume INTEGER,
    {", ".join(_COLUMNS)}) WITHOUT ROWID;
CREATE INDEX by_series ON files (study, series);
PRAGMA user_version = {SCHEMA_VERSION};
"""
_SERIES = """
SELECT study, series, max(number), sum(slices), max(plane), max(kernel), max(thickness_mm), max(has_contrast),
    coalesce(max(high_mm) - min(low_mm), 0), max(rejected), min(path)
FROM files WHERE series != '' GROUP BY study, series ORDER BY study, series
"""


@dataclass(frozen=True)
class FileState:
    """A file and what tells a changed one from the one that was read."""

    path: Path
    size: int
    changed_ns: int


@dataclass(frozen=True)
class SeriesRow:
    """A series, put together from its files.

    Attributes:
        cover_mm: Distance of its outermost slices; 0 if unknown.
        rejected: Why none of its files is a CT slice.
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
    path: Path


class Store:
    """The index of an output folder.

    Args:
        output: Folder of the results; made if it is not there.

    Raises:
        OutputError: The index cannot be written, is damaged, or is of another version.
    """

    def __init__(self, output: Path) -> None:
        self._path = path = output / INDEX_FILE
        with self._typed():
            output.mkdir(parents=True, exist_ok=True)
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

    def add(self, files: Sequence[FileState], facts: Sequence[FileFacts], *, is_volume: bool = False) -> None:
        """Keep what was read; it is on the disk when this returns."""
        marks = ", ".join("?" * (5 + len(_COLUMNS)))
        rows = [
            (os.fsencode(file.path), file.size, file.changed_ns, self._run, is_volume, *asdict(fact).values())
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
                row = [*values[:7], bool(values[7]), *values[8:10], Path(os.fsdecode(values[10]))]
            yield SeriesRow(*row)

    def volumes(self) -> Iterator[Path]:
        """NIfTI, NRRD and MetaImage files."""
        for (path,) in self._rows("SELECT path FROM files WHERE is_volume ORDER BY path"):
            with self._typed():
                volume = Path(os.fsdecode(path))
            yield volume

    def problems(self) -> Iterator[tuple[Path, str]]:
        """Files that cannot be read, with the reason."""
        for path, problem in self._rows("SELECT path, problem FROM files WHERE problem != '' ORDER BY path"):
            with self._typed():
                file = Path(os.fsdecode(path)), str(problem)
            yield file

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        with self._typed():
            rows = iter(self._database.execute(query))
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
