"""Attention of a Swin transformer that can be looked at: what each token receives, and how the score depends on it.

It takes the place of the attention in timm's blocks for the time of a `with`. The matrices are worked on in tiles that
stay in the processor's cache; what leaves a block are sums over them, so memory stays low and nothing is kept twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

CPU_TILE_BYTES = 2**20
"""Size of the attention matrices in work at a time, so that two of them fit a core's cache."""
GPU_TILE_BYTES = 2**28
MIN_SUM, MAX_SUM = 1e-30, 1e30
"""Row sums of exp between these lost nothing to the range of float32 and bfloat16 (both 1e-38 to 1e38).

float16 ends at 65504, which exp reaches at a logit of 11, so there the softmax is always the safe one.
"""


@dataclass
class BlockAttention:
    """One transformer block and, after a recorded run, what its attention shows.

    Attributes:
        stage: 0 to 3.
        grid: tokens (rows, columns) of the stage.
        window: tokens (rows, columns) of a window.
        shift: tokens that the map is rolled by, (rows, columns). As the authors do, every odd block is rolled by half
            a window, also in the last stage, where the one window there is covers the grid and is not shifted.
        received: float32 (B*windows, heads, tokens): attention that a key token receives, mean over the queries.
        gradient_norm: float32 (B*windows, heads): Frobenius norm of d score / d attention before softmax.
    """

    stage: int
    grid: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]
    received: torch.Tensor | None = None
    gradient_norm: torch.Tensor | None = None


@dataclass(frozen=True)
class _Kernel:
    """Constants of the attention of one block.

    Attributes:
        scale: factor of the query-key products.
        bias: (heads * tile windows or heads * windows of a slice, tokens, tokens), position bias plus shift mask.
        tile: windows in work at a time; divides the windows of a slice.
    """

    heads: int
    scale: float
    bias: torch.Tensor
    tile: int


