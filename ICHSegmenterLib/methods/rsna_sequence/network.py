"""Slice-and-sequence transformer for the six labels of RSNA 2019.

Re-creates Shang et al., arXiv 2205.07556 (PaddlePaddle/Research, Apache-2.0):
a post-norm Swin sees each slice, a two-layer transformer all slices of the series.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ICHSegmenterLib.methods.rsna_sequence.post_norm_swin import PostNormSwin, initialize

CLASSES = 6
SERIES_LENGTH = 60
"""Slices that the authors' evaluation pads every series to; also the length of the position table."""
SEQUENCE_LAYERS, SEQUENCE_HEADS, FEED_FORWARD = 2, 2, 200
DROPOUT = 0.2

_RECOMPUTED = ("relative_position_index", "attn_mask", "pos_encoder.pe")


class SliceSequenceTransformer(nn.Module):
    """One series of slices (S, 3, 224, 224) in [0, 1] to six logits for each slice, S at most 60.

    In training it returns (sequence logits, slice logits), both (S, 6); in evaluation [sequence logits].
    """

    def __init__(
        self,
        embed_dim: int = 128,
        depths: Sequence[int] = (2, 2, 18, 2),
        num_heads: Sequence[int] = (4, 8, 16, 32),
    ) -> None:
        super().__init__()
        width = embed_dim * 8
        self.backbone = PostNormSwin(embed_dim=embed_dim, depths=depths, num_heads=num_heads, classes=CLASSES)
        self.pos_encoder = PositionalEncoding(width)
        layers = nn.TransformerEncoderLayer(width, SEQUENCE_HEADS, FEED_FORWARD, DROPOUT, batch_first=True)
        self.sequence_encoder = nn.TransformerEncoder(layers, SEQUENCE_LAYERS, enable_nested_tensor=False)
        self.sequence_decoder = nn.Linear(width, CLASSES)
        self._initialize()

    def forward(self, slices: Tensor) -> tuple[Tensor, Tensor] | list[Tensor]:
        features = self.features(slices)
        sequence_logits = self.sequence(features)
        if self.training:
            return sequence_logits, self.backbone.fc(features)
        return [sequence_logits]

    def features(self, slices: Tensor) -> Tensor:
        """(S, 3, 224, 224) -> (S, width); slices do not see each other, so any batch size gives the same."""
        features: Tensor = self.backbone(slices)
        return features

    def sequence(self, features: Tensor) -> Tensor:
        """Features of all slices in order (S, width) -> logits (S, 6)."""
        encoded = self.sequence_encoder(self.pos_encoder(features.unsqueeze(0)))
        logits: Tensor = self.sequence_decoder(encoded.squeeze(0))
        return logits

    @staticmethod
    def convert_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Paddle's layout to torch's: linear weights transposed, q, k and v joined, computed buffers dropped."""
        kept = {key: tensor for key, tensor in state.items() if not key.endswith(_RECOMPUTED)}
        if not any(key.endswith("q_proj.weight") for key in kept):
            return kept
        is_linear = {key for key, tensor in kept.items() if tensor.ndim == 2 and key.endswith(".weight")}
        turned = {key: tensor.T.contiguous() if key in is_linear else tensor for key, tensor in kept.items()}
        return _joined_projections(turned)

    def _initialize(self) -> None:
        """The authors' initial values; the two sequence layers are drawn independently."""
        initialize(self.backbone)
        for name, parameter in self.sequence_encoder.named_parameters():
            if "norm" in name:
                continue
            if name.endswith("weight"):
                nn.init.uniform_(parameter, -0.1, 0.1)
            else:
                nn.init.zeros_(parameter)
        nn.init.xavier_uniform_(self.sequence_decoder.weight)
        nn.init.zeros_(self.sequence_decoder.bias)


class PositionalEncoding(nn.Module):
    """Adds fixed sinusoids to (1, S, width), then drops out."""

    pe: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        position = torch.arange(SERIES_LENGTH, dtype=torch.float64)[:, None]
        frequency = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
        table = torch.zeros(1, SERIES_LENGTH, width, dtype=torch.float64)
        table[0, :, 0::2] = torch.sin(position * frequency)
        table[0, :, 1::2] = torch.cos(position * frequency)
        self.register_buffer("pe", table.float(), persistent=False)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, features: Tensor) -> Tensor:
        length = features.shape[1]
        if length > SERIES_LENGTH:
            raise ValueError(f"a series of {length} slices is longer than the {SERIES_LENGTH} of the position table")
        encoded: Tensor = self.dropout(features + self.pe[:, :length].to(features.dtype))
        return encoded


def build_slice_sequence_transformer(
    embed_dim: int = 128, depths: Sequence[int] = (2, 2, 18, 2), num_heads: Sequence[int] = (4, 8, 16, 32)
) -> SliceSequenceTransformer:
    """The published size by default; smaller ones for tests."""
    return SliceSequenceTransformer(embed_dim, tuple(depths), tuple(num_heads))


def _joined_projections(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """q_proj, k_proj, v_proj of each layer to in_proj, in this order."""
    joined = {key: tensor for key, tensor in state.items() if not any(f".{one}_proj." in key for one in "qkv")}
    for key in state:
        if ".q_proj." in key:
            parts = [state[key.replace(".q_proj.", f".{one}_proj.")] for one in "qkv"]
            joined[key.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    return joined
