"""BLAST-CT on a real head: dense inference against the authors' overlapping tiles, in one run on one machine.

python Testing/Benchmarks/bench_blast_ct.py [--models 1] [--threads 2] [--repeats 3]

Aims: at least 50 times the authors' tiling (8 s for each 30-voxel cube where the aim was set), one network over the
whole head under 30 s and 4 GB on 2 cores, float32 within 1e-3 of the golden logits, the same labels in 99.5 % of the
voxels in bfloat16. How slow the tiles are depends much on the processor: dead channels of these weights hold subnormal
numbers, which some compute a hundred times slower than others. Dense inference has none.

Needs the shared folder beside the repository, or in ICHSEGMENTER_SHARED.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from scipy import ndimage

from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.methods.blast_ct.dense_tiling import DenseDeepMedic, predict_probabilities
from ICHSegmenterLib.methods.blast_ct.predictor import (
    CONTEXT_MM,
    EDGE_VOXELS,
    BlastCtPredictor,
    network_input,
)
from ICHSegmenterLib.models import create_model, load_checkpoint
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume, prepare
from ICHSegmenterLib.preprocessing.resample import labelmap_to_regular, regular_grid, to_regular
from ICHSegmenterLib.protocol import Phase, Stage
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.volume.io import read_volume

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ICHSEGMENTER_SHARED", REPOSITORY.parent / "shared"))
TILE = 30
REFERENCE_SECONDS_PER_TILE = 8.0
"""The authors' tiling on the two cores on which the aim was set."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs="+", default=[1], help="1 to 12")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    files = [SHARED / f"data/blast_ct_v1/model_{n}.pt" for n in options.models]
    card = get_card("blast-ct")
    exam = prepare(read_volume(SHARED / "data/ge_head_ct"), card.preprocessing)

    predictor = BlastCtPredictor.load(card, files, device="cpu", precision="bfloat16")
    wall, cpu = fastest(lambda: predictor.predict(exam, RunContext()), options.repeats)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux
    print(f"whole head, {len(files)} network(s), resampling included: {wall:.1f} s, {cpu:.1f} s of CPU")
    print(f"peak memory of the process: {peak_gb:.2f} GB")
    wall, cpu = fastest(lambda: until_first_batch(predictor, exam), options.repeats)
    print(f"from the exam to the first batch: {wall:.2f} s, {cpu:.2f} s of CPU (the aim: 0.3 s)")

    image, brain = regular_input(exam)
    network = create_model("deepmedic")
    load_checkpoint(network, files[0])
    compare_speed(network, image, brain, options.repeats)
    compare_numbers(network, image, brain)


class _FirstBatchError(Exception):
    """The network is about to start."""


def until_first_batch(predictor: BlastCtPredictor, exam: PreparedVolume) -> None:
    """All that comes before the network: the grid, the image and the mask on it."""

    def stop_when_predicting(done: int, total: int, stage: Stage) -> None:
        if stage.phase is Phase.PREDICTING:
            raise _FirstBatchError

    with contextlib.suppress(_FirstBatchError):
        predictor.predict(exam, RunContext(stop_when_predicting))


def regular_input(exam: PreparedVolume) -> tuple[np.ndarray, np.ndarray]:
    """What the predictor computes on: network input and wanted voxels, (z, y, x) at 1 mm."""
    geometry = exam.volume.geometry
    grid = regular_grid(geometry, mask=exam.brain_mask, margin_mm=CONTEXT_MM)
    mask = labelmap_to_regular(exam.brain_mask, geometry, grid)
    wanted = ndimage.binary_dilation(mask, iterations=EDGE_VOXELS)
    return network_input(to_regular(exam.volume, grid), (-15.0, 100.0)), wanted


def compare_speed(network: torch.nn.Module, image: np.ndarray, brain: np.ndarray, repeats: int) -> None:
    block = np.ascontiguousarray(image[tuple(slice(n // 2 - 55, n // 2 + 55) for n in image.shape)])
    x = torch.from_numpy(block)[None, None]

    def tile() -> None:
        with torch.inference_mode():
            network(x)

    tile_s, tile_cpu_s = fastest(tile, max(3, repeats))
    dense = DenseDeepMedic.prepare(network, dtype=torch.bfloat16)
    dense_s, dense_cpu_s = fastest(lambda: predict_probabilities(image, [dense], mask=brain), repeats)
    wanted = np.count_nonzero(brain)
    all_tiles = int(np.prod([-(-n // TILE) for n in image.shape]))
    brain_tiles = tiles_with(brain)
    print(f"authors' tile, float32, default layout: {tile_s:.3f} s, {tile_s / TILE**3 * 1e6:.2f} us a voxel")
    print(f"dense bfloat16: {dense_s:.2f} s, {dense_s / wanted * 1e6:.2f} us for each of {wanted} brain voxels")
    print(f"  times faster a voxel: {tile_s / TILE**3 / (dense_s / wanted):.1f} ")
    print(f"  by CPU time:          {tile_cpu_s / TILE**3 / (dense_cpu_s / wanted):.1f}")
    print(f"  whole head against their {all_tiles} tiles of this grid: {tile_s * all_tiles / dense_s:.0f}")
    print(f"  ... against the {brain_tiles} tiles with brain only: {tile_s * brain_tiles / dense_s:.0f}")
    reference = REFERENCE_SECONDS_PER_TILE * brain_tiles
    print(f"  ... against {REFERENCE_SECONDS_PER_TILE:.0f} s a tile, where the aim was set: {reference / dense_s:.0f}")


def compare_numbers(network: torch.nn.Module, image: np.ndarray, brain: np.ndarray) -> None:
    with np.load(SHARED / "golden/blast_ct/golden_v1.npz") as golden:
        x = torch.from_numpy(golden["x"].astype(np.float32) / 255 * 2 - 1)[None, None]
        for number in (1, 7):
            model = create_model("deepmedic")
            load_checkpoint(model, SHARED / f"data/blast_ct_v1/model_{number}.pt")
            with torch.inference_mode():
                error = np.abs(model(x)[0].numpy() - golden[f"logits_model_{number}"]).max()
            print(f"golden logits of model {number}: largest difference {error:.1e}")
    labels = [
        predict_probabilities(image, [DenseDeepMedic.prepare(network, dtype=dtype)], mask=brain).argmax(axis=0)[brain]
        for dtype in (torch.float32, torch.bfloat16)
    ]
    print(f"same label in bfloat16 and float32: {np.mean(labels[0] == labels[1]):.4%} of the brain's voxels")


def tiles_with(mask: np.ndarray) -> int:
    """Number of 30-voxel cubes that hold a true voxel."""
    padded = np.pad(mask, [(0, -n % TILE) for n in mask.shape])
    z, y, x = (n // TILE for n in padded.shape)
    return int(padded.reshape(z, TILE, y, TILE, x, TILE).any(axis=(1, 3, 5)).sum())


def fastest(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least wall seconds and least CPU seconds of several runs."""
    wall, cpu = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return min(wall), min(cpu)


if __name__ == "__main__":
    main()
