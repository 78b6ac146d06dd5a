"""SHA-256 of weight files, computed once: remembered by size and time of change, also across starts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Container, Iterable
from itertools import count
from pathlib import Path

from ICHSegmenterLib.weights.cache import bundled_folder, weights_folder

logger = logging.getLogger(__name__)

MEMORY_FILE = "verified.json"
_CHUNK_BYTES = 1 << 20

_remembered: dict[str, tuple[int, int, str]] = {}


def file_sha256(path: Path) -> str:
    """Lower-case hex digest of a file; the second call on an unchanged file costs nothing."""
    path = path.resolve()
    status = path.stat()
    known = _remembered.get(str(path)) or _read_memory().get(str(path))
    if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
        _remembered[str(path)] = known
        return known[2]
    digest = hash_file(path)
    remember(path, digest)
    return digest


def named_digests(paths: Iterable[Path]) -> dict[str, str]:
    """File name to SHA-256; files of one name, as folds trained each in its own folder, are numbered."""
    digests: dict[str, str] = {}
    for path in paths:
        digests[free_name(path.name, digests)] = file_sha256(path)
    return digests


def free_name(name: str, taken: Container[str]) -> str:
    """The name, with a number behind it if it is taken."""
    return next(one for n in count(1) if (one := name if n == 1 else f"{name} ({n})") not in taken)


def hash_file(path: Path) -> str:
    """Lower-case hex digest of a file, always computed."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def remember(path: Path, digest: str) -> None:
    """Keep a digest that was just computed; on disk only for our own folders."""
    path = path.resolve()
    status = path.stat()
    _remembered[str(path)] = (status.st_size, status.st_mtime_ns, digest)
    if path.parent in (weights_folder().resolve(), bundled_folder()):
        _write_memory({**_read_memory(), str(path): _remembered[str(path)]})


def _read_memory() -> dict[str, tuple[int, int, str]]:
    """Path to (size in bytes, mtime in ns, digest); empty if there is none or it cannot be understood."""
    try:
        stored = json.loads((weights_folder() / MEMORY_FILE).read_text(encoding="utf-8"))
        return {path: (int(size), int(mtime), str(digest)) for path, (size, mtime, digest) in stored.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def _write_memory(memory: dict[str, tuple[int, int, str]]) -> None:
    """A folder that cannot be written only costs a second hashing at the next start."""
    target = weights_folder() / MEMORY_FILE
    draft = target.with_name(f"{MEMORY_FILE}.{os.getpid()}")
    kept = {path: entry for path, entry in memory.items() if Path(path).exists()}
    try:
        draft.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        logger.debug("digests are not remembered: %s", error)
        with contextlib.suppress(OSError):
            draft.unlink()
