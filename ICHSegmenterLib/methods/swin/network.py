"""Slice classifier of HGI-SAM and Swin-SAM: a Swin transformer and one linear layer on its pooled features.

Paper: Rasoulian et al., "Weakly supervised intracranial hemorrhage segmentation using head-wise gradient-infused
self-attention maps from a Swin transformer", MELBA 2023:012, arXiv 2304.04902. Authors' code: HealthX-Lab/HGI-SAM
(Apache-2.0). The transformer is timm's (Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from timm.layers import set_fused_attn
from timm.models.swin_transformer import SwinTransformer
from torch import nn

_TIMM_0_6_BUFFER = re.compile(r"\.(attn_mask|relative_position_index)$")
_DOWNSAMPLE = re.compile(r"^swin\.layers\.(\d+)\.downsample\.")


class SwinClassifier(nn.Module):
    """Swin-B with 12x12 windows on 384x384 slices ("SwinWeak" of the authors); smaller sizes serve tests.

    Args:
        num_classes: 2 (softmax, class 1 is hemorrhage), 1 (sigmoid) or 6 (sigmoid; EDH IPH IVH SAH SDH any).
        image_size: rows and columns of the input, pixels.
    """

    def __init__(
        self,
        num_classes: int = 2,
        *,
        image_size: int = 384,
        window_size: int = 12,
        embed_dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        num_heads: Sequence[int] = (4, 8, 16, 32),
    ) -> None:
        super().__init__()
        set_fused_attn(False)  # fused attention never forms the matrix that the maps are made of
        self.swin = SwinTransformer(
            img_size=image_size,
            window_size=window_size,
            embed_dim=embed_dim,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            num_classes=0,
        )
        self.head = nn.Linear(self.swin.num_features, num_classes)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """Logits (B, num_classes) of slices (B, 3, image_size, image_size) in [0, 1]."""
        logits: torch.Tensor = self.head(self.swin(slices))
        return logits

    @staticmethod
    def convert_keys(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """State of the published files (timm 0.6) in the layout of today's timm; today's layout is left as it is.

        timm 0.6 saved two buffers that are now computed, and counted a downsampling layer to the stage before it.
        """
        counted_to_stage_before = any(key.startswith("swin.layers.0.downsample.") for key in state)
        converted = {}
        for key, tensor in state.items():
            if _TIMM_0_6_BUFFER.search(key):
                continue
            if counted_to_stage_before:
                key = _DOWNSAMPLE.sub(lambda match: f"swin.layers.{int(match[1]) + 1}.downsample.", key)
            converted[key] = tensor
        return converted


def build_swin_classifier(
    *,
    num_classes: int = 2,
    image_size: int = 384,
    window_size: int = 12,
    embed_dim: int = 128,
    depths: Sequence[int] = (2, 2, 18, 2),
    num_heads: Sequence[int] = (4, 8, 16, 32),
) -> SwinClassifier:
    """A classifier with timm's initial weights."""
    return SwinClassifier(
        num_classes,
        image_size=image_size,
        window_size=window_size,
        embed_dim=embed_dim,
        depths=depths,
        num_heads=num_heads,
    )
