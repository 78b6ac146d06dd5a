"""DeepMedic over a whole head in one dense pass, with the numbers of the authors' overlapping 30-voxel tiles.

The coarse paths run once over the region of interest, on the same coarse grid that tiles of 30 voxels would sample;
only the full-resolution path is cut into tiles, each shrunk to the voxels that are asked for. The 1x1x1 layers are
matrix products on those voxels alone. Outside the image is air.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ICHSegmenterLib.methods.blast_ct.network import (
    CONTEXT,
    PATH_CHANNELS,
    PATH_SHRINKAGE,
    SCALES,
    DeepMedic,
    PreActivationBlock,
    crop_border,
    subsample,
)
from ICHSegmenterLib.protocol import Phase
from ICHSegmenterLib.runtime.context import RunContext

AIR = -1.0
"""Network input of everything at or below -15 HU, and of what lies outside the image."""

TILE_GRID = 30
"""The authors' tile; a multiple of 3 and 5, so tiles on this grid sample the coarse paths in one phase."""

MAX_TILE_STEPS = 2
"""Tiles of 60 voxels. Larger ones waste less context but fit the brain less closely: on a real head 90 voxels cost 8 %
more, fall out of the cache, and answer a cancel later."""

DEFAULT_MEMORY_BUDGET_BYTES = 1_000_000_000
LIVE_ACTIVATIONS = 4
"""Copies of a layer that are alive at once: input, normalized input, output, and the convolution's scratch."""

ROWS_PER_PRODUCT = 8192
"""Voxels in one matrix product of the 1x1x1 layers: 250 channels of them stay in the cache."""

NEGLIGIBLE = 1e-18
"""Weights below it count as zero; the product of two that stay is still a normal float32."""

Box = tuple[slice, slice, slice]
"""Half-open voxel ranges on (z, y, x)."""


