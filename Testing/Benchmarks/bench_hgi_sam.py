"""Seconds a slice of HGI-SAM: the authors' way against ours, and whether both outline the same.

python Testing/Benchmarks/bench_hgi_sam.py [--slices 28] [--reference-slices 3] [--batch 2]

The authors' way: one slice at a time, float32, parameter gradients on, attention kept by hooks on timm's softmax.
Ours: no parameter gradients, and batches in bfloat16 where the processor computes in it. Weights and slices are made
from a seed; times do not depend on them. The aims on two cores: a forward pass 4.5 times faster, an exam of 28 slices
with none positive 8 times and with six positive 6.5 times (the authors draw a map of every slice, ours of positive
ones), Dice >= 0.98 at the published threshold, peak below 2 GB. Beside them stands what the processor's own matrix
products allow, measured in the same run.
A busy machine adds to both, so the fastest slice (batch) counts, and the two take turns.
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
from torch.nn import functional as F

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=28)
    parser.add_argument("--reference-slices", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2)
    options = parser.parse_args()

    network = seeded_network()
    precision = choose_device("cpu").precision
    ours = AttentionMapper(copy.deepcopy(network).requires_grad_(False).to(torch_dtype(precision)))
    slices, brain = head_slices(options.slices)
    reference = {
        "forward": lambda x, _: (network(x), None),
        "forward and map": lambda x, b: reference_map(network, x, b),
    }
    batched = {"forward": lambda x, _: (ours.logits(x), None), "forward and map": ours.hgi_sam}

    maps = run_all(batched["forward and map"], slices, brain, options.batch)[1]
    peak_gb = peak_memory_gb()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {precision}", end="")
    print(f", {options.slices} slices of {SIZE} x {SIZE}")
    print(f"{'':18}{'authors, s/slice':>18}{'ours, s/slice':>16}{'ratio':>8}{'ours, all slices':>18}")
    few = slices[: options.reference_slices], brain[: options.reference_slices]
    fastest = {}
    for name in reference:
        seconds, theirs = run_all(reference[name], *few, 1)
        all_seconds, _ = run_all(batched[name], slices, brain, options.batch)
        slow, fast = fastest[name] = min(seconds), min(all_seconds) / options.batch
        print(f"{name:18}{slow:18.3f}{fast:16.3f}{slow / fast:8.1f}{sum(all_seconds):16.1f} s")

    print_exams(fastest)
    for dtype in (torch.float32, torch.bfloat16):
        rate = gflop_a_second(dtype)
        least = f"{FORWARD_GFLOP / rate:.3f} s a slice"
        print(f"{dtype}: {rate:.0f} GFLOP a second in products, so no forward below {least}")

    exact = run_all(AttentionMapper(network.requires_grad_(False)).hgi_sam, *few, 1)[1]
    print(
        f"float32, ours against the authors' way: largest difference of a map {float((exact - theirs).abs().max()):.1e}"
    )
    outlines = [maps[: len(exact)] >= THRESHOLD, exact >= THRESHOLD]
    print(f"{precision} against float32, binarized at {THRESHOLD}: Dice {dice(*outlines):.4f}", end="")
    print(f" ({100 * float(outlines[1].float().mean()):.1f} % of the pixels)")
    print(f"peak memory of our run: {peak_gb:.2f} GB")


def print_exams(fastest: dict[str, tuple[float, float]]) -> None:
    """Ratios of whole exams that follow from the seconds a slice: (authors, ours) of each way."""
    theirs, our_map = fastest["forward and map"]
    our_forward = fastest["forward"][1]
    for positive in (0, POSITIVE_SLICES):
        ours = EXAM_SLICES * our_forward + positive * our_map
        print(
            f"{EXAM_SLICES} slices, {positive} positive: {EXAM_SLICES * theirs / ours:.1f} times faster, {ours:.1f} s"
        )


def gflop_a_second(dtype: torch.dtype) -> float:
    """The processor's own rate of matrix products of the network's size."""
    tokens = torch.rand(PRODUCT_ROWS, PRODUCT_INNER).to(dtype)
    layer = torch.nn.Linear(PRODUCT_INNER, PRODUCT_COLUMNS).to(dtype).requires_grad_(False)
    seconds = []
    for _ in range(PRODUCTS):
        began = time.perf_counter()
        layer(tokens)
        seconds.append(time.perf_counter() - began)
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


def run_all(
    method: Callable[..., tuple[torch.Tensor, torch.Tensor | None]],
    slices: torch.Tensor,
    brain: torch.Tensor,
    size: int,
) -> tuple[list[float], torch.Tensor | None]:
    """Seconds of each full batch, and all maps."""
    seconds, maps = [], []
    for start in range(0, len(slices), size):
        began = time.perf_counter()
        found = method(slices[start : start + size], brain[start : start + size])[1]
        seconds.append(time.perf_counter() - began)
        maps += [] if found is None else [found]
    return seconds, torch.cat(maps) if maps else None


def dice(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def peak_memory_gb() -> float:
    """Most resident memory of this process so far; Unix."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


if __name__ == "__main__":
    main()
