"""Processor time of one exam from the command line: start, reading and outputs beside the analysis.

python Testing/Benchmarks/bench_one_exam.py [--method hu-threshold] [--runs 3]

The exam is a DICOM series of a phantom head, 32 slices of 512 x 512. Each run is a process of its own; of each a line
with the processor time of the imports, of reading, of the analysis with what it loads, of the outputs, and of all but
the analysis, from the start of Python on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PATHS = [str(REPOSITORY), str(Path(__file__).resolve().parent)]
sys.path[:0] = PATHS
STEPS = {"read_volume": "reading", "analyze": "analysis", "write_outputs": "outputs"}


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="hu-threshold")
    parser.add_argument("--runs", type=int, default=3)
    parsed = parser.parse_args()
    from bench_batch import write_exam  # here, since the processes that are measured import this file too

    with tempfile.TemporaryDirectory() as folder:
        write_exam(Path(folder, "exam"), 0)
        for number in range(parsed.runs):
            words = ["segment", str(Path(folder, "exam")), "--method", parsed.method, "--device", "cpu"]
            words += ["--output", str(Path(folder, f"out-{number}"))]
            code = f"import sys; sys.path[:0] = {PATHS!r}; import bench_one_exam; bench_one_exam.measure({words!r})"
            environment = {**os.environ, "ICHSEGMENTER_KEYS": str(Path(folder, "keys"))}
            subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.DEVNULL)


def measure(words: list[str]) -> None:
    """Run the command line in this process, and print a line."""
    before = time.process_time()
    from ICHSegmenterLib.cli.main import main as command
    from ICHSegmenterLib.cli.verbs import segment

    spent = {"imports": time.process_time() - before}
    for name, step in STEPS.items():
        setattr(segment, name, _timed(getattr(segment, name), spent, step))
    assert command(words) == 0
    whole = time.process_time()
    parts = ", ".join(f"{step} {seconds:.2f} s" for step, seconds in spent.items())
    print(f"{parts}; {whole - spent['analysis']:.2f} s beside the analysis", file=sys.stderr, flush=True)


def _timed(function: Any, spent: dict[str, float], step: str) -> Any:
    def timed(*arguments: Any, **named: Any) -> Any:
        begun = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[step] = spent.get(step, 0.0) + time.process_time() - begun

    return timed


if __name__ == "__main__":
    main()
