"""BLAST-CT's network and an input by rule: what its own golden numbers are taken of."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ICHSegmenterLib.models import create_model
from parameter_rule import fill, image

SEED, TILE_SIZE = 7, 110
LAST_LAYER_SCALE = 1 / 128
"""Brings the logits to less than 5, so that no probability is 0 or 1 whatever the network does."""


def rule_network() -> torch.nn.Module:
    """All weights by rule, those of the last convolution scaled."""
    network = fill(create_model("deepmedic")).requires_grad_(False)
    network.get_parameter("fully_connected.2.conv.weight").mul_(LAST_LAYER_SCALE)
    return network


def rule_input() -> NDArray[np.float32]:
    """(z, y, x) noise from -1 to 1; the network returns the middle 30 voxels of each axis."""
    return image(SEED, (TILE_SIZE,) * 3) * 2 - 1


def logits_of_tile(network: torch.nn.Module) -> NDArray[np.float32]:
    """(5, 30, 30, 30) of the input by rule."""
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(rule_input())[None, None])[0].numpy())
