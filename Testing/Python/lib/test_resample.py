from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.preprocessing import resample
from ICHSegmenterLib.preprocessing.resample import (
    AIR_HU,
    from_regular,
    labelmap_to_regular,
    regular_grid,
    to_regular,
)
from ICHSegmenterLib.synthesis.phantom import StorageOrder, head_geometry
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

GRADIENT = np.array((0.7, -1.3, 0.9))
"""HU a millimeter along L, P and S; linear interpolation must reproduce this exactly."""


def straight() -> VolumeGeometry:
    origins = np.array([(-20.0, -15.0, -12.0 + 3.0 * k) for k in range(9)])
    return VolumeGeometry((9, 24, 30), np.array((1.3, 0, 0)), np.array((0, 1.2, 0)), origins)


def tilted() -> VolumeGeometry:
    """Gantry tilt of 18.5 degrees: slices lean, but are stacked along the table."""
    angle = np.radians(18.5)
    row_step = 1.2 * np.array((0, np.cos(angle), -np.sin(angle)))
    origins = np.array([(-20.0, -15.0, -12.0 + 4.0 * k) for k in range(9)])
    return VolumeGeometry((9, 24, 30), np.array((1.3, 0, 0)), row_step, origins)


def unequal() -> VolumeGeometry:
    """Tilted, and thin slices, one narrow step, then thick slices, as in a real sequential CT."""
    base = tilted()
    z = np.cumsum((0.0, 4.22, 4.22, 4.22, 1.14, 7.38, 7.38, 7.38)) - 15
    origins = np.array([(-20.0, -15.0, position) for position in z])
    return VolumeGeometry((8, 24, 30), base.column_step, base.row_step, origins)


def oblique() -> VolumeGeometry:
    a, b = np.radians(12), np.radians(-20)
    turn_z = np.array(((np.cos(a), -np.sin(a), 0), (np.sin(a), np.cos(a), 0), (0, 0, 1)))
    turn_x = np.array(((1, 0, 0), (0, np.cos(b), -np.sin(b)), (0, np.sin(b), np.cos(b))))
    turn = turn_z @ turn_x
    origins = np.array([turn @ (-20.0, -15.0, -12.0 + 3.0 * k) for k in range(9)])
    return VolumeGeometry((9, 24, 30), turn @ (1.3, 0, 0), turn @ (0, 1.2, 0), origins)


def flipped() -> VolumeGeometry:
    """Columns to the right, rows to anterior, slices downwards."""
    origins = np.array([(20.0, 15.0, 12.0 - 3.0 * k) for k in range(9)])
    return VolumeGeometry((9, 24, 30), np.array((-1.3, 0, 0)), np.array((0, -1.2, 0)), origins)


GEOMETRIES = pytest.mark.parametrize("make", [straight, tilted, unequal, oblique, flipped])


def centers(geometry: VolumeGeometry) -> np.ndarray:
    """(slices, rows, columns, 3) positions in mm."""
    k, j, i = np.indices(geometry.shape)
    return geometry.ijk_to_lps(np.stack((i, j, k), axis=-1))


def linear_volume(geometry: VolumeGeometry) -> Volume:
    return Volume((centers(geometry) @ GRADIENT + 30).astype(np.float32), geometry)


def inside(geometry: VolumeGeometry, points: np.ndarray, margin: float = 0.0) -> np.ndarray:
    index = geometry.lps_to_ijk(points)
    limits = np.array(geometry.shape[::-1]) - 1
    return np.all((index >= -margin) & (index <= limits + margin), axis=-1)


@GEOMETRIES
def test_grid_is_cubic_aligned_with_the_patient_and_covers_every_voxel(make) -> None:
    geometry = make()
    grid = regular_grid(geometry, 1.5)
    np.testing.assert_allclose(grid.affine[:3, :3], np.eye(3) * 1.5, atol=1e-9)
    assert inside(grid, centers(geometry), margin=1e-5).all()
    smaller = centers(geometry).reshape(-1, 3)
    excess = np.ptp(centers(grid).reshape(-1, 3), axis=0) - np.ptp(smaller, axis=0)
    assert np.all(excess < 2 * 1.5)


