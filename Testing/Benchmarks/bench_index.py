"""Files a second of the search for exams, its memory on the way, and what is read again after a kill.

python Testing/Benchmarks/bench_index.py [--files 100000] [--folder DIR]

Files are DICOM slices of 16 x 16 pixels with the header of a CT, one file each, made from one template: 32 in a folder
and series, two series in a study, a soft and a sharp one. The disk has them in memory; a share will be slower. The
search is the verb `index`. It is killed once it has seen half of the files, goes on, and runs again over what it knows;
of each a line with the files a second, the headers read, and the memory of the process and its reader when a tenth of
the files was seen and at the most. Then the list of exams is made as `batch` makes it. For Linux.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing" / "Python")]

import pydicom

SLICES, SERIES = 32, 2
"""Of a series, of a study."""
KERNELS = ("H31s", "H70h")
SIDE = 16
STEP_MM = 5.0
SAID = re.compile(rb"searching: (\d+) files, (\d+) headers read")


def main() -> None:
    """Print a line for each search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="work here instead of in a temporary folder, and keep it")
    parser.add_argument("--list", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.list is not None:
        list_exams(parsed.list)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = parsed.folder or Path(temporary)
        os.environ["ICHSEGMENTER_KEYS"] = str(folder / "keys")
        began = time.perf_counter()
        write_archive(folder / "in", parsed.files)
        print(f"{parsed.files} files made in {time.perf_counter() - began:.0f} s", flush=True)
        print(search(folder, parsed.files, kill_at=parsed.files // 2).line("killed"), flush=True)
        print(search(folder, parsed.files).line("gone on"), flush=True)
        print(search(folder, parsed.files).line("again"), flush=True)
        subprocess.run([sys.executable, __file__, "--list", str(folder)], check=True)


def write_archive(root: Path, files: int) -> None:
    """So many files, unless they are there."""
    if root.exists():
        return
    template = slice_template()
    for first in range(0, files, SLICES):
        series = first // SLICES
        folder = root / f"{series // SERIES // 100:05}" / f"{series // SERIES:07}" / str(series % SERIES)
        folder.mkdir(parents=True)
        of_series = template.replace(uid(b"5", 0), uid(b"5", series // SERIES)).replace(uid(b"6", 0), uid(b"6", series))
        of_series = of_series.replace(KERNELS[0].encode(), KERNELS[series % SERIES].encode())
        for number in range(first, min(first + SLICES, files)):
            place = f"{(number - first) * STEP_MM:06.1f}".encode()
            content = of_series.replace(uid(b"7", 0), uid(b"7", number)).replace(b"0123.5", place)
            (folder / f"{number - first:04}").write_bytes(content)


def slice_template() -> bytes:
    """A DICOM slice whose values that change are of one length."""
    from batch_inputs import small_head
    from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series

    with tempfile.TemporaryDirectory() as folder:
        header = pydicom.dcmread(write_dicom_series(small_head(4), Path(folder))[0])
    header.StudyInstanceUID, header.SeriesInstanceUID = uid(b"5", 0).decode(), uid(b"6", 0).decode()
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = uid(b"7", 0).decode()
    header.ImagePositionPatient = ["0", "0", "0123.5"]
    header.ConvolutionKernel = KERNELS[0]
    header.Rows = header.Columns = SIDE
    header.PixelData = bytes(2 * SIDE * SIDE)
    content = BytesIO()
    header.save_as(content, enforce_file_format=True)
    return content.getvalue()


def uid(kind: bytes, number: int) -> bytes:
    """A UID, as long for every number."""
    return b"2.25." + kind + b"%015d" % number


@dataclass
class Search:
    """What was seen of one run of the verb.

    Attributes:
        files, headers: Seen and read when it said so last, or at its end.
        tenth_mb, most_mb: Memory of the process and of its reader.
    """

    files: int = 0
    headers: int = 0
    seconds: float = 0.0
    tenth_mb: tuple[float, float] = (0.0, 0.0)
    most_mb: tuple[float, float] = (0.0, 0.0)

    def line(self, name: str) -> str:
        """For people."""
        rate = f"{self.files} files in {self.seconds:.0f} s, {self.files / self.seconds:.0f} files/s"
        memory = " and ".join(f"{a:.0f} to {b:.0f} MB" for a, b in zip(self.tenth_mb, self.most_mb, strict=True))
        return f"{name}: {rate}, {self.headers} headers read; process and reader {memory}"


def search(folder: Path, files: int, kill_at: int | None = None) -> Search:
    """Run the verb, and kill it once it has seen so many files."""
    words = ["index", str(folder / "in"), "--output", str(folder / "out")]
    program = [sys.executable, "-m", "ICHSegmenterLib", *words]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    seen, began = Search(), time.perf_counter()
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if (said := SAID.match(line)) is None:
                continue
            seen.files, seen.headers = int(said[1]), int(said[2])
            memory = memory_mb(process.pid)
            seen.tenth_mb = memory if seen.files < files / 10 or not any(seen.tenth_mb) else seen.tenth_mb
            seen.most_mb = max(seen.most_mb[0], memory[0]), max(seen.most_mb[1], memory[1])
            if kill_at is not None and seen.files >= kill_at:
                process.kill()
                break
        seen.seconds = time.perf_counter() - began
        process.wait()
    if kill_at is None:
        assert process.returncode == 0, process.returncode
        seen.seconds, seen.files = time.perf_counter() - began, files
    return seen


def list_exams(folder: Path) -> None:
    """The exams of `batch`, all known to the index."""
    from ICHSegmenterLib.batch.index.store import Store
    from ICHSegmenterLib.batch.names import index_folder
    from ICHSegmenterLib.batch.run import find_exams

    before, began = memory_mb(os.getpid())[0], time.perf_counter()
    with Store(index_folder(folder / "out")) as store:
        exams = find_exams([folder / "in"], store=store)
    seconds, after = time.perf_counter() - began, memory_mb(os.getpid())[0]
    print(f"list: {len(exams)} exams in {seconds:.0f} s, process {before:.0f} to {after:.0f} MB", flush=True)


def memory_mb(process: int) -> tuple[float, float]:
    """Resident memory of a process and of those that it started."""
    children = [
        child for task in Path(f"/proc/{process}/task").glob("*/children") for child in task.read_text().split()
    ]
    return resident_mb(process), sum(map(resident_mb, children))


def resident_mb(process: int | str) -> float:
    """Resident memory; 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{process}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


if __name__ == "__main__":
    main()
