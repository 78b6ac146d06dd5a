"""Blur and noise of the training's slices, against what they are by definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip("torch")
pytest.importorskip("yaml", reason="needs the train extra")

from ICHSegmenterLib.learning.augmentation import BLURS, apply_change, blurred, draw_change  # noqa: E402
from ICHSegmenterLib.learning.recipe import AugmentationRecipe  # noqa: E402
from ICHSegmenterLib.learning.recipe_file import load_recipe, recipe_names  # noqa: E402

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


def moved(border: str, resampling: str, images: torch.Tensor, pixels: float, masks: torch.Tensor | None = None):
    """Everything shifted to the left, so that what lies beyond the right edge comes in."""
    still = draw_change(STILL, np.random.default_rng(0))
    by = 2 * pixels / images.shape[-1]
    matrix = ((1.0, 0.0, by), (0.0, 1.0, 0.0))
    return apply_change(replace(still, matrix=matrix, border=border, resampling=resampling), images, masks)


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("border", "padding"), [("zero", {"mode": "constant"}), ("reflect", {"mode": "reflect"})])
def test_what_comes_in_from_outside_is_nothing_or_the_mirror_image(
    border: str, padding: dict[str, str], resampling: str
) -> None:
    images = slices()
    masks = (images[:, 0] > 0.5).long()
    image, mask = moved(border, resampling, images, 3, masks)
    widened = np.pad(images.numpy(), ((0, 0), (0, 0), (0, 0), (0, 3)), **padding)
    np.testing.assert_allclose(image.numpy(), widened[..., 3:], atol=1e-5)
    np.testing.assert_array_equal(mask.numpy(), np.pad(masks.numpy(), ((0, 0), (0, 0), (0, 3)), **padding)[..., 3:])


@pytest.mark.parametrize("border", ["zero", "reflect"])
def test_both_borders_put_the_inside_at_the_same_place(border: str) -> None:
    ramp = torch.arange(12.0).expand(1, 1, 9, 12) / 12
    image, _ = moved(border, "bilinear", ramp, 0.25)
    torch.testing.assert_close(image[..., 2:-2], ramp[..., 2:-2] + 0.25 / 12)


def test_bicubic_resampling_follows_a_curve_that_bilinear_cuts_short() -> None:
    wave = torch.sin(torch.arange(24.0) * 0.8).expand(1, 1, 6, 24)
    truth = torch.sin((torch.arange(24.0) + 0.5) * 0.8)
    errors = {
        kind: float((moved("reflect", kind, wave, 0.5)[0][0, 0, 3, 4:-4] - truth[4:-4]).abs().max())
        for kind in ("bilinear", "bicubic")
    }
    assert errors["bicubic"] < errors["bilinear"] / 2


def test_gray_levels_change_in_one_way_or_in_both() -> None:
    wanted = replace(STILL, intensity=1.0, brightness=0.1, contrast=0.1)
    assert all(one.gain != 1 and one.offset != 0 for one in changes(wanted))
    drawn = [(one.gain != 1, one.offset != 0) for one in changes(replace(wanted, gray_change="one-or-both"))]
    assert set(drawn) == {(True, True), (True, False), (False, True)}
    for kind in set(drawn):
        assert drawn.count(kind) == pytest.approx(200, abs=60)


@pytest.mark.parametrize(("even_in", "power"), [("sd", 1), ("variance", 2)])
def test_noise_is_even_in_its_strength_or_in_its_variance(even_in: str, power: int) -> None:
    wanted = replace(STILL, noise=1.0, least_noise_sd=0.02, noise_sd=0.1, noise_even_in=even_in)
    drawn = np.array([one.noise_sd for one in changes(wanted)]) ** power
    middle = (0.02**power + 0.1**power) / 2
    assert drawn.min() >= 0.02**power * (1 - 1e-9) and drawn.max() <= 0.1**power * (1 + 1e-9)
    assert (drawn < middle).mean() == pytest.approx(0.5, abs=0.08)


def test_the_draws_of_other_recipes_are_what_they_were() -> None:
    """One draw with everything in it, written down before these options came."""
    wanted = replace(AugmentationRecipe(), intensity=1.0, brightness=0.1, contrast=0.2, shift=0.1)
    drawn = draw_change(wanted, np.random.default_rng(6))
    assert drawn.flips == (False, True) and drawn.noise_seed == 238558975883563397
    np.testing.assert_allclose(
        drawn.matrix,
        [[0.70226740, -0.67510031, 0.11408438], [0.67510031, 0.70226740, -0.18076661]],
        atol=1e-8,
    )
    np.testing.assert_allclose(
        (drawn.noise_sd, drawn.gain, drawn.offset), (0.03299635, 1.19150702, 0.06540061), atol=1e-8
    )
    for option in ({"border": "reflect"}, {"resampling": "bicubic"}, {"noise_even_in": "variance"}):
        other = draw_change(replace(wanted, **option), np.random.default_rng(6))
        assert replace(other, border="zero", resampling="bilinear", noise_sd=drawn.noise_sd) == drawn


def test_only_smart_net_resamples_as_its_authors_do() -> None:
    for name in recipe_names():
        wanted = load_recipe(name).augmentation
        told = (wanted.border, wanted.resampling, wanted.gray_change, wanted.noise_even_in)
        theirs = name.startswith("smart-net")
        assert told == (
            ("reflect", "bicubic", "one-or-both", "variance") if theirs else ("zero", "bilinear", "both", "sd")
        )
