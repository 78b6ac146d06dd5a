"""Damages valid inputs of every reader by chance, and counts crashes, hangs, memory and errors without a type.

    python Testing/fuzz.py --inputs 100000 --seed 1 [--reader dicom ...] [--keep DIR]

The same seed gives the same inputs. A reader may take an input, refuse it with a typed error, or, for images, have the
reader process end; all else is harm: the end of the process, more than 5 s of a processor, more than 2 GB of memory, an
error without a type. Exit code 1 if there was any. For Linux, whose /proc it reads.
"""

import argparse
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing"), str(REPOSITORY / "Testing" / "Python")]

from fuzzing.campaign import HARM, Tally, fuzz, shares
from fuzzing.readers import READERS

COLUMNS = ("read", "typed", "ended", *HARM)


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="of a run over all readers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each reader")
    parser.add_argument(
        "--reader", nargs="+", choices=READERS, default=list(READERS), metavar="NAME", help="their part"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep inputs that did harm there")
    arguments = parser.parse_args()
    tallies = {}
    print(f"{'reader':20} {'inputs':>8} " + " ".join(f"{column:>8}" for column in COLUMNS) + f" {'seconds':>8}")
    for name, inputs in shares(arguments.inputs, arguments.reader).items():
        start = time.monotonic()
        tallies[name] = fuzz(name, inputs, arguments.seed, first=arguments.first, keep=arguments.keep)
        print(_row(name, tallies[name], time.monotonic() - start), flush=True)
        for detail, (first, times) in tallies[name].details.items():
            print(f"    {times} x {detail} (first: input {first})", flush=True)
    together = Tally()
    for tally in tallies.values():
        together.counts.update(tally.counts)
    print(_row("together", together))
    return 1 if together.harm else 0


def _row(name: str, tally: Tally, seconds: float | None = None) -> str:
    counts = " ".join(f"{tally.counts[column]:8}" for column in COLUMNS)
    return f"{name:20} {tally.counts.total():8} {counts}" + ("" if seconds is None else f" {seconds:8.0f}")


if __name__ == "__main__":
    sys.exit(main())
