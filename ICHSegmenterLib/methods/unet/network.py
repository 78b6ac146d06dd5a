"""2D U-Net that the HGI-SAM authors trained as the supervised baseline, in its two incompatible versions.

Paper: Rasoulian et al., MELBA 2023:012, arXiv 2304.04902. Authors' code: HealthX-Lab/HGI-SAM (Apache-2.0).
"release": GELU and instance norm after each convolution (the five published weight files); "final": ReLU, no norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

Variant = Literal["release", "final"]
VARIANTS: tuple[Variant, ...] = ("release", "final")


class UNet(nn.Module):
    """Encoder of three levels, bottleneck, decoder of three levels.

    Args:
        variant: which of the two versions; their weights are not interchangeable.
        widths: channels of the levels, outermost first, bottleneck last.
    """

    def __init__(
        self,
        variant: Variant = "release",
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        widths: Sequence[int] = (24, 48, 96, 192),
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"U-Net variant {variant!r}: choose one of {', '.join(VARIANTS)}")
        self.encoder = _Encoder(variant, in_channels, widths[:-1])
        self.bottle_neck = _ConvBlock(variant, widths[-2], widths[-1])
        self.decoder = _Decoder(variant, widths)
        self.head = nn.Conv2d(widths[0], num_classes, kernel_size=3, padding=1)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """Logits (B, num_classes, H, W) of slices (B, in_channels, H, W) in [0, 1]; H and W divisible by 8."""
        features, skips = self.encoder(slices)
        logits: torch.Tensor = self.head(self.decoder(self.bottle_neck(features), skips))
        return logits


class _ConvBlock(nn.Module):
    """Twice: 3x3 convolution, activation and, in the release version, instance norm without affine."""

    def __init__(self, variant: Variant, in_channels: int, out_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers.append(nn.Conv2d(channels, out_channels, kernel_size=3, padding=1))
            layers += [nn.GELU(), nn.InstanceNorm2d(out_channels)] if variant == "release" else [nn.ReLU()]
        self.block = nn.Sequential(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.block(features)
        return result


class _Encoder(nn.ModuleDict):
    """Blocks contracting-1, -2, ... each followed by 2x2 max pooling."""

    def __init__(self, variant: Variant, in_channels: int, widths: Sequence[int]) -> None:
        channels = (in_channels, *widths)
        super().__init__(
            {
                f"contracting-{level}": _ConvBlock(variant, channels[level - 1], channels[level])
                for level in range(1, len(channels))
            }
        )

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        skips = []
        for block in self.values():
            features = block(features)
            skips.append(features)
            features = nn.functional.max_pool2d(features, kernel_size=2)
        return features, skips


class _Decoder(nn.ModuleDict):
    """Steps up-1 and expansive-1, ... from the bottleneck to the input size; skips are joined after the upsampled."""

    def __init__(self, variant: Variant, widths: Sequence[int]) -> None:
        modules: dict[str, nn.Module] = {}
        deepest_first = list(reversed(widths))
        for step, (deep, shallow) in enumerate(pairwise(deepest_first), start=1):
            modules[f"up-{step}"] = nn.ConvTranspose2d(
                deep, shallow, kernel_size=3, stride=2, padding=1, output_padding=1
            )
            modules[f"expansive-{step}"] = _ConvBlock(variant, 2 * shallow, shallow)
        super().__init__(modules)

    def forward(self, features: torch.Tensor, skips: Sequence[torch.Tensor]) -> torch.Tensor:
        for step, skip in enumerate(reversed(skips), start=1):
            upsampled = self[f"up-{step}"](features)
            features = self[f"expansive-{step}"](torch.cat((upsampled, skip), dim=1))
        return features


def build_unet(
    *, variant: Variant = "release", num_classes: int = 2, widths: Sequence[int] = (24, 48, 96, 192)
) -> UNet:
    """By default the authors' network: 3 channels in, background and hemorrhage out."""
    return UNet(variant, num_classes=num_classes, widths=tuple(widths))
