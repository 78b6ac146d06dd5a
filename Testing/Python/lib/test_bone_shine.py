"""Bone that looks like blood is taken out of maps; blood beside bone stays."""

from __future__ import annotations

import numpy as np
import pytest

from head_volumes import gantry_geometry
from ICHSegmenterLib.methods.partial_volume import bone_like_blood
from ICHSegmenterLib.volume.volume import Volume

BRAIN_HU, SKULL_HU, BLOOD_HU, HALF_BONE_HU = 35.0, 900.0, 62.0, 88.0
SPOT = (slice(20, 40), slice(24, 44))
BLOOD = (0, 2)
"""Of three labels; label 1 is edema."""


def brain_below_skull() -> np.ndarray:
    """Six slices of brain and above them two of bone, with noise."""
    hu = np.full((8, 64, 64), BRAIN_HU, dtype=np.float32)
    hu[6:] = SKULL_HU
    return hu + np.random.default_rng(0).normal(0, 4, hu.shape).astype(np.float32)


def scan(hu: np.ndarray, *, step_mm: float = 7.0, tilt_deg: float = 0.0) -> Volume:
    return Volume(hu, gantry_geometry(slices=8, size=64, pixel_mm=1.0, tilt_deg=tilt_deg, steps_mm=step_mm))


def maps_of(*places: tuple[int, tuple[slice, slice]], label: int = 0) -> np.ndarray:
    maps = np.zeros((3, 8, 64, 64), dtype=np.float32)
    for k, place in places:
        maps[label, k][place] = 0.9
    return maps


def test_bone_of_the_next_slice_that_shines_into_a_thick_one_is_no_blood() -> None:
    hu = brain_below_skull()
    hu[5] += HALF_BONE_HU - BRAIN_HU
    maps = maps_of((5, SPOT))
    assert np.array_equal(bone_like_blood(maps, scan(hu), BLOOD), maps[0] > 0)


def test_blood_under_the_vertex_is_not_dense_enough_for_bone() -> None:
    hu = brain_below_skull()
    hu[5][SPOT] += BLOOD_HU - BRAIN_HU
    assert not bone_like_blood(maps_of((5, SPOT)), scan(hu), BLOOD).any()


def test_dense_blood_without_bone_above_or_below_stays() -> None:
    hu = brain_below_skull()
    hu[2][SPOT] += HALF_BONE_HU - BRAIN_HU
    assert not bone_like_blood(maps_of((2, SPOT)), scan(hu), BLOOD).any()


def test_a_bleed_that_reaches_the_vertex_keeps_its_edge_there() -> None:
    hu = brain_below_skull()
    hu[3:5][:, SPOT[0], SPOT[1]] += BLOOD_HU - BRAIN_HU
    hu[5][SPOT] += HALF_BONE_HU - BRAIN_HU  # blood, and bone that shines in
    maps = maps_of((3, SPOT), (4, SPOT), (5, SPOT))
    assert not bone_like_blood(maps, scan(hu), BLOOD).any()


def test_thin_slices_are_not_suspected() -> None:
    hu = brain_below_skull()
    hu[5] += HALF_BONE_HU - BRAIN_HU
    assert not bone_like_blood(maps_of((5, SPOT)), scan(hu, step_mm=1.0), BLOOD).any()


@pytest.mark.parametrize("tilt_deg", [-25.0, 0.0, 25.0])
def test_bone_is_looked_for_straight_along_the_normal_of_a_tilted_scan(tilt_deg: float) -> None:
    hu = brain_below_skull()
    hu[:] = BRAIN_HU
    geometry = scan(hu, step_mm=14.0, tilt_deg=tilt_deg).geometry
    step = geometry.slice_origins[6] - geometry.slice_origins[5]
    moved = round(float(step @ geometry.row_step))
    assert abs(moved) == (0 if tilt_deg == 0 else 6)
    spot = (slice(28, 32), slice(24, 44))
    hu[5] = HALF_BONE_HU
    hu[6][slice(28 - moved, 32 - moved), spot[1]] = SKULL_HU
    assert bone_like_blood(maps_of((5, spot)), scan(hu, step_mm=14.0, tilt_deg=tilt_deg), BLOOD)[5][spot].all()


def test_calcification_is_no_blood_whatever_lies_beside_it() -> None:
    hu = brain_below_skull()
    hu[2][28:34, 28:34] = 300.0
    bone = bone_like_blood(maps_of((2, SPOT)), scan(hu), BLOOD)
    assert bone[2][28:34, 28:34].all()
    assert np.count_nonzero(bone) < 10 * 10


def test_noise_is_no_calcification() -> None:
    hu = brain_below_skull()
    noise = np.random.default_rng(1).normal(BLOOD_HU, 30.0, (20, 20)).astype(np.float32)
    hu[2][SPOT] = noise
    assert (noise > 120).any()
    assert not bone_like_blood(maps_of((2, SPOT)), scan(hu, step_mm=1.0), BLOOD).any()


def test_other_labels_are_left_alone() -> None:
    hu = brain_below_skull()
    hu[5] += HALF_BONE_HU - BRAIN_HU
    assert not bone_like_blood(maps_of((5, SPOT), label=1), scan(hu), BLOOD).any()


def test_maps_without_blood_have_no_bone() -> None:
    hu = brain_below_skull()
    assert not bone_like_blood(maps_of(), scan(hu), BLOOD).any()
