"""Swin-B with residual post-norm: LayerNorm behind attention and MLP, scaled dot-product attention of Swin V1.

Re-creates the backbone of Shang et al., arXiv 2205.07556 (PaddlePaddle/Research, Apache-2.0). Key names are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW = 7
MASKED_LOGIT = -100.0
MAX_DROP_PATH = 0.5


class PostNormSwin(nn.Module):
    """Slices (S, 3, side, side) in [0, 1] to features (S, 8 * embed_dim); `fc` is the slice head.

    side must be a multiple of 32 and each token grid (side / 4, / 8, ...) a multiple of 7 or equal to it.
    """

    def __init__(
        self, *, embed_dim: int, depths: Sequence[int], num_heads: Sequence[int], side: int = 224, classes: int = 6
    ) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(embed_dim)
        rates = [MAX_DROP_PATH * k / max(1, sum(depths) - 1) for k in range(sum(depths))]
        self.stages = nn.ModuleList()
        for n, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            first, is_last = sum(depths[:n]), n == len(depths) - 1
            grid, width = side // 4 // 2**n, embed_dim * 2**n
            self.stages.append(Stage(width, heads, grid, rates[first : first + depth], merges=not is_last))
        width = embed_dim * 2 ** (len(depths) - 1)
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, slices: Tensor) -> Tensor:
        """Features, the mean over tokens: (S, width)."""
        tokens = self.patch_embedding(slices)
        for stage in self.stages:
            tokens = stage(tokens)
        return self.norm(tokens).mean(dim=(1, 2))


class PatchEmbedding(nn.Module):
    """4x4 patches: (S, 3, side, side) -> (S, side/4, side/4, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, kernel_size=4, stride=4)
        self.norm = nn.LayerNorm(width)

    def forward(self, slices: Tensor) -> Tensor:
        return self.norm(self.patch_embed(slices).permute(0, 2, 3, 1))


class Stage(nn.Module):
    """Blocks on one token grid, odd ones shifted, then patch merging unless it is the last stage."""

    def __init__(self, width: int, heads: int, grid: int, drop_path: Sequence[float], *, merges: bool) -> None:
        super().__init__()
        shift = WINDOW // 2 if grid > WINDOW else 0
        self.blocks = nn.ModuleList(
            Block(width, heads, grid, shift if n % 2 else 0, rate) for n, rate in enumerate(drop_path)
        )
        self.downsample = PatchMerging(width) if merges else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return self.downsample(tokens)


class Block(nn.Module):
    """Window attention and MLP, each followed by its norm, then added."""

    def __init__(self, width: int, heads: int, grid: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.attn = WindowAttention(width, heads, grid, shift)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self.norm2 = nn.LayerNorm(width)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self._drop(self.norm1(self.attn(tokens)))
        return tokens + self._drop(self.norm2(self.mlp(tokens)))

    def _drop(self, branch: Tensor) -> Tensor:
        """Leave the branch of whole slices out at random while training."""
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = 1.0 - self.drop_path
        mask = torch.floor(keep + torch.rand(branch.shape[0], 1, 1, 1, device=branch.device, dtype=branch.dtype))
        return branch / keep * mask


class WindowAttention(nn.Module):
    """Attention within 7x7 windows with a learned bias for each relative position."""

    relative_position_index: Tensor
    attn_mask: Tensor | None

    def __init__(self, width: int, heads: int, grid: int, shift: int) -> None:
        super().__init__()
        self.heads, self.shift = heads, shift
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.register_buffer("relative_position_index", _relative_position_index(), persistent=False)
        self.register_buffer("attn_mask", _shift_mask(grid, shift) if shift else None, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        slices, grid, _, _ = tokens.shape
        if self.shift:
            tokens = tokens.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = _split(tokens)  # (S, g, g, C) -> (S * windows, 49, C)
        queries, keys, values = self.qkv(windows).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=self._bias(slices))
        tokens = _join(self.proj(mixed.transpose(1, 2).flatten(2)), grid)
        return tokens.roll((self.shift, self.shift), dims=(1, 2)) if self.shift else tokens

    def _bias(self, slices: int) -> Tensor:
        """(1 or S * windows, heads, 49, 49) added to the logits."""
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1).unsqueeze(0)
        if self.attn_mask is None:
            return bias
        return (bias + self.attn_mask.unsqueeze(1).to(bias.dtype)).repeat(slices, 1, 1, 1)


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(tokens)))


class PatchMerging(nn.Module):
    """Four neighboring tokens become one: (S, g, g, C) -> (S, g/2, g/2, 2C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        corners = [tokens[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))


def _split(tokens: Tensor) -> Tensor:
    """(S, g, g, C) -> (S * windows, 49, C), windows row by row."""
    slices, grid, _, width = tokens.shape
    count = grid // WINDOW
    parts = tokens.view(slices, count, WINDOW, count, WINDOW, width).transpose(2, 3)
    return parts.reshape(-1, WINDOW * WINDOW, width)


def _join(windows: Tensor, grid: int) -> Tensor:
    """Undo `_split`."""
    count = grid // WINDOW
    parts = windows.view(-1, count, count, WINDOW, WINDOW, windows.shape[-1]).transpose(2, 3)
    return parts.reshape(-1, grid, grid, windows.shape[-1])


def _relative_position_index() -> Tensor:
    """(49, 49) row of the bias table for each query and key."""
    axis = torch.arange(WINDOW)
    rows, columns = (coordinate.flatten() for coordinate in torch.meshgrid(axis, axis, indexing="ij"))
    down = rows[:, None] - rows[None, :] + WINDOW - 1
    right = columns[:, None] - columns[None, :] + WINDOW - 1
    return down * (2 * WINDOW - 1) + right


def _shift_mask(grid: int, shift: int) -> Tensor:
    """(windows, 49, 49): 0 between tokens that were neighbors before the roll, -100 elsewhere."""
    region = torch.zeros(grid)
    region[grid - WINDOW : grid - shift] = 1
    region[grid - shift :] = 2
    areas = (region[:, None] * 3 + region[None, :]).view(1, grid, grid, 1)
    ids = _split(areas).squeeze(-1)
    return torch.where(ids[:, :, None] == ids[:, None, :], 0.0, MASKED_LOGIT)


def initialize(module: nn.Module) -> None:
    """The authors' initial values: truncated normal (0.02), zero biases, He normal for the patches."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02, a=-0.04, b=0.04)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Conv2d):
            fan_in = layer.in_channels * math.prod(layer.kernel_size)
            nn.init.normal_(layer.weight, std=math.sqrt(2.0 / fan_in))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, WindowAttention):
            nn.init.trunc_normal_(layer.relative_position_bias_table, std=0.02, a=-0.04, b=0.04)
