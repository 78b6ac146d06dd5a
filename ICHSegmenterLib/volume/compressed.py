"""Checksums of compressed MetaImage and NRRD files, which SimpleITK does not look at."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause

HEADER_BYTES = 1 << 16
CHUNK_BYTES = 1 << 20

_METAIMAGE = re.compile(rb"^CompressedData\s*=\s*True\s*$", re.MULTILINE | re.IGNORECASE)
_LOCAL = re.compile(rb"^ElementDataFile\s*=\s*(?:LOCAL|LIST)?([^\r\n]*?)\s*?\r?\n", re.MULTILINE | re.IGNORECASE)
_NRRD = re.compile(rb"^encoding:\s*(?:gz|gzip)\s*$", re.MULTILINE | re.IGNORECASE)
_DETACHED = re.compile(rb"^data ?file:", re.MULTILINE | re.IGNORECASE)
_GZIP = 31
"""zlib's number for gzip, whose end holds a checksum as well."""


def check_compressed(path: Path) -> None:
    """Read the compressed voxels of a file to their checksum.

    Raises:
        VolumeError: A bit is wrong, or the end is missing.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    data, offset, window = path, 0, zlib.MAX_WBITS
    if _METAIMAGE.search(start) and (line := _LOCAL.search(start)):
        offset = line.end()
        if line[1]:
            data, offset = path.with_name(Path(line[1].decode("utf-8", "replace")).name), 0
    elif start.startswith(b"NRRD") and _NRRD.search(_nrrd_header(start)) and not _DETACHED.search(_nrrd_header(start)):
        offset, window = len(_nrrd_header(start)), _GZIP
    else:
        return
    if not data.is_file() or not _is_whole(data, offset, window):
        raise VolumeError(
            f"{path.name}: the compressed voxels do not have their checksum; the file is damaged, copy it again.",
            Cause.DAMAGED_FILE,
        )


def _nrrd_header(start: bytes) -> bytes:
    """The header up to and with its empty line."""
    end = re.search(rb"\r?\n\r?\n", start)
    return start[: end.end()] if end else start


def _is_whole(path: Path, offset: int, window: int) -> bool:
    stream = zlib.decompressobj(window)
    with path.open("rb") as file:
        file.seek(offset)
        try:
            while not stream.eof and (chunk := file.read(CHUNK_BYTES)):
                while chunk and not stream.eof:
                    stream.decompress(chunk, CHUNK_BYTES)
                    chunk = stream.unconsumed_tail
            if not stream.eof:
                stream.flush()
        except zlib.error:
            return False
    return stream.eof
