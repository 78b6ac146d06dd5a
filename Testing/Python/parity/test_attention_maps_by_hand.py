"""Attention maps of a tiny Swin transformer against a slow calculation: timm's softmax, autograd, loops over pixels.

Grid and windows are not square, so rows cannot stand for columns. Everything recorded is in single precision after a
dozen rounded sums; the gains keep what is compared far from 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from timm.models.swin_transformer import SwinTransformer

from ICHSegmenterLib.methods.swin import attention_maps, window_attention
from ICHSegmenterLib.methods.swin.attention_maps import AttentionMapper
from ICHSegmenterLib.methods.swin.network import SwinClassifier
from ICHSegmenterLib.methods.swin.window_attention import AttentionRecorder, BlockAttention

Array = NDArray[np.float64]

ROWS, COLUMNS, BATCH = 64, 32, 3
WINDOW = (4, 2)
HEADS = (1, 2, 2, 4)
GRIDS = ((16, 8), (8, 4), (4, 2), (2, 1))
DEPTHS = (2, 4, 2, 2)
BLOCKS = [(stage, number) for stage, depth in enumerate(DEPTHS) for number in range(depth)]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
"""Maps span 0 to 1. A sum over the 128 channels or the 64 entries of a window in single precision is good to 1e-5; a
stage's map divides it by its extent, which the gain keeps near its size."""


