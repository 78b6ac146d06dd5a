"""A run of the fuzzer: a process for each reader, watched, started anew behind the input that ended it."""

import json
import math
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.readers import READERS

WALL_S = 600.0
"""So long a process may say nothing: its own clock counts only the time that it computes."""
HARM = ("crash", "hang", "memory", "untyped")
REPOSITORY = Path(__file__).resolve().parents[2]
EXTRA_PATHS: tuple[str, ...] = ()
"""Folders that the process imports from first."""


@dataclass
class Tally:
    """Outcomes of the inputs of one reader.

    Attributes:
        counts: Outcome to number.
        details: Each different harm with the number of the first input that did it, and how often.
    """

    counts: Counter[str] = field(default_factory=Counter)
    details: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, number: int, outcome: str, detail: str) -> None:
        """Count one input."""
        self.counts[outcome] += 1
        if outcome in HARM:
            first, times = self.details.get(f"{outcome}: {detail}", (number, 0))
            self.details[f"{outcome}: {detail}"] = (first, times + 1)

    @property
    def harm(self) -> int:
        """Inputs that did harm."""
        return sum(self.counts[outcome] for outcome in HARM)


def shares(inputs: int, names: Sequence[str]) -> dict[str, int]:
    """How many inputs these readers get in a run of so many over all readers, so that a run can be split."""
    total = sum(reader.share for reader in READERS.values())
    return {name: math.ceil(inputs * READERS[name].share / total) for name in names}


def fuzz(name: str, inputs: int, seed: int, *, first: int = 0, keep: Path | None = None) -> Tally:
    """Give a reader that many inputs.

    Args:
        name: Of `READERS`.
        inputs: How many.
        seed: With the number of an input it gives its content.
        first: Number of the first one.
        keep: Folder for inputs that did harm.
    """
    tally, number = Tally(), first
    while number < first + inputs:
        number = _once(name, seed, (number, first + inputs), keep, tally.add)
    return tally


def _once(
    name: str, seed: int, numbers: tuple[int, int], keep: Path | None, add: Callable[[int, str, str], None]
) -> int:
    """One process, to its end; returns the number of the next input."""
    begun, ended = numbers[0] - 1, numbers[0] - 1
    paths = [*EXTRA_PATHS, str(REPOSITORY), str(REPOSITORY / "Testing"), str(REPOSITORY / "Testing" / "Python")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fuzzing.child", name, str(seed), *map(str, numbers), "" if keep is None else str(keep)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(process, lines), daemon=True).start()
    is_stopped = False
    while True:
        try:
            line = lines.get(timeout=WALL_S)
        except queue.Empty:
            process.kill()
            is_stopped = True
            break
        if not line:
            break
        message = json.loads(line)
        if "begin" in message:
            begun = message["begin"]
        else:
            ended = message["end"]
            add(ended, message["outcome"], message["detail"])
    code = process.wait()
    if begun > ended:
        add(begun, "hang" if is_stopped else "crash", "no answer" if is_stopped else f"exit code {code}")
        return begun + 1
    if code != 0 and ended < numbers[1] - 1:
        raise RuntimeError(f"The process of the reader {name} ended with {code} before input {ended + 1}.")
    return ended + 1


def _listen(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")
