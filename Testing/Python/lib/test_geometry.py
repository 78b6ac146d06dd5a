"""The acquired grid: exact for tilt, shear, unequal steps and flips."""

from __future__ import annotations

import numpy as np
import pytest

from head_volumes import affine, gantry_geometry
from ICHSegmenterLib.volume.geometry import VolumeGeometry


def random_geometry(seed: int) -> VolumeGeometry:
    """Any rotation, shear, unequal steps, ascending or descending, up to 7 slices (sometimes one)."""
    random = np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0]
    spacing = random.uniform(0.2, 3.0, 2)
    slices, rows, columns = random.integers(1, 8), random.integers(1, 9), random.integers(1, 9)
    along = np.cumsum(random.uniform(0.3, 9.0, slices)) * random.choice([-1, 1])
    lean = random.uniform(-0.6, 0.6, 2)
    origins = random.uniform(-300, 300, 3) + along[:, None] * (rotation[:, 2] + rotation[:, :2] @ lean)
    return VolumeGeometry((slices, rows, columns), rotation[:, 0] * spacing[0], rotation[:, 1] * spacing[1], origins)


@pytest.mark.parametrize("seed", range(60))
def test_positions_go_to_indices_and_back_on_any_grid(seed: int) -> None:
    geometry = random_geometry(seed)
    ijk = np.random.default_rng(seed).uniform(-2, 9, (4, 5, 3))
    assert np.allclose(geometry.lps_to_ijk(geometry.ijk_to_lps(ijk)), ijk, atol=1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_a_voxel_lies_at_its_slice_origin_plus_steps(seed: int) -> None:
    geometry = random_geometry(seed)
    k = geometry.shape[0] - 1
    expected = geometry.slice_origins[k] + 3 * geometry.column_step + 2 * geometry.row_step
    assert np.allclose(geometry.ijk_to_lps((3, 2, k)), expected, atol=1e-9)


def test_a_single_point_keeps_its_shape() -> None:
    geometry = gantry_geometry(tilt_deg=12.0)
    point = geometry.ijk_to_lps((1.0, 2.0, 3.5))
    assert point.shape == (3,)
    assert np.allclose(geometry.lps_to_ijk(point), (1.0, 2.0, 3.5))


def test_a_regular_grid_is_its_affine() -> None:
    matrix = affine([[0.5, 0, 0], [0, 0.6, 0.1], [0.2, 1.0, 4.0]], [-10, 20, 30])
    geometry = VolumeGeometry.from_affine((5, 6, 7), matrix)
    assert geometry.is_regular
    assert np.allclose(geometry.affine, matrix)
    assert np.allclose(geometry.ijk_to_lps((6, 5, 4)), (matrix @ (6, 5, 4, 1))[:3])


def test_gantry_tilt_is_the_angle_between_table_motion_and_normal() -> None:
    assert gantry_geometry(tilt_deg=18.5).tilt_deg == pytest.approx(18.5)
    assert gantry_geometry(tilt_deg=-7.0).tilt_deg == pytest.approx(7.0)
    assert gantry_geometry().tilt_deg == 0.0


def test_a_tilted_scan_with_equal_steps_is_regular_and_one_with_unequal_steps_is_not() -> None:
    assert gantry_geometry(tilt_deg=20.0).is_regular
    unequal = gantry_geometry(slices=6, steps_mm=[4, 4, 1, 7, 7])
    assert not unequal.is_regular
    assert unequal.largest_deviation_mm > 1.0


def test_slice_extents_fill_the_scan_along_the_normal() -> None:
    geometry = gantry_geometry(slices=5, steps_mm=[4, 4, 8, 8])
    assert geometry.slice_extents_mm.tolist() == pytest.approx([4, 4, 6, 8, 8])
    assert geometry.voxel_volumes_mm3 == pytest.approx(geometry.slice_extents_mm * 3.2**2)


def test_tilt_shortens_the_distance_between_slices_and_so_their_volume() -> None:
    geometry = gantry_geometry(tilt_deg=30.0, steps_mm=10.0)
    assert geometry.slice_step_mm == pytest.approx(10 * np.cos(np.radians(30)))


def test_descending_slices_have_positive_extents_and_the_same_positions() -> None:
    ascending = gantry_geometry(slices=5, steps_mm=[4, 4, 8, 8])
    descending = VolumeGeometry(
        ascending.shape, ascending.column_step, ascending.row_step, ascending.slice_origins[::-1]
    )
    assert (descending.slice_extents_mm > 0).all()
    assert np.allclose(descending.ijk_to_lps((2, 3, 0.25)), ascending.ijk_to_lps((2, 3, 3.75)))
    assert np.allclose(descending.lps_to_ijk(ascending.ijk_to_lps((2, 3, 3.75))), (2, 3, 0.25))


def test_one_slice_stands_for_one_millimeter() -> None:
    geometry = gantry_geometry(slices=1, steps_mm=[])
    assert geometry.slice_extents_mm.tolist() == [1.0]
    assert np.allclose(geometry.affine[:3, 2], geometry.normal)


def test_grids_match_only_at_the_same_place() -> None:
    geometry = gantry_geometry(tilt_deg=10.0)
    shifted = VolumeGeometry(
        geometry.shape, geometry.column_step, geometry.row_step, geometry.slice_origins + np.array([0, 0, 0.5])
    )
    turned = VolumeGeometry(geometry.shape, geometry.row_step, geometry.column_step, geometry.slice_origins)
    assert geometry.matches(gantry_geometry(tilt_deg=10.0))
    assert not geometry.matches(shifted)
    assert geometry.matches(shifted, tolerance_mm=0.6)
    assert not geometry.matches(turned)
    assert not geometry.matches(gantry_geometry(slices=11))
    wide = VolumeGeometry((1, 5, 6), **STEPS, slice_origins=np.zeros((1, 3)))
    narrow = VolumeGeometry((1, 5, 4), **STEPS, slice_origins=np.zeros((1, 3)))
    assert not wide.matches(narrow, tolerance_mm=9) and not narrow.matches(wide, tolerance_mm=9)


def test_arrays_of_a_geometry_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        gantry_geometry().slice_origins[0, 0] = 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (0, 4, 4)}, "slice_origins must be finite"),
        ({"shape": (3, 0, 4)}, "shape must be positive"),
        ({"column_step": [1.0, 0.0]}, "column_step must be finite"),
        ({"row_step": [2.0, 0.0, 0.0]}, "do not span a slice"),
        ({"row_step": [0.0, np.nan, 0.0]}, "row_step must be finite"),
        ({"slice_origins": np.zeros((3, 3))}, "ascend or descend"),
        ({"slice_origins": [[0, 0, 0], [0, 0, 2], [0, 0, 1]]}, "ascend or descend"),
        ({"shape": (2, 4, 4), "slice_origins": np.zeros((2, 3))}, "ascend or descend"),
        ({"slice_origins": [[0, 0, 0], [65535, 0, 1], [0, 0, 2]]}, "reach over 65.5 m, more than any scanner"),
        ({"row_step": [1e308, 2.4, 0.0]}, "more than any scanner"),
        ({"shape": (3, 4, 600), "column_step": [10.0, 0, 0]}, "reach over 6 m"),
    ],
)
def test_impossible_grids_are_refused(change: dict[str, object], message: str) -> None:
    fields = {
        "shape": (3, 4, 4), "column_step": [1.0, 0, 0], "row_step": [0, 1.0, 0],
        "slice_origins": [[0, 0, 0], [0, 0, 1], [0, 0, 2]],
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        VolumeGeometry(**{**fields, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [3, 5])
def test_an_affine_must_be_4x4(size: int) -> None:
    with pytest.raises(ValueError, match="4x4"):
        VolumeGeometry.from_affine((2, 2, 2), np.eye(size))


STEPS = {"column_step": np.array((0.5, 0.0, 0.0)), "row_step": np.array((0.0, 0.7, 0.0))}


def stacked(*origins: tuple[float, float, float]) -> VolumeGeometry:
    """Slices of 5 rows and 6 columns, not turned, at these origins in mm."""
    return VolumeGeometry((len(origins), 5, 6), **STEPS, slice_origins=np.array(origins))


def test_one_slice_has_a_step_of_one_millimeter_no_tilt_and_its_own_origin() -> None:
    geometry = VolumeGeometry((1, 5, 6), STEPS["column_step"], -STEPS["row_step"], np.array([(10.0, 20.0, 30.0)]))
    assert (geometry.slice_step_mm, geometry.tilt_deg, geometry.largest_deviation_mm) == (1.0, 0.0, 0.0)
    assert geometry.is_regular
    assert np.array_equal(geometry.affine, [[0.5, 0, 0, 10], [0, -0.7, 0, 20], [0, 0, -1, 30], [0, 0, 0, 1]])


def test_two_slices_have_the_tilt_and_the_step_between_them() -> None:
    geometry = stacked((0.0, 0.0, 0.0), (0.0, 3.0, 4.0))
    assert geometry.tilt_deg == pytest.approx(np.degrees(np.arctan2(3, 4)))
    assert geometry.slice_step_mm == pytest.approx(4.0)


def test_tilt_is_that_from_the_first_slice_to_the_last() -> None:
    """The second slice lies straight above the first, the third 1 mm aside."""
    geometry = stacked((0.0, 0.0, 0.0), (0.0, 0.0, 2.0), (0.0, 1.0, 4.0))
    assert geometry.tilt_deg == pytest.approx(np.degrees(np.arctan2(1, 4)))


@pytest.mark.parametrize(("angle_deg", "tilt_deg"), [(0.05, 0.0), (0.2, 0.2)])
def test_a_tilt_within_rounding_counts_as_none(angle_deg: float, tilt_deg: float) -> None:
    aside = 100 * np.tan(np.radians(angle_deg))
    assert stacked((0.0, 0.0, 0.0), (0.0, aside, 100.0)).tilt_deg == pytest.approx(tilt_deg, abs=1e-9)


def test_deviation_is_the_distance_of_the_worst_slice_from_the_fitted_line() -> None:
    """Of three slices the middle one lies 0.5 mm aside: least squares leaves it two thirds, the others one."""
    assert stacked((0.0, 0.0, 0.0), (0.3, 0.4, 2.0), (0.0, 0.0, 4.0)).largest_deviation_mm == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("column_mm", "row_mm", "origin_mm", "farthest_mm"),
    [(0.1, 0.0, 0.0, 0.5), (0.0, 0.1, 0.0, 0.4), (0.1, 0.2, 0.0, 0.8), (-0.1, -0.125, 0.5, 0.5)],
    ids=["last column", "last row", "last row of both", "first voxel"],
)
def test_grids_match_up_to_the_distance_of_their_farthest_corner(
    column_mm: float, row_mm: float, origin_mm: float, farthest_mm: float
) -> None:
    """Steps differ along z, over 5 columns and 4 rows; in the last case only the first voxels lie apart."""
    z = np.array((0.0, 0.0, 1.0))
    grid = stacked((0.0, 0.0, 0.0), (0.0, 0.0, 9.0))
    other = VolumeGeometry(
        grid.shape, grid.column_step + column_mm * z, grid.row_step + row_mm * z, grid.slice_origins + origin_mm * z
    )
    assert grid.matches(other, tolerance_mm=farthest_mm + 1e-6)
    assert not grid.matches(other, tolerance_mm=farthest_mm - 1e-6)
