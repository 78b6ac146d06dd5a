"""Seconds of the slice-and-sequence transformer on an exam: the authors' way against ours, and whether they agree.

python Testing/Benchmarks/bench_rsna_sequence.py [--slices 32] [--reference-slices 4]

The authors' way: float32, one thread, and every one of the 60 slices of the padded series through the backbone. Ours:
batches, bfloat16 where the processor computes in it, all threads, and one empty slice instead of all of them. Weights
come from a seed; times do not depend on them. The aims: an exam 6 times faster, |dp| < 0.01. With OMP_NUM_THREADS=1 the
time on the processor is measured, to which other programs add little.
"""

from __future__ import annotations

import argparse
import copy
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from ICHSegmenterLib.methods.rsna_sequence.input import network_slices, windowed_cube
from ICHSegmenterLib.methods.rsna_sequence.network import SERIES_LENGTH
from ICHSegmenterLib.methods.rsna_sequence.predictor import RsnaSequencePredictor
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import SeriesPreprocessing
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import choose_device
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--reference-slices", type=int, default=4)
    options = parser.parse_args()
    torch.manual_seed(0)
    network = create_model("slice_sequence_transformer")
    place, threads = choose_device("cpu"), torch.get_num_threads()

    geometry = head_geometry((options.slices, 256, 256), slice_step_mm=4.5)
    volume = make_phantom(geometry, HeadModel(bleeds=(Bleed(),)), subsamples=(1, 1, 1)).volume
    exam = prepare(volume, SeriesPreprocessing())
    predictor = RsnaSequencePredictor([copy.deepcopy(network)], device="cpu", precision=place.precision)
    predictor.predict(exam, RunContext())  # the first run packs weights
    clock = time.process_time if threads == 1 else time.perf_counter
    start = clock()
    predictions = predictor.predict(exam, RunContext())
    ours = clock() - start
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

    cube = windowed_cube(volume.hu, exam.preprocessing.windows)
    slices = torch.from_numpy(network_slices(cube, exam.preprocessing.side)).float() / 255
    torch.set_num_threads(1)
    with torch.inference_mode():
        seconds = []
        for one in slices[: options.reference_slices]:
            start = clock()
            network.features(one[None])
            seconds.append(clock() - start)
        torch.set_num_threads(threads)
        padded = torch.cat([network.features(batch) for batch in slices.split(4)])
        empty = network.features(torch.zeros_like(slices[:1])).expand(SERIES_LENGTH - len(slices), -1)
        exact = network.sequence(torch.cat((padded, empty)))[: len(slices)].sigmoid()
    slow = min(seconds)
    found = torch.tensor([list(one.probabilities.values()) for one in predictions])
    print(f"{threads} threads, torch {torch.__version__}, {place.precision}, {options.slices} slices")
    print(f"authors' way: {slow:.3f} s a slice, {slow * SERIES_LENGTH:.1f} s for the padded exam (one thread, float32)")
    print(f"ours: {ours / options.slices:.3f} s a slice, {ours:.1f} s for the exam with its data path")
    print(f"ratio a slice {slow * options.slices / ours:.1f}, for the exam {slow * SERIES_LENGTH / ours:.1f}")
    print(f"largest difference of a probability {float((found - exact).abs().max()):.4f}; peak {peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
