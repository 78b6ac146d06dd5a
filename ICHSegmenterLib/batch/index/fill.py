"""Filling the index: files below folders in batches, headers read in the reader process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from ICHSegmenterLib.batch.index.store import Store
from ICHSegmenterLib.batch.index.walk import FileState, folders_below
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom.facts import FileFacts
from ICHSegmenterLib.volume.exam_name import VOLUME_SUFFIXES
from ICHSegmenterLib.volume.reader.process import ReaderProcess

BATCH_FILES = 64
"""Read and kept together; so many are read again after a kill."""


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
    seen = read = 0
    unreadable: dict[Path, str] = {}
    with ReaderProcess() as reader:
        files = _files(roots, unreadable)
        while batch := list(islice(files, BATCH_FILES)):
            unread = store.unread(batch)
            volumes = [file for file in unread if file.path.name.lower().endswith(VOLUME_SUFFIXES)]
            others = [file for file in unread if not file.path.name.lower().endswith(VOLUME_SUFFIXES)]
            store.add(volumes, [FileFacts()] * len(volumes), is_volume=True)
            if others:
                store.add(others, reader.facts([file.path for file in others]))
            seen, read = seen + len(batch), read + len(others)
            progress(seen, read)
    if not unreadable:  # a share that vanished must not empty the index
        store.forget_unseen()
    for folder, problem in unreadable.items():
        store.add([FileState(folder, 0, 0)], [FileFacts(problem=problem)], folder=folder)


def _files(roots: Iterable[Path], unreadable: dict[Path, str]) -> Iterator[FileState]:
    for root in map(Path.resolve, roots):
        if not root.is_dir():
            yield FileState.of(root, root.stat())
            continue
        for folder in folders_below(root):
            if folder.problem:
                unreadable[folder.path] = folder.problem
            yield from folder.files
