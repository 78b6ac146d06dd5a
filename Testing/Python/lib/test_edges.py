"""Edges of drawn pieces lie where the scan shows them; the verdict stays that of the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ICHSegmenterLib.analysis.verdict.assess import Judgement, assess
from ICHSegmenterLib.analysis.verdict.edges import REACH_MM, too_dense
from ICHSegmenterLib.cards.json.reader import card_from
from ICHSegmenterLib.cards.table import card_facts, get_card
from ICHSegmenterLib.labels import ANY, SUBTYPE_LABELS
from ICHSegmenterLib.predictions import SlicePrediction
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.preprocessing.spec import NoPreprocessing
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

SHAPE, SLICE = (5, 120, 120), 2
BRAIN_HU, BLOOD_HU = 32.0, 60.0
CARD = replace(get_card("compact-unet"), calibration=None, detection_threshold=0.5)
UNREFINED = replace(CARD, refine_edges=False)
BLOOD = (slice(50, 70), slice(40, 80))
"""20 mm by 40 mm of a slice of 5 mm, 4 mL."""
CORE = (slice(54, 66), slice(44, 76))


def prepared(*dense: tuple[slice, slice], brain: np.ndarray | None = None) -> PreparedVolume:
    geometry = VolumeGeometry.from_affine(SHAPE, np.diag([1.0, 1.0, 5.0, 1.0]))
    hu = np.full(SHAPE, BRAIN_HU, dtype=np.float32)
    for box in dense:
        hu[SLICE][box] = BLOOD_HU
    mask = np.ones(SHAPE, dtype=bool) if brain is None else brain
    return PreparedVolume(Volume(hu, geometry), AxialView.of(geometry), mask, NoPreprocessing())


def predictions(core: tuple[slice, slice] = CORE, around: float = 0.06) -> list[SlicePrediction]:
    """IPH of 0.8 in the core, a little around it on its slice, nothing elsewhere."""
    maps = np.zeros((len(CARD.labels), *SHAPE[1:]), dtype=np.float32)
    maps[1, 50:70, 40:100] = around
    maps[1][core] = 0.8
    values = dict.fromkeys(SUBTYPE_LABELS, 0.0) | {"IPH": 0.8, ANY: 0.8}
    nothing = dict.fromkeys(SUBTYPE_LABELS, 0.0)
    return [SlicePrediction(k, values, maps) if k == SLICE else SlicePrediction(k, nothing) for k in range(SHAPE[0])]


def judged(exam: PreparedVolume, card=CARD, threshold: float | None = None, **map_: object) -> Judgement:
    return assess(predictions(**map_), exam, card, AnalysisRequest("compact-unet", threshold=threshold))


def outline(judgement: Judgement) -> np.ndarray:
    return judgement.segmentation.blood_mask


def blood(exam: PreparedVolume) -> np.ndarray:
    return exam.volume.hu == BLOOD_HU


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_a_piece_that_is_drawn_too_thin_or_too_wide_ends_where_the_scan_shows_it():
    exam = prepared(BLOOD)
    assert dice(outline(judged(exam, UNREFINED)), blood(exam)) < 0.7
    wide = (slice(46, 74), slice(36, 84))
    assert dice(outline(judged(exam, UNREFINED, core=wide)), blood(exam)) < 0.8
    for core in (CORE, wide):
        refined = outline(judged(exam, core=core))
        # A Gaussian takes a few of 800 pixels off each of the four corners.
        assert dice(refined, blood(exam)) > 0.98
        assert not refined[np.arange(SHAPE[0]) != SLICE].any()


def test_the_verdict_and_the_probability_of_a_piece_do_not_move_but_its_volume_does():
    exam = prepared(BLOOD)
    before, after = judged(exam, UNREFINED).assessment, judged(exam).assessment
    assert (after.code, after.probability) == (before.code, before.probability)
    (was,), (piece,) = before.pieces, after.pieces
    assert (piece.probability, piece.subtype, piece.subtype_probability) == (
        was.probability,
        was.subtype,
        was.subtype_probability,
    )
    assert was.volume_ml == pytest.approx(12 * 32 * 5 / 1000)
    assert piece.volume_ml == pytest.approx(4.0, rel=0.03)  # of 800 pixels 20, at the corners


def test_nothing_is_added_beyond_reach_outside_the_brain_or_where_the_network_sees_nothing():
    long_blood = (slice(50, 70), slice(40, 110))
    exam = prepared(long_blood)
    columns = np.flatnonzero(outline(judged(exam))[SLICE].any(axis=0))
    assert columns[-1] == CORE[1].stop - 1 + REACH_MM
    brain = np.ones(SHAPE, dtype=bool)
    brain[:, :53] = False
    assert np.flatnonzero(outline(judged(prepared(BLOOD, brain=brain)))[SLICE].any(axis=1))[0] == 53
    assert np.array_equal(outline(judged(exam, around=0.0)), outline(judged(exam, UNREFINED)))


def test_what_does_not_differ_from_the_brain_around_keeps_its_edge():
    exam = prepared()
    assert np.array_equal(outline(judged(exam)), outline(judged(exam, UNREFINED)))


def test_no_piece_becomes_smaller_than_what_is_listed():
    exam, wide = prepared(BLOOD), predictions((slice(46, 74), slice(36, 84)))
    for min_ml, volume_ml in ((3.0, 4.0), (5.0, 28 * 48 * 5 / 1000)):
        request = AnalysisRequest("compact-unet", min_volume_ml=min_ml)
        (piece,) = assess(wide, exam, CARD, request).assessment.pieces
        assert piece.volume_ml == pytest.approx(volume_ml, rel=0.03)


def test_another_threshold_is_drawn_as_it_is():
    exam = prepared(BLOOD)
    assert np.array_equal(outline(judged(exam, threshold=0.4)), outline(judged(exam, UNREFINED, threshold=0.4)))
    assert np.array_equal(outline(judged(exam, threshold=CARD.threshold)), outline(judged(exam)))


def test_an_exam_without_a_drawn_piece_stays_without():
    strict = replace(CARD, detection_threshold=0.95)
    assert not outline(judged(prepared(BLOOD), strict)).any()


def test_bone_calcium_and_metal_are_no_blood_but_the_grain_of_noise_is():
    exam = prepared(BLOOD)
    scan = exam.volume.hu.copy()
    hu = scan[SLICE]
    hu[50:52, 40:80] = 220.0  # a rim that is partly bone
    hu[60, 60] = 900.0  # a clip
    hu[64:66, 50:52], hu[58, 70:72] = 150.0, 150.0  # calcium of 4 mm², two pixels of noise
    refined = outline(judged(replace(exam, volume=Volume(scan, exam.volume.geometry))))[SLICE]
    assert not refined[50:52].any()
    assert not refined[60, 60]
    assert not refined[64:66, 50:52].any()
    assert refined[58, 70:72].all()
    assert dice(refined, (hu == BLOOD_HU)) > 0.97


def test_dense_spots_are_told_by_size_in_mm_and_by_bone():
    hu = np.full((1, 12, 12), 60.0, dtype=np.float32)
    hu[0, 2:4, 2:4] = 140.0
    assert too_dense(hu, (1.0, 1.0)).sum() == 4
    assert not too_dense(hu, (0.5, 0.5)).any()
    hu[0, 3, 3] = 300.0
    assert too_dense(hu, (0.5, 0.5)).sum() == 4
    assert not too_dense(np.full((2, 3, 3), 130.0, dtype=np.float32), (1.0, 1.0)).any()


def test_a_card_says_whether_edges_are_refined():
    assert card_from(card_facts(CARD), "card.json", {}).refine_edges
    assert not get_card("blast-ct").refine_edges
