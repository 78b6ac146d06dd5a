"""The phantom's answers, computed another way."""

from __future__ import annotations

import numpy as np
import pytest

from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, StorageOrder, head_geometry, make_phantom

CENTER = (28.0, 5.0, 30.0)
GEOMETRIES = {
    "plain": head_geometry((24, 128, 128), pixel_mm=(1.7, 1.7)),
    "tilted and uneven": head_geometry(
        (28, 140, 120), pixel_mm=(1.5, 1.8), tilt_deg=20, slice_step_mm=(4.2,) * 13 + (1.1,) + (7.4,) * 13
    ),
    "turned and flipped": head_geometry(
        (24, 128, 128),
        pixel_mm=(1.7, 1.7),
        turn_deg=20,
        order=StorageOrder(is_descending=True, flips_rows=True, flips_columns=True),
    ),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_bleed_has_its_volume_and_place_on_any_grid(name: str) -> None:
    model = HeadModel((Bleed.sphere(20.0, CENTER),), noise_hu=0)
    phantom = make_phantom(GEOMETRIES[name], model)
    assert phantom.blood_ml == pytest.approx(20.0, rel=0.03)
    np.testing.assert_allclose(phantom.blood_center_lps, CENTER, atol=0.4)
    index = np.argwhere(phantom.labelmap == 1)
    centers = phantom.volume.geometry.ijk_to_lps(index[:, ::-1])
    weights = phantom.volume.geometry.voxel_volumes_mm3[index[:, 0]]
    np.testing.assert_allclose(np.average(centers, axis=0, weights=weights), CENTER, atol=0.7)
    full = phantom.blood_fraction == 1
    np.testing.assert_allclose(phantom.volume.hu[full], 60.0, atol=1e-3)


def test_slices_are_partial_volume() -> None:
    phantom = make_phantom(GEOMETRIES["plain"], HeadModel((Bleed.sphere(20.0, CENTER),), noise_hu=0))
    partial = (phantom.blood_fraction > 0.3) & (phantom.blood_fraction < 0.7)
    assert partial.any()
    assert np.all(phantom.volume.hu[partial] < 59)


def test_extra_axial_blood_lies_inside_the_skull_and_on_its_side() -> None:
    model = HeadModel((Bleed("EDH", (80, 0, 30), (30, 30, 30)), Bleed("SDH", (-10, 0, 5), (10, 0, 0))))
    phantom = make_phantom(GEOMETRIES["plain"], model, subsamples=(1, 1, 1))
    for value, side in ((1, 1), (2, -1)):
        index = np.argwhere(phantom.labelmap == value)
        assert len(index) > 50
        assert side * phantom.volume.geometry.ijk_to_lps(index[:, ::-1])[:, 0].mean() > 20
    assert phantom.brain_mask[phantom.labelmap > 0].all()


def test_noise_is_repeatable_and_of_the_size_asked_for() -> None:
    geometry = GEOMETRIES["plain"]
    first = make_phantom(geometry, HeadModel(noise_hu=6), seed=3, subsamples=(1, 1, 1)).volume.hu
    again = make_phantom(geometry, HeadModel(noise_hu=6), seed=3, subsamples=(1, 1, 1)).volume.hu
    clean = make_phantom(geometry, HeadModel(noise_hu=0), subsamples=(1, 1, 1))
    np.testing.assert_array_equal(first, again)
    assert np.std((first - clean.volume.hu)[clean.brain_mask]) == pytest.approx(6, rel=0.02)


def test_tilt_and_steps_are_those_asked_for() -> None:
    geometry = GEOMETRIES["tilted and uneven"]
    assert geometry.tilt_deg == pytest.approx(20)
    assert not geometry.is_regular
    np.testing.assert_allclose(np.diff(geometry.slice_origins[:, 2])[[0, 13, 14]], [4.2, 1.1, 7.4])
