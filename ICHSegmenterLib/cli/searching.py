"""How far a search for exams is."""

from __future__ import annotations

import sys
import time


class Search:
    """Says on standard error every few seconds how far the search is, and how fast."""

    INTERVAL_S = 5.0

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()

    def __call__(self, files: int, read: int) -> None:
        """So many files were seen, and so many headers read."""
        now = time.monotonic()
        if now - self._said >= self.INTERVAL_S:
            self._said = now
            rate = files / (now - self._began)
            print(f"searching: {files} files, {read} headers read, {rate:.0f} files/s", file=sys.stderr, flush=True)
