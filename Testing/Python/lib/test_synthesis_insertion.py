"""Lesions put into a given CT stay on its grid, change only the brain, and have a known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol
from ICHSegmenterLib.synthesis.exam import make_exam
from ICHSegmenterLib.synthesis.insertion import insert_lesions
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES, LesionPlan
from ICHSegmenterLib.volume.io import read_volume
from phantom_scan import STEPS_MM, TILT_DEG
from shared_folder import shared_folder


@pytest.fixture(scope="module")
def host():
    return make_exam(8, plans=(), protocol=Protocol(matrix=128, steps_mm=(4.0,) * 14 + (7.0,) * 12, tilt_deg=15.0))


@pytest.fixture(scope="module")
def real_head():
    """The real scan, or where it is absent a head with sulci on nearly its grid."""
    folder = shared_folder() / "data" / "ge_head_ct"
    if folder.is_dir():
        return read_volume(folder)
    return make_exam(8, plans=(), protocol=Protocol(matrix=256, steps_mm=STEPS_MM, tilt_deg=TILT_DEG)).volume


def test_nothing_outside_the_brain_changes(host):
    exam = insert_lesions(host.volume, [LesionPlan("SDH", 20.0)], brain_mask=host.brain_mask)
    assert exam.volume.geometry.matches(host.volume.geometry)
    assert (exam.volume.hu == host.volume.hu)[~host.brain_mask].all()
    assert not exam.labelmap[~host.brain_mask].any()


def test_the_volume_and_density_of_an_inserted_bleed_are_as_asked_for(host):
    plan = LesionPlan("IPH", 20.0, hu=62.0, edema_hu=0.0)
    exam = insert_lesions(host.volume, [plan], seed=2, brain_mask=host.brain_mask)
    assert exam.blood_ml["IPH"] == pytest.approx(20.0, rel=0.15)
    full = exam.blood_fraction > 0.99
    assert exam.volume.hu[full].mean() == pytest.approx(62.0, abs=2.0)


def test_blood_is_as_much_too_bright_as_the_brain_around_it(host):
    """As beam hardening makes both near bone."""
    plan = [LesionPlan("SDH", 25.0, hu=62.0)]
    hardened = replace(
        host.volume, hu=np.where(host.brain_mask & (host.volume.hu > 20), host.volume.hu + 15, host.volume.hu)
    )
    plain, bright = (
        insert_lesions(volume, plan, seed=2, brain_mask=host.brain_mask) for volume in (host.volume, hardened)
    )
    full = (plain.blood_fraction > 0.95) & (bright.blood_fraction > 0.95) & (host.volume.hu < 60)
    assert full.sum() > 100
    assert plain.volume.hu[full].mean() == pytest.approx(62.0, abs=4.0)
    assert 8 < (bright.volume.hu - plain.volume.hu)[full].mean() < 16


def test_bone_keeps_its_edge_where_blood_lies_along_it(host):
    exam = insert_lesions(host.volume, [LesionPlan("SDH", 25.0)], seed=2, brain_mask=host.brain_mask)
    edge = host.brain_mask & (host.volume.hu > 150) & (exam.blood_fraction > 0.5)
    assert edge.sum() > 30
    assert (exam.volume.hu - host.volume.hu)[edge].mean() > 0


def test_noise_goes_on_inside_a_bleed(host):
    exam = insert_lesions(host.volume, [LesionPlan("IPH", 20.0)], seed=2, brain_mask=host.brain_mask)
    assert exam.volume.hu[exam.blood_fraction > 0.99].std() > 2.0


def test_edema_darkens_the_surroundings(host):
    dark, plain = (
        insert_lesions(
            host.volume, [LesionPlan("IPH", 15.0, edema_hu=edema)], seed=2, brain_mask=host.brain_mask
        ).volume.hu
        for edema in (16.0, 0.0)
    )
    assert (dark - plain).min() <= -8
    assert (dark - plain).max() <= 1


def test_an_exam_without_lesions_is_returned_as_it_was(host):
    exam = insert_lesions(host.volume, [], brain_mask=host.brain_mask)
    assert (exam.volume.hu == host.volume.hu).all()
    assert not exam.labelmap.any()


def test_a_mask_of_another_shape_is_refused(host):
    with pytest.raises(ValueError, match="brain_mask has shape"):
        insert_lesions(host.volume, [], brain_mask=host.brain_mask[1:])


def test_subarachnoid_blood_does_not_line_an_air_cell(host):
    """What a brain mask takes in of the ethmoid is dark at its air, but no cistern."""
    spacing = host.volume.geometry.pixel_spacing_mm[0]
    k = int(np.argmax(host.brain_mask.sum(axis=(1, 2)))) - 4
    rows, columns = np.nonzero(host.brain_mask[k])
    center = rows.min() + 12, int(np.median(columns))
    j, i = np.ogrid[: host.brain_mask.shape[1], : host.brain_mask.shape[2]]
    distance_mm = np.hypot(j - center[0], i - center[1]) * spacing
    cell = np.where(distance_mm < 3, -600.0, 2.0)
    near = (distance_mm < 6) & host.brain_mask
    hu = host.volume.hu.copy()
    hu[k - 1 : k + 2] = np.where(near[k - 1 : k + 2], cell, hu[k - 1 : k + 2])
    exam = insert_lesions(replace(host.volume, hu=hu), [LesionPlan("SAH", 60.0)], seed=3, brain_mask=host.brain_mask)
    assert exam.blood_ml["SAH"] > 10
    assert not exam.labelmap[k][near[k]].any()


def test_subarachnoid_blood_of_other_seeds_lies_elsewhere(host):
    first, second = (
        insert_lesions(host.volume, [LesionPlan("SAH", 3.0)], seed=seed, brain_mask=host.brain_mask).labelmap > 0
        for seed in (1, 2)
    )
    assert first.any() and second.any()
    assert (first & second).sum() < 0.5 * first.sum()


@pytest.mark.slow
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_each_subtype_fits_into_a_real_head(real_head, subtype):
    volume = real_head
    exam = insert_lesions(volume, [LesionPlan(subtype, 10.0)], seed=1)
    assert exam.blood_ml[subtype] == pytest.approx(10.0, rel=0.45)
    assert np.array_equal(exam.volume.hu[~exam.brain_mask], volume.hu[~exam.brain_mask])
    assert "not a real exam" in exam.volume.source.warnings[-1]
