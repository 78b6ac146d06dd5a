"""How far a network's output may be from that of the CPU in float32, from the arithmetic alone.

A number format of p significant bits rounds to nearest, so each rounding is wrong by at most u = 2^-p of the number and
has a mean square below u^2 / 3. A layer with weights rounds three times: its weights, its products' sum, and what an
activation or a shortcut makes of it; a norm likewise: its scale, its shift, its result. Independent errors add by their
squares: u^2 a layer, relative to the layer's norm.
A sum of n products is accumulated in float32 on every device; each of its n partial sums is rounded, the k-th at a
height of sqrt(k / n) of the result: together n / 2 * u32^2 / 3. Devices add in another order, so in float32 both sides
differ from the exact result, and the squares add once more.

    tolerance = MARGIN * sqrt(sides * layers * (u^2 + n / 6 * u32^2)),   relative to the norm of the output

A network that neither amplifies nor damps relative errors stays within a margin of 1. `MARGIN` has a factor of two for
norms, activations and attention, whose slope may be above 1, and one of two for outputs of few numbers, where terms
that cancel leave less than the errors of the terms. A backward pass counts as many layers again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import nn

SIGNIFICANT_BITS: Mapping[str, int] = MappingProxyType({"float32": 24, "bfloat16": 8, "float16": 11})
MARGIN = 4.0
WEIGHTED = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear, nn.LSTM)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm2d, nn.LayerNorm)


def tolerance(precision: str, layers: int, fan_in: int) -> float:
    """Largest permitted norm of the difference, as a share of the norm of the output.

    Args:
        precision: Of the device's side; the CPU's is float32.
        layers: With weights or norms, one after another.
        fan_in: Products in the longest sum.
    """
    unit, unit32 = (2.0 ** -SIGNIFICANT_BITS[name] for name in (precision, "float32"))
    sides = 2 if precision == "float32" else 1
    return MARGIN * math.sqrt(sides * layers * (unit**2 + fan_in / 6 * unit32**2))


def size_of(network: nn.Module) -> tuple[int, int]:
    """Layers with weights or norms, parallel ones included, and the products in the longest sum of one of them."""
    layers = [module for module in network.modules() if isinstance(module, WEIGHTED + NORMS)]
    return len(layers), max(_fan_in(layer) for layer in layers if isinstance(layer, WEIGHTED))


def relative_difference(output: torch.Tensor, reference: torch.Tensor) -> float:
    """Norm of the difference as a share of the reference's norm, in float64.

    Infinite if a number is not finite, or if only the reference is empty.
    """
    ours, theirs = output.detach().double().cpu(), reference.detach().double().cpu()
    if ours.shape != theirs.shape or not ours.isfinite().all():
        return math.inf
    if not theirs.any():
        return math.inf if ours.any() else 0.0
    return float((ours - theirs).norm() / theirs.norm())


def _fan_in(layer: nn.Module) -> int:
    if isinstance(layer, nn.LSTM):
        return layer.input_size + layer.hidden_size
    weight = layer.weight
    return weight.numel() // weight.shape[0]
