"""Progress with the time left: a bar on a terminal, plain lines in a pipe or a log file, nothing where none is read."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from ICHSegmenterLib.cards.table import title_of
from ICHSegmenterLib.protocol import Phase, Stage
from ICHSegmenterLib.runtime.context import RunContext

PHASE_TEXTS = {
    Phase.READING: "Reading the files",
    Phase.LOADING: "Loading the network",
    Phase.FINDING_BRAIN: "Finding the brain",
    Phase.RESAMPLING: "Resampling to 1 mm",
    Phase.PREDICTING: "Predicting",
    Phase.MEASURING: "Measuring",
    Phase.REGISTERING: "Laying the exams over each other",
    Phase.ACTIVATION: "Drawing the activation map",
    Phase.DOWNLOADING: "Downloading",
    Phase.VERIFYING: "Reading weight files",
    Phase.SYNTHESIZING: "Synthesizing",
}

BYTES_IF_ABOVE = 100_000
"""No exam has so many slices or tiles; a total above it is in bytes."""

QUIET_SECONDS = 5.0
"""A pipe gets no line of a run, or of an item of a list, that is done before."""
LINE_SECONDS = 10.0
"""Between two lines of one phase in a pipe."""
STEP_SECONDS = 0.5
"""An item of a list that took less was done before, as in a resumed batch, and says nothing of the others."""

DEFAULT_COLUMNS, DEFAULT_ROWS = 80, 24

BAR_FORMAT = "{desc}: {percentage:3.0f} %|{bar}| {n_fmt} of {total_fmt}, {remaining} left"
PHASE_FORMAT = "{desc} … {elapsed}"
"""Total of a phase that is one step."""


class TerminalProgress:
    """Shows (done, total, message) on standard error.

    Args:
        stream: Standard error unless a test gives another.
        clock: Seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._bar: tqdm | None = None
        self._phase: tuple[str, int] | None = None
        self._born = self._phase_start = clock()
        self._phase_done = 0
        self._last_line = -LINE_SECONDS
        self._item_begun: float | None = None
        self._items, self._items_s = 0, 0.0

    def run(self, cancelled: Callable[[], bool] = lambda: False) -> RunContext:
        """A run that reports here, and stops when `cancelled` says so."""
        return RunContext(lambda done, total, stage: self.update(done, total, stage_text(stage)), cancelled)

    def update(self, done: int, total: int, message: str) -> None:
        """Show the state of the current phase."""
        is_new = self._phase != (message, total)
        if is_new:
            self.close()
            self._phase, self._phase_start, self._phase_done = (message, total), self._clock(), done
        if self._stream.isatty():
            self._draw(done, total, message)
        elif is_file(self._stream):
            self._print(done, total, message, is_new=is_new)

    def announce(self, done: int, total: int, name: str) -> None:
        """A line for the next item of a list, with the time that the rest will take; an empty name ends the list."""
        self._begin_item()
        if name:
            left = self._time_left_of_list(total - done)
            print(f"[{done + 1}/{total}] {name}{left}", file=self._stream, flush=True)

    def announce_exam(self, done: int, total: int, failed: int, name: str) -> None:
        """A line for the next exam of a batch: how many an hour, how many failed, and the time that the rest will take.

        An empty name ends the batch.
        """
        self._begin_item()
        if name:
            rate = f", {self._items / self._items_s * 3600:.0f} an hour" if self._items else ""
            failures = f", {failed} failed" if failed else ""
            left = self._time_left_of_list(total - done)
            print(f"[{done + 1}/{total}] {name}{rate}{failures}{left}", file=self._stream, flush=True)

    def close(self) -> None:
        """Clear the bar."""
        self._phase = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, done: int, total: int, message: str) -> None:
        if self._bar is None:
            in_bytes = total > BYTES_IF_ABOVE
            self._bar = tqdm(
                total=total,
                initial=done,  # a resumed phase starts in its middle
                desc=message,
                file=self._stream,
                leave=False,
                ncols=_columns(self._stream),
                nrows=DEFAULT_ROWS,
                unit_scale=in_bytes,
                bar_format=BAR_FORMAT if total > 1 else PHASE_FORMAT,
            )
        self._bar.update(done - self._bar.n)

    def _print(self, done: int, total: int, message: str, *, is_new: bool) -> None:
        """A line for each phase and one every few seconds, once the run has lasted a while."""
        now = self._clock()
        if now - self._born < QUIET_SECONDS or not (is_new or now - self._last_line >= LINE_SECONDS):
            return
        self._last_line = now
        count = ""
        if total > 1:
            amounts = (f"{n / 1e6:.0f}" for n in (done, total)) if total > BYTES_IF_ABOVE else map(str, (done, total))
            count = f": {' of '.join(amounts)}" + (" MB" if total > BYTES_IF_ABOVE else "")
        steps = done - self._phase_done  # a resumed phase starts in its middle
        seconds = (now - self._phase_start) / steps * (total - done) if steps > 0 else 0.0
        left = f", {clock_text(seconds)} left" if steps > 0 and done < total else ""
        print(f"{message}{count}{left}", file=self._stream, flush=True)

    def _begin_item(self) -> None:
        self.close()
        self._born = self._clock()
        step = 0.0 if self._item_begun is None else self._born - self._item_begun
        self._item_begun = self._born
        if step >= STEP_SECONDS:
            self._items, self._items_s = self._items + 1, self._items_s + step

    def _time_left_of_list(self, items: int) -> str:
        return f", about {clock_text(self._items_s / self._items * items)} left" if self._items else ""


def stage_text(stage: Stage) -> str:
    """The phase for people; with the title of the method if several take part."""
    text = PHASE_TEXTS[stage.phase]
    return f"{title_of(stage.method)}: {text}" if stage.method else text


def clock_text(seconds: float) -> str:
    """Minutes and seconds, 1:05, or with hours 1:00:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _columns(stream: TextIO) -> int:
    """Width of a terminal; some say 0, which tqdm takes for no bar."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS


def is_file(stream: TextIO) -> bool:
    """The stream belongs to the system (a pipe, a file); what a test or a notebook captures does not."""
    try:
        return stream.fileno() >= 0
    except (OSError, ValueError):  # io.UnsupportedOperation is both
        return False
