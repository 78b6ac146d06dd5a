"""Slices and series a second of the loaders, ours against the authors' way, in one run on one machine.

The authors' ways are written anew from what their code does: HGI-SAM reads a DICOM file, windows, resizes and changes
it at every epoch with torchvision and MONAI; the sequence transformer unpacks a compressed cube, opens every slice,
crops and resizes it. Ours read prepared shards in the first epoch, or what `prepare --inputs-of` computed; in later
epochs they read what was kept of the first.
All give the same arrays but for the draws. The ways take turns, the fastest of three rounds counts, and what is counted
is the thread's own time on the processor: other programs add less to it than to the clock's. The aim: five times.

    python Testing/Benchmarks/bench_loader.py [--slices 60] [--rounds 3] [--step]
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import torch
from monai.transforms import Compose, RandAffine, RandFlip, RandGaussianNoise
from torchvision.transforms.v2 import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ICHSegmenterLib.datasets.prepare import load_prepared, prepare_dataset
from ICHSegmenterLib.datasets.rsna import layout as rsna
from ICHSegmenterLib.learning.recipe import AugmentationRecipe
from ICHSegmenterLib.learning.samplers import SampleIndex
from ICHSegmenterLib.learning.slice_dataset import SliceDataset
from ICHSegmenterLib.methods.rsna_sequence.dataset import SeriesDataset
from ICHSegmenterLib.methods.rsna_sequence.input import windowed_cube
from ICHSegmenterLib.preprocessing.spec import PHYSIONET_WINDOWS, SeriesPreprocessing, SlicePreprocessing
from ICHSegmenterLib.synthesis.exam import SyntheticExam
from ICHSegmenterLib.synthesis.phantom import head_geometry, make_phantom

SIDE, SERIES_SLICES = 512, 30
KEPT_GB = 1.0
AUGMENTATION = AugmentationRecipe()


Loads = list[Callable[[], object]]


def write_data(folder: Path, series: int) -> Path:
    """Phantoms of full size in RSNA's layout."""
    geometry = head_geometry((SERIES_SLICES, SIDE, SIDE), pixel_mm=(0.45, 0.45), slice_step_mm=5.0)
    one = make_phantom(geometry, seed=0, subsamples=(1, 1, 1))
    random = np.random.default_rng(0)
    exams = (
        SyntheticExam(
            type(one.volume)(one.volume.hu + random.normal(0, 4, one.volume.hu.shape).astype(np.float32), geometry,
                             one.volume.source),
            one.labelmap, np.zeros(1), one.labelmap > 0, (), number,
        )
        for number in range(series)
    )  # fmt: skip
    rsna.write(exams, folder)
    return folder


def authors_slices(images: Path) -> Loads:
    """One loader a DICOM file: decode, three windows, min-max, resize, crop, MONAI's changes."""
    change = Compose([
        RandFlip(0.5, spatial_axis=1), RandAffine(0.5, rotate_range=np.pi / 4, scale_range=0.1), RandGaussianNoise(0.5),
    ])  # fmt: skip

    def load(path: Path) -> object:
        file = pydicom.dcmread(path)
        hu = torch.from_numpy(file.pixel_array.astype(np.float32)) * float(file.RescaleSlope) + float(
            file.RescaleIntercept
        )
        channels = []
        for window in PHYSIONET_WINDOWS:
            shown = hu.clamp(*window.edges)
            channels.append((shown - shown.min()) / (shown.max() - shown.min()).clamp(min=1e-6))
        resized = F.resize(torch.stack(channels), [422], antialias=False)
        return change(F.center_crop(resized, [384, 384]))

    return [lambda path=path: load(path) for path in sorted(images.glob("*.dcm"))]


def our_slices(cache: Path, kept_gb: float, *, is_prepared: bool = False) -> Loads:
    """The same slices from shards."""
    table = load_prepared(cache)
    data = SliceDataset(cache, table, np.arange(len(table)), SlicePreprocessing(), AUGMENTATION, with_masks=False)
    if is_prepared:
        data.begin_inputs(cache)
        for number in range(len(data)):
            data.fill_inputs(number)
    elif kept_gb:
        data.keep_inputs(cache, int(kept_gb * 1e9))
    return [lambda n=n: data[SampleIndex(n, (0, 2, 0, n))] for n in range(len(data))]


