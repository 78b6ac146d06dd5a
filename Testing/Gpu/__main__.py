"""Runs everything, prints a line for each trial and writes the table.

make gpu [PYTHON=python3] [GPU_ARGS="--output table.md"]      or, from the repository: python -m Testing.Gpu

It needs no network and makes no environment: it uses the Python it is given. What needs an absent package is reported
and the rest runs. `--device cpu` rehearses the same code with small networks where there is no CUDA device.
Exit code 0: nothing failed; 1: something did; 2: it cannot run here.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SECTIONS = ("networks", "memory", "speed", "training")
MINUTES = 8.0
RESERVE_SECONDS = 40.0
"""No trial begins when so little time is left; the longest took less."""


def main(arguments: Sequence[str] | None = None) -> int:
    start = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="make gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu for a rehearsal")
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="in which it must end")
    parser.add_argument("--output", type=Path, default=Path("gpu-table.md"), metavar="FILE", help="of the table")
    options = parser.parse_args(arguments)
    problem = what_is_missing(options.device)
    if problem:
        print(problem, file=sys.stderr)
        return 2

    from Testing.Gpu import table
    from Testing.Gpu.trial_setup import Setup

    heading = table.machine(options.device)
    print(heading)
    with tempfile.TemporaryDirectory() as folder:
        deadline = start + 60 * options.minutes - RESERVE_SECONDS
        setup = Setup(options.device, options.device == "cpu", Path(folder), deadline)
        sections = [run_section(name, setup) for name in options.sections]
    options.output.write_text(table.markdown(heading, sections), encoding="utf-8")
    counts = table.counts(sections)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print(f"{said}; {time.monotonic() - start:.0f} s; the table is in {options.output}")
    return 1 if counts["failed"] else 0


def what_is_missing(device: str) -> str:
    """Why nothing can run here, "" if it can."""
    try:
        import torch

        import ICHSegmenterLib.analysis.analyze  # noqa: F401
    except ImportError as error:
        return f"{sys.executable} cannot import {error.name or error}: give a Python that can, make gpu PYTHON=..."
    if device == "cpu":
        return ""
    if not device.startswith("cuda"):
        return f"{device!r} is no device of this program: choose cuda, cuda:N, or cpu for a rehearsal."
    if not torch.cuda.is_available():
        return "no CUDA device: nothing was measured. GPU_ARGS='--device cpu' rehearses with small networks."
    if (torch.device(device).index or 0) >= torch.cuda.device_count():
        return f"no CUDA device {device}: this computer has {torch.cuda.device_count()}."
    return ""


def run_section(name: str, setup):
    """All trials of one module, each printed when it is done."""
    from Testing.Gpu.rows import attempt
    from Testing.Gpu.table import Section

    loaded = {}

    def load():
        loaded["module"] = importlib.import_module(f"Testing.Gpu.{name}")
        return {}, ""

    failure = attempt(f"all of {name}", load)
    if not loaded:
        said(name, failure)
        return Section(name.capitalize(), "", "what", (), [failure])
    module, rows = loaded["module"], []
    for row in module.rows(setup):
        said(name, row)
        rows.append(row)
    return Section(module.TITLE, module.NOTE, module.NAME, module.COLUMNS, rows)


def said(section: str, row) -> None:
    """One line while it runs."""
    values = ", ".join(f"{column} {value}" for column, value in row.values.items())
    reason = f": {row.reason}" if row.reason else ""
    print(f"{section:9} {row.name:28} {row.outcome}{reason} ({row.seconds:.1f} s) {values}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