def test_grid_around_a_mask_is_cut_to_the_mask_its_margin_and_the_acquired_voxels() -> None:
    geometry = straight()
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[4, 10:13, 15:19] = True
    tight = centers(regular_grid(geometry, 1.0, mask=mask, margin_mm=2.0)).reshape(-1, 3)
    wanted = centers(geometry)[mask]
    assert np.all(tight.min(axis=0) <= wanted.min(axis=0) - 2.0)
    assert np.all(tight.min(axis=0) > wanted.min(axis=0) - 3.0 - 1e-9)
    assert np.all(tight.max(axis=0) < wanted.max(axis=0) + 3.0 + 1e-9)
    assert regular_grid(geometry, 1.0, mask=mask, margin_mm=500.0).matches(regular_grid(geometry, 1.0))


def test_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        regular_grid(straight(), 1.0, mask=np.zeros((9, 24, 30), dtype=bool))


@GEOMETRIES
def test_linear_density_is_reproduced_exactly_between_tilted_and_unequal_slices(make) -> None:
    geometry = make()
    grid = regular_grid(geometry, 1.0)
    hu = to_regular(linear_volume(geometry), grid)
    points = centers(grid)
    known = inside(geometry, points)
    assert known.mean() > 0.2
    np.testing.assert_allclose(hu[known], (points @ GRADIENT + 30)[known], atol=2e-3)


@GEOMETRIES
def test_outside_the_acquired_slices_is_air(make) -> None:
    geometry = make()
    grid = VolumeGeometry.from_affine((50, 70, 70), [(1, 0, 0, -35), (0, 1, 0, -35), (0, 0, 1, -25), (0, 0, 0, 1)])
    hu = to_regular(linear_volume(geometry), grid)
    outside = ~inside(geometry, centers(grid), margin=0.5 + 1e-6)
    assert outside.any()
    assert np.all(hu[outside] == AIR_HU)
    assert np.all(hu[inside(geometry, centers(grid))] > AIR_HU)


@GEOMETRIES
def test_soft_maps_of_the_grid_reach_every_acquired_voxel_at_its_true_place(make) -> None:
    geometry = make()
    grid = regular_grid(geometry, 1.0)
    field = (centers(grid) @ GRADIENT / 100).astype(np.float32)
    maps = np.stack((field, -2 * field))
    found = from_regular(maps, grid, geometry)
    expected = centers(geometry) @ GRADIENT / 100
    np.testing.assert_allclose(found, np.stack((expected, -2 * expected)), atol=1e-4)


@GEOMETRIES
def test_round_trip_of_a_smooth_volume_stays_within_interpolation_error(make) -> None:
    geometry = make()
    hu = (100 * np.sin(centers(geometry) / 15).prod(axis=-1)).astype(np.float32)
    grid = regular_grid(geometry, 0.5)
    back = from_regular(to_regular(Volume(hu, geometry), grid), grid, geometry)
    interior = inside(geometry, centers(geometry), margin=-1.0)  # the rim also mixes with air
    assert np.abs(back - hu)[interior].mean() < 1.0


def test_half_precision_maps_and_a_mask_give_the_same_values_where_wanted_and_zero_elsewhere() -> None:
    geometry = unequal()
    grid = regular_grid(geometry, 1.0)
    maps = np.random.default_rng(0).random((3, *grid.shape)).astype(np.float16)
    where = np.zeros(geometry.shape, dtype=bool)
    where[2:5, 4:9, 6:20] = True
    full = from_regular(maps, grid, geometry)
    masked = from_regular(maps, grid, geometry, where=where)
    assert full.dtype == masked.dtype == np.float32
    np.testing.assert_array_equal(masked[:, where], full[:, where])
    assert not masked[:, ~where].any()


def test_voxels_outside_the_grid_get_zero() -> None:
    geometry = straight()
    small = VolumeGeometry.from_affine((4, 4, 4), np.eye(4))
    found = from_regular(np.ones(small.shape, dtype=np.float32), small, geometry)
    covered = inside(small, centers(geometry), margin=0.5)
    assert covered.any()
    np.testing.assert_array_equal(found, covered.astype(np.float32))


@GEOMETRIES
def test_labels_on_the_regular_grid_are_those_of_the_nearest_acquired_voxel(make) -> None:
    geometry = make()
    labels = np.random.default_rng(1).integers(1, 5, geometry.shape).astype(np.uint8)
    grid = regular_grid(geometry, 1.1)
    found = labelmap_to_regular(labels, geometry, grid)
    index = geometry.lps_to_ijk(centers(grid))
    decided = inside(geometry, centers(grid)) & np.all(np.abs(index - np.floor(index) - 0.5) > 1e-6, axis=-1)
    i, j, k = np.rint(index[decided]).astype(int).T
    np.testing.assert_array_equal(found[decided], labels[k, j, i])
    assert found.dtype == np.uint8


