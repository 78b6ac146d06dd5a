"""U-Net that sees a slab with its neighbors: residual blocks at half the pixels, the last step at all of them.

Most of its work is done on blocks of 2 x 2 pixels turned into channels, where a processor is fastest; a last
convolution looks at every pixel of the slab again, so that outlines are as fine as the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

BLOCK_PIXELS = 2
GROUPS = 8
"""Of each group norm."""
FINE_CHANNELS = 16
"""Channels of the last step."""


class ContextUNet(nn.Module):
    """Logits of slabs.

    Args:
        num_classes: Background and classes of blood.
        in_channels: Neighbors first, then the windows of the slab itself.
        fine_inputs: How many of the last channels the last step sees again.
        widths: Channels of the levels, outermost first; multiples of 8.
    """

    def __init__(
        self,
        num_classes: int = 6,
        *,
        in_channels: int = 7,
        fine_inputs: int = 3,
        widths: Sequence[int] = (32, 64, 128, 192),
    ) -> None:
        super().__init__()
        self.fine_inputs = fine_inputs
        self.to_blocks, self.to_pixels = nn.PixelUnshuffle(BLOCK_PIXELS), nn.PixelShuffle(BLOCK_PIXELS)
        channels = (in_channels * BLOCK_PIXELS**2, *widths)
        self.encoder = nn.ModuleList(_Residual(channels[n], channels[n + 1]) for n in range(len(widths)))
        self.down = nn.ModuleList(nn.Conv2d(width, width, 2, stride=2) for width in widths[:-1])
        deepest_first = list(reversed(widths))
        steps = list(pairwise(deepest_first))
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for deep, shallow in steps)
        self.decoder = nn.ModuleList(_Residual(2 * shallow, shallow) for _, shallow in steps)
        self.spread = nn.Conv2d(widths[0], FINE_CHANNELS * BLOCK_PIXELS**2, 3, padding=1)
        self.head = nn.Sequential(
            nn.Conv2d(FINE_CHANNELS + fine_inputs, FINE_CHANNELS, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(FINE_CHANNELS, num_classes, 1),
        )

    def forward(self, slabs: torch.Tensor) -> torch.Tensor:
        """Logits (B, num_classes, H, W) of slabs (B, in_channels, H, W) in [0, 1]; H and W divisible by 16."""
        features = self.encoder[0](self.to_blocks(slabs))
        skips = []
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            skips.append(features)
            features = block(down(features))
        for up, block in zip(self.up, self.decoder, strict=True):
            features = block(torch.cat((up(features), skips.pop()), dim=1))
        fine = self.to_pixels(self.spread(features))
        logits: torch.Tensor = self.head(torch.cat((fine, slabs[:, -self.fine_inputs :]), dim=1))
        return logits


class _Residual(nn.Module):
    """Two 3x3 convolutions with group norm, added to their input."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.GroupNorm(GROUPS, out_channels),
            nn.SiLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.GroupNorm(GROUPS, out_channels),
        )
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.activation = nn.SiLU()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.activation(self.body(features) + self.skip(features))
        return result


def build_context_unet(*, num_classes: int = 6, widths: Sequence[int] = (32, 64, 128, 192)) -> ContextUNet:
    """By default the bundled network: four neighbors and three windows in, background and five subtypes out."""
    return ContextUNet(num_classes, widths=tuple(widths)).to(memory_format=torch.channels_last)
