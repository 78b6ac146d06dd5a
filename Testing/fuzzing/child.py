"""The process that reads damaged inputs: says which one it begins and how that ended, until it dies or is done."""

import contextlib
import json
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from fuzzing.mutations import mutated
from fuzzing.readers import READERS, Reader, write_input
from ICHSegmenterLib.volume.reader.process import ReaderKilledError, ReaderProcess

MEMORY_BYTES = 2 << 30
"""An input that makes a process hold more is counted."""
RESERVE_BYTES = 2 << 30
"""Beyond it, before the system refuses: a count must not take the computer along."""
SECONDS = 5.0
"""Of a processor; a clock on the wall would count what other programs take."""

_reader: list[ReaderProcess] = []


def reader_process() -> ReaderProcess:
    """The process that reads images, as a batch keeps it."""
    if not _reader:
        _reader.append(ReaderProcess())
    return _reader[0]


def run(name: str, seed: int, first: int, end: int, keep: Path | None) -> None:
    """Read inputs `first` to `end` of a reader; each is a line when it begins and a line when it ends."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print
    os.dup2(1, 2)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES + RESERVE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reader = READERS[name]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place)
        seeds = reader.seeds(folder)
        load(reader, folder)
        for number in range(first, end):
            content = input_of(name, reader, seeds, seed, number)
            answers.write(f'{{"begin": {number}}}\n')
            outcome, detail = read(reader, folder, content)
            answers.write(json.dumps({"end": number, "outcome": outcome, "detail": detail}) + "\n")
            if keep is not None and outcome in ("untyped", "memory", "hang"):
                keep_input(keep, name, seed, number, content)
            if outcome == "memory":  # a peak stays
                break
        if _reader:
            _reader.pop().close()


def input_of(name: str, reader: Reader, seeds: list[bytes], seed: int, number: int) -> bytes:
    """The damaged input of a number; the first ones are the seeds themselves, which must be read."""
    if number < len(seeds):
        return seeds[number]
    draw = random.Random(f"{seed}/{name}/{number}")
    return mutated(seeds[number % len(seeds)], draw, reader.kind)


def load(reader: Reader, folder: Path) -> None:
    """Let a reader import what it needs, by an empty input: to load PyTorch alone may take more than `SECONDS`.

    What becomes of that input does not count.
    """
    try:
        reader.read(write_input(reader, folder, b""))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return


def keep_input(keep: Path, name: str, seed: int, number: int, content: bytes) -> None:
    """Keep an input that did harm."""
    keep.mkdir(parents=True, exist_ok=True)
    (keep / f"{name}-{seed}-{number}-{Path(READERS[name].file).name}").write_bytes(content)


def read(reader: Reader, folder: Path, content: bytes) -> tuple[str, str]:
    """What became of one input: "read", "typed", "ended" (the reader process, by what it is for), or harm."""
    path = write_input(reader, folder, content)
    before, held = _spent_s(), _peak_bytes()
    outcome, detail = "read", ""
    try:
        reader.read(path)
    except ReaderKilledError as error:
        outcome, detail = "ended", str(error)
    except reader.typed as error:
        outcome, detail = "typed", type(error).__name__
    except (KeyboardInterrupt, SystemExit):
        raise
    except MemoryError as error:
        outcome, detail = "memory", _where(error)
    except BaseException as error:
        outcome, detail = "untyped", _where(error)
    # A process that holds much already, as one of tests does, is allowed as much again; `RLIMIT_DATA` ends the others.
    if _peak_bytes() > MEMORY_BYTES + (held if held > MEMORY_BYTES / 2 else 0):
        return "memory", detail
    if _spent_s() - before > SECONDS:
        return "hang", detail
    return outcome, detail


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in last if "ICHSegmenterLib" in frame.filename] or last
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].name}" if ours else ""
    return f"{type(error).__name__}: {str(error)[:100]} at {where}"


def _spent_s() -> float:
    """Processor time of this process and of the readers, ended or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = time.process_time() + ended.ru_utime + ended.ru_stime
    process = _reader[0]._process if _reader else None
    if process is not None:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def _peak_bytes() -> int:
    """The most that this process or the reader held; `ru_maxrss` of a process holds also that of who started it."""
    peaks = [1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]
    process = _reader[0]._process if _reader else None
    for identifier in ("self", *([process.pid] if process is not None else [])):
        with contextlib.suppress(OSError, IndexError, ValueError):
            status = Path(f"/proc/{identifier}/status").read_text()
            peaks.append(1024 * int(status.split("VmHWM:")[1].split()[0]))
    return max(peaks)


if __name__ == "__main__":
    name, seed, first, end, keep = sys.argv[1:6]
    run(name, int(seed), int(first), int(end), Path(keep) if keep else None)
