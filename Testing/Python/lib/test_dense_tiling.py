from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ICHSegmenterLib.errors import CancelledError  # noqa: E402
from ICHSegmenterLib.methods.blast_ct.dense_tiling import (  # noqa: E402
    DenseDeepMedic,
    plan_tiles,
    predict_probabilities,
    tile_steps_for,
)
from ICHSegmenterLib.methods.blast_ct.network import DeepMedic, build_deepmedic  # noqa: E402
from ICHSegmenterLib.runtime.context import RunContext  # noqa: E402

TOLERANCE = 1e-3
TILE, CONTEXT = 30, 40


def seeded_network(seed: int = 0) -> DeepMedic:
    """Random weights, with normalization statistics that are not those of a new network."""
    torch.manual_seed(seed)
    network = build_deepmedic().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, -1.0, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.nn.init.normal_(network.fully_connected[-1].conv.weight, std=0.5)  # a network that makes up its mind
    return network


def smooth_image(shape: tuple[int, int, int]) -> np.ndarray:
    z, y, x = np.indices(shape, dtype=np.float32)
    return (np.sin(z / 5) * np.cos(y / 7) * np.sin(x / 3 + 1)).astype(np.float32)


def authors_tiling(network: DeepMedic, image: np.ndarray) -> np.ndarray:
    """30-voxel tiles from the first voxel on, each with 40 voxels around it; air outside the image."""
    tiles = [-(-n // TILE) for n in image.shape]
    ends = [(0, count * TILE - n) for count, n in zip(tiles, image.shape, strict=True)]
    padded = np.pad(image, [(CONTEXT, CONTEXT + end) for _, end in ends], constant_values=-1.0)
    result = np.zeros((5, *(count * TILE for count in tiles)), dtype=np.float32)
    for z, y, x in np.ndindex(*tiles):
        block = padded[tuple(slice(n * TILE, n * TILE + TILE + 2 * CONTEXT) for n in (z, y, x))]
        with torch.inference_mode():
            probabilities = network(torch.from_numpy(block.copy())[None, None])[0].softmax(dim=0).numpy()
        result[(slice(None), *(slice(n * TILE, n * TILE + TILE) for n in (z, y, x)))] = probabilities
    return result[:, : image.shape[0], : image.shape[1], : image.shape[2]]


def test_one_large_block_gives_the_logits_of_its_small_tiles() -> None:
    network = seeded_network()
    x = torch.from_numpy(smooth_image((110, 110, 140)))[None, None]
    with torch.inference_mode():
        whole = network(x)
        left, right = network(x[..., :110]), network(x[..., 30:])
    torch.testing.assert_close(whole, torch.cat((left, right), dim=-1), atol=TOLERANCE, rtol=0)


def test_network_refuses_an_input_off_its_phase() -> None:
    with pytest.raises(ValueError, match="80 plus a multiple of 15"):
        seeded_network()(torch.zeros(1, 1, 110, 110, 100))


def test_dense_inference_equals_the_authors_tiling_up_to_the_image_border() -> None:
    network, image = seeded_network(), smooth_image((20, 31, 36))
    expected = authors_tiling(network, image)
    assert np.ptp(expected) > 0.1, "the network must say something for this test to mean something"
    for tile_steps in (1, 2):
        found = predict_probabilities(image, [DenseDeepMedic.prepare(network)], tile_steps=tile_steps)
        np.testing.assert_allclose(found.astype(np.float32), expected, atol=TOLERANCE, rtol=0)


def test_region_away_from_the_first_tile_keeps_the_phase() -> None:
    network, image = seeded_network(), smooth_image((30, 30, 90))
    mask = np.zeros(image.shape, dtype=bool)
    mask[7:19, 3:11, 47:71] = True
    found = predict_probabilities(image, [DenseDeepMedic.prepare(network)], mask=mask)
    expected = authors_tiling(network, image)
    np.testing.assert_allclose(found[:, mask].astype(np.float32), expected[:, mask], atol=TOLERANCE, rtol=0)


def test_voxels_outside_the_mask_are_background() -> None:
    image = smooth_image((30, 30, 30))
    mask = np.zeros(image.shape, dtype=bool)
    mask[10:12, 10:12, 10:12] = True
    found = predict_probabilities(image, [DenseDeepMedic.prepare(seeded_network())], mask=mask)
    assert np.all(found[0, ~mask] == 1)
    assert np.all(found[1:, ~mask] == 0)
    assert np.all(found[1:, mask] > 0)


def test_ensemble_is_the_mean_of_the_probabilities() -> None:
    image = smooth_image((12, 12, 12))
    models = [DenseDeepMedic.prepare(seeded_network(seed)) for seed in (1, 2, 3)]
    alone = [predict_probabilities(image, [model]).astype(np.float32) for model in models]
    together = predict_probabilities(image, models).astype(np.float32)
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=TOLERANCE, rtol=0)


def test_preparing_leaves_the_network_unchanged() -> None:
    network = seeded_network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    predict_probabilities(smooth_image((8, 8, 8)), [DenseDeepMedic.prepare(network, dtype=torch.bfloat16)])
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_tiles_cover_every_wanted_voxel_once_and_nothing_without_one() -> None:
    mask = np.zeros((130, 130, 130), dtype=bool)
    mask[5:95, 20:60, 64:66] = True
    mask[120, 120, 120] = True
    covered = np.zeros(mask.shape, dtype=int)
    for box in plan_tiles(mask, 60):
        assert mask[box].any()
        assert max(axis.stop - axis.start for axis in box) <= 60
        covered[box] += 1
    assert np.all(covered[mask] == 1)
    assert covered.max() == 1


def test_nothing_wanted_needs_no_network_pass() -> None:
    image = smooth_image((40, 40, 40))
    progress: list[tuple[int, int]] = []
    run = RunContext(progress=lambda done, total, _: progress.append((done, total)))
    found = predict_probabilities(
        image, [DenseDeepMedic.prepare(seeded_network())], mask=np.zeros(image.shape, dtype=bool), run=run
    )
    assert np.all(found[0] == 1)
    assert progress == [(0, 1), (1, 1)]


def test_cancel_stops_between_layers_and_progress_reaches_the_end_otherwise() -> None:
    image, model = smooth_image((12, 12, 12)), DenseDeepMedic.prepare(seeded_network())
    progress: list[tuple[int, int]] = []
    predict_probabilities(
        image, [model], run=RunContext(progress=lambda done, total, _: progress.append((done, total)))
    )
    assert progress[0] == (0, 2)
    assert progress[-1] == (2, 2)

    asked: list[None] = []

    def after_three_layers() -> bool:
        asked.append(None)
        return len(asked) > 4

    with pytest.raises(CancelledError):
        predict_probabilities(image, [model], run=RunContext(cancelled=after_three_layers))
    assert len(asked) == 5


def test_tile_shrinks_with_the_memory_budget() -> None:
    assert tile_steps_for(10_000_000) == 1
    assert tile_steps_for(10_000_000_000) == 2


@pytest.mark.gpu
def test_dense_inference_on_a_gpu_equals_the_cpu() -> None:
    network, image = seeded_network(), smooth_image((40, 31, 36))
    expected = predict_probabilities(image, [DenseDeepMedic.prepare(network)])
    found = predict_probabilities(image, [DenseDeepMedic.prepare(network, device="cuda")])
    np.testing.assert_allclose(found.astype(np.float32), expected.astype(np.float32), atol=2e-3, rtol=0)
