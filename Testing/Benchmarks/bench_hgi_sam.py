"""Seconds of HGI-SAM: the authors' way against ours, slices and whole exams, and whether both outline the same.

python Testing/Benchmarks/bench_hgi_sam.py [--threads 1] [--rounds 3] [--batch 2]

The authors' way: one slice at a time, float32, parameter gradients on, attention kept by hooks on timm's softmax; they
draw a map of every slice, ours of positive ones. Ours: no parameter gradients, and where the processor computes in
bfloat16 batches with packed weights. Weights and slices are made from a seed; times do not depend on them. The aims on
two cores: a forward pass 4.5 times faster, an exam of 28 slices with none positive 8 times and with six positive 6.5
times, Dice >= 0.98 at the published threshold, peak below 2 GB. Beside them stands what the processor's own matrix
products allow, measured in the same run.

Our exams are run as a whole; the authors' are 28 times the median of their slices. The ways take turns. Other programs
add to the time of the clock, of which the least counts, and little to the time on the processor, of which the median
counts; with several threads the latter holds their waiting too.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.nn import functional as F

from ICHSegmenterLib.methods.packed_linear import pack_linear_layers
from ICHSegmenterLib.methods.swin.attention_maps import HEMORRHAGE_CLASS, HGI_SAM_STAGES, AttentionMapper
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.runtime.device import choose_device, torch_dtype

SIZE = 384
THRESHOLD = 0.05
FORWARD_GFLOP = 94
"""Of Swin-B with 12 x 12 windows at 384 pixels."""
EXAM_SLICES, POSITIVE_SLICES = 28, 6
PRODUCT_ROWS, PRODUCT_INNER, PRODUCT_COLUMNS = 1152, 512, 2048
"""The largest layer of the third stage, which holds 18 of the 24 blocks, for two slices."""
PRODUCTS = 20
"""The fastest counts."""
ATTENTION_GAIN = 3.0
"""timm's own initial weights look at everything equally; these look at something, as trained ones do."""


