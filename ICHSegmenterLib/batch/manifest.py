"""A CSV manifest: a table of the folders and files to analyze, for archives of which only a part is wanted."""

from __future__ import annotations

import csv
from pathlib import Path

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.files import typed_reader

MANIFEST_SUFFIX = ".csv"
COLUMN = "path"


@typed_reader(VolumeError)
def inputs_of(path: Path, /) -> list[Path]:
    """The paths of a manifest, in its order, each once; relative ones are below its folder.

    Raises:
        VolumeError: It has no column `path`, names nothing, or cannot be read.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        if COLUMN not in (table.fieldnames or ()):
            found = ", ".join(table.fieldnames or ()) or "nothing"
            raise VolumeError(f"{path.name}: a manifest has a column {COLUMN!r}, this one has {found}. Name it so.")
        named = [(row[COLUMN] or "").strip() for row in table]
    paths = [path.parent / name for name in dict.fromkeys(named) if name]
    if not paths:
        raise VolumeError(f"{path.name}: the manifest names no folder or file. Fill its column {COLUMN!r}.")
    return paths
