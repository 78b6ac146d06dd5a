"""The attention of one block, its sums and gradients, against a plain softmax and autograd in double precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ICHSegmenterLib.methods.swin import window_attention
from ICHSegmenterLib.methods.swin.window_attention import BlockAttention

Array = NDArray[np.float64]


class Kernel:
    """Attention of 4 windows (two slices of two), 2 heads, 3 tokens and 4 channels, with bias and mask per window."""

    windows, heads, tokens, channels, scale = 4, 2, 3, 4, 0.7

    def __init__(self, tile: int, *, masked: bool) -> None:
        random = torch.Generator().manual_seed(3)
        self.qkv = torch.randn(self.windows, self.tokens, 3 * self.heads * self.channels, generator=random)
        self.d_mixed = torch.randn(self.windows, self.tokens, self.heads * self.channels, generator=random)
        bias = torch.randn(2 if masked else 1, self.heads, self.tokens, self.tokens, generator=random)
        self.bias = bias.expand(2, -1, -1, -1).double()
        flat = (bias if masked else bias.expand(tile, -1, -1, -1)).reshape(-1, self.tokens, self.tokens)
        self.kernel = window_attention._Kernel(self.heads, self.scale, flat.contiguous(), tile)

    def plain(self, shift: float) -> Iterator[Array]:
        """Mixed values, gradient by qkv, received attention and gradient norms, in double precision."""
        qkv = self.qkv.double().requires_grad_()
        q, k, v = qkv.view(self.windows, self.tokens, 3, self.heads, self.channels).permute(2, 0, 3, 1, 4)
        bias = self.bias.repeat(2, 1, 1, 1) + shift
        before = self.scale * q @ k.transpose(2, 3) + bias
        before.retain_grad()
        weights = before.softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(self.windows, self.tokens, -1)
        mixed.backward(self.d_mixed.double())
        received, norms = weights.mean(2), torch.linalg.matrix_norm(before.grad)
        yield from (t.detach().numpy() for t in (mixed, qkv.grad, received, norms))


@pytest.mark.parametrize("shift", [0.0, 60.0, -60.0, 75.0, -75.0, 300.0, -300.0])
@pytest.mark.parametrize(("tile", "masked"), [(1, False), (2, False), (1, True), (2, True)])
def test_attention_its_sums_and_its_gradients_equal_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch, tile: int, masked: bool, shift: float
) -> None:
    """A number added to all logits changes nothing but the size of exp, whose sums pass 1e30 beyond 69.

    The plain softmax is tried first, and only sums out of range ask for the safe one.
    """
    case = Kernel(tile, masked=masked)
    case.kernel.bias.add_(shift)
    tries: list[bool] = []
    attend = window_attention._attend

    def spy(*tensors: Any, is_safe: bool, **options: Any) -> Any:
        tries.append(is_safe)
        return attend(*tensors, is_safe=is_safe, **options)

    monkeypatch.setattr(window_attention, "_attend", spy)
    block = BlockAttention(0, (2, 3), (1, 3), (0, 0))
    qkv = case.qkv.clone().requires_grad_()
    mixed = window_attention._WindowAttention.apply(qkv, case.kernel, block, False)
    mixed.backward(case.d_mixed)
    assert tries == ([False] if abs(shift) < 65 else [False, True])
    expected = case.plain(shift)
    # Logits near 300 are rounded to 300 * 6e-8 = 2e-5, which exp turns into a relative error.
    tolerance = 1e-5 if abs(shift) < 65 else 2e-4
    for tensor, values in zip((mixed, qkv.grad, block.received, block.gradient_norm), expected, strict=True):
        assert tensor is not None and tensor.shape == values.shape
        np.testing.assert_allclose(tensor.detach().numpy(), values, rtol=tolerance, atol=tolerance)


def test_the_root_of_the_graph_has_a_norm_and_hands_no_gradient_on() -> None:
    case = Kernel(2, masked=True)
    block = BlockAttention(0, (2, 3), (1, 3), (0, 0))
    qkv = case.qkv.clone().requires_grad_()
    window_attention._WindowAttention.apply(qkv, case.kernel, block, True).backward(case.d_mixed)
    *_, norms = case.plain(0.0)
    assert qkv.grad is None and block.gradient_norm is not None
    np.testing.assert_allclose(block.gradient_norm.numpy(), norms, rtol=1e-5)


def test_nothing_is_kept_for_a_backward_pass_that_cannot_come() -> None:
    case = Kernel(2, masked=False)
    q = torch.randn(8, 3, 4)
    for keep, tiles in ((False, 0), (True, 2)):
        *_, kept = window_attention._attend(q, q, q, case.kernel, record=False, keep=keep, is_safe=False)
        assert len(kept) == tiles


def test_received_attention_is_summed_only_when_recorded() -> None:
    case, q = Kernel(2, masked=False), torch.randn(8, 3, 4)
    for record in (False, True):
        *_, received, _kept = window_attention._attend(q, q, q, case.kernel, record=record, keep=False, is_safe=True)
        assert bool(received.any()) == record
