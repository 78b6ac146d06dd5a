"""A table that grows row by row, as CSV: what stands in it stays when the process is killed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from ICHSegmenterLib.batch.tables.columns import Column
from ICHSegmenterLib.batch.tables.rows import Row
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would run a cell that begins so; an apostrophe before it makes it text."""


class CsvTable:
    """A table that is begun anew.

    Args:
        path: Where it lies.
        columns: Its columns; those that a row lacks are empty in it.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._path, self._names = path, tuple(column.name for column in columns)
        with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._names).writeheader()
        try:
            # Names of files may be no UTF-8.
            self._file: TextIO = path.open("a", newline="", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise self._failure(error) from error

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows; they are in the file when this returns. A value without a column is left out.

        Raises:
            OutputError: The disk is full, or has gone.
        """
        writer = csv.DictWriter(self._file, self._names, extrasaction="ignore")
        try:
            writer.writerows({key: as_cell(value) for key, value in row.items()} for row in rows)
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _failure(self, error: OSError) -> OutputError:
        reason = error.strerror or str(error)
        return OutputError(f"{self._path.name} cannot be written ({reason}). Choose another output folder.")


def as_cell(value: object) -> object:
    """A value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def as_text(cell: str) -> str:
    """The text that `as_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell
