"""Maps of a small Swin classifier: each slice by itself, robust to slices and weights without contrast."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import use_fused_attn

from ICHSegmenterLib.methods.swin import attention_maps, window_attention
from ICHSegmenterLib.methods.swin.attention_maps import AttentionMapper
from ICHSegmenterLib.models import create_model

SIZE = 96
SMALL = {
    "image_size": SIZE,
    "window_size": 3,
    "embed_dim": 32,
    "depths": (2, 2, 4, 2),
    "num_heads": (1, 2, 4, 8),
}
KINDS = ("hgi_sam", "swin_sam", "grad_cam")


def small_classifier(seed=1, gain=4.0):
    """Attention of timm's own initial weights is nearly uniform; a larger gain makes it look at something."""
    torch.manual_seed(seed)
    network = create_model("swin_classifier", **SMALL)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "qkv" in name or "bias_table" in name:
                parameter.mul_(gain)
    return network.requires_grad_(False)


@pytest.fixture
def slices():
    """Three slices with a bright ellipse at different places, over noise."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    images = 0.2 * torch.rand(3, 3, SIZE, SIZE, generator=generator)
    for image, (row, column) in zip(images, ((30, 30), (48, 60), (70, 40)), strict=True):
        image += 0.8 * (((y - row) / 14.0) ** 2 + ((x - column) / 9.0) ** 2 < 1)
    return images


@pytest.fixture
def brain():
    mask = torch.zeros(3, SIZE, SIZE, dtype=torch.bool)
    mask[:, 8:-8, 8:-8] = True
    return mask


def reference_attention(network, slices):
    """timm's own attention in every block, by its softmax modules: list of (windows, heads, tokens, tokens)."""
    seen = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        for name, module in network.named_modules()
        if name.endswith("attn.softmax")
    ]
    network(slices)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_batch_gives_the_same_maps_as_single_slices(slices, brain, kind):
    mapper = AttentionMapper(small_classifier())
    logits, maps = getattr(mapper, kind)(slices, brain)
    for place in range(3):
        one_logits, one_map = getattr(mapper, kind)(slices[place : place + 1], brain[place : place + 1])
        torch.testing.assert_close(one_logits[0], logits[place], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one_map[0], maps[place], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_map_spans_zero_to_one_and_is_zero_outside_the_brain(slices, brain, kind):
    _, maps = getattr(AttentionMapper(small_classifier()), kind)(slices, brain)
    assert maps.amin(dim=(1, 2)).tolist() == [0, 0, 0]
    assert maps.amax(dim=(1, 2)).tolist() == [1, 1, 1]
    assert not maps[~brain].any()


@pytest.mark.parametrize("kind", KINDS)
def test_slice_without_brain_has_a_zero_map_beside_normal_ones(slices, brain, kind):
    brain[1] = False
    _, maps = getattr(AttentionMapper(small_classifier()), kind)(slices, brain)
    assert not maps[1].any()
    assert maps[0].max() == 1
    assert maps[2].max() == 1


def test_score_that_ignores_the_slice_gives_a_zero_map_and_not_nan(slices, brain):
    network = small_classifier()
    with torch.no_grad():
        network.head.weight.zero_()
    for kind in ("hgi_sam", "grad_cam"):
        _, maps = getattr(AttentionMapper(network), kind)(slices, brain)
        assert torch.equal(maps, torch.zeros_like(maps)), kind


def test_logits_equal_those_of_the_network_itself(slices):
    network = small_classifier()
    torch.testing.assert_close(AttentionMapper(network).logits(slices), network(slices), rtol=1e-4, atol=1e-5)


def test_received_attention_is_the_mean_over_queries_of_timms_attention(slices):
    network = small_classifier()
    expected = [attention.mean(dim=2) for attention in reference_attention(network, slices)]
    recorder = window_attention.AttentionRecorder(network.swin)
    with torch.no_grad(), recorder.recording((0, 1, 2, 3)) as blocks:
        network(slices)
    assert len(blocks) == len(expected) == 10
    for block, attention in zip(blocks, expected, strict=True):
        torch.testing.assert_close(block.received, attention, rtol=1e-4, atol=1e-6)


def test_gradient_norm_is_that_of_autograd_at_the_attention_before_softmax(slices):
    network = small_classifier().requires_grad_(True)
    logits_before_softmax = []

    def keep(_module, inputs):
        inputs[0].retain_grad()
        logits_before_softmax.append(inputs[0])

    hooks = [
        module.register_forward_pre_hook(keep)
        for name, module in network.named_modules()
        if name.endswith("attn.softmax")
    ]
    network(slices)[:, 1].sum().backward()
    for hook in hooks:
        hook.remove()
    recorder = window_attention.AttentionRecorder(network.requires_grad_(False).swin)
    with recorder.recording((0, 1, 2), gradients=True) as blocks:
        network(slices)[:, 1].sum().backward()
    for block, before in zip(blocks, logits_before_softmax, strict=False):
        norms = torch.linalg.matrix_norm(before.grad)
        torch.testing.assert_close(block.gradient_norm, norms, rtol=1e-3, atol=1e-3 * float(norms.max()))


@pytest.mark.parametrize("shifted", [False, True])
def test_attention_logits_beyond_the_range_of_exp_are_still_exact(shifted):
    network = small_classifier()
    block = network.swin.layers[0].blocks[int(shifted)]
    windows = (SIZE // 4 // 3) ** 2
    tokens = 300 * torch.randn(windows, 9, 32, generator=torch.Generator().manual_seed(2))
    expected = block.attn(tokens, mask=block.attn_mask)
    q, k, _ = block.attn.qkv(tokens).chunk(3, dim=-1)
    assert block.attn.scale * (q @ k.transpose(1, 2)).max() > 200  # exp overflows float32 at 88
    with torch.no_grad(), window_attention.AttentionRecorder(network.swin).recording(()):
        found = block.attn(tokens)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_network_is_timms_again_after_a_map_even_if_it_failed(slices, brain):
    network = small_classifier()
    mapper = AttentionMapper(network)
    with pytest.raises((RuntimeError, AssertionError)):
        mapper.hgi_sam(slices[..., :50], brain)
    assert all("forward" not in vars(block.attn) for layer in network.swin.layers for block in layer.blocks)


def test_bfloat16_outline_agrees_with_float32(slices, brain):
    _, maps = AttentionMapper(small_classifier()).hgi_sam(slices, brain)
    _, coarse = AttentionMapper(small_classifier().bfloat16()).hgi_sam(slices, brain)
    ours, truth = coarse >= 0.05, maps >= 0.05
    assert 2 * (ours & truth).sum() / (ours.sum() + truth.sum()) >= 0.98


def test_float16_outline_agrees_with_float32_though_its_gradients_are_below_what_float16_can_hold(slices, brain):
    network = small_classifier()
    with torch.no_grad():
        network.head.weight.mul_(1e-3)  # the score hardly depends on the attention: d score / d logit below 1e-6
    _, maps = AttentionMapper(copy.deepcopy(network)).hgi_sam(slices, brain)
    _, coarse = AttentionMapper(copy.deepcopy(network).half()).hgi_sam(slices, brain)
    ours, truth = coarse >= 0.05, maps >= 0.05
    assert 2 * (ours & truth).sum() / (ours.sum() + truth.sum()) >= 0.98


@pytest.mark.parametrize("kind", ["hgi_sam", "grad_cam"])
def test_gradients_that_overflow_float16_are_taken_again_on_a_smaller_scale(slices, brain, kind):
    network = small_classifier()
    with torch.no_grad():
        network.head.weight.mul_(100.0)
    exact = getattr(AttentionMapper(copy.deepcopy(network)), kind)(slices, brain)[1]
    mapper = AttentionMapper(copy.deepcopy(network).half())
    maps = getattr(mapper, kind)(slices, brain)[1]
    assert mapper._gradient_scale < attention_maps.FLOAT16_GRADIENT_SCALE
    assert maps.isfinite().all()
    assert float((maps - exact).norm() / exact.norm()) < 0.1


def test_exp_of_large_logits_does_not_overflow_float16():
    network = small_classifier()
    block = network.swin.layers[0].blocks[0]
    with torch.no_grad():
        block.attn.qkv.weight.mul_(6.0)
        tokens = torch.randn(1024, 9, 32, generator=torch.Generator().manual_seed(0))
        q, k, _ = block.attn.qkv(tokens).chunk(3, dim=-1)
        assert 15 < block.attn.scale * (q @ k.transpose(1, 2)).max() < 6e4  # exp overflows float16 at 11
        with window_attention.AttentionRecorder(network.swin).recording(()):
            expected = block.attn(tokens)
        half = network.half()
        with window_attention.AttentionRecorder(half.swin).recording(()):
            found = block.attn(tokens.half()).float()
    assert found.isfinite().all()
    assert float((found - expected).norm() / expected.norm()) < 0.05


def test_a_map_of_numbers_that_overflowed_is_not_an_empty_map(slices, brain):
    network = small_classifier()
    with torch.no_grad():
        network.swin.patch_embed.proj.weight.fill_(float("nan"))
    assert AttentionMapper(network).swin_sam(slices, brain)[1].isnan().any()


def test_parameter_gradients_must_be_off_because_they_cost_as_much_as_the_map():
    with pytest.raises(ValueError, match="requires_grad_"):
        AttentionMapper(small_classifier().requires_grad_(True))


def test_fused_attention_is_off_because_it_forms_no_matrix():
    create_model("swin_classifier", **SMALL)
    assert not use_fused_attn()
