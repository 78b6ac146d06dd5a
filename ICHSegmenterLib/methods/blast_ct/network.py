"""DeepMedic as BLAST-CT's first release uses it: three parallel paths of valid 3x3x3 convolutions.

Monteiro et al., Lancet Digital Health 2020, doi:10.1016/S2589-7500(20)30085-6; original
https://github.com/biomedia-mira/blast_ct (Apache-2.0). Written anew; parameter names are the authors', so that
their weight files load with strict keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALES = (5, 3, 1)
"""Each path sees every s-th voxel; features are concatenated in this order."""

PATH_CHANNELS = (30, 30, 40, 40, 40, 40, 50, 50)
HIDDEN_CHANNELS = (250, 250)
PATH_SHRINKAGE = 2 * len(PATH_CHANNELS)
"""Voxels of a path's own grid that its valid convolutions remove on each axis."""

CONTEXT = max(SCALES) * PATH_SHRINKAGE // 2
"""Input voxels needed on each side of an output block: 40."""

PHASE = 15
"""Output sizes are multiples of this, so that the coarse grids of neighboring blocks coincide."""


class PreActivationBlock(nn.Module):
    """BatchNorm, dropout, PReLU with one slope, valid convolution; plus the input where the channels agree."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.bn = nn.BatchNorm3d(in_channels)
        self.dropout = nn.Dropout(dropout)
        self.prelu = nn.PReLU()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel_size, bias=False)

    @property
    def is_residual(self) -> bool:
        """True if the block adds its input to its output."""
        return self.conv.in_channels == self.conv.out_channels

    @property
    def normalization(self) -> tuple[Tensor, Tensor]:
        """(in_channels,) scale and shift, float64, that equal the BatchNorm in evaluation."""
        statistics = self.bn.state_dict()
        mean, variance = statistics["running_mean"].double(), statistics["running_var"].double()
        scale = statistics["weight"].double() / torch.sqrt(variance + self.bn.eps)
        return scale, statistics["bias"].double() - mean * scale

    @property
    def border(self) -> int:
        """Voxels that the convolution removes on each side."""
        return self.conv.kernel_size[0] // 2

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, in_channels, z, y, x) -> (B, out_channels, z - 2 border, ...)."""
        y: Tensor = self.conv(self.prelu(self.dropout(self.bn(x))))
        return y + crop_border(x, self.border) if self.is_residual else y


class ScalePath(nn.Module):
    """Eight blocks on every `scale`-th voxel, brought back to full resolution by nearest upsampling."""

    def __init__(self, scale: int, in_channels: int = 1) -> None:
        super().__init__()
        self.scale = scale
        widths = (in_channels, *PATH_CHANNELS)
        blocks = {str(n): PreActivationBlock(widths[n - 1], widths[n], 3) for n in range(1, len(widths))}
        self.path = nn.Sequential()
        for name, block in blocks.items():  # the authors' index 0 is the parameterless subsampling
            self.path.add_module(name, block)

    @property
    def blocks(self) -> tuple[PreActivationBlock, ...]:
        """In the order of evaluation."""
        return tuple(block for block in self.path if isinstance(block, PreActivationBlock))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 1, scale * (n + 16), ...) -> (B, 50, scale * n, ...)."""
        features: Tensor = self.path(subsample(x, self.scale))
        return functional.interpolate(features, scale_factor=float(self.scale), mode="nearest")


class DeepMedic(nn.Module):
    """The network: fully convolutional, so one large block gives the numbers of many small ones.

    Args:
        num_classes: 5 for BLAST-CT: background, IPH, extra-axial hemorrhage, perilesional edema, IVH.
    """

    def __init__(self, num_classes: int = 5) -> None:
        super().__init__()
        self.paths = [ScalePath(scale) for scale in SCALES]
        for index, path in enumerate(self.paths):
            self.add_module(f"path{(path.scale,) * 3}{index}", path)
        widths = (len(SCALES) * PATH_CHANNELS[-1], *HIDDEN_CHANNELS, num_classes)
        self.fully_connected = nn.Sequential(
            *(
                PreActivationBlock(widths[n], widths[n + 1], 1, dropout=0.5 if n else 0.0)
                for n in range(len(widths) - 1)
            )
        )

    @property
    def head_blocks(self) -> tuple[PreActivationBlock, ...]:
        """The 1x1x1 blocks behind the paths."""
        return tuple(block for block in self.fully_connected if isinstance(block, PreActivationBlock))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the block that has 40 voxels of context on every side.

        Args:
            x: (B, 1, z + 80, y + 80, x + 80), HU -15..100 mapped to -1..1; z, y and x are multiples of 15.

        Returns:
            (B, num_classes, z, y, x).

        Raises:
            ValueError: The output would not be a positive multiple of 15 on every axis.
        """
        output = tuple(size - 2 * CONTEXT for size in x.shape[2:])
        if any(size < PHASE or size % PHASE for size in output):
            raise ValueError(
                f"DeepMedic needs input sizes of 80 plus a multiple of {PHASE} on every axis, got {tuple(x.shape[2:])}"
            )
        features = []
        for path in self.paths:
            needed = [size + path.scale * PATH_SHRINKAGE for size in output]
            features.append(center_crop(path(center_crop(x, needed)), output))
        logits: Tensor = self.fully_connected(torch.cat(features, dim=1))
        return logits


def build_deepmedic(num_classes: int = 5) -> DeepMedic:
    """DeepMedic with BLAST-CT's five classes unless told otherwise."""
    return DeepMedic(num_classes=num_classes)


def subsample(x: Tensor, scale: int) -> Tensor:
    """Every `scale`-th voxel of the last three axes, starting at the center of the first `scale` voxels."""
    start = scale // 2
    return x[..., start::scale, start::scale, start::scale]


def crop_border(x: Tensor, border: int) -> Tensor:
    """Removes `border` voxels on each side of the last three axes."""
    if not border:
        return x
    return x[..., border:-border, border:-border, border:-border]


def center_crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """The central block of `size` voxels; of n voxels it starts at n // 2 - size // 2."""
    for axis, length in zip((-3, -2, -1), size, strict=True):
        x = x.narrow(axis, x.shape[axis] // 2 - length // 2, length)
    return x
