"""Slabs: what a network with context is shown, and that its maps come back to the acquired voxels."""

from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.preprocessing.slabs import (
    AIR_HU,
    SlabGrid,
    channels,
    neighbor_table,
    neighbor_weights,
    neighbors,
    windowed,
)
from ICHSegmenterLib.preprocessing.spec import SlabPreprocessing
from ICHSegmenterLib.volume.geometry import VolumeGeometry

SMALL = SlabPreprocessing(side=32, spacing_mm=2.0)


def _stack(steps_mm, *, rows=48, spacing=1.0, shear=0.0, flip=False):
    positions = np.concatenate(([0.0], np.cumsum(steps_mm)))
    origins = np.stack([np.zeros_like(positions), shear * positions, positions], axis=1)
    sign = -1.0 if flip else 1.0
    if flip:
        origins = origins + np.array([0.0, (rows - 1) * spacing, 0.0])
    return VolumeGeometry(
        (len(positions), rows, rows), np.array([spacing, 0, 0]), np.array([0, sign * spacing, 0]), origins
    )


def _world(geometry):
    """LPS positions (slices, rows, columns, 3) of all voxels."""
    _, rows, columns = geometry.shape
    in_plane = (
        np.arange(rows)[:, None, None] * geometry.row_step + np.arange(columns)[None, :, None] * geometry.column_step
    )
    return geometry.slice_origins[:, None, None] + in_plane[None]


def _brain(geometry):
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[:, 8:40, 8:40] = True
    return mask


def test_thick_slices_are_shown_as_they_were_acquired():
    geometry = _stack([5.0] * 7)
    grid = SlabGrid.of(geometry, _brain(geometry), SMALL)
    assert (grid.slices_a_slab, grid.count) == (1, 8)
    np.testing.assert_allclose(grid.positions_mm, np.arange(8) * 5.0)


@pytest.mark.parametrize(("step", "slices"), [(0.5, 8), (1.25, 3), (2.0, 2), (3.9, 1), (7.0, 1)])
def test_thin_slices_are_averaged_to_about_four_millimeters(step, slices):
    geometry = _stack([step] * 15)
    assert SlabGrid.of(geometry, _brain(geometry), SMALL).slices_a_slab == slices


def test_an_average_of_thin_slices_has_their_mean():
    geometry = _stack([1.0] * 7)
    grid = SlabGrid.of(geometry, _brain(geometry), SMALL)
    hu = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None] * 10, geometry.shape)
    slabs = grid.forward(np.ascontiguousarray(hu))
    middle = slabs[:, 12:20, 12:20]
    np.testing.assert_allclose(middle[0], 15.0, atol=1e-3)
    np.testing.assert_allclose(middle[1], 55.0, atol=1e-3)


@pytest.mark.parametrize("shear", [0.0, 0.3])
@pytest.mark.parametrize("flip", [False, True])
def test_a_linear_field_is_sampled_where_the_pixels_lie(shear, flip):
    """HU = 3 x + 5 y along a stack that may be sheared and flipped: interpolation and averages keep lines exactly."""
    geometry = _stack([5.0] * 5, shear=shear, flip=flip)
    grid = SlabGrid.of(geometry, _brain(geometry), SMALL)
    points = _world(geometry)
    hu = (3 * points[..., 0] + 5 * points[..., 1]).astype(np.float32)
    slabs = grid.forward(hu)
    inner = slice(12, 20)  # all their pixels lie in every slice, however sheared
    along_x = np.diff(slabs[:, inner, inner], axis=2)
    along_y = np.diff(slabs[:, inner, inner], axis=1)
    np.testing.assert_allclose(along_x, 3 * 2.0, atol=2e-3)
    np.testing.assert_allclose(along_y, 5 * 2.0, atol=2e-3)
    # straight along the normal, which is z here: every slab shows the same place
    np.testing.assert_allclose(slabs[:, inner, inner], slabs[:1, inner, inner].repeat(6, 0), atol=2e-2)


@pytest.mark.parametrize("shear", [0.0, 0.3])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("step", [1.0, 5.0])
def test_a_linear_map_comes_back_to_the_acquired_voxels(shear, flip, step):
    geometry = _stack([step] * 11, shear=shear, flip=flip)
    grid = SlabGrid.of(geometry, _brain(geometry), SMALL)  # two pixels a pixel: its triangle keeps lines exactly
    points = _world(geometry)
    field = (2 * points[..., 0] + points[..., 1] + 7 * points[..., 2]).astype(np.float32)
    slabs = grid.forward(field)
    back = np.stack([grid.inverse(slabs[:, None], index)[0] for index in range(geometry.shape[0])])
    last = grid.slices_a_slab  # beyond the middles of the outer slabs these are repeated
    inner = (slice(last, len(back) - last), slice(18, 30), slice(18, 30))
    shifted = abs(shear) * step * (grid.slices_a_slab - 1)  # averages over a shear mix places as far apart
    np.testing.assert_allclose(back[inner], field[inner], atol=2e-2 + shifted)


def test_outside_the_scan_is_air():
    geometry = _stack([5.0] * 3, rows=20)
    grid = SlabGrid.of(geometry, np.ones(geometry.shape, dtype=bool), SMALL)
    slabs = grid.forward(np.zeros(geometry.shape, dtype=np.float32))
    assert np.all(slabs[:, 0] == AIR_HU)


def test_the_square_is_centered_on_the_brain():
    geometry = _stack([5.0] * 3)
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[:, 20:31, 4:15] = True
    grid = SlabGrid.of(geometry, mask, SMALL)
    assert grid.center_mm == (25.0, 9.0)


def test_neighbors_lie_at_equal_distances_in_unequal_stacks():
    """HU equals the height, so that each neighbor shows how far away it was taken."""
    geometry = _stack([4.0, 4.0, 4.0, 7.5, 7.5, 7.5])
    grid = SlabGrid.of(geometry, _brain(geometry), SMALL)
    slabs = np.broadcast_to(grid.positions_mm[:, None, None], (7, 32, 32)).astype(np.float32)
    heights = neighbors(slabs, grid.positions_mm, 3, SMALL)[:, 0, 0]
    np.testing.assert_allclose(heights, grid.positions_mm[3] + np.array(SMALL.neighbors_mm), atol=1e-4)


def test_beyond_the_scan_its_last_slab_is_repeated():
    weights = neighbor_weights(np.array([0.0, 5.0, 10.0]), 0, SMALL)
    np.testing.assert_allclose(weights[:2], [[1, 0, 0]] * 2)


def test_channels_are_neighbors_and_then_windows_of_the_slab():
    positions = np.arange(5) * 5.0
    slabs = np.stack([np.full((32, 32), hu, dtype=np.float32) for hu in (0.0, 20.0, 40.0, 60.0, 80.0)])
    shown = channels(slabs, positions, 2, SMALL)
    assert shown.shape == (7, 32, 32)
    np.testing.assert_allclose(shown[:4, 0, 0], [0.0, 0.25, 0.75, 1.0])
    np.testing.assert_allclose(shown[4:, 0, 0], [0.5, (40 + 20) / 200, (40 + 800) / 2800], rtol=1e-5)
    np.testing.assert_array_equal(shown, windowed(slabs[2], neighbors(slabs, positions, 2, SMALL), SMALL))


def test_the_table_of_neighbors_holds_the_weights_of_every_slab():
    positions = np.array([0.0, 4.0, 9.0, 9.5, 15.0])
    table = neighbor_table(positions, SMALL)
    for number in range(5):
        np.testing.assert_array_equal(table[number], neighbor_weights(positions, number, SMALL))