def authors_series(cubes: list[Path]) -> Loads:
    """One loader a compressed cube: every slice opened three times, cropped, resized."""
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

    def load(path: Path) -> object:
        cube = np.load(path)["arr_0"]
        slices = []
        for pixels in cube:
            opened = cv2.morphologyEx(pixels[..., 0], cv2.MORPH_OPEN, element, iterations=3)
            rows, columns = (np.flatnonzero(opened.any(axis=axis)) for axis in (1, 0))
            head = pixels[rows[0] : rows[-1], columns[0] : columns[-1]] if len(rows) else pixels
            slices.append(cv2.resize(head, (224, 224)).transpose(2, 0, 1))
        return np.stack(slices)

    return [lambda path=path: load(path) for path in cubes]


def our_series(cache: Path, kept_gb: float, *, is_prepared: bool = False) -> Loads:
    """The same series from shards, without changes."""
    table = load_prepared(cache)
    data = SeriesDataset(cache, table, np.arange(len(table)), SeriesPreprocessing(), AUGMENTATION)
    if is_prepared:
        data.begin_inputs(cache)
        for number in range(len(data)):
            data.fill_inputs(number)
    elif kept_gb:
        data.keep_inputs(cache, int(kept_gb * 1e9))
    return [lambda n=n: data[SampleIndex(n)] for n in range(len(data))]


def write_cubes(cache: Path, folder: Path) -> list[Path]:
    """The authors' cache: one compressed file a series."""
    table, paths = load_prepared(cache), []
    data = SeriesDataset(cache, table, np.arange(len(table)), SeriesPreprocessing(), AUGMENTATION)
    for number, rows in enumerate(data.shown_rows()):
        columns = table.columns
        places = zip(columns["shard"][rows], columns["offset"][rows], columns["size"][rows], strict=True)
        hu = np.stack([data._reader.hu(str(shard), int(offset), int(size)) for shard, offset, size in places])
        paths.append(folder / f"{number}.npz")
        np.savez_compressed(paths[-1], windowed_cube(hu, SeriesPreprocessing().windows))
    return paths


def per_second(ways: list[Loads], samples_each: int, rounds: int) -> list[float]:
    """Samples a second of processor time of each way, in turns; the first round of all does not count."""
    least = [float("inf")] * len(ways)
    for number in range(rounds + 1):
        for way, loads in enumerate(ways):
            start = time.thread_time()
            for load in loads:
                load()
            if number:
                least[way] = min(least[way], time.thread_time() - start)
    return [samples_each * len(loads) / seconds for loads, seconds in zip(ways, least, strict=True)]


def step_seconds(autocast: bool) -> float:
    """Seconds of one step of the U-Net on two slices."""
    from ICHSegmenterLib.models import create_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = create_model("unet").train().to(device)
    slices = torch.rand(2, 3, 384, 384, device=device)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            cost = network(slices).float().square().mean()
        cost.backward()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", action="store_true", help="also a training step, float32 against bfloat16")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "Invalid value for VR UI")  # RSNA's names are no UIDs
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_data(folder / "data", max(2, arguments.slices // SERIES_SLICES))
        prepare_dataset(data, folder / "cache", "rsna")
        (folder / "cubes").mkdir()
        cubes = write_cubes(folder / "cache", folder / "cubes")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        images = data / rsna.IMAGES[0]
        cache, count = folder / "cache", arguments.slices
        authors = authors_slices(images)[:count], authors_series(cubes)
        for what, theirs, make, each in zip(
            ("slices", "slices of series"), authors, (our_slices, our_series), (1, SERIES_SLICES), strict=True
        ):
            ours = [make(cache, gb)[: len(theirs)] for gb in (0.0, KEPT_GB)]
            ours.append(make(cache, 0.0, is_prepared=True)[: len(theirs)])
            slow, first, later, ready = per_second([theirs, *ours], each, arguments.rounds)
            print(f"{what} a second and process: authors {slow:.1f}, ours {first:.1f} in the first epoch", end="")
            print(f" ({first / slow:.1f} times), {later:.1f} in later ones ({later / slow:.1f} times),", end="")
            print(f" {ready:.1f} in all with inputs from prepare ({ready / slow:.1f} times)")
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"memory grew by {grown:.0f} MiB over both")
    if arguments.step:
        slow, fast = step_seconds(False), step_seconds(True)
        print(f"training step: float32 {slow:.3f} s, bfloat16 {fast:.3f} s: {slow / fast:.2f} times")
    if torch.cuda.is_available():
        print(f"GPU utilization now: {torch.cuda.utilization()} %")


if __name__ == "__main__":
    main()
