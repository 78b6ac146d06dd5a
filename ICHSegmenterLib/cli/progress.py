"""A progress bar on the terminal, and the phases of a run in English."""

from __future__ import annotations

import sys

from tqdm import tqdm

from ICHSegmenterLib.cards.table import title_of
from ICHSegmenterLib.protocol import Phase, Stage
from ICHSegmenterLib.runtime.context import RunContext

PHASE_TEXTS = {
    Phase.LOADING: "Loading the network",
    Phase.FINDING_BRAIN: "Finding the brain",
    Phase.RESAMPLING: "Resampling to 1 mm",
    Phase.PREDICTING: "Predicting",
    Phase.MEASURING: "Measuring",
    Phase.ACTIVATION: "Drawing the activation map",
    Phase.DOWNLOADING: "Downloading",
    Phase.SYNTHESIZING: "Synthesizing",
}

BYTES_IF_ABOVE = 100_000
"""No exam has so many slices or tiles; a total above it is a download in bytes."""


class TerminalProgress:
    """Turns (done, total, message) into a bar on standard error; silent where no one looks (not a terminal)."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._phase = ("", 0)

    def run(self) -> RunContext:
        """A run that reports here."""
        return RunContext(progress=lambda done, total, stage: self.update(done, total, stage_text(stage)))

    def update(self, done: int, total: int, message: str) -> None:
        """Show the state of the current phase."""
        if self._bar is None or self._phase != (message, total):
            self.close()
            self._phase = (message, total)
            in_bytes = total > BYTES_IF_ABOVE
            self._bar = tqdm(
                total=total,
                desc=message,
                file=sys.stderr,
                disable=None,
                leave=False,
                unit_scale=in_bytes,
                unit="B" if in_bytes else "slice",
            )
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def stage_text(stage: Stage) -> str:
    """What is being done, for people; with the title of the method if several take part."""
    text = PHASE_TEXTS[stage.phase]
    return f"{title_of(stage.method)}: {text}" if stage.method else text
