"""Weights and inputs by a rule on name and shape, so that the golden numbers need no weight files.

Entry k of a tensor is splitmix64(crc32(name) * 2**32 + k), made a number of -1 to 1 and scaled by what the name says
the tensor is. NumPy alone; equal to the bit on every machine.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

UINT64_VALUES = 1 << 64


def unit(name: str, count: int) -> NDArray[np.float64]:
    """(count,) numbers in [-1, 1); entry k depends on the name and k only."""
    start = np.uint64((zlib.crc32(name.encode()) << 32) % UINT64_VALUES)
    with np.errstate(over="ignore"):
        bits = _splitmix64(start + np.arange(count, dtype=np.uint64))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53 * 2.0 - 1.0


def value(name: str, shape: Sequence[int]) -> NDArray[np.float32] | NDArray[np.int64]:
    """One entry of a state dict."""
    shape = tuple(int(size) for size in shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    numbers = unit(name, math.prod(shape))
    return (_offset(name, leaf, shape) + _scale(name, leaf, shape) * numbers).astype(np.float32).reshape(shape)


def fill(network: nn.Module) -> nn.Module:
    """The network, every entry of its state dict overwritten by the rule."""
    import torch  # the thinned numbers are read without it

    state = {key: torch.from_numpy(value(key, tensor.shape)) for key, tensor in network.state_dict().items()}
    network.load_state_dict(state, strict=True)
    return network


def image(seed: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Noise in [0, 1), of any shape."""
    return ((unit(f"input-{seed}", math.prod(shape)) + 1) / 2).astype(np.float32).reshape(shape)


def _splitmix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One output of the generator of Steele, Lea and Flood (OOPSLA 2014) for each state."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _offset(name: str, leaf: str, shape: tuple[int, ...]) -> float:
    """1 for variances and the scales of normalization layers, but 0.3 at the end of a residual block."""
    if leaf == "running_var":
        return 1.0
    if _is_norm_scale(leaf, shape):
        return 0.3 if name.endswith("bn3.weight") else 1.0
    return 0.0


def _scale(name: str, leaf: str, shape: tuple[int, ...]) -> float:
    if leaf == "running_var":
        return 0.3
    if _is_norm_scale(leaf, shape):
        return 0.05 if name.endswith("bn3.weight") else 0.1
    if leaf == "running_mean" or leaf.startswith("bias"):
        return 0.1
    scale = math.sqrt(6.0 / math.prod(shape[1:]))
    if "_head" in name:
        scale *= 0.25
    return scale * 0.3 if name.startswith("LSTM") else scale


def _is_norm_scale(leaf: str, shape: tuple[int, ...]) -> bool:
    return leaf.startswith("weight") and len(shape) == 1
