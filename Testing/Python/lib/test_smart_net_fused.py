"""SMART-Net made faster: the fused network says what the network says."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from ICHSegmenterLib.methods.smart_net.networks import fused_convolution
from ICHSegmenterLib.methods.smart_net.networks.fused import enlarging_kernel, fuse
from ICHSegmenterLib.methods.smart_net.networks.fused_convolution import FusedConvolution
from ICHSegmenterLib.methods.smart_net.slices import fit_for_inference
from ICHSegmenterLib.models import create_model


def with_statistics(name):
    """A network in evaluation mode whose norms are not the identity."""
    torch.manual_seed(3)
    network = create_model(name).eval().requires_grad_(False)
    for key, buffer in network.named_buffers():
        if key.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn_like(buffer))
        elif key.endswith("running_var"):
            buffer.copy_(1 + torch.rand_like(buffer))
    return network


@pytest.fixture(params=["in one pass", "one after another"])
def way(request, monkeypatch):
    if request.param == "one after another":
        monkeypatch.setattr(fused_convolution, "_is_fusible", lambda *_: False)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("channels", "kernel", "stride"), [(1, 7, 1), (16, 3, 2), (16, 1, 1)])
@torch.inference_mode()
def test_a_fused_convolution_adds_and_clips(way, channels, kernel, stride, dtype, layout):
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 32, kernel, stride, kernel // 2)
    tokens, summand = torch.randn(2, channels, 12, 12), torch.randn(2, 32, 12 // stride, 12 // stride)
    alone, together = conv(tokens).relu(), (conv(tokens) + summand).relu()
    fused = FusedConvolution(conv).to(dtype)
    tokens, given = (one.to(dtype).contiguous(memory_format=layout) for one in (tokens, summand))
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 0.05}
    torch.testing.assert_close(fused(tokens).float(), alone, **tolerance)
    torch.testing.assert_close(fused(tokens, given).float(), together, **tolerance)


@pytest.mark.parametrize("answer", ["error", "other numbers"])
def test_operators_that_fail_their_trial_are_not_used(monkeypatch, answer):
    def other(tokens, *_):
        if answer == "error":
            raise RuntimeError("no such operator")
        return torch.full_like(tokens, 7)

    monkeypatch.setattr(fused_convolution, "_fused", other)
    assert not fused_convolution._is_fusible.__wrapped__("cpu", torch.float32)


def test_grouped_and_dilated_convolutions_are_refused():
    for conv in (nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, dilation=2)):
        with pytest.raises(ValueError, match="only plain convolutions"):
            FusedConvolution(conv)


def test_one_transposed_convolution_enlarges_and_convolves():
    torch.manual_seed(1)
    tokens, weight = torch.randn(2, 5, 6, 7), torch.randn(3, 5, 3, 3)
    expected = functional.conv2d(functional.interpolate(tokens, scale_factor=2.0), weight, padding=1)
    found = functional.conv_transpose2d(tokens, enlarging_kernel(weight), stride=2, padding=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["smart_net_up", "smart_net_down_seg", "smart_net_down_cls"])
@torch.inference_mode()
def test_a_fused_network_says_what_the_network_says(way, name):
    """Rounding is relative to the features, of the order of 1, which the last layers sum to some hundredths of that."""
    network = with_statistics(name)
    slices = torch.rand(3, 1, 48, 32)
    given = (slices,) if name == "smart_net_up" else (slices.permute(1, 2, 3, 0)[None],)
    given += (torch.tensor([3]),) if name.endswith("cls") else ()
    expected = network(*given)
    fuse(network)
    for found, wanted in zip(network(*given), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3 * float(wanted.abs().max()))


@torch.inference_mode()
def test_feature_maps_keep_the_channels_of_a_pixel_together():
    network = with_statistics("smart_net_down_seg")
    fit_for_inference(network, "cpu", torch.float32)
    features = network.encoder(torch.rand(2, 1, 32, 32))
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in features)
    assert features[1].stride(1) == 1


def test_parts_kept_in_float32_are_not_rounded():
    network = with_statistics("smart_net_down_cls")
    before = network.fc.weight.clone()
    fit_for_inference(network, "cpu", torch.bfloat16, ("LSTM", "fc", "head"))
    assert network.encoder.layer4[2].conv3.weight.dtype == torch.bfloat16
    torch.testing.assert_close(network.fc.weight, before, rtol=0, atol=0)
