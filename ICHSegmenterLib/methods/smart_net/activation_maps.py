"""Activation of a SMART-Net encoder: the mean of its deepest feature maps, and their pooled vector.

Promised by the authors (babbu3682/SMART-Net, MIT) and never released; the definition is that of their helper.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def activation_maps(deepest: Tensor, size: int) -> Tensor:
    """Deepest feature maps (B, channels, h, w) to (B, size, size): sigmoid of the channels' mean, resized cubically.

    No slice is stretched to the full range, so maps of different slices can be compared. As features are never
    negative, an encoder that sees nothing gives 0.5.
    """
    mean = deepest.float().mean(dim=1, keepdim=True).sigmoid()
    return functional.interpolate(mean, size=(size, size), mode="bicubic", align_corners=False).squeeze(1).clamp(0, 1)


def pooled_features(deepest: Tensor) -> Tensor:
    """Deepest feature maps (B, channels, h, w) to (B, channels), the vectors of a t-SNE."""
    return deepest.float().mean(dim=(2, 3))