def predict_probabilities(
    image: NDArray[np.float32],
    models: Sequence[DenseDeepMedic],
    *,
    mask: NDArray[np.bool_] | None = None,
    tile_steps: int = MAX_TILE_STEPS,
    run: RunContext | None = None,
) -> NDArray[np.float16]:
    """Mean class probabilities of one or more networks.

    Args:
        image: (z, y, x), 1 mm voxels, HU -15..100 mapped to -1..1.
        models: At least one, all on one device.
        mask: bool (z, y, x), the voxels that are wanted; everything if None.
        tile_steps: Edge of a tile in steps of 30 voxels.
        run: Told the tiles done; asked to cancel between layers.

    Returns:
        float16 (classes, z, y, x); outside the mask class 0 has 1.

    Raises:
        CancelledError: The run was cancelled.
    """
    if not models:
        raise ValueError("predict_probabilities needs at least one network")
    run = run or RunContext()
    inside_mask = np.ones(image.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if inside_mask.shape != image.shape:
        raise ValueError(f"mask has shape {inside_mask.shape}, the image {image.shape}")
    result = np.zeros((models[0].num_classes, *image.shape), dtype=np.float16)
    result[0] = 1
    tiles = plan_tiles(inside_mask, TILE_GRID * max(1, tile_steps))
    total = len(tiles) + 1  # the coarse paths count as one
    run.report(0, total, Phase.PREDICTING)
    if not tiles:
        run.report(total, total, Phase.PREDICTING)
        return result
    with torch.inference_mode():
        region = _Region.around(image, inside_mask)
        coarse = [model.coarse_features(region, run.check) for model in models]
        for done, box in enumerate(tiles, start=1):
            run.report(done, total, Phase.PREDICTING)
            inside = torch.from_numpy(inside_mask[box])
            one_each = [
                model.probabilities(region, box, inside, features, run.check)
                for model, features in zip(models, coarse, strict=True)
            ]
            mean = torch.stack(one_each).mean(dim=0)
            z, y, x = box
            result[:, z, y, x][:, inside_mask[box]] = mean.T.cpu().numpy()
    run.report(total, total, Phase.PREDICTING)
    return result


def tile_steps_for(budget_bytes: int = DEFAULT_MEMORY_BUDGET_BYTES, bytes_per_value: int = 2) -> int:
    """Edge of the largest tile, in steps of 30 voxels, whose activations fit the budget; 1 to `MAX_TILE_STEPS`."""
    for steps in range(MAX_TILE_STEPS, 1, -1):
        voxels = (steps * TILE_GRID + PATH_SHRINKAGE) ** 3
        if voxels * max(PATH_CHANNELS) * bytes_per_value * LIVE_ACTIVATIONS <= budget_bytes:
            return steps
    return 1


def plan_tiles(mask: NDArray[np.bool_], edge: int) -> list[Box]:
    """Boxes of at most `edge` voxels that cover the wanted voxels, each shrunk to them; empty ones are left out."""
    bounds = bounding_box(mask)
    tiles = []
    for box in _grid_boxes(bounds, edge):
        inner = bounding_box(mask[box])
        if all(axis.stop > axis.start for axis in inner):
            tiles.append(_shifted(inner, box))
    return tiles


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box with all true voxels; empty ranges if there are none."""
    ranges = []
    for axis in range(3):
        hits = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        ranges.append(slice(int(hits[0]), int(hits[-1]) + 1) if len(hits) else slice(0, 0))
    return ranges[0], ranges[1], ranges[2]


def _grid_boxes(bounds: Box, edge: int) -> Iterator[Box]:
    """Boxes that share out `bounds` evenly, none longer than `edge`."""
    cuts = []
    for axis in bounds:
        length = axis.stop - axis.start
        pieces = max(1, -(-length // edge))
        edges = [axis.start + round(length * n / pieces) for n in range(pieces + 1)]
        cuts.append([slice(start, stop) for start, stop in pairwise(edges)])
    for z in cuts[0]:
        for y in cuts[1]:
            for x in cuts[2]:
                yield z, y, x


def _shifted(inner: Box, outer: Box) -> Box:
    z, y, x = (slice(axis.start + base.start, axis.stop + base.start) for axis, base in zip(inner, outer, strict=True))
    return z, y, x


@dataclass(frozen=True)
class _Region:
    """The part of the image around the wanted voxels, with context, on the phase of the authors' tiles.

    Attributes:
        padded: float32 (1, 1, z, y, x), air outside the image.
        origin: (z, y, x) image index of the first output voxel: multiples of 30.
    """

    padded: Tensor
    origin: tuple[int, int, int]

    @classmethod
    def around(cls, image: NDArray[np.float32], mask: NDArray[np.bool_]) -> _Region:
        bounds = bounding_box(mask)
        start = [axis.start // TILE_GRID * TILE_GRID for axis in bounds]
        stop = [-(-axis.stop // TILE_GRID) * TILE_GRID for axis in bounds]
        low = [s - CONTEXT for s in start]
        high = [s + CONTEXT for s in stop]
        padded = np.full([h - lo for lo, h in zip(low, high, strict=True)], AIR, dtype=np.float32)
        source = tuple(slice(max(lo, 0), min(h, n)) for lo, h, n in zip(low, high, image.shape, strict=True))
        target = tuple(slice(s.start - lo, s.stop - lo) for s, lo in zip(source, low, strict=True))
        padded[target] = image[source]
        return cls(torch.from_numpy(padded)[None, None], (start[0], start[1], start[2]))

    def for_path(self, scale: int) -> Tensor:
        """The region that the path of this scale needs."""
        return crop_border(self.padded, CONTEXT - scale * PATH_SHRINKAGE // 2)

    def for_tile(self, box: Box) -> Tensor:
        """The voxels that the full-resolution path needs for one box of the image."""
        halo = PATH_SHRINKAGE // 2
        z, y, x = (
            slice(axis.start - first + CONTEXT - halo, axis.stop - first + CONTEXT + halo)
            for axis, first in zip(box, self.origin, strict=True)
        )
        return self.padded[:, :, z, y, x]


@dataclass(frozen=True)
class _Layer:
    """One pre-activation block, ready to run: BatchNorm as scale and shift, one slope, one kernel."""

    scale: Tensor
    shift: Tensor
    zero: Tensor
    one: Tensor
    slope: float
    kernel: Tensor
    is_residual: bool

    @classmethod
    def of(cls, block: PreActivationBlock, device: torch.device, dtype: torch.dtype) -> _Layer:
        scale, shift = block.normalization
        kernel = block.conv.weight.detach()
        kernel = _without_negligible(kernel)
        if block.border:
            kernel = kernel.to(device, dtype).to(memory_format=torch.channels_last_3d)
        else:
            kernel = kernel.flatten(1).to(device, dtype).contiguous()
        scale, shift = (_without_negligible(x).float().to(device) for x in (scale, shift))
        return cls(
            scale,
            shift,
            torch.zeros_like(scale),
            torch.ones_like(scale),
            float(block.prelu.weight.detach()),
            kernel,
            block.is_residual,
        )

    def activate(self, x: Tensor) -> Tensor:
        """BatchNorm and PReLU of (B or rows, channels, ...)."""
        normalized = functional.batch_norm(x, self.zero, self.one, self.scale, self.shift, eps=0.0)
        return functional.leaky_relu_(normalized, self.slope)

    def convolve(self, x: Tensor) -> Tensor:
        """(1, C, z, y, x) in channels-last memory -> valid convolution."""
        y = functional.conv3d(self.activate(x), self.kernel)
        return y.add_(crop_border(x, 1)) if self.is_residual else y

    def multiply(self, rows: Tensor) -> Tensor:
        """(rows, C) -> the 1x1x1 convolution."""
        activated = self.activate(rows)
        if self.is_residual:
            return torch.addmm(rows, activated, self.kernel.T)
        return functional.linear(activated, self.kernel)


def _without_negligible(x: Tensor) -> Tensor:
    """Dead channels have scales of 1e-41: they change nothing, but subnormal products slow many CPUs down tenfold."""
    return torch.where(x.abs() < NEGLIGIBLE, torch.zeros_like(x), x)


@dataclass(frozen=True)
class DenseDeepMedic:
    """One network prepared for dense evaluation on a device, in a precision.

    Build it with `DenseDeepMedic.prepare`. The DeepMedic module itself is not changed.
    """

    paths: dict[int, tuple[_Layer, ...]]
    head: tuple[_Layer, ...]
    device: torch.device
    dtype: torch.dtype
    num_classes: int = field(default=5)

    @classmethod
    def prepare(cls, network: DeepMedic, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> DenseDeepMedic:
        """Folds each BatchNorm into one scale and shift, and lays the kernels out channels-last."""
        target = torch.device(device)
        paths = {path.scale: tuple(_Layer.of(block, target, dtype) for block in path.blocks) for path in network.paths}
        head = tuple(_Layer.of(block, target, dtype) for block in network.head_blocks)
        return cls(paths, head, target, dtype, head[-1].kernel.shape[0])

    def coarse_features(self, region: _Region, check: Callable[[], None]) -> dict[int, Tensor]:
        """Scale to (z, y, x, 50) features of the whole region on that path's grid."""
        return {
            scale: self._run_path(scale, subsample(region.for_path(scale), scale), check)
            for scale in SCALES
            if scale > 1
        }

    def probabilities(
        self, region: _Region, box: Box, inside: Tensor, coarse: dict[int, Tensor], check: Callable[[], None]
    ) -> Tensor:
        """Softmax at the true voxels of `inside` (the shape of `box`), in memory order: float32 (voxels, classes)."""
        fine = self._run_path(1, region.for_tile(box), check)
        voxels = torch.nonzero(inside.to(self.device))
        parts = []
        offset = torch.tensor([axis.start - first for axis, first in zip(box, region.origin, strict=True)])
        offset = offset.to(self.device)
        for chunk in voxels.split(ROWS_PER_PRODUCT):
            rows = []
            for scale in SCALES:
                z, y, x = (chunk if scale == 1 else (chunk + offset) // scale).unbind(1)
                rows.append(fine[z, y, x] if scale == 1 else coarse[scale][z, y, x])
            logits = torch.cat(rows, dim=1)
            for layer in self.head:
                logits = layer.multiply(logits)
            parts.append(logits.float().softmax(dim=1))
            check()
        return torch.cat(parts)

    def _run_path(self, scale: int, x: Tensor, check: Callable[[], None]) -> Tensor:
        """(1, 1, z, y, x) on the path's grid -> (z - 16, y - 16, x - 16, 50)."""
        x = x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last_3d)
        for layer in self.paths[scale]:
            x = layer.convolve(x)
            check()
        return x[0].movedim(0, -1)
