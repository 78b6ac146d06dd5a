"""Time limit of the analysis of one exam: asked to stop when it is over, and the process ended if that is in vain."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

GRACE_S = 60.0
"""For a network to come to the end of a batch of slices, between which it is asked whether to stop."""
EXIT_FAILED = 1


class TimeLimit:
    """The limit; of one analysis at a time.

    Args:
        seconds: None: there is none.
    """

    def __init__(self, seconds: float | None = None) -> None:
        if seconds is not None and not seconds > 0:
            raise ValueError(f"a time limit must be above 0 s, got {seconds:g}")
        self.seconds = seconds
        self._until: float | None = None

    @contextmanager
    def applied(self, stuck: Callable[[], None]) -> Iterator[None]:
        """Limit the block.

        Args:
            stuck: Called when it has not come to its end long after the limit; then the process is ended, since
                nothing else stops a computation that does not answer.
        """
        if self.seconds is None:
            yield
            return
        self._until = time.monotonic() + self.seconds
        watchdog = threading.Timer(self.seconds + GRACE_S, _end_process, [stuck])
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()
            self._until = None

    def is_over(self) -> bool:
        """True if the block has taken too long; to be asked between its steps."""
        return self._until is not None and time.monotonic() > self._until


def _end_process(stuck: Callable[[], None]) -> None:
    try:
        stuck()
    except Exception:
        logger.exception("the exam cannot be recorded")
    logger.critical(
        "An exam took far longer than its time limit and could not be stopped; the run ends here. Run the same command "
        "again: it leaves this exam out and goes on with the others."
    )
    os._exit(EXIT_FAILED)
