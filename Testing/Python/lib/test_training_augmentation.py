"""Blur and noise of the training's slices, against what they are by definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")
pytest.importorskip("yaml", reason="needs the train extra")

from ICHSegmenterLib.training.augmentation import BLURS, apply_change, blurred, draw_change  # noqa: E402
from ICHSegmenterLib.training.recipe import AugmentationRecipe, load_recipe  # noqa: E402

STILL = AugmentationRecipe(flip=0.0, affine=0.0, noise=0.0)


def slices() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((2, 3, 12, 9), dtype=np.float32))


def changes(recipe: AugmentationRecipe, count: int = 600) -> list:
    return [draw_change(recipe, np.random.default_rng(seed)) for seed in range(count)]


def test_a_median_blur_is_the_median_of_nine_pixels() -> None:
    expected = ndimage.median_filter(slices().numpy(), size=(1, 1, 3, 3), mode="mirror")
    np.testing.assert_array_equal(blurred(slices(), "median").numpy(), expected)


def test_a_gaussian_blur_has_the_weights_of_three_pixels() -> None:
    sd_pixels = 0.8
    expected = ndimage.gaussian_filter(slices().numpy(), (0, 0, sd_pixels, sd_pixels), mode="mirror", radius=1)
    np.testing.assert_allclose(blurred(slices(), "gaussian").numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("degrees", "places"),
    [
        (0, [(4, 3), (4, 4), (4, 5)]), (45, [(5, 3), (4, 4), (3, 5)]),
        (90, [(3, 4), (4, 4), (5, 4)]), (135, [(3, 3), (4, 4), (5, 5)]),
    ],
)  # fmt: skip
def test_a_motion_blur_draws_a_point_out_to_a_line(degrees: int, places: list[tuple[int, int]]) -> None:
    point = torch.zeros(1, 1, 9, 9)
    point[0, 0, 4, 4] = 3.0
    drawn = blurred(point, "motion", degrees)[0, 0]
    assert sorted((int(row), int(column)) for row, column in drawn.nonzero()) == sorted(places)
    torch.testing.assert_close(drawn[drawn > 0], torch.ones(3))


@pytest.mark.parametrize("kind", BLURS)
def test_a_blur_leaves_an_even_slice_and_all_masks_as_they_are(kind: str) -> None:
    even = torch.full((1, 1, 8, 8), 0.4)
    mask = torch.randint(0, 2, (1, 8, 8))
    change = replace(draw_change(STILL, np.random.default_rng(0)), blur=kind)
    image, outline = apply_change(change, even, mask)
    torch.testing.assert_close(image, even)
    assert torch.equal(outline, mask)


def test_each_blur_comes_as_often_as_the_others() -> None:
    drawn = [one.blur for one in changes(replace(STILL, blur=0.5))]
    assert drawn.count("") == pytest.approx(300, abs=50)
    for kind in BLURS:
        assert drawn.count(kind) == pytest.approx(100, abs=35)


def test_without_blur_the_draws_are_what_they_were() -> None:
    plain, blurring = (changes(AugmentationRecipe(blur=chance), 20) for chance in (0.0, 0.9))
    assert not any(one.blur for one in plain)
    assert [replace(one, blur="", motion_degrees=0) for one in blurring] == plain


def test_noise_lies_between_its_least_and_its_most() -> None:
    strengths = [one.noise_sd for one in changes(replace(STILL, noise=1.0, noise_sd=0.071, least_noise_sd=0.032))]
    assert min(strengths) >= 0.032
    assert max(strengths) <= 0.071
    assert max(strengths) - min(strengths) > 0.03


def test_smart_net_is_trained_with_blur_and_noise_as_its_authors_did() -> None:
    for name in ("smart-net-up", "smart-net-cls", "smart-net-seg"):
        wanted = load_recipe(name).augmentation
        assert (wanted.blur, wanted.noise) == (0.5, 0.5)
        assert wanted.least_noise_sd**2 == pytest.approx(0.001, abs=5e-5)
        assert wanted.noise_sd**2 == pytest.approx(0.005, abs=5e-5)
