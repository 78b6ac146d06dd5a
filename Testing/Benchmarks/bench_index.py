"""Files a second of the index, first and second search, and the peak memory of this process.

The files are hard links to one slice with its pixels: the disk has it in memory, a share will be slower.

    python Testing/Benchmarks/bench_index.py [--files 100000]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "Python")]

from batch_inputs import small_head
from ICHSegmenterLib.batch.index.fill import fill
from ICHSegmenterLib.batch.index.store import Store
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series

FILES_A_FOLDER = 500


def main() -> None:
    """Print one line a search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        slice_file = write_dicom_series(small_head(4), root / "source")[0]
        for number in range(count):
            target = root / "in" / str(number // FILES_A_FOLDER) / str(number)
            target.parent.mkdir(parents=True, exist_ok=True)
            if number % FILES_A_FOLDER == 0:  # file systems limit the links to one file
                source = shutil.copy(slice_file, target)
            else:
                os.link(source, target)
        for search in ("first", "second"):
            began = time.perf_counter()
            with Store(root / "out") as store:
                fill(store, [root / "in"])
            seconds = time.perf_counter() - began
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{search} search: {count} files, {count / seconds:.0f} files/s, peak {peak_mb:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
