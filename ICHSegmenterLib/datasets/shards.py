"""Shards: plain tar files in the WebDataset convention, `KEY.hu.npz` and `KEY.mask.png`, read at random by offset.

Nothing is lost, and any tool can look at them; `stored_hu` says how. Shards with `KEY.hu.png`, as earlier versions
wrote them, are read too.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ICHSegmenterLib.datasets.slices import SliceItem, SliceRow
from ICHSegmenterLib.datasets.stored_hu import check_png, decode_hu, encode_hu, encode_png
from ICHSegmenterLib.errors import TrainingDataError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import SUBTYPE_LABELS

_BLOCK = 512


def write_shard(items: Iterable[SliceItem], path: Path) -> list[SliceRow]:
    """Write slices into one tar file, all or nothing; returns their places."""
    rows = []
    with replacing(path) as draft, tarfile.open(draft, "w", format=tarfile.USTAR_FORMAT) as tar:
        for item in items:
            hu_place = _add(tar, f"{item.key}.hu.npz", encode_hu(item.hu))
            mask_place = (0, 0) if item.mask is None else _add(tar, f"{item.key}.mask.png", encode_png(item.mask))
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
        except Exception as error:  # Pillow and zipfile raise SyntaxError and others for damaged files
            raise self._damaged(shard) from error

    def mask(self, shard: str, offset: int, size: int) -> NDArray[np.uint8]:
        """uint8 (rows, columns).

        Raises:
            TrainingDataError: The shard is absent or damaged.
        """
        try:
            data = self._bytes(shard, offset, size)
            check_png(data)
            with Image.open(io.BytesIO(data)) as image:
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
        return stream.read(size)

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
