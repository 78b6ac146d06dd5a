"""Reader processes of a search, each with a batch of files of its own: one header takes a core a millisecond."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from ICHSegmenterLib.volume.dicom.facts import FileFacts
from ICHSegmenterLib.volume.reader.process import ReaderProcess

READERS = min(4, os.cpu_count() or 1)


class HeaderReaders:
    """Reads headers beside the search; a context manager, which ends its processes."""

    def __init__(self) -> None:
        self._readers = [ReaderProcess() for _ in range(READERS)]
        self._idle: SimpleQueue[ReaderProcess] = SimpleQueue()
        for reader in self._readers:
            self._idle.put(reader)
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="headers")

    def __enter__(self) -> HeaderReaders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for reader in self._readers:  # what is being read is not waited for
            reader.close()
        self._pool.shutdown()

    def facts(self, files: Sequence[Path]) -> Future[list[FileFacts]]:
        """What `ReaderProcess.facts` returns of the files, when one of the processes is free."""
        return self._pool.submit(self._facts, files)

    def _facts(self, files: Sequence[Path]) -> list[FileFacts]:
        if not files:
            return []
        reader = self._idle.get()
        try:
            return reader.facts(files)
        finally:
            self._idle.put(reader)
