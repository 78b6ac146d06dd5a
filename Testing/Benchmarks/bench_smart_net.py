"""Seconds a slice of SMART-Net's exam methods: one slice at a time in float32 against ours, and whether they agree.

python Testing/Benchmarks/bench_smart_net.py [--slices 32] [--reference-slices 3] [--batch 4] [--size 256]

The authors' way: each slice by itself through the float32 network, then what joins the slices. Ours: slices in small
batches through the fused network, bfloat16 where the processor computes in it. Weights and slices are made from a seed;
times do not depend on them. The aim on two cores: at least 3 times faster. A busy machine adds to both, so the fastest
slice (batch) counts, and the two take turns. With OMP_NUM_THREADS=1 the thread's own time on the processor is measured,
to which other programs add less.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor, nn

from ICHSegmenterLib.methods.smart_net.activation_maps import pooled_features
from ICHSegmenterLib.methods.smart_net.slices import CPU_BATCH_SIZE, fit_for_inference
from ICHSegmenterLib.methods.smart_net.volume_predictor import SmartNetClsPredictor, volume_probabilities
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.runtime.device import choose_device, torch_dtype


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--reference-slices", type=int, default=3)
    parser.add_argument("--batch", type=int, default=CPU_BATCH_SIZE)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    precision = choose_device("cpu").precision
    slices = head_slices(options.slices, options.size)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {precision}, batches of {options.batch}")
    print(f"{'':20}{'one by one, s/slice':>20}{'ours, s/slice':>16}{'ratio':>8}{'ours, all slices':>20}{'peak':>10}")
    with torch.inference_mode():
        for name in ("smart_net_down_cls", "smart_net_down_seg"):
            compare(name, slices, options.reference_slices, options.batch, torch_dtype(precision))


def compare(name: str, slices: Tensor, reference_slices: int, batch: int, dtype: torch.dtype) -> None:
    """Time both ways and print a line, then how far the answers differ."""
    network = seeded(name).requires_grad_(False)
    fast = copy.deepcopy(network)
    fit_for_inference(fast, "cpu", dtype, SmartNetClsPredictor.in_float32 if name.endswith("cls") else ())
    slow_step, fast_step = encoder_step(network), encoder_step(fast)
    batches = [one.to(dtype).contiguous(memory_format=torch.channels_last) for one in slices.split(batch)]

    runs = [timed(fast_step, one) for one in batches]
    parts = torch.cat([found for _, found in runs])
    joining, _ = timed(lambda joined: join(fast, joined), parts)
    total, peak = sum(seconds for seconds, _ in runs) + joining, peak_memory_gb()

    few = slices[:reference_slices]
    references, quick = [], [seconds / len(one) for (seconds, _), one in zip(runs, batches, strict=True)]
    for one in few:
        references.append(timed(slow_step, one[None]))
        quick.append(timed(fast_step, batches[0])[0] / len(batches[0]))
    slow = min(seconds for seconds, _ in references)
    print(f"{name:20}{slow:20.3f}{min(quick):16.3f}{slow / min(quick):8.1f}{total:18.1f} s{peak:7.2f} GB")
    exact = join(network, torch.cat([found for _, found in references]))
    difference = float((exact - join(fast, parts[:reference_slices])).abs().max())
    print(f"    joining all slices {joining:.2f} s; largest difference of a probability {difference:.4f}")


def encoder_step(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """What runs slice by slice: pooled features to classify, maps to outline."""
    if hasattr(network, "seg_decoder"):
        return lambda slices: network.slice_maps(slices)
    return lambda slices: pooled_features(network.encoder(slices)[-1])


def join(network: nn.Module, parts: Tensor) -> Tensor:
    """What runs once for all slices: probabilities of the exam or of its voxels."""
    if hasattr(network, "seg_decoder"):
        return volume_probabilities(network, parts, RunContext())
    return network.head(network.pooled(parts[None], torch.tensor([len(parts)]))).sigmoid()


def seeded(name: str) -> nn.Module:
    torch.manual_seed(0)
    return create_model(name)


def head_slices(count: int, size: int) -> Tensor:
    """Heads with skull, brain and a bleed that moves from slice to slice: (count, 1, size, size) in [0, 1]."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    skull, brain = ((x / a) ** 2 + (y / b) ** 2 < 1 for a, b in ((0.72, 0.88), (0.66, 0.82)))
    slices = torch.zeros(count, 1, size, size)
    for k, one in enumerate(slices):
        angle = torch.tensor(6.28 * k / count)
        bleed = ((x - 0.35 * angle.cos()) / 0.15) ** 2 + ((y - 0.45 * angle.sin()) / 0.1) ** 2 < 1
        one[0] = torch.where(skull, 1.0, 0.0)
        one[0, brain] = 0.4
        one[0, bleed & brain] = 0.8
    return (slices + 0.04 * torch.randn(slices.shape, generator=generator)).clamp_(0, 1)


def timed(step: Callable[[Tensor], Tensor], given: Tensor) -> tuple[float, Tensor]:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    found = step(given)
    return clock() - began, found


def peak_memory_gb() -> float:
    """Most resident memory of this process so far; Unix."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


if __name__ == "__main__":
    main()
