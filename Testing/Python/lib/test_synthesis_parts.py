"""Parts of the generator: each changes what it should, where it should, and nothing else; and can be kept out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ICHSegmenterLib.synthesis.acquisition.scanner import Protocol
from ICHSegmenterLib.synthesis.anatomy.canvas import Canvas, Densities
from ICHSegmenterLib.synthesis.anatomy.detailed import INCLUSIONS, TISSUE, blank_canvas, paint_parts
from ICHSegmenterLib.synthesis.anatomy.head_shape import HeadParameters, cavity_shape, head_grid
from ICHSegmenterLib.synthesis.anatomy.skull_base import clinoids, orbital_roofs, petrous_ridges, raised
from ICHSegmenterLib.synthesis.clinical import person_of, plans_of, protocol_of
from ICHSegmenterLib.synthesis.exam import make_exam
from ICHSegmenterLib.synthesis.parts import CLINICAL, Part, PartStreams, draw_parts, switched
from ICHSegmenterLib.synthesis.pathology.broad_subdural import BROAD_ML
from ICHSegmenterLib.synthesis.pathology.lesions import LesionPlan
from ICHSegmenterLib.synthesis.styles import CROWDED, STYLES

PROTOCOL = Protocol(matrix=96, steps_mm=(8.0,) * 17, noise_hu=2.0)
PLAIN = frozenset({Part.CORTICAL_RIBBON, Part.DEEP_NUCLEI})
EVERYWHERE = ((-80, 80), (-100, 100), (-80, 90))
PAINTED: dict[Part, tuple[tuple[float, float], tuple[tuple[float, float], ...]]] = {
    Part.TENTORIUM: ((35, 72), ((-70, 70), (-20, 90), (-40, 15))),
    Part.FALX: ((35, 72), ((-4, 4), (-90, 90), (-20, 80))),
    Part.CALCIFIED_FALX: ((60, 700), ((-4, 4), (-90, 60), (10, 80))),
    Part.SAGITTAL_SINUS: ((45, 76), ((-28, 28), (-95, 95), (-12, 90))),
    Part.STRAIGHT_SINUS: ((45, 76), ((-9, 9), (-20, 95), (-20, 18))),
    Part.TRANSVERSE_SINUS: ((45, 76), ((-75, 75), (30, 100), (-35, 15))),
    Part.SIGMOID_SINUS: ((45, 76), ((-70, 70), (5, 60), (-70, 5))),
    Part.PLEXUS: ((20, 51), ((-35, 35), (-20, 50), (-5, 30))),
    Part.CALCIFIED_PLEXUS: ((60, 701), ((-35, 35), (15, 50), (-5, 30))),
    Part.PINEAL: ((30, 51), ((-8, 8), (5, 25), (-6, 12))),
    Part.CALCIFIED_PINEAL: ((60, 701), ((-8, 8), (5, 25), (-6, 12))),
    Part.BASAL_ARTERIES: ((36, 72), ((-55, 55), (-55, 30), (-75, 40))),
    Part.DENSE_ARTERY: ((55, 86), ((-55, 55), (-30, 20), (-55, 20))),
    Part.DEEP_NUCLEI: ((30, 48), ((-45, 45), (-45, 45), (-80, 40))),
    Part.OLD_INFARCT: ((2, 33), EVERYWHERE),
    Part.WHITE_MATTER_LUCENCY: ((5, 34), EVERYWHERE),
}
"""Mean HU of what a part changes most, and where in the template: x, y, z in mm."""


@pytest.fixture(scope="module")
def person():
    return replace(HeadParameters.draw(np.random.default_rng(3)), atrophy=0.0, radii=(68.0, 86.0, 74.0))


@pytest.fixture(scope="module")
def shape(person):
    return cavity_shape(person, np.random.default_rng(3))


@pytest.fixture(scope="module")
def blank(person, shape):
    """Every eighth point of a cavity, before anything is painted."""
    random = np.random.default_rng(3)
    densities = Densities(dura=60.0, sinus=66.0, artery=56.0, plexus=44.0)
    canvas = blank_canvas(person, shape, random, densities)
    return thinned(canvas, 8)


def thinned(canvas: Canvas, step: int) -> Canvas:
    points = tuple(p[::step].copy() for p in canvas.points)
    fields = {
        name: getattr(canvas, name)[::step].copy() for name in ("depth", "tentorium", "wall", "hu", "csf", "ventricles")
    }
    return replace(canvas, points=points, **fields)


def painted(blank: Canvas, parts: set[Part]) -> Canvas:
    canvas = thinned(blank, 1)
    paint_parts(canvas, parts, PartStreams(np.random.default_rng(5)))
    return canvas


@pytest.mark.parametrize("part", [*INCLUSIONS, *TISSUE], ids=lambda part: part.value)
def test_a_part_has_its_density_in_its_place_and_changes_nothing_else(blank, part):
    (low, high), box = PAINTED[part]
    without, with_part = (painted(blank, parts) for parts in (PLAIN - {part}, PLAIN | {part}))
    change = np.abs(with_part.hu - without.hu)
    most = change > 0.8 * change.max()
    assert change.max() > 5
    assert low <= with_part.hu[most].mean() <= high
    for axis, bounds in zip(blank.points, box, strict=True):
        inside = (axis >= bounds[0]) & (axis <= bounds[1])
        assert change[~inside].max(initial=0) < 1


def test_the_cortical_ribbon_is_gray_and_folded(blank, person):
    flat, folded = (painted(blank, parts) for parts in ({Part.DEEP_NUCLEI}, PLAIN))
    x, _, z = blank.points
    cortex = (blank.depth > 6) & (blank.depth < 15) & (z > 20) & (np.abs(x) > 12)
    for canvas, is_folded in ((flat, False), (folded, True)):
        gray = (canvas.hu[cortex] > person.white_hu + 4).mean()
        fluid = (canvas.csf[cortex] > 0.3).mean()
        assert (0.1 < gray < 0.7) == is_folded
        assert (fluid > 0.01) == is_folded
    assert folded.hu.max() < person.gray_hu + 6


def test_contrast_medium_raises_vessels_dura_and_plexus_above_plain_ones():
    random = np.random.default_rng(0)
    plain, enhanced = ([Densities.draw(random, is_enhanced=on) for _ in range(50)] for on in (False, True))
    assert max(one.sinus for one in plain) <= 75 and min(one.sinus for one in plain) >= 50
    for name in ("sinus", "artery", "plexus"):
        assert min(getattr(one, name) for one in enhanced) > 75, name
        assert max(getattr(one, name) for one in plain) <= 75, name
    assert np.mean([one.dura for one in enhanced]) > 70 > max(one.dura for one in plain) - 1


@pytest.mark.parametrize("relief", [orbital_roofs, petrous_ridges, clinoids])
def test_relief_of_the_skull_base_rises_where_it_should(person, shape, relief):
    rise = relief(person, shape, np.random.default_rng(1))
    y, x = np.unravel_index(int(rise.argmax()), rise.shape)
    point = head_grid().ijk_to_lps((x, y, 0))
    assert 1.5 < rise.max() < 20 and rise.min() >= 0
    if relief is petrous_ridges:
        assert 10 < abs(point[0]) < 62 and point[1] > -10
    else:
        assert point[1] < 4
    higher = raised(shape, [rise])
    assert not (higher.cavity & ~shape.cavity).any()
    assert (shape.cavity & ~higher.cavity).any()


def test_a_part_kept_out_is_never_drawn_and_a_part_asked_for_always():
    random = np.random.default_rng(0)
    chances = switched(CLINICAL, always=[Part.SHUNT], without=[Part.TENTORIUM, Part.CLIP])
    drawn = [draw_parts(chances, random) for _ in range(100)]
    assert all(Part.SHUNT in parts for parts in drawn)
    assert not any({Part.TENTORIUM, Part.CLIP} & parts for parts in drawn)


def test_every_part_has_a_probability_and_is_drawn_about_as_often():
    assert set(CLINICAL) == set(Part)
    random = np.random.default_rng(0)
    drawn = [draw_parts(CLINICAL, random) for _ in range(600)]
    for part in (Part.FALX, Part.CALCIFIED_PLEXUS, Part.CONTRAST, Part.THICK_SLICES):
        share = np.mean([part in parts for parts in drawn])
        assert share == pytest.approx(CLINICAL[part], abs=4 * np.sqrt(CLINICAL[part] * (1 - CLINICAL[part]) / 600))


def test_what_is_rare_is_often_in_crowded_exams_and_contrast_medium_never():
    clinical, crowded = STYLES["clinical"], STYLES["clinical-crowded"]
    assert replace(crowded, parts=clinical.parts) == clinical
    assert crowded.parts[Part.CONTRAST] == 0
    rare = [part for part in CLINICAL if CLINICAL[part] < CROWDED and part is not Part.CONTRAST]
    common = [part for part in CLINICAL if CLINICAL[part] >= CROWDED]
    assert {Part.CHILD, Part.CRANIOTOMY, Part.BROAD_SUBDURAL} < set(rare)
    assert {crowded.parts[part] for part in rare} == {CROWDED}
    assert [crowded.parts[part] for part in common] == [CLINICAL[part] for part in common]


def test_a_child_has_no_atrophy_and_no_slice_is_thick_and_thin():
    parts = draw_parts(dict.fromkeys(Part, 1.0), np.random.default_rng(0))
    assert Part.CHILD in parts and Part.ATROPHY not in parts
    assert Part.THICK_SLICES in parts and Part.THIN_SLICES not in parts


def test_a_part_that_is_wanted_and_unwanted_is_refused():
    with pytest.raises(ValueError, match="shunt: asked for both"):
        STYLES["clinical"].with_parts(always=[Part.SHUNT], without=[Part.SHUNT])


def test_parts_of_a_plain_style_cannot_be_switched():
    with pytest.raises(ValueError, match="the styles clinical, contrast, clinical-crowded, clinical-shifted"):
        STYLES["standard"].with_parts(without=[Part.SHUNT])
    assert STYLES["standard"].with_parts() is STYLES["standard"]


def test_children_are_smaller_and_the_old_have_wide_spaces(person):
    drawn = {
        part: [person_of(person, {part}, np.random.default_rng(seed)) for seed in range(20)]
        for part in (Part.CHILD, Part.ATROPHY)
    }
    assert max(one.radii[0] for one in drawn[Part.CHILD]) < 0.93 * person.radii[0]
    assert max(one.skull_mm for one in drawn[Part.CHILD]) <= 4.0
    assert min(one.atrophy for one in drawn[Part.ATROPHY]) >= 0.3 > max(one.atrophy for one in drawn[Part.CHILD])


@pytest.mark.parametrize(
    ("part", "check"),
    [
        (Part.THICK_SLICES, lambda p: 6 <= p.steps_mm[0] <= 10),
        (Part.THIN_SLICES, lambda p: 0.5 <= p.steps_mm[0] <= 1.5),
        (Part.STRONG_NOISE, lambda p: 8 <= p.noise_hu <= 40),
        (Part.SHARP_KERNEL, lambda p: p.kernel.cutoff > 0.6 and p.kernel.boost > 0.3),
        (Part.BEAM_HARDENING, lambda p: p.hardening > 0),
        (Part.BRIGHT_VERTEX, lambda p: p.glow_hu >= 6),
        (Part.MOTION, lambda p: p.motion_mm >= 1 and p.double_mm >= 2),
        (Part.CLIP, lambda p: p.metal > 0),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_a_part_of_the_acquisition_changes_the_protocol_and_only_then(part, check):
    usual = Protocol(steps_mm=(5.0,) * 27)
    for seed in range(5):
        assert check(protocol_of(usual, {part}, np.random.default_rng(seed)))
        assert not check(protocol_of(usual, set(), np.random.default_rng(seed)))


def test_a_broad_subdural_takes_the_place_of_small_ones_but_never_enters_a_clean_exam():
    plans = (LesionPlan("SDH", 1.0), LesionPlan("IPH", 2.0))
    parts = {Part.BROAD_SUBDURAL}
    broad, other = plans_of(plans, parts, np.random.default_rng(0))
    assert broad.is_broad and BROAD_ML[0] <= broad.volume_ml <= BROAD_ML[1]
    assert other == plans[1]
    assert plans_of((), parts, np.random.default_rng(0)) == ()
    assert plans_of(plans, set(), np.random.default_rng(0)) == plans
    with pytest.raises(ValueError, match="only a subdural bleed"):
        LesionPlan("IPH", 40.0, is_broad=True)


@pytest.fixture(scope="module")
def clean():
    style = replace(STYLES["clinical"], parts=dict.fromkeys(Part, 1.0))
    return make_exam(4, style=style, plans=(), protocol=PROTOCOL)


def test_a_clean_exam_with_every_part_holds_no_blood(clean):
    assert not clean.labelmap.any() and clean.blood_fraction.max() == 0
    assert clean.parts >= {Part.CONTRAST, Part.SHUNT, Part.TENTORIUM}
    assert clean.volume.hu[clean.brain_mask].max() > 120  # contrast medium, calcium, metal


def test_equal_seeds_make_equal_clinical_exams(clean):
    style = replace(STYLES["clinical"], parts=dict.fromkeys(Part, 1.0))
    again = make_exam(4, style=style, plans=(), protocol=PROTOCOL)
    assert (again.volume.hu == clean.volume.hu).all()


def test_a_broad_subdural_lies_along_one_side_of_the_skull():
    plan = LesionPlan("SDH", 60.0, 58.0, is_broad=True)
    exam = make_exam(4, style=replace(STYLES["clinical"], parts={}), plans=[plan], protocol=PROTOCOL)
    voxels_ml = exam.volume.geometry.voxel_volumes_mm3 / 1000
    assert exam.blood_fraction.sum(axis=(1, 2)) @ voxels_ml == pytest.approx(60.0, rel=0.15)
    assert exam.blood_ml["SDH"] > 30  # voxels of 8 mm that are half bone are not outlined
    points = exam.volume.geometry.ijk_to_lps(np.argwhere(exam.labelmap == 5)[:, ::-1])
    assert np.ptp(points[:, 1]) > 90  # most of the way from front to back
    assert (points[:, 0] > 0).mean() in (pytest.approx(0, abs=0.03), pytest.approx(1, abs=0.03))
    assert 45 < exam.volume.hu[exam.labelmap == 5].mean() < 70


def test_a_head_that_moves_keeps_the_order_of_thin_tilted_slices():
    protocol = Protocol(matrix=32, steps_mm=(0.5,) * 60, tilt_deg=-14.0, motion_mm=4.0)
    exam = make_exam(4, style=replace(STYLES["clinical"], parts={}), plans=(), protocol=protocol)
    assert exam.volume.hu.shape == (61, 32, 32)
