"""Linear layers with packed weights against the plain ones: values, gradients of the input, and where they stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ICHSegmenterLib.methods import packed_linear
from ICHSegmenterLib.methods.packed_linear import PackedLinear, pack_linear_layers
from ICHSegmenterLib.models import create_model

needs_operators = pytest.mark.skipif(
    not packed_linear._has_operators(), reason="PyTorch has no packed bfloat16 products on this processor"
)
BFLOAT16_STEP = 2.0**-8
"""Relative distance of neighboring bfloat16 numbers."""


class Mlp(nn.Module):
    """Two layers, with the exact GELU between them unless another is given."""

    def __init__(self, act: nn.Module | None = None, *, bias: bool = True) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(16, 48, bias=bias), act or nn.GELU(), nn.Linear(48, 16, bias=bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.fc2(self.act(self.fc1(tokens)))
        return result


def both(act: nn.Module | None = None, *, bias: bool = True) -> tuple[nn.Module, nn.Module]:
    """The same MLP in float32, of weights that bfloat16 holds exactly, and packed."""
    torch.manual_seed(0)
    plain, packed = Mlp(act, bias=bias), Mlp(act, bias=bias)
    plain.load_state_dict({key: tensor.bfloat16().float() for key, tensor in plain.state_dict().items()})
    packed.load_state_dict(plain.state_dict())
    pack_linear_layers(packed.requires_grad_(False).bfloat16())
    return plain.requires_grad_(False), packed


@needs_operators
@pytest.mark.parametrize("shape", [(16,), (5, 16), (2, 3, 4, 16)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_mlp_gives_the_plain_values_for_any_number_of_tokens(shape: tuple[int, ...], bias: bool) -> None:
    """Sums near 1 are rounded at most three times: of the first layer, of GELU, of the second."""
    plain, packed = both(bias=bias)
    assert isinstance(packed.fc1, PackedLinear) and packed.fc1.gelu and isinstance(packed.fc2, PackedLinear)
    tokens = torch.randn(shape).bfloat16()
    found = packed(tokens).float()
    assert found.shape == shape
    torch.testing.assert_close(found, plain(tokens.float()), rtol=0, atol=3 * BFLOAT16_STEP)


@needs_operators
def test_tokens_need_not_lie_together_in_memory() -> None:
    plain, packed = both()
    tokens = torch.randn(16, 6).bfloat16().t()
    torch.testing.assert_close(packed(tokens).float(), plain(tokens.float()), rtol=0, atol=3 * BFLOAT16_STEP)


@needs_operators
def test_the_gradient_of_the_input_is_the_plain_one() -> None:
    """Five roundings: of the values that GELU is derived at, and of each of the four steps back."""
    plain, packed = both()
    exact = torch.randn(7, 16).bfloat16().float().requires_grad_()
    tokens = exact.detach().bfloat16().requires_grad_()
    plain(exact).square().sum().backward()
    packed(tokens).square().sum().backward()
    assert exact.grad is not None and tokens.grad is not None
    scale = float(exact.grad.abs().max())
    torch.testing.assert_close(tokens.grad.float(), exact.grad, rtol=0, atol=5 * BFLOAT16_STEP * scale)


@needs_operators
def test_another_activation_stays_where_it_is() -> None:
    plain, packed = both(nn.ReLU())
    assert isinstance(packed.act, nn.ReLU) and not packed.fc1.gelu
    tokens = torch.randn(5, 16).bfloat16()
    torch.testing.assert_close(packed(tokens).float(), plain(tokens.float()), rtol=0, atol=3 * BFLOAT16_STEP)


def test_layers_stay_plain_in_float32_and_without_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Mlp().requires_grad_(False)
    pack_linear_layers(network)
    assert isinstance(network.fc1, nn.Linear) and isinstance(network.act, nn.GELU)
    monkeypatch.setattr(packed_linear, "_has_operators", lambda: False)
    pack_linear_layers(network.bfloat16())
    assert isinstance(network.fc1, nn.Linear) and isinstance(network.act, nn.GELU)


def test_operators_that_are_missing_or_wrong_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial itself, not its kept answer."""
    trial = packed_linear._has_operators.__wrapped__
    monkeypatch.setattr(PackedLinear, "product", lambda self, tokens, gelu: tokens.new_zeros(*tokens.shape[:-1], 48))
    assert not trial()

    def missing(*_: object, **__: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(PackedLinear, "__init__", missing)
    assert not trial()


def test_a_layer_that_is_trained_is_not_packed() -> None:
    with pytest.raises(ValueError, match="requires_grad_"):
        PackedLinear(nn.Linear(4, 4).bfloat16())


@needs_operators
@pytest.mark.parametrize(
    ("name", "config", "part", "side"),
    [
        (
            "swin_classifier",
            {"image_size": 64, "window_size": 4, "embed_dim": 16, "num_heads": (1, 2, 4, 8)},
            "swin",
            64,
        ),
        ("slice_sequence_transformer", {"embed_dim": 16, "num_heads": (1, 2, 4, 8)}, "backbone", 224),
    ],
)
def test_transformers_of_slices_are_packed_as_a_whole(name: str, config: dict, part: str, side: int) -> None:
    torch.manual_seed(0)
    depths = (1, 1, 1, 1)
    network = create_model(name, **config, depths=depths).requires_grad_(False).eval()
    transformer = getattr(network, part).bfloat16()
    slices = torch.rand(1, 3, side, side).bfloat16()
    with torch.inference_mode():
        plain = transformer(slices).float()
        pack_linear_layers(transformer)
        packed = transformer(slices).float()
    assert not any(type(layer) is nn.Linear for layer in transformer.modules())
    # qkv, proj, fc1 and fc2 of each block and 3 mergings are rounded once more or less, in sums of random signs
    steps = (4 * sum(depths) + 3) ** 0.5
    torch.testing.assert_close(packed, plain, rtol=0, atol=steps * BFLOAT16_STEP * float(plain.abs().max()))
