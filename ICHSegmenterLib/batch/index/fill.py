"""Filling the index: files below folders in batches, headers read in the reader process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from ICHSegmenterLib.batch.index.store import FileState, Store
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.files import SCRATCH_PREFIX
from ICHSegmenterLib.outputs.result_json import DONE_FILE
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
    unreadable: list[Path] = []
    with ReaderProcess() as reader:
        for root in roots:
            below = _files_below(root.resolve(), unreadable)
            while files := list(islice(below, BATCH_FILES)):
                unread = store.unread(files)
                volumes = [file for file in unread if file.path.name.lower().endswith(VOLUME_SUFFIXES)]
                others = [file for file in unread if not file.path.name.lower().endswith(VOLUME_SUFFIXES)]
                store.add(volumes, [FileFacts()] * len(volumes), is_volume=True)
                if others:
                    store.add(others, reader.facts([file.path for file in others]))
                seen, read = seen + len(files), read + len(others)
                progress(seen, read)
    if not unreadable:  # a share that vanished must not empty the index
        store.forget_unseen()
    for folder in unreadable:
        reason = f"{folder.name}: the folder cannot be read. Ask for the right, or check the disk."
        store.add([FileState(folder, 0, 0)], [FileFacts(problem=reason)])


def _files_below(root: Path, unreadable: list[Path]) -> Iterator[FileState]:
    """Regular files; folders with results are passed over, and links to folders not followed."""
    if not root.is_dir():
        yield _state(root, root.stat())
        return
    waiting = [root]
    while waiting:
        here = waiting.pop()
        if (here / DONE_FILE).exists() and (here / "slices.csv").exists():
            continue
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith((".", SCRATCH_PREFIX)):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file():
                        yield _state(Path(entry.path), entry.stat())
        except OSError:
            unreadable.append(here)


def _state(path: Path, status: os.stat_result) -> FileState:
    return FileState(path, status.st_size, status.st_mtime_ns)