def tiny_classifier(seed: int = 1, gain: float = 4.0) -> Any:
    """Attention of initial weights is nearly uniform; the gain makes it look at something."""
    torch.manual_seed(seed)
    network = SwinClassifier(2, image_size=ROWS, window_size=2, embed_dim=16, depths=DEPTHS, num_heads=HEADS)
    network.swin = SwinTransformer(
        img_size=(ROWS, COLUMNS), window_size=WINDOW, embed_dim=16, depths=DEPTHS, num_heads=HEADS, num_classes=0
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "qkv" in name or "bias_table" in name:
                parameter.mul_(gain)
        network.head.weight.mul_(20)
        network.head.bias += torch.tensor([-4.0, 0.0])  # the slices are then of both classes
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def slices() -> torch.Tensor:
    return torch.rand(BATCH, 3, ROWS, COLUMNS, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def brain() -> torch.Tensor:
    mask = torch.zeros(BATCH, ROWS, COLUMNS, dtype=torch.uint8)
    mask[:, 5:60, 3:30] = 1
    mask[1, 40:] = 0
    mask[2, :, 20:] = 0
    return 2 * mask


class PlainRun:
    """timm's own attention in every block, and the derivative of the score by it before softmax."""

    def __init__(self, network: Any, slices: torch.Tensor) -> None:
        network = network.float().requires_grad_(True)
        kept: list[torch.Tensor] = []

        def keep(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            inputs[0].retain_grad()
            kept.append(inputs[0])

        hooks = [m.register_forward_pre_hook(keep) for n, m in network.named_modules() if n.endswith("attn.softmax")]
        scores = network(slices)
        scores[:, 1].sum().backward()
        for hook in hooks:
            hook.remove()
        network.zero_grad()
        network.requires_grad_(False)
        self.scores = scores.detach().numpy()
        self.received = [z.detach().double().softmax(-1).mean(2).numpy() for z in kept]
        self.norms = [z.grad.double().square().sum((2, 3)).sqrt().numpy() for z in kept]


def bilinear(image: Array, rows: int, columns: int) -> Array:
    """Pixel centers at half numbers, edges repeated."""

    def weights(small: int, large: int) -> Array:
        matrix = np.zeros((large, small))
        for n in range(large):
            position = min(max((n + 0.5) * small / large - 0.5, 0.0), small - 1.0)
            low = int(position)
            matrix[n, low] += 1 - (position - low)
            matrix[n, min(low + 1, small - 1)] += position - low
        return matrix

    return np.asarray(weights(image.shape[0], rows) @ image @ weights(image.shape[1], columns).T)


def scaled(image: Array) -> Array:
    extent = image.max() - image.min()
    return np.asarray((image - image.min()) / extent if extent else 0 * image)


def token_map(values: Array, stage: int, number: int) -> Array:
    """Values (windows, tokens) of a slice where they lie; odd blocks are rolled by half a window in every stage."""
    (rows, columns), grid = GRIDS[stage], np.zeros(GRIDS[stage])
    high, wide = min(WINDOW[0], rows), min(WINDOW[1], columns)
    for window, tokens in enumerate(values):
        for token, value in enumerate(tokens):
            row = window // (columns // wide) * high + token // wide
            column = window % (columns // wide) * wide + token % wide
            if number % 2:
                row, column = (row + high // 2) % rows, (column + wide // 2) % columns
            grid[row, column] = value
    return grid


def map_by_hand(run: PlainRun, stages: int, brain: torch.Tensor, *, gradients: bool) -> Array:
    maps = []
    for sample in range(BATCH):
        product = np.ones((ROWS, COLUMNS))
        for stage in range(stages):
            tokens = []
            for index in (n for n, block in enumerate(BLOCKS) if block[0] == stage):
                values = run.received[index]
                if gradients:
                    values = values * run.norms[index][:, :, None]
                values = values.reshape(BATCH, -1, *values.shape[1:])[sample].mean(axis=1)
                tokens.append(token_map(values, stage, BLOCKS[index][1]))
            pairs = [tokens[n] * tokens[n + 1] for n in range(0, len(tokens), 2)]
            product *= bilinear(scaled(np.mean(pairs, axis=0)), ROWS, COLUMNS)
        maps.append(scaled(product * (brain[sample].numpy() != 0)))
    return np.stack(maps)


@pytest.mark.parametrize(("kind", "stages"), [("hgi_sam", 3), ("swin_sam", 4)])
def test_maps_are_those_of_timms_attention_autograd_and_loops(
    slices: torch.Tensor, brain: torch.Tensor, kind: str, stages: int
) -> None:
    network = tiny_classifier()
    run = PlainRun(network, slices)
    logits, maps = getattr(AttentionMapper(network), kind)(slices, brain)
    np.testing.assert_allclose(logits.numpy(), run.scores, rtol=1e-4, atol=1e-5)
    expected = map_by_hand(run, stages, brain, gradients=kind == "hgi_sam")
    assert maps.dtype == torch.float32 and not logits.requires_grad
    np.testing.assert_allclose(maps.numpy(), expected, **TOLERANCE)


def test_grad_cam_is_that_of_the_predicted_class_at_the_last_norm(slices: torch.Tensor, brain: torch.Tensor) -> None:
    network = tiny_classifier()
    logits, maps = AttentionMapper(network).grad_cam(slices, brain)
    kept: list[torch.Tensor] = []

    def root(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    norm = network.swin.layers[3].blocks[1].norm1
    assert not norm._forward_hooks
    hook = norm.register_forward_hook(root)
    scores = network(slices)
    hook.remove()
    (gradient,) = torch.autograd.grad(scores.max(dim=1).values.sum(), kept)
    np.testing.assert_allclose(logits.numpy(), scores.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert np.ptp(scores.detach().argmax(1).numpy()) == 1, "both classes are predicted"
    for sample in range(BATCH):
        weights = gradient[sample].double().numpy().mean(axis=(0, 1))
        cam = np.maximum((kept[0][sample].detach().double().numpy() * weights).sum(-1), 0)
        cam = bilinear(scaled(cam), ROWS, COLUMNS)
        np.testing.assert_allclose(maps[sample].numpy(), scaled(cam * (brain[sample].numpy() != 0)), **TOLERANCE)
    assert maps.amax() == 1


def grad_cam_by_hand(activation: Array, gradient: Array, rows: int, columns: int) -> Array:
    cam = np.maximum((activation * gradient.mean(axis=(0, 1))).sum(-1), 0)
    return bilinear(scaled(cam), rows, columns)


def test_grad_cam_of_given_activations_drops_what_speaks_against_the_class() -> None:
    """Positive everywhere on the first slice, so its minimum counts; of both signs on the second."""
    random = np.random.default_rng(2)
    activation, gradient = random.normal(size=(2, 3, 2, 5)), random.normal(size=(2, 3, 2, 5))
    activation[0] += 6 * gradient[0].mean(axis=(0, 1))
    brain = np.ones((2, 12, 10), dtype=bool)
    brain[0, :3], brain[1, :, 8:] = False, False
    tensors = (torch.from_numpy(array) for array in (activation, gradient, brain))
    maps = attention_maps._grad_cam_maps(*tensors)
    cams = [np.maximum((a * g.mean(axis=(0, 1))).sum(-1), 0) for a, g in zip(activation, gradient, strict=True)]
    assert cams[0].min() > 0 and (cams[1] == 0).any() and (cams[1] > 0).any()
    for sample in range(2):
        cam = grad_cam_by_hand(activation[sample], gradient[sample], 12, 10)
        np.testing.assert_allclose(maps[sample].numpy(), scaled(cam * brain[sample]), **TOLERANCE)


@pytest.mark.parametrize(
    ("stages", "gradients"), [((0, 1, 2, 3), False), ((0, 1, 2), True), ((1, 2), True), ((3,), True), ((), False)]
)
def test_only_the_asked_stages_are_recorded_with_what_they_received(
    slices: torch.Tensor, stages: tuple[int, ...], gradients: bool
) -> None:
    network = tiny_classifier()
    run = PlainRun(network, slices)
    recorder = AttentionRecorder(network.swin)
    with recorder.recording(stages, gradients=gradients) as blocks:
        scores = network(slices)
        assert scores.requires_grad == gradients
        if gradients:
            scores[:, 1].sum().backward()
    indices = [n for n, block in enumerate(BLOCKS) if block[0] in stages]
    assert [(b.stage, b.grid) for b in blocks] == [(BLOCKS[n][0], GRIDS[BLOCKS[n][0]]) for n in indices]
    for index, block in zip(indices, blocks, strict=True):
        stage, number = BLOCKS[index]
        high, wide = (min(size, side) for size, side in zip(WINDOW, GRIDS[stage], strict=True))
        assert tuple(block.window) == (high, wide)
        assert block.shift == ((high // 2, wide // 2) if number % 2 else (0, 0))
        assert block.received is not None and block.received.shape == run.received[index].shape
        np.testing.assert_allclose(block.received.numpy(), run.received[index], rtol=1e-4)
        if not gradients:
            assert block.gradient_norm is None
            continue
        assert block.gradient_norm is not None
        largest = float(run.norms[index].max())
        assert largest > 0
        np.testing.assert_allclose(block.gradient_norm.numpy(), run.norms[index], rtol=1e-3, atol=1e-3 * largest)


def test_a_map_of_blocks_that_saw_nothing_is_refused(brain: torch.Tensor) -> None:
    blocks = [BlockAttention(2, GRIDS[2], WINDOW, (0, 0)) for _ in range(2)]
    with pytest.raises(ValueError, match="stage 2: run the network while recording"):
        attention_maps._attention_maps(blocks, brain)


def test_a_stage_whose_blocks_are_no_pairs_is_refused(brain: torch.Tensor) -> None:
    received = torch.ones(BATCH * 4, 2, 8)
    blocks = [BlockAttention(1, GRIDS[1], WINDOW, (0, 0), received) for _ in range(3)]
    with pytest.raises(ValueError, match="zip"):
        attention_maps._attention_maps(blocks, brain)


def test_a_map_without_contrast_is_zero_beside_one_with() -> None:
    maps = torch.full((2, 2, 2), 3.0)
    maps[1] = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    expected = [[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.25], [0.5, 1.0]]]
    assert attention_maps._scaled(maps).tolist() == expected


@pytest.mark.parametrize(("budget", "tiles"), [(1, 1), (256 * 16 - 1, 8), (256 * 16, 16), (256 * 9, 8), (2**20, 16)])
def test_a_tile_is_the_most_windows_that_fit_and_divide_a_slice(
    monkeypatch: pytest.MonkeyPatch, slices: torch.Tensor, brain: torch.Tensor, budget: int, tiles: int
) -> None:
    """The first stage has 16 windows of 8 tokens and a head: 256 bytes a window. Maps do not depend on the tile."""
    network = tiny_classifier()
    _, expected = AttentionMapper(network).hgi_sam(slices, brain)
    monkeypatch.setattr(window_attention, "CPU_TILE_BYTES", budget)
    for block in network.swin.layers[0].blocks:
        assert window_attention._kernel(block).tile == tiles
    _, maps = AttentionMapper(network).hgi_sam(slices, brain)
    np.testing.assert_allclose(maps.numpy(), expected.numpy(), **TOLERANCE)


def test_float16_starts_with_a_scale_that_shrinks_to_one_and_the_others_with_none() -> None:
    for dtype, scale in ((torch.float32, 1.0), (torch.bfloat16, 1.0), (torch.float16, 2.0**14)):
        assert AttentionMapper(tiny_classifier().to(dtype))._gradient_scale == scale
    mapper = AttentionMapper(tiny_classifier().half())
    right, wrong = torch.ones(2), torch.tensor([1.0, float("inf")])
    assert mapper._is_scale_right([right, None]) and mapper._gradient_scale == 2.0**14
    for scale in (2.0**10, 2.0**6, 2.0**2, 1.0):
        assert not mapper._is_scale_right([right, wrong])
        assert mapper._gradient_scale == scale
    assert mapper._is_scale_right([wrong]), "nothing smaller is left to try"


@pytest.mark.parametrize("kind", ["hgi_sam", "swin_sam", "grad_cam"])
def test_float16_maps_are_those_of_float32_within_its_rounding(
    slices: torch.Tensor, brain: torch.Tensor, kind: str
) -> None:
    """float16 rounds to 5e-4; a product of three stages, each from two blocks, of sums of dozens, to a tenth.

    The softmax is the safe one at once.
    """
    _, exact = getattr(AttentionMapper(tiny_classifier()), kind)(slices, brain)
    mapper = AttentionMapper(tiny_classifier().half())
    logits, maps = getattr(mapper, kind)(slices, brain)
    assert logits.dtype == torch.float32 and maps.isfinite().all()
    assert float((maps - exact).norm() / exact.norm()) < 0.1


def test_parameters_that_learn_are_refused_and_the_network_is_left_as_it_was(slices: torch.Tensor) -> None:
    network = tiny_classifier()
    with pytest.raises(ValueError, match="requires_grad_"):
        AttentionMapper(tiny_classifier().requires_grad_(True))
    mapper = AttentionMapper(network)
    torch.testing.assert_close(mapper.logits(slices), network(slices), rtol=1e-4, atol=1e-5)
    assert all("forward" not in vars(block.attn) for layer in network.swin.layers for block in layer.blocks)
