"""Resize, crop and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.preprocessing.in_plane import InPlaneGrid

SHAPES = [(512, 512), (256, 256), (512, 430), (401, 640), (768, 768), (422, 422)]


EPS = float(np.finfo(np.float32).eps)


def single_precision_error(shape: tuple[int, int]) -> float:
    """Bound of the rounding of bilinear interpolation in single precision, for pixels between 0 and 1.

    With u = EPS / 2, the relative error of one rounding: a position on an axis of n pixels is scale * (x + 0.5) - 0.5.
    Scale and product are rounded (the subtraction is exact, or fused with the product), each by at most u * n. Two
    neighbors differ by at most 1, so a pixel moves by at most 2 * u * n = EPS * n an axis, also where a position
    slips over a pixel center, because the interpolation is continuous. On each axis one weight, two products and a sum
    are rounded, of numbers up to 1: 3 * u. None of this depends on the order of sums, fused operations, or threads.
    """
    return EPS * sum(shape) + 2 * 1.5 * EPS


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_equals_torchvision_resize_and_center_crop(shape: tuple[int, int]) -> None:
    """In double precision torchvision is exact next to our rounding; in single precision it rounds as much as we."""
    torch, transforms = pytest.importorskip("torch"), pytest.importorskip("torchvision.transforms")
    slices = np.random.default_rng(0).random((2, 3, *shape), dtype=np.float32)
    resize_and_crop = transforms.Compose([transforms.Resize(422, antialias=False), transforms.CenterCrop(384)])
    exact, single = (
        resize_and_crop(torch.from_numpy(slices).to(kind)).numpy() for kind in (torch.float64, torch.float32)
    )
    ours = InPlaneGrid(shape).forward(slices)
    assert ours.shape == (2, 3, 384, 384) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, exact, rtol=0, atol=single_precision_error(shape))
    np.testing.assert_allclose(ours, single, rtol=0, atol=2 * single_precision_error(shape))


def _ramps(shape: tuple[int, int]) -> np.ndarray:
    """(2, rows, columns): the row and the column of each pixel."""
    return np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_comes_back_to_its_own_place(shape: tuple[int, int]) -> None:
    grid = InPlaneGrid(shape)
    ramps = _ramps(shape)
    ones = grid.inverse(np.ones((384, 384), dtype=np.float32))
    interior = ones > 0.999
    back = grid.inverse(grid.forward(ramps))
    assert interior.mean() > 0.5
    assert np.abs(back - ramps)[:, interior].max() < 2e-3


def test_nothing_comes_back_outside_the_crop() -> None:
    back = InPlaneGrid((512, 512)).inverse(np.ones((384, 384), dtype=np.float32))
    lost = int(19 * 512 / 422)
    assert back[:, : lost - 2].max() == 0 and back[: lost - 2].max() == 0
    assert back[lost + 2 : -lost - 2, lost + 2 : -lost - 2].min() > 0.999


def test_a_mask_returns_to_its_acquired_pixels() -> None:
    rows, columns = _ramps((512, 480))
    disk = (rows - 230) ** 2 + (columns - 260) ** 2 < 90**2
    grid = InPlaneGrid((512, 480))
    back = grid.inverse(grid.forward_mask(disk).astype(np.float32)) > 0.5
    dice = 2 * (disk & back).sum() / (disk.sum() + back.sum())
    assert dice > 0.99


def test_a_soft_disk_thresholded_after_the_way_back_keeps_center_and_area() -> None:
    rows, columns = _ramps((512, 512))
    disk = ((rows - 200.25) ** 2 + (columns - 301.5) ** 2 < 60**2).astype(np.float32)
    grid = InPlaneGrid((512, 512))
    back = grid.inverse(grid.forward(disk)) > 0.5
    assert abs(back.sum() / disk.sum() - 1) < 0.01
    assert abs(rows[back].mean() - 200.25) < 0.1 and abs(columns[back].mean() - 301.5) < 0.1


def test_unequal_pixel_spacing_is_undistorted() -> None:
    grid = InPlaneGrid((256, 512), spacing_mm=(1.0, 0.5))
    assert grid.resized_shape == (422, 422)
    rows, columns = _ramps((256, 512))
    disk = (rows - 128) ** 2 + ((columns - 256) / 2) ** 2 < 50**2
    seen = grid.forward_mask(disk)
    assert abs(np.ptp(np.nonzero(seen)[0]) - np.ptp(np.nonzero(seen)[1])) <= 2


def test_a_crop_larger_than_the_resized_slice_is_refused() -> None:
    with pytest.raises(ValueError, match="crop"):
        InPlaneGrid((512, 512), resize=300)


def test_slices_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="512"):
        InPlaneGrid((512, 512)).forward(np.zeros((3, 500, 512), dtype=np.float32))


def test_the_authors_mask_rule_moves_a_mask_and_the_center_rule_does_not() -> None:
    """A disk at the center: torch's "nearest" takes the pixel at the upper left, half a pixel away."""
    rows, columns = _ramps((512, 512))
    disk = (rows - 255.5) ** 2 + (columns - 255.5) ** 2 < 30.8**2
    grid = InPlaneGrid((512, 512))
    centers = {}
    for sampling in ("center", "floor"):
        seen = np.argwhere(grid.forward_mask(disk, sampling))
        centers[sampling] = np.abs(seen.mean(axis=0) - 191.5).max()
    assert centers["center"] < 0.01
    assert 0.1 < centers["floor"] <= 0.5


def test_the_authors_mask_rule_is_torchs_nearest() -> None:
    torch = pytest.importorskip("torch")
    mask = np.random.default_rng(0).random((1, 130, 97)) < 0.5
    grid = InPlaneGrid((130, 97), resize=60, crop=60)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(mask[None].astype(np.float32)), size=grid.resized_shape, mode="nearest"
    )[0].numpy()
    top, left = grid.crop_origin
    np.testing.assert_array_equal(grid.forward_mask(mask, "floor"), resized[:, top : top + 60, left : left + 60] > 0)
