"""Axial display order of any acquired array."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume, VolumeSource

SHAPE = (4, 5, 6)


def _geometry(order: tuple[int, ...], signs: tuple[int, ...], obliquity_deg: float = 12.0) -> VolumeGeometry:
    """Array axes (slice, row, column) along LPS axes `order`, with signs, 5/0.7/0.4 mm steps, turned a little."""
    angle = np.radians(obliquity_deg)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    for column, (axis, sign, step) in enumerate(zip(order, signs, (5.0, 0.7, 0.4), strict=True)):
        affine[:3, 2 - column] = turn[:, axis] * sign * step
    affine[:3, 3] = (3.0, -7.0, 11.0)
    return VolumeGeometry.from_affine(SHAPE, affine)


ORIENTATIONS = [(o, s) for o in permutations((0, 1, 2)) for s in product((1, -1), repeat=3)]


def _positions(geometry: VolumeGeometry) -> np.ndarray:
    """(S, R, C, 3) LPS of every voxel."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    return geometry.ijk_to_lps(np.stack((i, j, k), axis=-1))


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_any_regular_array_is_shown_axially_at_its_true_place_and_comes_back(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    geometry = _geometry(order, signs)
    view = AxialView.of(geometry)
    array = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    shown = view.volume(Volume(array, geometry))
    directions = shown.geometry
    assert directions.normal[2] > 0.9 and directions.slice_positions_mm[-1] > directions.slice_positions_mm[0]
    assert directions.row_step[1] > 0 and directions.column_step[0] > 0
    np.testing.assert_array_equal(view.undo(shown.hu), array)
    acquired = _positions(geometry).reshape(-1, 3)[np.argsort(array.ravel())]
    seen = _positions(shown.geometry).reshape(-1, 3)[np.argsort(shown.hu.ravel())]
    np.testing.assert_allclose(seen, acquired, atol=1e-9)


@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
@pytest.mark.parametrize("order", [(2, 1, 0), (2, 0, 1)])
def test_slices_are_turned_like_the_volume(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    view = AxialView.of(_geometry(order, signs))
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    shown = view.apply(array)
    for axial_index in range(SHAPE[0]):
        acquired = array[view.acquired_index(axial_index, SHAPE[0])]
        np.testing.assert_array_equal(view.apply_to_slices(acquired), shown[axial_index])
        np.testing.assert_array_equal(view.undo_slices(shown[axial_index]), acquired)


def test_slices_of_an_irregular_geometry_stay_slices() -> None:
    regular = _geometry((0, 1, 2), (1, 1, 1))
    origins = regular.slice_origins + np.array([0.0, 2.0, 1.0, 0.0])[:, None] * regular.normal
    view = AxialView.of(VolumeGeometry(SHAPE, regular.column_step, regular.row_step, origins))
    assert view.keeps_slices
    assert not AxialView.of(regular).keeps_slices


def test_a_tilted_uneven_descending_series_is_reversed_exactly() -> None:
    tilt = np.radians(18.5)
    row = np.array([0.0, np.cos(tilt), -np.sin(tilt)]) * 0.5
    origins = np.array([[0.0, 0.0, z] for z in (30.0, 22.6, 21.5, 17.3)])
    geometry = VolumeGeometry(SHAPE, np.array([0.5, 0, 0]), row, origins)
    source = VolumeSource(instance_uids=("a", "b", "c", "d"))
    shown = AxialView.of(geometry).volume(Volume(np.zeros(SHAPE, dtype=np.float32), geometry, source))
    np.testing.assert_array_equal(shown.geometry.slice_origins, origins[::-1])
    assert shown.source.instance_uids == ("d", "c", "b", "a")


def test_single_slices_of_a_sagittal_volume_are_not_axial() -> None:
    view = AxialView.of(_geometry((0, 1, 2), (1, 1, 1)))
    with pytest.raises(ValueError, match="not acquired slices"):
        view.apply_to_slices(np.zeros((5, 6)))
