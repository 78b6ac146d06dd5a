"""Long work on the GUI thread in small steps, so that the views, and Cancel, stay alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

import qt

BUDGET_S = 0.015
"""Steps are taken together until this is used up; one step alone should stay below 0.05 s."""

T = TypeVar("T")

Steps = Generator[None, None, T]
"""A generator that does a piece of work at each `next`; what it returns, a `T`, is the result."""


class StepRunner(Generic[T]):
    """Advances a generator from a timer until it ends.

    Args:
        steps: The work.
        done: Called with what the steps return.
        failed: Called with the exception that a step raised.
        startNow: Take the first steps before this returns; short work is done then.
    """

    def __init__(
        self,
        steps: Steps[T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
        *,
        startNow: bool = False,
    ) -> None:
        self._steps = steps
        self._done = done
        self._failed = failed
        self.longestStepS = 0.0
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._advance)
        self._timer.start()
        if startNow:
            self._advance()

    @property
    def isRunning(self) -> bool:
        """True until the steps have ended."""
        return self._timer.active

    def stop(self) -> None:
        """Take no further step; the generator's `finally` blocks run now."""
        self._timer.stop()
        self._steps.close()

    def finish(self) -> None:
        """Take all steps that are left now."""
        while self._timer.active:
            self._advance()

    def _advance(self) -> None:
        deadline = time.perf_counter() + BUDGET_S
        while self._timer.active:
            started = time.perf_counter()
            try:
                next(self._steps)
            except StopIteration as end:
                self._timer.stop()
                self._done(end.value)
            except Exception as error:
                self._timer.stop()
                self._failed(error)
            now = time.perf_counter()
            self.longestStepS = max(self.longestStepS, now - started)
            if now > deadline:
                return


def raiseError(error: Exception) -> None:
    """An error that nobody can do anything about goes to Slicer's console."""
    raise error
