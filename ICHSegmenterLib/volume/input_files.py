"""Files that an exam is read from, and their digest: whether a result still belongs to what lies there now."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

FORMATS = {
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".hdr": "NIfTI",
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
}
"""Format of each file name ending; anything else must be DICOM by its content. Of a pair .hdr/.img it is the .hdr."""

CHUNK_BYTES = 1 << 20
HEADER_BYTES = 1 << 16
"""Enough of a text header to find the name of its data file."""

_DATA_FILE = re.compile(rb"^(?:ElementDataFile\s*=|data ?file:)\s*([^\r\n]+?)\s*$", re.MULTILINE | re.IGNORECASE)
_HEADERS = (".mhd", ".nhdr")
_PAIRED = {".hdr": (".img", ".img.gz"), ".hdr.gz": (".img.gz",)}


@dataclass(frozen=True)
class InputDigest:
    """Digest of the files that were read. Names do not count: copies under other names or elsewhere are equal.

    Attributes:
        files, bytes: How many, and their sizes together.
        times: SHA-256 of sizes and times of change in ns; equal ones need no look at the content.
        content: SHA-256 of the contents; empty if it was not asked for.
    """

    files: int
    bytes: int
    times: str
    content: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for `result.json`."""
        return asdict(self)

    def is_input_of(self, recorded: Mapping[str, Any], files: Iterable[Path]) -> bool:
        """True if a result with this record came from the same input.

        Args:
            recorded: From `to_json`, perhaps of another version, which counts as another input.
            files: Read only if their times differ from the recorded ones.
        """
        if recorded.get("times") == self.times:
            return True
        sizes = (recorded.get("files"), recorded.get("bytes"))
        return sizes == (self.files, self.bytes) and recorded.get("content") == content_digest(files)


def format_of(path: Path) -> str:
    """Format by the name's ending; empty if it is none of `FORMATS`."""
    name = path.name.lower()
    return next((kind for ending, kind in FORMATS.items() if name.endswith(ending)), "")


def digest_of(files: Iterable[Path], *, content: bool = False) -> InputDigest:
    """Digest of these files.

    Raises:
        OSError: One of them has gone.
    """
    files = list(files)
    status = sorted((state.st_size, state.st_mtime_ns) for state in (path.stat() for path in files))
    times = hashlib.sha256(repr(status).encode()).hexdigest()
    digest = InputDigest(len(files), sum(size for size, _ in status), times)
    return replace(digest, content=content_digest(files)) if content else digest


def content_digest(files: Iterable[Path]) -> str:
    """SHA-256 of the contents, in whatever order the files come."""
    return hashlib.sha256("".join(sorted(_sha256(path) for path in files)).encode()).hexdigest()


def with_companions(path: Path) -> tuple[Path, ...]:
    """An image file and the file that holds its voxels, for formats that keep them apart."""
    name = path.name.lower()
    if name.endswith(_HEADERS):
        named = _DATA_FILE.search(_start(path))
        data = path.parent / Path(named[1].decode("utf-8", "replace")).name if named else None
        return (path, data) if data is not None and data.is_file() else (path,)
    ending = next((ending for ending in _PAIRED if name.endswith(ending)), None)
    if ending is None:
        return (path,)
    stem = path.name[: -len(ending)]
    pair = (path.with_name(stem + suffix) for suffix in _PAIRED[ending])
    return (path, *(data for data in pair if data.is_file()))


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
