"""Seconds until a network can start: brain mask, first batch, and maps back on the acquired slices.

python Testing/Benchmarks/bench_preprocessing.py [INPUT] [--batch 4] [--repeats 7]

INPUT is a head CT; without it a phantom of 28 x 512 x 512 voxels. The fastest repeat counts, wall and CPU time.
The aims on one idle core: brain mask within 0.25 s, the first batch within 0.15 s.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ICHSegmenterLib.methods.hu_threshold.predictor import HuThresholdPredictor
from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.synthesis.phantom import head_geometry, make_phantom
from ICHSegmenterLib.volume.io import read_volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", type=Path)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()

    if options.input is None:
        geometry = head_geometry((28, 512, 512), pixel_mm=(0.45, 0.45), tilt_deg=15)
        volume = make_phantom(geometry, subsamples=(1, 1, 1)).volume
    else:
        volume = read_volume(options.input)
    mask = brain_mask(volume)
    exam = prepare(volume, SlicePreprocessing(), mask)
    first = exam.brain_slices[: options.batch]
    maps = exam.batch(first)[:, 0]
    print(f"{volume.geometry.shape} voxels, {len(exam.brain_slices)} slices with brain, batches of {len(first)}")
    steps: dict[str, Callable[[], object]] = {
        "brain mask": lambda: brain_mask(volume),
        "first batch": lambda: prepare(volume, SlicePreprocessing(), mask).batch(first),
        "maps back": lambda: exam.restore(maps, first),
        "hu-threshold": lambda: HuThresholdPredictor().predict(exam, RunContext()),
    }
    for name, step in steps.items():
        wall, cpu = fastest(step, options.repeats)
        print(f"{name:14s} {wall:7.3f} s wall {cpu:7.3f} s CPU")


def fastest(step: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least wall and least CPU seconds of a step."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


if __name__ == "__main__":
    main()