@GEOMETRIES
def test_ball_keeps_its_place_and_volume_on_the_regular_grid(make) -> None:
    geometry = make()
    middle = geometry.ijk_to_lps((14.0, 11.0, (geometry.shape[0] - 1) / 2))
    ball = np.linalg.norm(centers(geometry) - middle, axis=-1) < 9
    grid = regular_grid(geometry, 0.8)
    found = labelmap_to_regular(ball, geometry, grid)
    assert found.dtype == np.bool_
    np.testing.assert_allclose(centers(grid)[found].mean(axis=0), centers(geometry)[ball].mean(axis=0), atol=1.0)
    acquired_mm3 = float(ball.sum(axis=(1, 2)) @ geometry.voxel_volumes_mm3)
    assert found.sum() * 0.8**3 == pytest.approx(acquired_mm3, rel=0.06)


def test_labels_return_from_a_fine_grid_unchanged() -> None:
    geometry = unequal()
    labels = np.random.default_rng(2).integers(0, 5, geometry.shape).astype(np.uint8)
    grid = regular_grid(geometry, 0.25)
    one_hot = (labelmap_to_regular(labels, geometry, grid) == np.arange(5)[:, None, None, None]).astype(np.float32)
    back = from_regular(one_hot, grid, geometry).argmax(axis=0)
    assert np.mean(back == labels) > 0.99


def test_single_slice_fills_one_layer() -> None:
    geometry = VolumeGeometry((1, 5, 6), np.array((1.0, 0, 0)), np.array((0, 1.0, 0)), np.zeros((1, 3)))
    hu = np.arange(30, dtype=np.float32).reshape(1, 5, 6)
    grid = regular_grid(geometry, 1.0)
    np.testing.assert_array_equal(to_regular(Volume(hu, geometry), grid), hu)


def test_target_grid_must_lie_along_the_patient_axes() -> None:
    with pytest.raises(ValueError, match="LPS axes"):
        to_regular(linear_volume(straight()), oblique())


def test_maps_of_another_grid_are_refused() -> None:
    geometry = straight()
    with pytest.raises(ValueError, match="the grid has"):
        from_regular(np.zeros((2, 3, 3, 3), dtype=np.float32), regular_grid(geometry, 1.0), geometry)


@pytest.mark.parametrize("flips", [{}, {"flips_columns": True, "flips_rows": True}, {"is_descending": True}])
def test_whole_rows_give_what_single_points_give(monkeypatch, flips):
    """Heads that are not turned in the image take a faster way; it must not be seen in the numbers."""
    steps = [4.2, 4.2, 1.1, 7.4, 7.4]
    acquired = head_geometry(
        (6, 40, 36), pixel_mm=(3.1, 2.9), slice_step_mm=steps, tilt_deg=18.5, order=StorageOrder(**flips)
    )
    noise = np.random.default_rng(0).normal(30, 20, acquired.shape).astype(np.float32)
    volume, mask = Volume(noise, acquired), noise > 40
    grid = resample.regular_grid(acquired, 1.7)
    assert resample._columns_run_along_x(acquired)
    fast = resample.to_regular(volume, grid), resample.labelmap_to_regular(mask, acquired, grid)
    monkeypatch.setattr(resample, "_columns_run_along_x", lambda _: False)
    slow = resample.to_regular(volume, grid), resample.labelmap_to_regular(mask, acquired, grid)
    np.testing.assert_allclose(fast[0], slow[0], atol=0.01)
    np.testing.assert_array_equal(fast[1], slow[1])


def test_a_turned_head_is_sampled_point_by_point():
    assert not resample._columns_run_along_x(head_geometry((6, 40, 36), turn_deg=8.0))


def test_places_are_computed_once_a_volume_and_not_once_a_plane(monkeypatch):
    """It is what a network on a regular grid waits for before its first batch."""
    calls = []
    compute = resample._acquired_index
    monkeypatch.setattr(resample, "_acquired_index", lambda *given: calls.append(1) or compute(*given))
    acquired = straight()
    grid = regular_grid(acquired, 1.0)
    hu = np.zeros(acquired.shape, dtype=np.float32)
    resample.to_regular(Volume(hu, acquired), grid)
    assert len(calls) == 2 < grid.shape[0], "columns along x, then slices and rows"
    assert not hu.any(), "the volume is left as it was"
