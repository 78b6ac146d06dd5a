"""Convolution, sum and ReLU in one pass over memory, where the processor's library can; elsewhere one after another.

On x86 PyTorch computes convolutions with oneDNN, which adds and clips while the sums are still in registers. PyTorch
offers that only to its compiler, which needs a C++ compiler that a Slicer computer lacks: so the compiler's operators
are called here, after a trial that they exist and give the plain result.
"""

from __future__ import annotations

import platform
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

TRIAL_TOLERANCE = 0.05
"""Largest difference of sums near 1, rounded to bfloat16 once or thrice."""


class FusedConvolution(nn.Module):
    """A convolution for inference, followed by a ReLU, and before it by a sum if one is given. Not to be trained."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._padding, self._stride = [int(size) for size in conv.padding], [int(size) for size in conv.stride]
        if conv.groups != 1 or any(step != 1 for step in conv.dilation):
            raise ValueError(f"only plain convolutions can be fused, got {conv}")

    def forward(self, tokens: Tensor, summand: Tensor | None = None) -> Tensor:
        """(B, in, h, w) to (B, out, h, w); `summand` has the output's shape and is overwritten."""
        # in bfloat16 the operator only adds what lies in memory as its own result: channels of a pixel together
        summable = summand is None or tokens.stride(1) == summand.stride(1) == 1 < tokens.shape[1]
        if summable and _is_fusible(tokens.device.type, tokens.dtype):
            return _fused(tokens, self.weight, self.bias, self._padding, self._stride, summand)
        return _plain(tokens, self.weight, self.bias, self._padding, self._stride, summand)


def _plain(
    tokens: Tensor, weight: Tensor, bias: Tensor | None, padding: list[int], stride: list[int], summand: Tensor | None
) -> Tensor:
    result = functional.conv2d(tokens, weight, bias, stride, padding)
    return (result if summand is None else summand.add_(result)).relu_()


def _fused(
    tokens: Tensor, weight: Tensor, bias: Tensor | None, padding: list[int], stride: list[int], summand: Tensor | None
) -> Tensor:
    operators = torch.ops.mkldnn
    result: Tensor
    if summand is None:
        result = operators._convolution_pointwise(tokens, weight, bias, padding, stride, [1, 1], 1, "relu", [], "")
    else:
        result = operators._convolution_pointwise_.binary(
            summand, tokens, weight, bias, padding, stride, [1, 1], 1, "add", 1.0, "relu", [], ""
        )
    return result


@cache
def _is_fusible(device: str, dtype: torch.dtype) -> bool:
    """Whether the operators exist for this kind of numbers and give the plain result."""
    if device != "cpu" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    bias = torch.rand(16, generator=generator).to(dtype)
    tokens, weight, summand = (
        torch.rand(shape, generator=generator).sub(0.5).to(dtype).contiguous(memory_format=torch.channels_last)
        for shape in ((2, 16, 8, 8), (16, 16, 3, 3), (2, 16, 8, 8))
    )
    for added in (None, summand):
        given = (tokens, weight, bias, [1, 1], [1, 1])
        plain = _plain(*given, None if added is None else added.clone())
        try:
            fused = _fused(*given, None if added is None else added.clone())
        except (AttributeError, RuntimeError, TypeError):
            return False
        if not torch.allclose(plain.float(), fused.float(), atol=TRIAL_TOLERANCE):
            return False
    return True
