"""How much of the disk the weight files take, by the methods that use them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ICHSegmenterLib.cards.table import method_cards
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.notices.cause_notice import Cause
from ICHSegmenterLib.weights.cache import weights_folder
from ICHSegmenterLib.weights.importing import PART_SUFFIX
from ICHSegmenterLib.weights.sidecar import WEIGHTS_SUFFIXES, all_carded_files


@dataclass(frozen=True)
class StoredWeights:
    """Files of the weights folder that the same methods use.

    Attributes:
        methods: Names of these methods; empty for files of no method.
        names: Names of the files, sorted; `store.remove` takes them, with the unfinished downloads of each.
        count: Number of files, unfinished ones too.
        size: Bytes.
    """

    methods: tuple[str, ...]
    names: tuple[str, ...]
    count: int
    size: int


@dataclass(frozen=True)
class DiskUse:
    """What the weights folder holds; bundled files are none of it.

    Attributes:
        stored: The files by their methods, in the order of the methods; those of no method last.
        free: Bytes that the disk has left.
    """

    stored: tuple[StoredWeights, ...]
    free: int

    @property
    def count(self) -> int:
        """Number of files."""
        return sum(weights.count for weights in self.stored)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(weights.size for weights in self.stored)


def disk_use() -> DiskUse:
    """The weight files of the weights folder, whose content is not read, and what unfinished downloads left.

    Raises:
        OutputError: The folder cannot be read.
    """
    folder = weights_folder()
    grouped: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    try:
        users = _users(folder)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and path.suffix in (*WEIGHTS_SUFFIXES, PART_SUFFIX):
                name = _whole_name(path.name, users)
                grouped.setdefault(users.get(name, ()), []).append((name, path.stat().st_size))
        free = shutil.disk_usage(_existing(folder)).free
    except OSError as error:
        raise OutputError(
            f"The weights folder {folder} cannot be read ({error.strerror or error}).", Cause.DISK
        ) from error
    stored = [
        StoredWeights(methods, tuple(dict(files)), len(files), sum(size for _, size in files))
        for methods, files in grouped.items()
    ]
    order = {name: number for number, name in enumerate(method_cards())}
    stored.sort(key=lambda one: min((order.get(name, len(order)) for name in one.methods), default=len(order) + 1))
    return DiskUse(tuple(stored), free)


def _users(folder: Path) -> dict[str, tuple[str, ...]]:
    """File name to the methods that use it."""
    users: dict[str, list[str]] = {}
    for card in method_cards().values():
        for file in card.weights:
            users.setdefault(file.name, []).append(card.name)
    for carded in all_carded_files(folder):
        methods = users.setdefault(carded.path.name, [])
        if carded.card.name not in methods:
            methods.append(carded.card.name)
    return {name: tuple(methods) for name, methods in users.items()}


def _whole_name(name: str, known: dict[str, tuple[str, ...]]) -> str:
    """The file that an unfinished download is a part of."""
    if not name.endswith(PART_SUFFIX):
        return name
    return next((whole for whole in known if name.startswith(whole)), name)


def _existing(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
