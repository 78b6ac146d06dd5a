"""Shards: plain tar files in the WebDataset convention, `KEY.hu.png` and `KEY.mask.png`, read at random by offset.

PNG holds 16-bit gray without loss, so a slice costs about 40 % of its bytes and any tool can look at it. Its parts have
checksums, which Pillow does not look at for pixels; they are checked here.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ICHSegmenterLib.datasets.slices import SliceItem, SliceRow
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import SUBTYPE_LABELS

STORED_OFFSET_HU = -1024
"""Stored value 0."""
STORED_MAXIMUM = 4095
FAST_COMPRESSION = 1
"""Level of PNG: higher ones save 3 % and take twice as long."""
_BLOCK = 512
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"


def write_shard(items: Iterable[SliceItem], path: Path) -> list[SliceRow]:
    """Write slices into one tar file, all or nothing; returns their places."""
    rows = []
    with replacing(path) as draft, tarfile.open(draft, "w", format=tarfile.USTAR_FORMAT) as tar:
        for item in items:
            hu_place = _add(tar, f"{item.key}.hu.png", encode_hu(item.hu))
            mask_place = (0, 0) if item.mask is None else _add(tar, f"{item.key}.mask.png", _png(item.mask))
            _add(tar, f"{item.key}.json", json.dumps(_facts(item)).encode())
            rows.append(
                SliceRow(
                    item.key,
                    item.patient,
                    item.series,
                    item.number,
                    path.name,
                    *hu_place,
                    *mask_place,
                    *item.spacing_mm,
                    item.position_mm,
                    *item.header_window,
                    *item.labels,
                )
            )
    return rows


def encode_hu(hu: NDArray[np.int16]) -> bytes:
    """16-bit PNG of -1024 to 3071 HU."""
    return _png(np.clip(hu.astype(np.int32) - STORED_OFFSET_HU, 0, STORED_MAXIMUM).astype(np.uint16))


def decode_hu(data: bytes) -> NDArray[np.float32]:
    """float32 (rows, columns), Hounsfield units."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).astype(np.float32) + np.float32(STORED_OFFSET_HU)


def check_png(data: bytes) -> None:
    """Compare the checksum of every part of a PNG file.

    Raises:
        ValueError: A bit is wrong, or the end is missing.
    """
    if not data.startswith(_PNG_START):
        raise ValueError("no PNG file")
    at, name = len(_PNG_START), b""
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")  # length, name, content, checksum
        name = data[at + 4 : at + 8]
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError(f"the part {name!r} does not have its checksum")
        at = end
    if name != _PNG_END:
        raise ValueError("the end is missing")


class ShardReader:
    """Reads slices by place; keeps the shards open. Each loading process has its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: dict[str, BinaryIO] = {}

    def hu(self, shard: str, offset: int, size: int) -> NDArray[np.float32]:
        """float32 (rows, columns), Hounsfield units.

        Raises:
            TrainingDataError: The shard is absent or damaged.
        """
        try:
            return decode_hu(self._bytes(shard, offset, size))
        except Exception as error:  # Pillow raises SyntaxError and others for damaged files
            raise self._damaged(shard) from error

    def mask(self, shard: str, offset: int, size: int) -> NDArray[np.uint8]:
        """uint8 (rows, columns).

        Raises:
            TrainingDataError: The shard is absent or damaged.
        """
        try:
            with Image.open(io.BytesIO(self._bytes(shard, offset, size))) as image:
                return np.asarray(image, dtype=np.uint8)
        except Exception as error:  # as above
            raise self._damaged(shard) from error

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_streams": {}}  # open files do not travel to other processes

    def _bytes(self, shard: str, offset: int, size: int) -> bytes:
        stream = self._streams.get(shard)
        if stream is None:
            stream = self._streams[shard] = (self._folder / shard).open("rb")
        stream.seek(offset)
        data = stream.read(size)
        check_png(data)
        return data

    def _damaged(self, shard: str) -> TrainingDataError:
        return TrainingDataError(
            f"{self._folder / shard} is absent or damaged; remove it and its .csv and run `prepare` again."
        )


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> tuple[int, int]:
    """(offset, size) of the content."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    offset = tar.offset + _BLOCK
    tar.addfile(member, io.BytesIO(data))
    return offset, len(data)


def _png(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(stream, format="PNG", compress_level=FAST_COMPRESSION)
    return stream.getvalue()


def _facts(item: SliceItem) -> dict[str, Any]:
    return {
        "patient": item.patient,
        "series": item.series,
        "number": item.number,
        "spacing_mm": item.spacing_mm,
        "position_mm": item.position_mm,
        "window": item.header_window,
        "labels": dict(zip(SUBTYPE_LABELS, item.labels, strict=True)),
    }
