"""SMART-Net downstream: the upstream encoder on every slice, then an LSTM (classification) or 3D convolutions.

Re-creates Kyung et al., Med Image Anal 2022 (S1361841522001360; babbu3682/SMART-Net, MIT). Key names are theirs.
Slices run through the encoder in batches; in evaluation mode any batch size gives the same result. In training the
authors run one slice of each volume after the other, so that batch norms see as few as there are volumes: `per_depth`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from ICHSegmenterLib.methods.smart_net.networks.upstream import (
    LAYERS,
    WIDTH,
    SegmentationDecoder,
    SliceEncoder,
    feature_width,
    map_width,
)


class SmartNetDownCls(nn.Module):
    """Volumes (B, 1, H, W, D) and their true depths (B,) to one logit each (B, 1).

    Args:
        width, layers: Of the encoder, as of `SmartNetUp`.
        per_depth: In training, one slice of each volume after the other, as the authors do.
    """

    def __init__(self, width: int = WIDTH, layers: Sequence[int] = LAYERS, per_depth: bool = False) -> None:
        super().__init__()
        self._per_depth = per_depth
        features = feature_width(width)
        hidden = features // 4  # 512
        self.encoder = SliceEncoder(width, layers)
        self.LSTM = nn.LSTM(features, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * hidden, hidden)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(hidden, 1)

    def forward(self, volumes: Tensor, depths: Tensor) -> Tensor:
        features = each_slice(self.slice_features, volumes, is_alone=self._per_depth and self.training)
        logits: Tensor = self.head(self.dropout(self.pooled(features, depths)))
        return logits

    def slice_features(self, slices: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 2048), mean over the deepest map."""
        return functional.adaptive_avg_pool2d(self.encoder(slices)[-1], 1).flatten(1)

    def pooled(self, features: Tensor, depths: Tensor) -> Tensor:
        """Slice features (B, D, 2048) -> exam features (B, 512), the vectors of a t-SNE."""
        packed = pack_padded_sequence(features, depths.cpu().long(), batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.LSTM(packed)
        both = torch.cat((hidden[-1], hidden[-2]), dim=1)  # the authors put the reverse direction first
        return functional.relu(self.fc(both))


class SmartNetDownSeg(nn.Module):
    """Volumes (B, 1, H, W, D) to voxel logits (B, 1, H, W, D).

    Args:
        width, layers: Of the encoder, as of `SmartNetUp`.
        per_depth: In training, one slice of each volume after the other, as the authors do.
    """

    def __init__(self, width: int = WIDTH, layers: Sequence[int] = LAYERS, per_depth: bool = False) -> None:
        super().__init__()
        self._per_depth = per_depth
        channels = map_width(width)
        self.encoder = SliceEncoder(width, layers)
        self.seg_decoder = SegmentationDecoder(width)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm3d(channels)
        self.head = nn.Conv3d(channels, 1, 3, padding=1)

    def forward(self, volumes: Tensor) -> Tensor:
        maps = each_slice(self.slice_maps, volumes, is_alone=self._per_depth and self.training)
        return self.volume_logits(maps.permute(0, 2, 3, 4, 1))  # (B, D, 16, H, W) -> (B, 16, H, W, D)

    def slice_maps(self, slices: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 16, H, W)."""
        maps: Tensor = self.seg_decoder(self.encoder(slices))
        return maps

    def volume_logits(self, stack: Tensor) -> Tensor:
        """(B, 16, H, W, D) -> (B, 1, H, W, D): the 3D operator."""
        slices = stack.permute(0, 1, 4, 2, 3)  # (B, 16, D, H, W), as slice maps lie in memory: twice as fast
        slices = functional.relu(self.bn1(_convolved(self.conv1, slices)), inplace=True)
        slices = functional.relu(self.bn2(_convolved(self.conv2, slices)), inplace=True)
        return _convolved(self.head, slices).permute(0, 1, 3, 4, 2)


def each_slice(step: Callable[[Tensor], Tensor], volumes: Tensor, *, is_alone: bool) -> Tensor:
    """What becomes of each slice of volumes (B, 1, H, W, D): (B, D, ...).

    Args:
        step: Of slices (N, 1, H, W).
        volumes: Of one depth, padded if need be.
        is_alone: One slice of each volume at a time, in place of all at once.
    """
    batch, depth = volumes.shape[0], volumes.shape[-1]
    if is_alone:
        return torch.stack([step(volumes[..., number]) for number in range(depth)], dim=1)
    return step(volumes_to_slices(volumes)).unflatten(0, (batch, depth))


def volumes_to_slices(volumes: Tensor) -> Tensor:
    """(B, 1, H, W, D) -> (B*D, 1, H, W), slices of one volume together."""
    return volumes.permute(0, 4, 1, 2, 3).flatten(0, 1)


def _convolved(conv: nn.Conv3d, slices: Tensor) -> Tensor:
    """(B, channels, D, H, W) by a kernel whose axes are H, W, D."""
    kernel = conv.weight.permute(0, 1, 4, 2, 3)
    return functional.conv3d(slices, kernel, conv.bias, padding=1)


build_smart_net_down_cls = SmartNetDownCls
build_smart_net_down_seg = SmartNetDownSeg
