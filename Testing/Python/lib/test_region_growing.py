"""A bleed grown from one voxel of a phantom: its volume is known, and it stays inside the skull."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from scipy import ndimage

from ICHSegmenterLib.editing.region_growing import REACHES_MM, GrownRegion, grow_region
from ICHSegmenterLib.errors import GrowingError
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, Phantom, head_geometry, make_phantom

BALL = Bleed.sphere(10.0, (30.0, 5.0, 34.0))


@lru_cache(maxsize=4)
def phantom(bleed: Bleed = BALL, noise_hu: float = 4.0) -> Phantom:
    geometry = head_geometry((28, 128, 128), pixel_mm=(1.8, 1.8), slice_step_mm=4.6)
    return make_phantom(geometry, HeadModel((bleed,), noise_hu=noise_hu), subsamples=(2, 1, 1))


def blood(one: Phantom) -> np.ndarray:
    return one.labelmap > 0


def spacing(one: Phantom) -> tuple[float, float, float]:
    geometry = one.volume.geometry
    return (geometry.slice_step_mm, *geometry.pixel_spacing_mm)


def voxel(one: Phantom, point_lps) -> tuple[int, int, int]:
    column, row, slice_ = np.rint(one.volume.geometry.lps_to_ijk(np.asarray(point_lps))).astype(int)
    return int(slice_), int(row), int(column)


def grown(one: Phantom, point_lps, **options) -> GrownRegion:
    return grow_region(one.volume.hu, voxel(one, point_lps), spacing(one), **options)


def whole(region: GrownRegion, shape) -> np.ndarray:
    mask = np.zeros(shape, bool)
    box = tuple(slice(low, low + size) for low, size in zip(region.start, region.mask.shape, strict=True))
    mask[box] = region.mask
    return mask


def volume_ml(one: Phantom, region: GrownRegion) -> float:
    return float(region.mask.sum() * np.prod(spacing(one)) / 1000)


@pytest.mark.parametrize("repeats", [(1, 1, 1), (1, 4, 4), (6, 2, 2)], ids=["usual", "fine pixels", "thin slices"])
def test_a_click_into_a_ball_grows_the_ball(repeats) -> None:
    """Within a block of a millimeter, or an acquired voxel that is larger, around its surface."""
    one = phantom()
    hu, truth = one.volume.hu, blood(one)
    for axis, count in enumerate(repeats):
        hu, truth = np.repeat(hu, count, axis), np.repeat(truth, count, axis)
    steps = tuple(mm / count for mm, count in zip(spacing(one), repeats, strict=True))
    seed = tuple(position * count for position, count in zip(voxel(one, BALL.center), repeats, strict=True))
    region = grow_region(hu, seed, steps)
    mask = whole(region, hu.shape)
    around = ndimage.binary_dilation(truth, iterations=max(repeats[1:])) & ~ndimage.binary_erosion(truth, iterations=2)
    assert not (mask & ~truth & ~around).any()
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
    assert not region.is_cut


def test_a_click_beside_the_middle_grows_the_same() -> None:
    one = phantom()
    middle, beside = grown(one, BALL.center), grown(one, np.add(BALL.center, (5.0, -5.0, 4.0)))
    assert volume_ml(one, beside) == pytest.approx(volume_ml(one, middle), rel=0.1)


def test_subdural_blood_does_not_grow_into_the_skull_nor_around_the_brain() -> None:
    one = phantom(bleed=Bleed("SDH", (10.0, -2.0, 3.0), (12.0, 0.0, 0.0), 65.0))
    plane = blood(one)[15]
    depth = ndimage.distance_transform_edt(plane)
    row, column = np.unravel_index(depth.argmax(), plane.shape)
    middle = one.volume.geometry.ijk_to_lps((column, row, 15))
    mask = whole(grown(one, middle), one.volume.hu.shape)
    assert (mask & (one.volume.hu > 300)).sum() == 0
    assert (mask & ~blood(one)).sum() < 0.15 * mask.sum()


def test_a_wider_extent_takes_more_and_a_narrower_less() -> None:
    one = phantom(noise_hu=6.0)
    volumes = [volume_ml(one, grown(one, BALL.center, extent=extent)) for extent in (-1.0, 0.0, 1.0)]
    assert volumes[0] < volumes[1] < volumes[2]


def test_a_map_draws_the_edge_to_what_the_method_saw() -> None:
    """The blood fades out to the back; the method saw that as blood or did not."""
    one = phantom()
    blood_map = np.zeros(one.volume.hu.shape, np.float32)
    faded = one.volume.hu.copy()
    rows = np.arange(faded.shape[1])[None, :, None]
    middle = voxel(one, BALL.center)[1]
    faded[blood(one) & (rows > middle + 3)] = 46.0
    blood_map[blood(one) & (rows <= middle + 3)] = 1.0
    args = (faded, voxel(one, BALL.center), spacing(one))
    without = grow_region(*args).mask.sum()
    less = grow_region(*args, blood_map=blood_map).mask.sum()
    blood_map[blood(one)] = 1.0
    more = grow_region(*args, blood_map=blood_map).mask.sum()
    assert less < more
    assert less <= without <= more


def test_a_narrow_bridge_to_other_dense_tissue_is_not_crossed() -> None:
    one = phantom(noise_hu=0.0)
    hu = one.volume.hu.copy()
    slice_, row, column = voxel(one, BALL.center)
    hu[slice_, row : row + 2, column : column + 40] = 60.0  # 1 to 2 mm thick
    hu[slice_, row - 8 : row + 8, column + 40 : column + 46] = 60.0
    region = grow_region(hu, (slice_, row, column), spacing(one))
    assert not whole(region, hu.shape)[slice_, row - 8 : row + 8, column + 41 : column + 46].any()


def test_a_thin_bleed_is_grown_although_it_is_narrower_than_a_bridge() -> None:
    one = phantom(noise_hu=0.0)
    hu = np.where(blood(one), 30.0, one.volume.hu).astype(np.float32)
    slice_, row, column = voxel(one, BALL.center)
    hu[slice_, row : row + 2, column - 12 : column + 12] = 65.0
    mask = whole(grow_region(hu, (slice_, row, column), spacing(one)), hu.shape)
    assert mask[slice_, row : row + 2, column - 10 : column + 10].all()
    assert mask.sum() < 4 * 24


def test_growth_ends_within_reach_and_says_so() -> None:
    one = phantom(bleed=Bleed("IPH", (0.0, 0.0, 30.0), (60.0, 75.0, 40.0), 62.0), noise_hu=0.0)
    region = grow_region(one.volume.hu, voxel(one, (0.0, -30.0, 30.0)), spacing(one))
    assert region.is_cut
    assert max(size * mm for size, mm in zip(region.mask.shape, spacing(one), strict=True)) < 2 * REACHES_MM[-1][0] + 10


def test_a_click_on_brain_is_refused_with_what_was_measured() -> None:
    one = phantom(noise_hu=0.0)
    with pytest.raises(GrowingError, match=r"too little contrast.*Segment Editor"):
        grown(one, (-30.0, 5.0, 34.0))


def test_a_click_outside_of_the_skull_is_refused() -> None:
    one = phantom(noise_hu=0.0)
    with pytest.raises(GrowingError, match="no skull around"):
        grown(one, (0.0, -110.0, 30.0))


def test_a_voxel_beyond_the_volume_is_a_wrong_argument() -> None:
    one = phantom()
    with pytest.raises(ValueError, match="outside of a volume"):
        grow_region(one.volume.hu, (0, 0, 9999), spacing(one))


def test_only_a_box_around_the_click_is_worked_on() -> None:
    """What makes a click quick on 300 slices: the rest of the volume is not read."""

    class Watched(np.ndarray):
        read = 0

        def __getitem__(self, index):
            part = np.asarray(self).__getitem__(index)
            Watched.read += part.size
            return part

    one = phantom()
    watched = np.repeat(one.volume.hu, 12, 0).view(Watched)
    slice_, row, column = voxel(one, BALL.center)
    grow_region(watched, (slice_ * 12, row, column), (spacing(one)[0] / 12, *spacing(one)[1:]))
    assert 0 < Watched.read < watched.size


def test_the_volume_is_left_as_it_was() -> None:
    one = phantom()
    before = one.volume.hu.copy()
    grown(one, BALL.center)
    assert np.array_equal(before, one.volume.hu)
