"""Filling the index: files below folders in batches, headers read in reader processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ICHSegmenterLib.batch.index.header_readers import READERS, HeaderReaders
from ICHSegmenterLib.batch.index.store import Store
from ICHSegmenterLib.batch.index.walk import FileState, folders_below
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom.facts import FileFacts
from ICHSegmenterLib.volume.exam_name import VOLUME_SUFFIXES

BATCH_FILES = 128
"""Read and kept together; for each process so many are read again after a kill."""


def fill(store: Store, roots: Sequence[Path], progress: Callable[[int, int], None] = lambda files, read: None) -> None:
    """Bring the index up to date; a call that was stopped is gone on with by another one.

    Args:
        store: The index.
        roots: Folders, searched with those below them, and files.
        progress: Called with (files seen, headers read) after each batch.

    Raises:
        VolumeError: A root does not exist.
    """
    for root in roots:
        if not root.exists():
            raise VolumeError(f"{root} does not exist. Check the input path.")
    unreadable: dict[Path, str] = {}
    waiting: deque[_Batch] = deque()
    kept = _Kept(store, progress)
    with HeaderReaders() as readers:
        files = _files(roots, unreadable)
        while batch := list(islice(files, BATCH_FILES)):
            unread = store.unread(batch)
            volumes = [file for file in unread if file.path.name.lower().endswith(VOLUME_SUFFIXES)]
            store.add(volumes, [FileFacts()] * len(volumes), is_volume=True)
            others = [file for file in unread if not file.path.name.lower().endswith(VOLUME_SUFFIXES)]
            waiting.append(_Batch(len(batch), others, readers.facts([file.path for file in others])))
            if len(waiting) > READERS:
                kept.keep(waiting.popleft())
        for batch_read in waiting:
            kept.keep(batch_read)
    if not unreadable:  # a share that vanished must not empty the index
        store.forget_unseen()
    for folder, problem in unreadable.items():
        store.add([FileState(folder, 0, 0)], [FileFacts(problem=problem)], folder=folder)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Files of which some are being read."""

    seen: int
    unread: Sequence[FileState]
    facts: Future[list[FileFacts]]


class _Kept:
    """Keeps what was read, and says how far the search is."""

    def __init__(self, store: Store, progress: Callable[[int, int], None]) -> None:
        self._store, self._progress = store, progress
        self._seen = self._read = 0

    def keep(self, batch: _Batch) -> None:
        if batch.unread:
            self._store.add(batch.unread, batch.facts.result())
        self._seen, self._read = self._seen + batch.seen, self._read + len(batch.unread)
        self._progress(self._seen, self._read)


def _files(roots: Iterable[Path], unreadable: dict[Path, str]) -> Iterator[FileState]:
    for root in map(Path.resolve, roots):
        if not root.is_dir():
            yield FileState.of(root, root.stat())
            continue
        for folder in folders_below(root):
            if folder.problem:
                unreadable[folder.path] = folder.problem
            yield from folder.files
