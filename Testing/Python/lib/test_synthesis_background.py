"""A scan made into many: another person, another scanner, the same grid, and lesions of known size in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.synthesis.acquisition.background import BackgroundChanges, augment_background
from ICHSegmenterLib.synthesis.insertion import insert_lesions
from ICHSegmenterLib.synthesis.pathology.lesions import LesionPlan
from ICHSegmenterLib.synthesis.phantom import make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from phantom_scan import HEAD_CENTER, PIXEL_MM, scan_geometry

BLOCK = 4
"""The phantom is scanned with pixels so many times as wide as the real ones."""
NOTHING = BackgroundChanges(
    scale=(1.0, 1.0, 1.0),
    warp_mm=0.0,
    is_mirrored=False,
    turn_deg=0.0,
    offset_hu=0.0,
    contrast=1.0,
    bend_hu=0.0,
    own_noise=1.0,
    noise_hu=0.0,
    sharpness=0.0,
    blur_mm=0.0,
)


@pytest.fixture(scope="module")
def scan():
    """A phantom with the tilt, the shear and the unequal steps of the real head."""
    fine = scan_geometry()
    size = fine.shape[1] // BLOCK
    geometry = VolumeGeometry(
        (fine.shape[0], size, size), fine.column_step * BLOCK, fine.row_step * BLOCK, fine.slice_origins - HEAD_CENTER
    )
    return make_phantom(geometry, subsamples=(1, 1, 1)).volume


def test_equal_seeds_make_equal_scans_and_others_do_not(scan):
    first, again, other = (augment_background(scan, seed) for seed in (1, 1, 2))
    assert (first.hu == again.hu).all() and first.geometry.matches(again.geometry)
    assert (first.hu != other.hu).any()


def test_a_change_of_nothing_gives_the_scan_back(scan):
    same = augment_background(scan, 0, NOTHING)
    assert same.geometry.matches(scan.geometry)
    assert np.abs(same.hu - scan.hu).max() <= 1  # rounded
    assert "not a real exam" in same.source.warnings[-1]


def test_the_shape_of_the_array_stays_and_the_spacing_is_scaled(scan):
    scaled = augment_background(scan, 0, replace(NOTHING, scale=(1.1, 0.9, 1.2)))
    assert scaled.hu.shape == scan.hu.shape
    rows_mm, columns_mm = scaled.geometry.pixel_spacing_mm
    assert columns_mm == pytest.approx(1.1 * BLOCK * PIXEL_MM)
    assert rows_mm == pytest.approx(0.9 * BLOCK * PIXEL_MM)
    steps = np.diff(scaled.geometry.slice_positions_mm) / np.diff(scan.geometry.slice_positions_mm)
    assert steps == pytest.approx(1.2)
    assert scaled.geometry.column_step @ scaled.geometry.row_step == pytest.approx(0, abs=1e-9)


def test_a_mirrored_head_has_left_and_right_exchanged(scan):
    mirrored = augment_background(scan, 0, replace(NOTHING, is_mirrored=True))
    assert np.abs(mirrored.hu - scan.hu[:, :, ::-1]).max() <= 1


def test_a_turned_and_warped_head_keeps_about_its_volume(scan):
    turned = augment_background(scan, 3, replace(NOTHING, turn_deg=8.0, warp_mm=2.0))
    before, after = ((volume.hu > -500).sum() for volume in (scan, turned))
    assert (np.abs(turned.hu - scan.hu) > 50).mean() > 0.02
    assert after == pytest.approx(before, rel=0.1)


def test_densities_change_in_soft_tissue_only_and_keep_their_order(scan):
    changed = augment_background(scan, 3, replace(NOTHING, offset_hu=4.0, contrast=1.3, bend_hu=2.0))
    soft = (scan.hu > 10) & (scan.hu < 60)
    hard = (scan.hu > 200) | (scan.hu < -100)
    assert np.abs(changed.hu - scan.hu)[hard].max() <= 1
    assert (changed.hu - scan.hu)[soft].mean() == pytest.approx(4.0, abs=3.0)
    smooth = [np.median(changed.hu[soft & (np.abs(scan.hu - level) < 2)]) for level in (14, 24, 34, 44)]
    assert smooth == sorted(smooth)


@pytest.mark.parametrize("noise_hu", [5.0, 30.0])
def test_added_noise_has_the_strength_that_was_asked_for(scan, noise_hu):
    noisy = augment_background(scan, 3, replace(NOTHING, noise_hu=noise_hu, sharpness=0.8))
    soft = (scan.hu > 10) & (scan.hu < 60)
    assert (noisy.hu - scan.hu)[soft].std() == pytest.approx(noise_hu, rel=0.1)


def test_the_scans_own_noise_can_be_lowered(scan):
    quiet = augment_background(scan, 3, replace(NOTHING, own_noise=0.2))
    brain = brain_mask(scan) & (scan.hu > 15) & (scan.hu < 50)
    assert quiet.hu[brain].std() < 0.9 * scan.hu[brain].std()


def test_lesions_have_their_volume_in_an_augmented_background(scan):
    background = augment_background(scan, 5)
    exam = insert_lesions(background, [LesionPlan("IPH", 20.0, edema_hu=0.0)], seed=1)
    assert exam.blood_ml["IPH"] == pytest.approx(20.0, rel=0.25)
    assert exam.volume.geometry.matches(background.geometry)
    assert (exam.volume.hu == background.hu)[~exam.brain_mask].all()
    assert sum("not a real exam" in warning for warning in exam.volume.source.warnings) == 2


def test_a_clean_augmented_background_holds_no_blood(scan):
    exam = insert_lesions(augment_background(scan, 6), [], seed=1)
    assert not exam.labelmap.any()
