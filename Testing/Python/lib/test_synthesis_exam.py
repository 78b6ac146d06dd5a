"""Synthetic exams: known truth, plausible densities, the geometry that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ICHSegmenterLib.preprocessing.brain_mask import brain_mask
from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol
from ICHSegmenterLib.synthesis.exam import SCAN_ML, VISIBLE_ML, draw_plans, make_exam
from ICHSegmenterLib.synthesis.pathology.lesions import SUBTYPES, VOLUME_ML, LesionPlan
from ICHSegmenterLib.synthesis.styles import STYLES, draw_protocol

PROTOCOL = Protocol(matrix=128, steps_mm=(4.0,) * 34, tilt_deg=12.0)
PLANS = [
    LesionPlan("EDH", 12.0),
    LesionPlan("IPH", 10.0),
    LesionPlan("IVH", 3.0, hu=55.0),
    LesionPlan("SAH", 6.0),
    LesionPlan("SDH", 15.0),
]


@pytest.fixture(scope="module")
def exam():
    return make_exam(5, plans=PLANS, protocol=PROTOCOL)


@pytest.fixture(scope="module")
def healthy():
    return make_exam(5, plans=(), protocol=PROTOCOL)


def test_each_subtype_has_about_the_wanted_volume(exam):
    for plan in PLANS:
        tolerance = 0.5 if plan.subtype == "SAH" else 0.2  # sulci are thinner than a voxel
        assert exam.blood_ml[plan.subtype] == pytest.approx(plan.volume_ml, rel=tolerance), plan.subtype


def test_a_head_without_lesions_has_no_label(healthy):
    assert not healthy.labelmap.any()
    assert not healthy.slice_labels.any()
    assert healthy.blood_fraction.max() == 0


def test_slice_labels_say_where_each_subtype_is(exam):
    for place, _ in enumerate(SUBTYPES):
        expected = (exam.labelmap == place + 1).any(axis=(1, 2))
        assert (exam.slice_labels[:, place] == expected).all()
    assert (exam.slice_labels[:, -1] == exam.slice_labels[:, :5].any(axis=1)).all()


def test_blood_has_the_density_of_blood(exam):
    for value, name in enumerate(SUBTYPES, start=1):
        mean = exam.volume.hu[exam.labelmap == value].mean()
        assert 35 < mean < 75, name


def test_brain_has_the_density_of_brain(healthy):
    inside = healthy.volume.hu[healthy.brain_mask]
    assert 24 < np.median(inside) < 42
    assert np.percentile(inside, 5) < 20  # fluid


def test_equal_seeds_make_equal_exams_and_others_do_not():
    plans = [LesionPlan("IPH", 5.0)]
    first, again, other = (make_exam(seed, plans=plans, protocol=PROTOCOL) for seed in (1, 1, 2))
    assert (first.volume.hu == again.volume.hu).all()
    assert (first.labelmap == again.labelmap).all()
    assert (first.labelmap != other.labelmap).any()


def test_the_brain_mask_of_real_scans_is_found_in_synthetic_ones(healthy):
    found = brain_mask(healthy.volume)
    overlap = 2 * (found & healthy.brain_mask).sum() / (found.sum() + healthy.brain_mask.sum())
    assert overlap > 0.9


def test_the_geometry_is_the_protocols(exam):
    geometry = exam.volume.geometry
    assert geometry.shape == (35, 128, 128)
    assert geometry.tilt_deg == pytest.approx(12.0, abs=1e-3)


def test_a_thin_below_thick_above_protocol_is_unequal():
    geometry = Protocol(steps_mm=(3.0,) * 5 + (6.0,) * 5, is_descending=True).geometry
    assert not geometry.is_regular
    assert np.diff(geometry.slice_positions_mm).max() < 0


def test_blood_in_the_ventricles_lies_posteriorly(exam):
    ivh = np.argwhere(exam.labelmap == 1 + SUBTYPES.index("IVH"))
    center = exam.volume.geometry.ijk_to_lps(ivh[:, ::-1]).mean(axis=0)
    brain = exam.volume.geometry.ijk_to_lps(np.argwhere(exam.brain_mask)[:, ::-1]).mean(axis=0)
    assert center[1] > brain[1]


def test_epidural_blood_touches_the_skull_and_parenchymal_blood_lies_deeper(exam):
    depth = np.stack([ndimage.distance_transform_edt(one) for one in exam.brain_mask])
    depth *= exam.volume.geometry.pixel_spacing_mm[0]
    epidural, parenchymal = (depth[exam.labelmap == 1 + SUBTYPES.index(name)] for name in ("EDH", "IPH"))
    assert epidural.min() < 4
    assert epidural.mean() < parenchymal.mean()


def test_drawn_volumes_follow_the_measured_medians():
    random = np.random.default_rng(0)
    for name, (median, _, _) in VOLUME_ML.items():
        drawn = [LesionPlan.draw(random, name).volume_ml for _ in range(800)]
        assert np.median(drawn) == pytest.approx(median, rel=0.3)


def test_the_blood_of_a_scan_follows_what_was_measured_in_scans():
    """BHSD: percentiles 5, 50 and 95 are 0.4, 15 and 118 mL; PhysioNet CT-ICH: median 6.5 mL."""
    random = np.random.default_rng(0)
    totals = [sum(plan.volume_ml for plan in draw_plans(random)) for _ in range(1500)]
    low, median, high = np.percentile(totals, (5, 50, 95))
    assert median == pytest.approx(SCAN_ML[0], rel=0.2)
    assert 0.3 < low < 1.2
    assert 80 < high < 160


def test_no_piece_of_blood_is_too_small_to_be_outlined(exam):
    pieces, count = ndimage.label(exam.labelmap > 0, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(np.ones(pieces.shape), pieces, range(1, count + 1))
    assert sizes.min() * exam.volume.geometry.voxel_volumes_mm3[0] / 1000 >= VISIBLE_ML


def test_drawn_exams_have_the_wanted_share_of_hemorrhage():
    random = np.random.default_rng(0)
    share = np.mean([bool(draw_plans(random, positive_share=0.3)) for _ in range(500)])
    assert share == pytest.approx(0.3, abs=0.07)


def test_shifted_protocols_lie_outside_the_standard_ones():
    random = np.random.default_rng(0)
    standard, shifted = ([draw_protocol(STYLES[name], random) for _ in range(30)] for name in ("standard", "shifted"))
    assert min(one.field_of_view_mm for one in shifted) >= max(one.field_of_view_mm for one in standard)
    assert min(one.blur_mm for one in shifted) >= max(one.blur_mm for one in standard)


@pytest.mark.parametrize(("subtype", "volume"), [("XYZ", 1.0), ("IPH", 0.0)])
def test_an_impossible_lesion_is_refused(subtype, volume):
    with pytest.raises(ValueError, match="must be"):
        LesionPlan(subtype, volume)


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match="standard, thin, shifted"):
        make_exam(0, style="cubist")
