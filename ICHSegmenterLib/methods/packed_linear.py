"""Linear layers for inference in bfloat16 on a CPU: weights packed once, bias and GELU added within the product.

PyTorch's own layer arranges the weights anew at every call, and adds the bias in a pass over memory of its own. oneDNN,
which it computes with, needs neither; PyTorch offers that only to its compiler, which needs a C++ compiler that a
Slicer computer lacks: so the compiler's operators are called here, after a trial that they exist and give the plain
result. Elsewhere, and in float32, where nothing was gained, the plain layers stay.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

TRIAL_TOLERANCE = 0.05
"""Largest difference of sums near 1, rounded to bfloat16 once or thrice."""


class PackedLinear(nn.Module):
    """A linear layer whose weights are fixed; gradients reach its input only.

    Args:
        linear: bfloat16, on a CPU, parameter gradients off. Its weights are copied, so that it can be let go.
        gelu: whether the exact GELU follows.

    Raises:
        ValueError: The layer is still to be trained.
    """

    def __init__(self, linear: nn.Linear, *, gelu: bool = False) -> None:
        super().__init__()
        if linear.weight.requires_grad:
            raise ValueError("a layer that is trained cannot be packed; call requires_grad_(False) first")
        self.bias, self.gelu = linear.bias, gelu
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        if not (torch.is_grad_enabled() and tokens.requires_grad):
            return self.product(tokens, gelu=self.gelu)
        output: Tensor = _InputGradient.apply(tokens, self)
        return functional.gelu(output) if self.gelu else output

    def plain_weight(self) -> Tensor:
        """(out, in), unpacked: kept once only, since a network's weights are hundreds of megabytes."""
        weight: Tensor = self._packed.to_dense()
        return weight

    def product(self, tokens: Tensor, *, gelu: bool) -> Tensor:
        """The product alone, outside of autograd."""
        after, algorithm = ("gelu", "none") if gelu else ("none", "")
        output: Tensor = torch.ops.mkldnn._linear_pointwise(tokens, self._packed, self.bias, after, [], algorithm)
        return output


class _InputGradient(torch.autograd.Function):
    """The product, and the gradient of its input."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, layer: PackedLinear) -> Tensor:
        ctx.layer = layer
        return layer.product(tokens, gelu=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.plain_weight(), None


def pack_linear_layers(network: nn.Module) -> None:
    """Pack the linear layers of a network in place, as far as this computer can; their GELUs become identities.

    Args:
        network: parameter gradients off, on its device and in its dtype, which stay.
    """
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Linear):
            if _is_packable(child):
                setattr(network, name, PackedLinear(child, gelu=_has_gelu_behind(network, name)))
        else:
            pack_linear_layers(child)
    first = getattr(network, "fc1", None)
    if isinstance(first, PackedLinear) and first.gelu:
        network.add_module("act", nn.Identity())


def _has_gelu_behind(block: nn.Module, name: str) -> bool:
    """Whether it is the first layer of an MLP, `fc2(act(fc1(x)))`, with the exact GELU."""
    activation = getattr(block, "act", None)
    return name == "fc1" and isinstance(activation, nn.GELU) and activation.approximate == "none"


def _is_packable(linear: nn.Linear) -> bool:
    weight = linear.weight
    return weight.device.type == "cpu" and weight.dtype == torch.bfloat16 and _has_operators()


@cache
def _has_operators() -> bool:
    """Whether the operators exist and give the plain result."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    tokens, weight, bias = (
        torch.rand(shape, generator=generator).sub(0.5).bfloat16() for shape in ((3, 5, 32), (48, 32), (48,))
    )
    linear = nn.Linear(32, 48, dtype=torch.bfloat16).requires_grad_(False)
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)
    plain = linear(tokens)
    try:
        layer = PackedLinear(linear)
        if not torch.equal(layer.plain_weight(), weight):
            return False
        found = [layer.product(tokens, gelu=gelu).float() for gelu in (False, True)]
    except (AttributeError, RuntimeError, TypeError):
        return False
    expected = [plain.float(), functional.gelu(plain).float()]
    return all(torch.allclose(a, b, atol=TRIAL_TOLERANCE) for a, b in zip(found, expected, strict=True))
