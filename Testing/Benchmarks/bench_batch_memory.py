"""Memory of a batch over many tiny exams, by `hu-threshold`: it must stay flat.

python Testing/Benchmarks/bench_batch_memory.py [--exams 1000] [--every 100] [--outputs json csv]

Exams are NIfTI files of one small phantom head, hard links of one file, so that the disk holds one. Prints resident
memory of this process and of its reader, which checks scans too, after every so many exams, and the growth from the
second of these rows to the last with a reader, in KiB an exam. For Linux.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "Python")]

from batch_inputs import small_head  # noqa: E402
from ICHSegmenterLib.analysis.analyze import begin_analysis  # noqa: E402
from ICHSegmenterLib.batch.engines.engine import RunOptions  # noqa: E402
from ICHSegmenterLib.batch.run import find_exams, run_batch  # noqa: E402
from ICHSegmenterLib.outputs.table import select  # noqa: E402
from ICHSegmenterLib.request import AnalysisRequest  # noqa: E402
from ICHSegmenterLib.volume.export import write_nifti  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exams", type=int, default=1000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--outputs", nargs="*", default=[], metavar="NAME", help="files to write (default: the usual)")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ICHSEGMENTER_KEYS"] = str(Path(folder, "keys"))
        exams = link_exams(Path(folder, "exams"), parsed.exams)
        memory = MemoryRows(parsed.every)
        request = AnalysisRequest("hu-threshold", outputs=select(parsed.outputs))
        run_batch(
            find_exams([exams]),
            Path(folder, "out"),
            lambda volume, **known: begin_analysis(volume, request, **known),
            request=request,
            options=RunOptions(announce=memory, checks_ahead=True),
        )
        memory.report()


def link_exams(folder: Path, number: int) -> Path:
    """A folder of so many names of one exam."""
    head = small_head(slices=8)
    first = folder / "ct-0000.nii.gz"
    write_nifti(head.hu, head.geometry, first)
    for link in range(1, number):
        (folder / f"ct-{link:04}.nii.gz").hardlink_to(first)
    return folder


class MemoryRows:
    """Prints a row every so many exams."""

    def __init__(self, every: int) -> None:
        self._every, self._start = every, time.monotonic()
        self._rows: list[tuple[int, int, int]] = []

    def __call__(self, done: int, *facts: object) -> None:
        """So many exams are done."""
        if done % self._every == 0 and (not self._rows or self._rows[-1][0] != done):
            own, readers = resident_kib("self"), sum(map(resident_kib, children()))
            self._rows.append((done, own, readers))
            seconds = time.monotonic() - self._start
            print(
                f"{done:6} exams: {own / 1024:7.1f} MiB, reader {readers / 1024:7.1f} MiB, {seconds:7.1f} s", flush=True
            )

    def report(self) -> None:
        """The growth, without the first row, before which everything was loaded, and the last if its reader is gone."""
        rows = [row for row in self._rows if row[2]]
        if len(rows) > 2:
            (first, *before), (last, *after) = rows[1], rows[-1]
            own, readers = ((end - begin) / (last - first) for begin, end in zip(before, after, strict=True))
            print(f"growth: {own:.2f} KiB an exam, of the reader {readers:.2f} KiB")


def resident_kib(process: str) -> int:
    """Resident memory in KiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0])


def children() -> list[str]:
    """Processes that this one started, by any of its threads."""
    return [child for task in Path("/proc/self/task").glob("*/children") for child in task.read_text("ascii").split()]


if __name__ == "__main__":
    main()
