"""Deflated DICOM files: a few megabytes may become gigabytes, so their size is measured before they are read."""

from __future__ import annotations

import zlib
from pathlib import Path

from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.volume.limits import MAX_INFLATED_BYTES

META_BYTES = 4096
CHUNK_BYTES = 1 << 20
_META_GROUP = 2


def check_inflated_size(path: Path) -> None:
    """Measure a deflated file, without keeping it; others are let through.

    Raises:
        VolumeError: It becomes larger than any scan, or is damaged.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        if DeflatedExplicitVRLittleEndian.encode() not in file.read(META_BYTES):
            return
        file.seek(0)
        try:
            read_preamble(file, force=True)
            read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_is_behind_meta)
            size = _inflated_size(file.tell(), path)
        except Exception as error:  # a damaged meta header fails in many ways
            raise VolumeError(
                f"{path.name}: the DICOM file is damaged or truncated; copy it again.", Cause.DAMAGED_FILE
            ) from error
    if size > MAX_INFLATED_BYTES:
        raise VolumeError(
            f"{path.name}: the compressed file becomes larger than {MAX_INFLATED_BYTES >> 20} MB, which no CT image "
            "is; it is damaged, or made to do harm. Export it again.",
            Cause.DAMAGED_FILE,
        )


def _is_behind_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != _META_GROUP


def _inflated_size(offset: int, path: Path) -> int:
    """Bytes of the data set; counting ends soon after the limit."""
    stream, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        file.seek(offset)
        while not stream.eof and (chunk := file.read(CHUNK_BYTES)):
            while chunk and not stream.eof:
                size += len(stream.decompress(chunk, CHUNK_BYTES))
                chunk = stream.unconsumed_tail
                if size > MAX_INFLATED_BYTES:
                    return size
    return size
