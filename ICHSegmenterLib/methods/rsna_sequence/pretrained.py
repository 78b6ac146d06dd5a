"""timm's Swin and Swin V2, trained on photographs, as starting weights of the post-norm Swin.

The blocks are Swin V1's with the norms where Swin V2 has them, so that each of the two gives most tensors: V2's norms
stand in the same places, its continuous position bias becomes the table of a 7 x 7 window; V1 gives its table as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ICHSegmenterLib.methods.rsna_sequence.post_norm_swin import WINDOW

BIAS_LIMIT = 16.0
"""Swin V2 keeps its position bias below it: 16 * sigmoid."""
FINEST_LOG = 8.0
"""Its coordinates are log2(1 + 8 |x|) / log2(8)."""
_MARK = "patch_embed.proj.weight"


def is_timm_swin(state: Mapping[str, Tensor]) -> bool:
    """True of the state of timm's Swin or Swin V2."""
    return _MARK in state and any(key.startswith("layers.0.blocks.0.attn.") for key in state)


def backbone_from_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of timm's Swin or Swin V2 under the names of `SliceSequenceTransformer`; what has no place is left out."""
    old_layout = any(key.startswith("layers.0.downsample.") for key in state)  # timm 0.6 counts to the stage before
    converted: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if key.startswith("patch_embed."):
            part = key.removeprefix("patch_embed.").replace("proj.", "patch_embed.")
            converted[f"backbone.patch_embedding.{part}"] = tensor
        elif match := re.match(r"layers\.(\d+)\.downsample\.(.+)", key):
            stage = int(match[1]) - (0 if old_layout else 1)
            converted[f"backbone.stages.{stage}.downsample.{match[2]}"] = tensor
        elif match := re.match(r"layers\.(\d+)\.blocks\.(.+)", key):
            converted[f"backbone.stages.{match[1]}.blocks.{match[2]}"] = tensor
        elif key.startswith("norm."):
            converted[f"backbone.{key}"] = tensor
    for key in [key for key in converted if key.endswith("attn.q_bias")]:
        block = key.removesuffix("q_bias")
        q_bias, v_bias = converted.pop(key), converted.pop(f"{block}v_bias")
        converted[f"{block}qkv.bias"] = torch.cat((q_bias, torch.zeros_like(q_bias), v_bias))
        converted[f"{block}relative_position_bias_table"] = _table(converted, f"{block}cpb_mlp.")
    tables = [key for key in converted if key.endswith("relative_position_bias_table")]
    for key in tables:
        converted[key] = _resized(converted[key])
    return converted


def _table(state: Mapping[str, Tensor], mlp: str) -> Tensor:
    """Swin V2's position bias (169, heads) of a 7 x 7 window, from its small network of the distance."""
    offsets = torch.arange(-(WINDOW - 1), WINDOW, dtype=torch.float32)
    scaled = FINEST_LOG * offsets / (WINDOW - 1)
    logs = torch.sign(scaled) * torch.log2(1 + scaled.abs()) / math.log2(FINEST_LOG)
    places = torch.stack(torch.meshgrid(logs, logs, indexing="ij"), dim=-1).flatten(0, 1)
    hidden = functional.relu(functional.linear(places, state[f"{mlp}0.weight"], state[f"{mlp}0.bias"]))
    return BIAS_LIMIT * torch.sigmoid(functional.linear(hidden, state[f"{mlp}2.weight"]))


def _resized(table: Tensor) -> Tensor:
    """A position bias table of any square window as that of a 7 x 7 one."""
    side, own = round(math.sqrt(len(table))), 2 * WINDOW - 1
    if side == own or side * side != len(table):
        return table
    grid = table.T.reshape(1, -1, side, side).float()
    return (
        functional.interpolate(grid, size=(own, own), mode="bicubic", align_corners=True)[0].flatten(1).T.contiguous()
    )