class AttentionRecorder:
    """The attention of every block of a Swin transformer, with position bias and shift mask computed once.

    Args:
        swin: timm SwinTransformer on its device and in its dtype; its weights must not change afterwards.
    """

    def __init__(self, swin: Any) -> None:
        self._modules = [block for layer in swin.layers for block in layer.blocks]
        self._kernels = [_kernel(block) for block in self._modules]
        self._places = [(stage, place) for stage, layer in enumerate(swin.layers) for place in range(len(layer.blocks))]

    @contextmanager
    def recording(self, stages: tuple[int, ...], *, gradients: bool = False) -> Iterator[list[BlockAttention]]:
        """Run the network inside; the yielded blocks of these stages then show their attention.

        Args:
            stages: counted from 0; blocks of other stages run without being recorded.
            gradients: start the graph at the first recorded block, for a backward pass inside the `with`.
        """
        recorded: list[BlockAttention] = []
        for module, kernel, (stage, depth) in zip(self._modules, self._kernels, self._places, strict=True):
            block = None
            if stage in stages:
                rows, columns = module.window_size
                shift = (rows // 2, columns // 2) if depth % 2 else (0, 0)
                block = BlockAttention(stage, module.input_resolution, module.window_size, shift)
                recorded.append(block)
            is_root = gradients and len(recorded) == 1 and block is not None
            module.attn.forward = partial(_forward, module.attn, kernel, block, is_root)
        try:
            yield recorded
        finally:
            for module in self._modules:
                del module.attn.forward  # the instance attribute: timm's own method is visible again


def _kernel(block: Any) -> _Kernel:
    """Position bias of each head, plus the mask of each window in blocks whose windows are shifted."""
    attention = block.attn
    tokens = attention.window_area
    table = attention.relative_position_bias_table.detach()
    bias = table.t()[:, attention.relative_position_index.reshape(-1)].reshape(1, -1, tokens, tokens)
    windows = (block.input_resolution[0] // block.window_size[0]) * (block.input_resolution[1] // block.window_size[1])
    tile_bytes = CPU_TILE_BYTES if bias.device.type == "cpu" else GPU_TILE_BYTES
    most = max(1, tile_bytes // (bias.numel() * bias.element_size()))
    tile = max(size for size in range(1, windows + 1) if windows % size == 0 and size <= most)
    if block.attn_mask is not None:
        bias = bias + block.attn_mask.to(bias.dtype)[:, None]  # (windows, heads, tokens, tokens)
    else:
        bias = bias.expand(tile, -1, -1, -1)
    return _Kernel(attention.num_heads, attention.scale, bias.reshape(-1, tokens, tokens).contiguous(), tile)


def _forward(
    attention: Any, kernel: _Kernel, block: BlockAttention | None, is_root: bool, x: torch.Tensor, mask: object = None
) -> torch.Tensor:
    """Stand-in for timm's WindowAttention.forward; the mask is already part of the kernel's bias."""
    qkv = attention.qkv(x)
    if is_root:
        qkv = qkv.detach().requires_grad_()
    mixed = _WindowAttention.apply(qkv, kernel, block, is_root)
    projected: torch.Tensor = attention.proj(mixed)
    return projected


class _WindowAttention(torch.autograd.Function):
    """softmax(scale * q k^T + bias) v in every window and head."""

    @staticmethod
    def forward(
        ctx: Any, qkv: torch.Tensor, kernel: _Kernel, block: BlockAttention | None, is_root: bool
    ) -> torch.Tensor:
        windows, tokens, width = qkv.shape
        # (W, N, 3 * heads * D) -> three of (W * heads, N, D)
        q, k, v = (
            qkv.view(windows, tokens, 3, kernel.heads, -1)
            .permute(2, 0, 3, 1, 4)
            .reshape(3, windows * kernel.heads, tokens, -1)
        )
        keep = bool(ctx.needs_input_grad[0])
        is_narrow = q.dtype == torch.float16
        mixed, sums, received, kept = _attend(q, k, v, kernel, record=block is not None, keep=keep, is_safe=is_narrow)
        if not is_narrow and not bool((sums.amin() > MIN_SUM) & (sums.amax() < MAX_SUM)):
            mixed, sums, received, kept = _attend(q, k, v, kernel, record=block is not None, keep=keep, is_safe=True)
        if block is not None:
            block.received = received.view(windows, kernel.heads, tokens)
        ctx.save_for_backward(q, k, v, mixed, sums, *kept)
        ctx.kernel, ctx.block, ctx.is_root = kernel, block, is_root
        # (W * heads, N, D) -> (W, N, heads * D)
        return mixed.view(windows, kernel.heads, tokens, -1).transpose(1, 2).reshape(windows, tokens, width // 3)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:
        (d_mixed,) = gradients
        q, k, v, mixed, sums, *kept = ctx.saved_tensors
        kernel: _Kernel = ctx.kernel
        block: BlockAttention | None = ctx.block
        windows, tokens, width = d_mixed.shape
        heads, step = kernel.heads, kernel.tile * kernel.heads
        # (W, N, heads * D) -> (W * heads, N, D), divided by the row sums because the kept weights are not normalized
        d_mixed = d_mixed.view(windows, tokens, heads, -1).transpose(1, 2).reshape(windows * heads, tokens, -1)
        d_mixed = (d_mixed / sums).to(q.dtype)
        row_terms = (d_mixed * mixed).sum(-1, keepdim=True).neg_()
        norms = q.new_empty(windows * heads, dtype=torch.float32)
        d_qkv = torch.empty((3, *q.shape), dtype=q.dtype, device=q.device)
        for start, weights in zip(range(0, windows * heads, step), kept, strict=True):
            part = slice(start, start + step)
            d_logits = torch.baddbmm(row_terms[part], d_mixed[part], v[part].transpose(1, 2)).mul_(weights)
            if block is not None:
                norms[part] = torch.linalg.vector_norm(d_logits, dim=(1, 2), dtype=torch.float32)
            if not ctx.is_root:
                torch.mul(torch.bmm(d_logits, k[part]), kernel.scale, out=d_qkv[0, part])
                torch.mul(torch.bmm(d_logits.transpose(1, 2), q[part]), kernel.scale, out=d_qkv[1, part])
                torch.bmm(weights.transpose(1, 2), d_mixed[part], out=d_qkv[2, part])
        if block is not None:
            block.gradient_norm = norms.view(windows, heads)
        if ctx.is_root:
            return None, None, None, None
        # (3, W * heads, N, D) -> (W, N, 3 * heads * D)
        d_qkv = d_qkv.view(3, windows, heads, tokens, -1).permute(1, 3, 0, 2, 4).reshape(windows, tokens, 3 * width)
        return d_qkv, None, None, None


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, kernel: _Kernel, *, record: bool, keep: bool, is_safe: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Attention of all windows and heads, tile by tile.

    Args:
        q, k, v: (W * heads, N, D).
        record: also sum up the attention that the keys receive.
        keep: also keep the weights, for the backward pass.
        is_safe: subtract each row's maximum before exp and divide the weights by their row sums at once. It costs a
            tenth of a forward pass and trained networks never need it but in float16, so the caller tries without and
            looks at the sums.

    Returns:
        Mixed values (W * heads, N, D), row sums float32 (W * heads, N, 1) of the weights, received attention float32
        (W * heads, 1, N), and the tiles of weights exp(...), not divided by their row sums unless `is_safe`, when the
        sums are 1.
    """
    mixed = torch.empty_like(q)
    sums = torch.empty((*q.shape[:2], 1), dtype=torch.float32, device=q.device)
    received = torch.zeros((len(q), 1, q.shape[1]), dtype=torch.float32, device=q.device)
    kept = []
    step = kernel.tile * kernel.heads
    for start in range(0, len(q), step):
        part = slice(start, start + step)
        first = start % len(kernel.bias)
        bias = kernel.bias[first : first + step]
        weights = torch.baddbmm(bias, q[part], k[part].transpose(1, 2), alpha=kernel.scale)
        if is_safe:
            weights.sub_(weights.amax(-1, keepdim=True))
        torch.sum(weights.exp_(), -1, keepdim=True, dtype=torch.float32, out=sums[part])
        if is_safe:
            weights.div_(sums[part])
            sums[part] = 1
        torch.div(torch.bmm(weights, v[part]), sums[part], out=mixed[part])
        if record:
            shares = (1 / (q.shape[1] * sums[part])).transpose(1, 2).to(weights.dtype)
            received[part] = torch.bmm(shares, weights)
        if keep:
            kept.append(weights)
    return mixed, sums, received, kept
