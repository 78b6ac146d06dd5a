"""SwinUNETR on single slices, the second supervised baseline of the HGI-SAM paper; no weights were published.

Papers: Hatamizadeh et al., "Swin UNETR", arXiv 2201.01266; Rasoulian et al., MELBA 2023:012, arXiv 2304.04902.
The network is MONAI's (Apache-2.0).
"""

from __future__ import annotations

from torch import nn


def build_swin_unetr() -> nn.Module:
    """Logits (B, 2, 384, 384) of slices (B, 3, 384, 384) in [0, 1]: background and hemorrhage."""
    import einops  # noqa: F401  MONAI needs it, but says so only when the network runs
    from monai.networks.nets import SwinUNETR  # takes seconds to import and only this network needs it

    network: nn.Module = SwinUNETR(
        in_channels=3,
        out_channels=2,
        depths=(2, 2, 2, 2),
        num_heads=(2, 4, 8, 16),
        feature_size=12,
        spatial_dims=2,
    )
    return network