@dataclass
class Times:
    """Seconds a slice of some runs of one way."""

    processor: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)

    def run(self, work: Callable[..., Any], *given: object, slices: int = 1) -> Any:
        """Do the work, keep its times, and return what it gives."""
        began, began_processor = time.perf_counter(), time.process_time()
        result = work(*given)
        self.processor.append((time.process_time() - began_processor) / slices)
        self.clock.append((time.perf_counter() - began) / slices)
        return result

    @property
    def both(self) -> tuple[float, float]:
        """Median on the processor, least of the clock."""
        return statistics.median(self.processor), min(self.clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3, help="each of one slice by the authors' way, a batch by ours")
    parser.add_argument("--batch", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    precision = choose_device("cpu").precision
    fast = seeded_network().requires_grad_(False).to(torch_dtype(precision))
    pack_linear_layers(fast.swin)
    ours = AttentionMapper(fast)
    slices, brain = head_slices(EXAM_SLICES)
    ours.hgi_sam(slices[: options.batch], brain[: options.batch])
    exams = {positive: exam_times(ours, slices, brain, options.batch, positive) for positive in (0, POSITIVE_SLICES)}
    print(
        f"{options.threads} threads, torch {torch.__version__}, {precision}, peak {peak_memory_gb():.2f} GB", flush=True
    )

    network = seeded_network()
    ways = {name: Times() for name in ("authors' forward", "our forward", "authors' map", "our map")}
    theirs, maps = [], []
    for number in range(options.rounds):
        one = slices[number : number + 1], brain[number : number + 1]
        several = slices[number : number + options.batch], brain[number : number + options.batch]
        ways["authors' forward"].run(network, one[0])
        ways["our forward"].run(ours.logits, several[0], slices=options.batch)
        theirs.append(ways["authors' map"].run(reference_map, network, *one)[1])
        maps.append(ways["our map"].run(ours.hgi_sam, *several, slices=options.batch)[1][:1])
    print_ratios(ways, exams)
    for dtype in (torch.float32, torch.bfloat16):
        rate = gflop_a_second(dtype)
        print(f"{dtype}: {rate:.0f} GFLOP a second of a core in products, so no forward below ", end="")
        print(f"{FORWARD_GFLOP / rate:.3f} s of a core a slice")
    outlines = [torch.cat(each) >= THRESHOLD for each in (maps, theirs)]
    print(f"{precision} against the authors' way, binarized at {THRESHOLD}: Dice {dice(*outlines):.4f}", end="")
    print(f" ({100 * float(outlines[1].float().mean()):.1f} % of the pixels)")


def exam_times(ours: AttentionMapper, slices: torch.Tensor, brain: torch.Tensor, batch: int, positive: int) -> Times:
    """One exam by our way: all slices, then the maps of the positive ones."""
    times = Times()

    def exam() -> None:
        for start in range(0, len(slices), batch):
            ours.logits(slices[start : start + batch])
        for start in range(0, positive, batch):
            ours.hgi_sam(slices[start : start + batch], brain[start : start + batch])

    times.run(exam)
    return times


def print_ratios(ways: dict[str, Times], exams: dict[int, Times]) -> None:
    """Seconds and ratios, by the processor's time and by the clock's."""
    print(f"{'':26}{'processor, s':>14}{'clock, s':>10}")
    for name, times in ways.items():
        print(f"{name:26}{times.both[0]:14.3f}{times.both[1]:10.3f}")
    map_times = ways["authors' map"].both
    pairs = {"forward": (ways["authors' forward"].both, ways["our forward"].both)}
    for positive, times in exams.items():
        expected = EXAM_SLICES * map_times[0], EXAM_SLICES * map_times[1]
        pairs[f"{EXAM_SLICES} slices, {positive} positive"] = expected, times.both
    for name, (slow, quick) in pairs.items():
        print(f"{name:26}ours {quick[0]:.2f} s on the processor, {quick[1]:.2f} s of the clock; ", end="")
        print(f"{slow[0] / quick[0]:.1f} and {slow[1] / quick[1]:.1f} times faster")


def gflop_a_second(dtype: torch.dtype) -> float:
    """A core's own rate of matrix products of the network's size, by its own time."""
    tokens = torch.rand(PRODUCT_ROWS, PRODUCT_INNER).to(dtype)
    layer = torch.nn.Linear(PRODUCT_INNER, PRODUCT_COLUMNS).to(dtype).requires_grad_(False)
    seconds = []
    for _ in range(PRODUCTS):
        began = time.process_time()
        layer(tokens)
        seconds.append(time.process_time() - began)
    return 2e-9 * PRODUCT_ROWS * PRODUCT_INNER * PRODUCT_COLUMNS / min(seconds)


def seeded_network() -> torch.nn.Module:
    """Swin classifier with seeded weights whose attention is not uniform."""
    torch.manual_seed(0)
    network = create_model("swin_classifier", num_classes=2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "qkv.weight" in name or "bias_table" in name:
                parameter.mul_(ATTENTION_GAIN)
    return network


def head_slices(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Heads with skull, brain and a bleed that moves from slice to slice: (count, 3, H, W) and brain (count, H, W)."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    skull = (x / 0.72) ** 2 + (y / 0.88) ** 2 < 1
    brain = (x / 0.66) ** 2 + (y / 0.82) ** 2 < 1
    slices = torch.zeros(count, 3, SIZE, SIZE)
    for k in range(count):
        angle = torch.tensor(6.28 * k / count)
        bleed = ((x - 0.35 * angle.cos()) / 0.15) ** 2 + ((y - 0.45 * angle.sin()) / 0.1) ** 2 < 1
        for channel, (tissue, blood) in enumerate(((0.35, 0.75), (0.4, 0.6), (0.3, 0.33))):
            image = torch.where(skull, 1.0, 0.0)
            image[brain] = tissue
            image[bleed & brain] = blood
            slices[k, channel] = image
    slices += 0.04 * torch.randn(slices.shape, generator=generator)
    return slices.clamp_(0, 1), brain.expand(count, -1, -1)


def reference_map(network: torch.nn.Module, x: torch.Tensor, brain: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """HGI-SAM of one slice by its definition, on timm's network as it is."""
    before, after = [], []

    def keep(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        inputs[0].retain_grad()
        before.append(inputs[0])
        after.append(output)

    softmaxes = [block.attn.softmax for stage in HGI_SAM_STAGES for block in network.swin.layers[stage].blocks]
    hooks = [module.register_forward_hook(keep) for module in softmaxes]
    network.zero_grad()
    logits = network(x)
    logits[0, HEMORRHAGE_CLASS].backward()
    for hook in hooks:
        hook.remove()
    size = x.shape[2:]
    product = torch.ones(size, device=x.device)
    for stage in HGI_SAM_STAGES:
        tokens = []
        window = network.swin.layers[stage].blocks[0].window_size[0]
        for place, _ in enumerate(network.swin.layers[stage].blocks):
            attention, gradient = after.pop(0).detach(), before.pop(0).grad
            weighted = attention * torch.linalg.matrix_norm(gradient, keepdim=True)
            received = weighted.mean(dim=1).mean(dim=1)  # heads, then queries
            side = int(len(received) ** 0.5)
            grid = received.view(side, side, window, window).transpose(1, 2).reshape(side * window, side * window)
            tokens.append(torch.roll(grid, (window // 2, window // 2), dims=(0, 1)) if place % 2 else grid)
        pairs = [tokens[n] * tokens[n + 1] for n in range(0, len(tokens), 2)]
        stage_map = min_max(torch.stack(pairs).mean(dim=0))
        product *= F.interpolate(stage_map[None, None], size=size, mode="bilinear")[0, 0]
    return logits, min_max(product * brain[0])[None]


def min_max(image: torch.Tensor) -> torch.Tensor:
    return (image - image.min()) / (image.max() - image.min())


def dice(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def peak_memory_gb() -> float:
    """Most resident memory of this process so far; Unix."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


if __name__ == "__main__":
    main()
