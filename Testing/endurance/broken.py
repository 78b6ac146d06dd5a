"""A batch with broken exams of every kind among good ones: one row each, and nothing else lost.

python Testing/endurance/broken.py [--exams 500] [--share 0.05] [--folder DIR]

Good exams are small phantom heads, by `hu-threshold` and with `result.json` alone. Broken ones crash, stall, fill or
fool a reader; their kinds take turns. Exit code 1 if a row is absent, is there twice, or has the wrong status.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1] / "Python")]

import pydicom  # noqa: E402

import hostile_files  # noqa: E402
from batch_inputs import small_head  # noqa: E402
from ICHSegmenterLib.cli.main import main as command  # noqa: E402
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series  # noqa: E402
from ICHSegmenterLib.volume.export import write_nifti  # noqa: E402


def cut_off(path: Path) -> None:
    """A gzip file without its end."""
    path.write_bytes(gzip.compress(bytes(10_000), 1)[:-20])


def huge(path: Path) -> None:
    """A NIfTI header of 100 GB of voxels, without them."""
    header = bytearray(352)
    header[0:4], header[344:348] = (348).to_bytes(4, "little"), b"n+1\0"
    for axis, size in enumerate((3, 32_000, 32_000, 100)):
        header[40 + 2 * axis : 42 + 2 * axis] = size.to_bytes(2, "little")
    header[70:72], header[72:74] = (4).to_bytes(2, "little"), (16).to_bytes(2, "little")
    path.write_bytes(bytes(header))


def panicking_series(path: Path) -> None:
    """A series of four slices whose RLE sends the decoder outside of the data."""
    pixels = pydicom.dcmread(hostile_files.write_panicking_rle(path))
    path.unlink()
    for slice_path in write_dicom_series(small_head(4), path.parent, seed=zlib.crc32(path.parent.name.encode())):
        item = pydicom.dcmread(slice_path)
        item.file_meta.TransferSyntaxUID = pixels.file_meta.TransferSyntaxUID
        item.PixelData = pixels.PixelData
        item["PixelData"].VR = "OB"
        item.save_as(slice_path, enforce_file_format=True)


BOMB_BYTES = 1_000_000_000

KINDS: dict[str, Callable[[Path], object]] = {
    "crash.mhd": hostile_files.write_crashing_metaimage,
    "crash.nrrd": hostile_files.write_crashing_nrrd,
    "bit.mha": lambda path: hostile_files.write_compressed_metaimage(path, damage="bit"),
    "end.mha": lambda path: hostile_files.write_compressed_metaimage(path, damage="end"),
    "text.nii.gz": lambda path: path.write_bytes(b"not an image"),
    "empty.nii": lambda path: path.write_bytes(b""),
    "cut.nii.gz": cut_off,
    "huge.nii": huge,
    "bomb.dcm": lambda path: hostile_files.write_deflated(path, pixel_bytes=BOMB_BYTES),
    "inflate.dcm": lambda path: hostile_files.write_deflated(path, keep=200),
    os.fsdecode(b"SMITH\xff.nii.gz"): cut_off,
    "deep.dcm": hostile_files.write_deep_sequence,
    "panic.dcm": panicking_series,
}
"""Name of a file to its writer."""


def main() -> int:
    """Print what was seen; exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exams", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--folder", type=Path, help="work here instead of in a temporary folder, and keep it")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = parsed.folder or Path(temporary)
        os.environ["ICHSEGMENTER_KEYS"] = str(folder / "keys")
        code, wrong = broken_among_good(folder, parsed.exams, round(parsed.exams * parsed.share))
    print(f"exit code {code}, {len(wrong)} wrong rows")
    print("\n".join(wrong))
    return 1 if wrong or code != 1 else 0


def broken_among_good(folder: Path, exams: int, broken: int) -> tuple[int, list[str]]:
    """Exit code of a batch over so many exams, so many of them broken, and what is wrong with its table."""
    head = small_head(8)
    expected = {}
    for number in range(exams - broken):
        path = folder / "exams" / f"good-{number:04}.nii.gz"
        write_nifti(head.hu + number % 50, head.geometry, path)
        expected[path] = "done"
    for number in range(broken):
        name = list(KINDS)[number % len(KINDS)]
        path = folder / "exams" / f"broken-{number:04}" / name
        path.parent.mkdir(parents=True)
        KINDS[name](path)
        expected[path.parent if name.endswith(".dcm") else path] = "failed"
    for path in (folder / "exams").rglob("*"):
        os.utime(path, (1.7e9, 1.7e9))
    words = ["--method", "hu-threshold", "--outputs", "json", "--map", str(folder / "map.csv")]
    code = command(["batch", str(folder / "exams"), "--output", str(folder / "out"), *words])
    return code, wrong_rows(folder, {_as_in_the_map(path): status for path, status in expected.items()})


def _as_in_the_map(path: Path) -> str:
    """Names that are not UTF-8 stand there with escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def wrong_rows(folder: Path, expected: dict[str, str]) -> list[str]:
    """Exams without a row, with two, or with the wrong status; and failures that say nothing."""
    with (folder / "map.csv").open(newline="", encoding="utf-8") as file:
        paths = {row["exam"]: row["path"] for row in csv.DictReader(file)}
    with (folder / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = [(paths[row["exam"]], row) for row in csv.DictReader(file)]
    seen = [path for path, _ in rows]
    wrong = [f"{path}: {seen.count(path)} rows" for path in {*expected, *seen} if seen.count(path) != 1]
    wrong += [f"{path}: {row['status']}" for path, row in rows if row["status"] != expected.get(path)]
    return wrong + [f"{path}: no reason" for path, row in rows if row["status"] == "failed" and not row["message"]]


if __name__ == "__main__":
    sys.exit(main())
