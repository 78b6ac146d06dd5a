"""Diameters, ABC/2, thickness and midline shift of heads whose answers are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ICHSegmenterLib.editing.location import Region, Side
from ICHSegmenterLib.labels import EDH, ICH, IPH, IVH, PERILESIONAL_EDEMA, SDH
from ICHSegmenterLib.measuring.abc2 import Abc2, abc2, abc2_ml
from ICHSegmenterLib.measuring.criteria import LIMITS, Criterion, flags_of
from ICHSegmenterLib.measuring.diameters import largest_diameter, largest_thickness
from ICHSegmenterLib.measuring.exam import ExamMeasures, measure_exam
from ICHSegmenterLib.measuring.midline import Midline, NoMidline, find_septum
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.components import Component
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

GRIDS = {
    "upright": head_geometry((26, 160, 160), pixel_mm=(1.4, 1.4)),
    "tilted, sheared": head_geometry((26, 160, 160), pixel_mm=(1.4, 1.2), tilt_deg=18),
    "unequal slices": head_geometry((26, 160, 160), pixel_mm=(1.4, 1.4), slice_step_mm=[3.0] * 12 + [7.0] * 13),
    "turned": head_geometry((26, 160, 160), pixel_mm=(1.4, 1.4), turn_deg=20),
}
RADII = (24.0, 15.0, 17.0)
CENTER = (5.0, 2.0, 12.0)

Mask = NDArray[np.bool_]


def ellipsoid(geometry: VolumeGeometry, radii: tuple[float, float, float] = RADII) -> Component:
    """The voxels whose centers lie in an ellipsoid at CENTER, in LPS mm."""
    slices, rows, columns = np.indices(geometry.shape)
    points = geometry.ijk_to_lps(np.stack((columns, rows, slices), axis=-1))
    inside = (((points - CENTER) / radii) ** 2).sum(axis=-1) <= 1
    low = np.argwhere(inside).min(axis=0)
    high = np.argwhere(inside).max(axis=0) + 1
    box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    return Component(inside[box], (int(low[0]), int(low[1]), int(low[2])))


def diameters_of(piece: Component, geometry: VolumeGeometry) -> Abc2:
    return abc2(piece.mask, piece.start, geometry)


@pytest.mark.parametrize("grid", ["upright", "unequal slices", "turned"])
def test_the_three_diameters_of_an_ellipsoid_are_those_of_its_largest_section(grid: str) -> None:
    geometry = GRIDS[grid]
    found = diameters_of(ellipsoid(geometry), geometry)
    # The section through the slice nearest to the middle; ends are known to half a pixel each.
    height = abs(geometry.slice_origins[found.slice_index, 2] - CENTER[2])
    shrink = np.sqrt(1 - (height / RADII[2]) ** 2)
    assert found.a.length_mm == pytest.approx(2 * RADII[0] * shrink, abs=1.4)
    assert found.b.length_mm == pytest.approx(2 * RADII[1] * shrink, abs=1.4)
    along, across = (np.subtract(line.end, line.start) / line.length_mm for line in (found.a, found.b))
    assert abs(float(along @ across)) < 1e-4  # ends are kept to a tenth of a micrometer
    assert found.volume_ml == abc2_ml(found.a.length_mm, found.b.length_mm, found.c.length_mm)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_lines_of_abc2_are_drawn_where_they_were_measured(grid: str) -> None:
    geometry = GRIDS[grid]
    found = diameters_of(ellipsoid(geometry), geometry)
    for line in (found.a, found.b):
        on_slice = geometry.lps_to_ijk([line.start, line.end])[:, 2]
        assert np.allclose(on_slice, found.slice_index, atol=1e-4)
    middle = np.add(found.c.start, found.c.end) / 2
    assert np.linalg.norm(middle - CENTER) < 8
    assert abs(float(np.subtract(found.c.end, found.c.start) / found.c.length_mm @ geometry.normal)) == pytest.approx(1)


def test_the_height_of_abc2_counts_slices_whole_half_or_not_at_all_by_their_area() -> None:
    geometry = VolumeGeometry.from_affine((7, 40, 40), np.diag((1.0, 1.0, 5.0, 1.0)))
    mask = np.zeros((7, 40, 40), bool)
    for k, columns in enumerate((2, 12, 20, 20, 16, 8, 3)):  # of 20: 10, 60, 100, 100, 80, 40 and 15 %
        mask[k, :10, :columns] = True
    # Whole: 100, 100 and 80 %; half: 60 and 40 %; not: 10 and 15 %. After Kothari 1996.
    assert diameters_of(Component(mask, (0, 0, 0)), geometry).c.length_mm == pytest.approx(4 * 5.0)


def test_the_height_of_abc2_takes_each_slice_with_its_own_extent() -> None:
    origins = np.array([[0.0, 0.0, z] for z in (0.0, 2.0, 4.0, 12.0, 20.0)])
    geometry = VolumeGeometry((5, 30, 30), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), origins)
    mask = np.zeros((5, 30, 30), bool)
    mask[1:4, 5:20, 5:20] = True
    assert diameters_of(Component(mask, (0, 0, 0)), geometry).c.length_mm == pytest.approx(2 + 5 + 8)


def test_a_single_voxel_has_diameters_of_its_own_size() -> None:
    geometry = VolumeGeometry.from_affine((3, 9, 9), np.diag((0.5, 0.5, 4.0, 1.0)))
    mask = np.ones((1, 1, 1), bool)
    found = diameters_of(Component(mask, (1, 4, 4)), geometry)
    assert found.a.length_mm == pytest.approx(0.5, abs=0.01)
    assert found.c.length_mm == pytest.approx(4.0)
    assert largest_diameter(mask, (1, 4, 4), geometry).length_mm == pytest.approx(4.0)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_largest_diameter_is_found_in_any_direction(grid: str) -> None:
    geometry = GRIDS[grid]
    upright = (10.0, 12.0, 30.0)
    piece = ellipsoid(geometry, upright)
    line = largest_diameter(piece.mask, piece.start, geometry)
    # Both ends are known to half a slice.
    assert line.length_mm == pytest.approx(60.0, abs=float(geometry.slice_extents_mm.max()))
    assert abs(line.end[2] - line.start[2]) > 45


@pytest.mark.parametrize("grid", ["upright", "turned"])
def test_the_thickness_of_a_shell_is_the_distance_of_its_walls(grid: str) -> None:
    geometry = GRIDS[grid]
    slices, rows, columns = np.indices(geometry.shape)
    x, y, z = np.moveaxis(geometry.ijk_to_lps(np.stack((columns, rows, slices), axis=-1)), -1, 0)
    radius = np.hypot(x, y)
    mask = (radius > 60) & (radius < 72) & (x > 20) & (abs(z) < 20)
    line = largest_thickness(mask, (0, 0, 0), geometry)
    assert line.length_mm == pytest.approx(12.0, abs=1.4)  # a pixel
    middle = np.add(line.start, line.end) / 2
    assert np.hypot(*middle[:2]) == pytest.approx(66.0, abs=1.4)


@pytest.mark.parametrize(
    ("grid", "shift_mm"),
    [
        ("tilted, sheared", -9.0),
        ("tilted, sheared", 0.0),
        ("unequal slices", 4.0),
        ("unequal slices", -7.0),
        ("turned", 9.0),
    ],
)
def test_the_midline_shift_is_known_to_a_millimeter(grid: str, shift_mm: float) -> None:
    bleed = Bleed.sphere(12.0, (-35.0 if shift_mm > 0 else 35.0, 5.0, 40.0))
    model = HeadModel((bleed,), midline_shift_mm=shift_mm)
    phantom = make_phantom(GRIDS[grid], model, subsamples=(2, 1, 1))
    midline = find_septum(phantom.volume, phantom.labelmap > 0).midline
    assert isinstance(midline, Midline)
    assert midline.shift_mm * (1 if midline.is_to_left else -1) == pytest.approx(shift_mm, abs=1.0)
    on_slice = phantom.volume.geometry.lps_to_ijk([midline.ideal.start, midline.ideal.end, midline.septum])[:, 2]
    assert np.allclose(on_slice, midline.slice_index, atol=1e-3)


def test_a_missing_piece_of_skull_does_not_move_the_midline() -> None:
    model = HeadModel(defect_radius_mm=35.0, midline_shift_mm=6.0)
    phantom = make_phantom(GRIDS["upright"], model, subsamples=(2, 1, 1))
    midline = find_septum(phantom.volume, np.zeros(phantom.volume.hu.shape, bool)).midline
    assert isinstance(midline, Midline)
    assert midline.shift_mm == pytest.approx(6.0, abs=1.0)


def test_no_midline_is_invented_where_there_is_no_skull_and_no_ventricle() -> None:
    geometry = GRIDS["upright"]
    empty = np.zeros(geometry.shape, bool)
    water = Volume(np.zeros(geometry.shape, np.float32), geometry)
    assert find_septum(water, empty).midline is NoMidline.NO_SKULL
    phantom = make_phantom(geometry, HeadModel(), subsamples=(1, 1, 1)).volume
    full = phantom.hu.copy()
    full[(full > -30) & (full < 25)] = 30.0  # no fluid anywhere
    assert find_septum(Volume(full, geometry), empty).midline is NoMidline.NO_SEPTUM


def measured(model: HeadModel, labels: tuple[str, ...] = ("IPH",), grid: str = "upright") -> ExamMeasures:
    by_key = {label.key: label for label in (IPH, IVH, SDH, EDH, ICH, PERILESIONAL_EDEMA)}
    phantom = make_phantom(GRIDS[grid], model, subsamples=(3, 1, 1))
    return measure_exam(phantom.volume, phantom.labelmap, [by_key[key] for key in labels])


@pytest.mark.parametrize("grid", GRIDS)
def test_the_volume_of_a_piece_is_known_to_three_percent(grid: str) -> None:
    found = measured(HeadModel((Bleed.sphere(40.0, (26.0, 0.0, 36.0)),)), grid=grid)
    assert found.count == 1
    assert found.pieces[0].volume_ml == pytest.approx(40.0, rel=0.03)
    assert found.pieces[0].mean_hu == pytest.approx(60, abs=2)
    assert found.pieces[0].max_hu > found.pieces[0].mean_hu
    assert found.pieces[0].side is Side.LEFT


def test_pieces_are_listed_by_volume_and_edema_is_none() -> None:
    bleeds = (Bleed.sphere(2.0, (-30, 20, 40)), Bleed.sphere(9.0, (30, -20, 40)), Bleed.sphere(20.0, (-30, -30, 30)))
    found = measured(HeadModel(bleeds), ("IPH", "IPH", "edema"))
    assert [round(piece.volume_ml) for piece in found.pieces] == [9, 2]


def test_a_bleed_beside_a_ventricle_touches_it_and_one_far_away_does_not() -> None:
    near = measured(HeadModel((Bleed.sphere(10.0, (30.0, 4.0, 12.0)),)))
    far = measured(HeadModel((Bleed.sphere(3.0, (-45.0, 10.0, 40.0)),)))
    assert near.reaches_ventricles is True
    assert far.reaches_ventricles is False
    assert measured(HeadModel((Bleed.sphere(3.0, (-45.0, 10.0, 40.0)),)), ("IVH",)).reaches_ventricles is True


def test_every_criterion_is_met_above_its_limit_and_not_below_and_has_a_source() -> None:
    piece = measured(HeadModel((Bleed.sphere(8.0, (26.0, 0.0, 36.0)),))).pieces[0]
    below = replace(piece, region=Region.POSTERIOR_FOSSA)

    def met(*pieces: object, shift_mm: float | None = None) -> set[Criterion]:
        return {flag.criterion for flag in flags_of(pieces, shift_mm)}  # type: ignore[arg-type]

    assert met(replace(piece, volume_ml=29.9)) == set()
    assert met(replace(piece, volume_ml=16.0), replace(piece, volume_ml=14.0)) == {Criterion.PARENCHYMAL_VOLUME}
    assert met(replace(piece, label="IVH")) == {Criterion.VENTRICLES}
    assert met(replace(piece, label="EDH", volume_ml=30.1)) == {Criterion.EPIDURAL_VOLUME}
    assert met(replace(piece, label="SDH", volume_ml=80.0)) >= {Criterion.SUBDURAL_THICKNESS}
    assert met(below) == {Criterion.INFRATENTORIAL}  # 25 mm
    assert met(replace(below, diameter=replace(below.diameter, end=tuple(np.add(below.diameter.start, 20))))) == {
        Criterion.INFRATENTORIAL,
        Criterion.CEREBELLAR_DIAMETER,
    }
    assert met(shift_mm=5.0) == set()
    assert met(shift_mm=5.1) == {Criterion.MIDLINE_SHIFT}
    assert all("20" in limit.source and ";" in limit.source for limit in LIMITS.values())


def test_measures_come_back_from_json_as_they_were() -> None:
    found = measured(HeadModel((Bleed.sphere(40.0, (26.0, 0.0, 36.0)),), midline_shift_mm=-7.0))
    again = ExamMeasures.from_json(json.loads(json.dumps(found.to_json())))
    assert again.to_json() == found.to_json()
    assert {flag.criterion for flag in again.flags} == {Criterion.PARENCHYMAL_VOLUME, Criterion.MIDLINE_SHIFT}
    unknown = ExamMeasures(found.pieces, 1, NoMidline.NO_SEPTUM)
    assert ExamMeasures.from_json(unknown.to_json()) == replace(again, midline=NoMidline.NO_SEPTUM)
