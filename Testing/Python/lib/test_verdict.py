"""The verdict of an exam: pieces of blood, three verdicts, and nothing that depends on how thick the slices are."""

import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from ICHSegmenterLib.analysis.combine import combine
from ICHSegmenterLib.analysis.comparison.compare import agreement_of
from ICHSegmenterLib.analysis.comparison.vote import vote_result
from ICHSegmenterLib.analysis.verdict.assess import assess
from ICHSegmenterLib.cards.calibration import Calibration, Cuts, LogisticModel
from ICHSegmenterLib.cards.table import card_facts, get_card
from ICHSegmenterLib.labels import EDH, IPH, IVH, SAH, SDH
from ICHSegmenterLib.predictions import ExamPredictions, SlicePrediction
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.pipeline import PreparedVolume
from ICHSegmenterLib.preprocessing.spec import NoPreprocessing
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult, Provenance
from ICHSegmenterLib.verdict import OperatingPoint, VerdictCode, verdict_code
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

ROWS, COLUMNS, PIXEL_MM = 48, 40, 4.0
HEIGHT_MM = 105.0  # a whole number of slices of 0.6, 1.25, 2.5, 5 and 7 mm
THICKNESSES_MM = (0.6, 1.25, 2.5, 5.0, 7.0)
REQUEST = AnalysisRequest("hu-threshold")
SUBTYPES = (EDH, IPH, IVH, SAH, SDH)

PIECES = LogisticModel(
    -6.0,
    MappingProxyType(
        {"log_volume": 2.0, "max_logit": 1.0, "contrast_hu": 0.5, "skull_distance": 0.3, "height": -0.5, "extent": 0.2}
    ),
)
CALIBRATION = Calibration(
    exam=LogisticModel(0.5, MappingProxyType({"top_logit": 0.8, "log_blood": 0.4})),
    screening=Cuts(0.2, 0.1),
    confirming=Cuts(0.8, 0.6),
    population="made-up pieces",
    exams=10,
    expected_error=0.03,
    pieces=PIECES,
    weights=("0" * 64,),
)
SCORED = replace(get_card("hu-threshold"), threshold=0.5, calibration=None)
CALIBRATED = replace(SCORED, calibration=CALIBRATION)


def grid(step_mm: float, slices: int | None = None) -> VolumeGeometry:
    """Slices of one thickness that fill the same height; the outer edge of the first lies at 0."""
    count = round(HEIGHT_MM / step_mm) if slices is None else slices
    z = (np.arange(count) + 0.5) * step_mm
    origins = np.stack((np.full(count, -COLUMNS * PIXEL_MM / 2), np.full(count, -ROWS * PIXEL_MM / 2), z), axis=1)
    return VolumeGeometry((count, ROWS, COLUMNS), (PIXEL_MM, 0, 0), (0, PIXEL_MM, 0), origins)


def exam_of(geometry: VolumeGeometry, hu: np.ndarray | None = None) -> PreparedVolume:
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    brain = ((rows - 23.5) / 20) ** 2 + ((columns - 19.5) / 16) ** 2 < 1
    mask = np.broadcast_to(brain, geometry.shape).copy()
    if hu is None:
        hu = np.where(mask, 32.0, -1000.0).astype(np.float32)
    return PreparedVolume(Volume(hu, geometry), AxialView.of(geometry), mask, NoPreprocessing())


def box(value: float, low_mm: float, high_mm: float, column: int = 12, width: int = 3):
    """A bleed of 4 rows and `width` columns between two heights: (value, bounds)."""
    return value, low_mm, high_mm, slice(20, 24), slice(column, column + width)


def bleeding(geometry: VolumeGeometry, *boxes, labels: int = 1, label: int = 0):
    """The exam with these boxes, and predictions whose maps hold the share of each slice that a box fills."""
    edges = geometry.slice_origins[:, 2], geometry.slice_extents_mm / 2
    maps = np.zeros((geometry.shape[0], labels, ROWS, COLUMNS), dtype=np.float32)
    exam = exam_of(geometry)
    hu = exam.volume.hu.copy()
    for value, low, high, rows, columns in boxes:
        top, bottom = np.minimum(edges[0] + edges[1], high), np.maximum(edges[0] - edges[1], low)
        share = np.clip(top - bottom, 0, None) / (2 * edges[1])
        maps[:, label, rows, columns] = np.maximum(maps[:, label, rows, columns], value * share[:, None, None])
        hu[:, rows, columns] += 30 * share[:, None, None].astype(np.float32)
    exam = replace(exam, volume=Volume(hu, geometry))
    predictions = [SlicePrediction(k, {"any": float(one.max())}, one) for k, one in enumerate(maps)]
    return predictions, exam


def judge(geometry, *boxes, card=SCORED, request=REQUEST, caps=()):
    predictions, exam = bleeding(geometry, *boxes)
    return assess(predictions, exam, card, request, caps)


@pytest.mark.parametrize("card", [SCORED, CALIBRATED], ids=["score", "calibrated"])
@pytest.mark.parametrize("step_mm", [0.2, 0.5, 1.0, 2.0])
def test_slices_cut_into_thin_ones_give_the_same_exam_to_the_last_digit(card, step_mm):
    thick = judge(grid(4.0, 24), box(0.9, 40, 64), box(0.8, 80, 84), card=card)
    thin = judge(grid(step_mm, round(96 / step_mm)), box(0.9, 40, 64), box(0.8, 80, 84), card=card)
    assert thin.assessment.code is thick.assessment.code
    assert thin.assessment.probability == pytest.approx(thick.assessment.probability, rel=1e-6)
    for one, other in zip(thin.assessment.pieces, thick.assessment.pieces, strict=True):
        for field in ("probability", "volume_ml", "mean_hu", "contrast_hu", "extent_mm", "area_mm2", "max_probability"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-5), field
        for field in ("relative_height", "skull_distance_mm", "midplane_distance_mm", "mean_probability"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-5, abs=1e-6), field


@pytest.mark.parametrize("card", [SCORED, CALIBRATED], ids=["score", "calibrated"])
def test_the_same_bleed_in_slices_of_any_thickness_gets_the_same_verdict(card):
    """A bleed of 42 mm that no slice's edge meets: its end slices hold part of it, at most half a slice too much."""
    results = [judge(grid(step), box(1.0, 30.3, 72.3), card=card) for step in THICKNESSES_MM]
    assert {one.assessment.code for one in results} == {VerdictCode.SUSPECTED}
    finest = results[0].assessment
    for step, one in zip(THICKNESSES_MM, results, strict=True):
        (piece,) = one.assessment.pieces
        assert piece.volume_ml == pytest.approx(finest.pieces[0].volume_ml, rel=(step + 0.6) / 42)
        assert one.assessment.probability == pytest.approx(finest.probability, abs=0.02)


def test_forty_slices_of_4_mm_and_eight_hundred_of_a_fifth_of_a_millimeter_are_judged_alike():
    thick, thin = (judge(grid(160 / n, n), box(0.97, 60, 84), card=CALIBRATED) for n in (40, 800))
    assert thin.assessment.probability == pytest.approx(thick.assessment.probability, rel=1e-6)
    assert len(thin.detection.positive_slices) == 20 * len(thick.detection.positive_slices)
    values = [max(one.probabilities["any"] for one in each.detection.slices) for each in (thick, thin)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_a_detector_is_not_more_suspicious_of_thin_slices_with_the_same_noise():
    """Slices of 5 mm at 0.4 against slices of 0.2 mm at 0.9 to 0.2 whose mean over 15, 3 mm, is 0.4."""
    card = replace(get_card("rsna-sequence"), calibration=None)
    values = np.tile([0.9, 0.3, 0.3, 0.2, 0.3], 100)
    thin = assess(
        [SlicePrediction(k, {"any": v}) for k, v in enumerate(values)], exam_of(grid(0.2, 500)), card, REQUEST
    )
    thick = assess([SlicePrediction(k, {"any": 0.4}) for k in range(20)], exam_of(grid(5.0, 20)), card, REQUEST)
    assert thick.assessment.probability == pytest.approx(0.4)
    assert thin.assessment.probability == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("value", "code"),
    [(0.9, VerdictCode.SUSPECTED), (0.7, VerdictCode.POSSIBLE), (0.45, VerdictCode.NONE_FOUND)],
)
def test_there_are_three_verdicts(value, code):
    """Without a calibration: screening at the card's threshold, 0.5, confirming half-way from there to 1."""
    card = replace(SCORED, threshold=0.4)
    assert judge(grid(5.0), box(value, 40, 60), card=card).assessment.code is code


@pytest.mark.parametrize("probability", np.linspace(0, 1, 21))
@pytest.mark.parametrize("caps", [(), ("contrast_medium",)])
def test_none_found_is_never_said_of_an_exam_that_screens_positive(probability, caps):
    code = verdict_code(probability, 0.3, 0.7, caps)
    assert (code is VerdictCode.NONE_FOUND) == (probability < 0.3)
    if caps:
        assert code is not VerdictCode.SUSPECTED


@pytest.mark.parametrize("point", list(OperatingPoint))
@pytest.mark.parametrize("value", [0.41, 0.55, 0.76, 0.99])
def test_slices_total_verdict_and_labelmap_agree(point, value):
    card = replace(SCORED, threshold=0.4)
    judged = judge(grid(5.0), box(value, 40, 60), card=card, request=replace(REQUEST, operating_point=point))
    drawn = judged.segmentation.blood_mask
    assert tuple(np.flatnonzero(drawn.any(axis=(1, 2)))) == judged.detection.positive_slices
    assert drawn.any() == bool(judged.assessment.pieces)
    total = sum(piece.volume_ml for piece in judged.assessment.pieces)
    assert drawn.sum(axis=(1, 2)) @ judged.segmentation.geometry.voxel_volumes_mm3 / 1000 == pytest.approx(total)
    assert sum(one.blood_ml for one in judged.detection.slices) == pytest.approx(total)
    assert judged.detection.is_positive == (judged.assessment.code is not VerdictCode.NONE_FOUND)
    if not judged.detection.is_positive:
        assert not drawn.any() and not judged.detection.positive_slices


def test_pieces_below_the_threshold_are_listed_and_never_in_the_labelmap():
    request = replace(REQUEST, outputs=("map",))
    judged = judge(grid(5.0), box(0.95, 40, 60), box(0.55, 40, 45, column=22), card=CALIBRATED, request=request)
    (drawn,), (below,) = judged.assessment.pieces, judged.assessment.below_threshold
    assert drawn.probability > below.probability
    mask = judged.segmentation.below_threshold
    assert mask.sum() == 1 * 4 * 3 and mask[8, 20:24, 22:25].all()
    assert not (judged.segmentation.blood_mask & mask).any()
    assert judged.segmentation.labelmap[8, 20:24, 22:25].max() == 0


def test_the_confirming_point_draws_less_than_the_screening_point_and_the_verdict_is_the_same():
    boxes = box(0.95, 40, 60), box(0.8, 80, 90, column=22)
    screening, confirming = (
        judge(grid(5.0), *boxes, card=CALIBRATED, request=replace(REQUEST, operating_point=point))
        for point in ("screening", "confirming")
    )
    assert (len(screening.assessment.pieces), len(confirming.assessment.pieces)) == (2, 1)
    assert screening.assessment.code is confirming.assessment.code is VerdictCode.SUSPECTED
    assert len(confirming.assessment.below_threshold) == 1


def test_a_possible_exam_has_a_piece_to_look_at_even_if_none_reaches_its_own_threshold():
    strict = replace(CALIBRATION, screening=Cuts(0.05, 0.6), confirming=Cuts(0.99, 0.99))
    judged = judge(grid(5.0), box(0.6, 40, 45), card=replace(SCORED, calibration=strict))
    assert judged.assessment.code is VerdictCode.POSSIBLE
    assert [piece.probability < 0.6 for piece in judged.assessment.pieces] == [True]


def test_nothing_under_the_stated_volume_is_listed_or_drawn():
    """One column of 4 rows in one slice of 5 mm: 0.32 mL."""
    speck = box(1.0, 40, 45, width=1)
    kept = judge(grid(5.0), speck)
    left_out = judge(grid(5.0), speck, request=replace(REQUEST, min_volume_ml=0.33))
    assert [piece.volume_ml for piece in kept.assessment.pieces] == [pytest.approx(0.32)]
    assert not left_out.assessment.pieces and not left_out.assessment.below_threshold
    assert not left_out.segmentation.labelmap.any()
    assert left_out.assessment.code is VerdictCode.NONE_FOUND


def test_a_piece_grows_down_to_the_low_cut_and_must_reach_the_threshold_somewhere():
    bridge = box(0.3, 55, 60)
    joined = judge(grid(5.0), box(0.9, 40, 55), bridge, box(0.9, 60, 75))
    apart = judge(grid(5.0), box(0.9, 40, 55), box(0.9, 60, 75))
    faint = judge(grid(5.0), bridge)
    assert [len(one.assessment.pieces) for one in (joined, apart, faint)] == [1, 2, 0]
    assert joined.segmentation.labelmap.sum() == apart.segmentation.labelmap.sum()  # the bridge is not drawn


def test_a_whole_piece_has_the_one_subtype_that_most_of_it_is():
    card = replace(SCORED, labels=SUBTYPES, labelmap_rule="sum")
    predictions, exam = bleeding(grid(5.0), box(0.9, 40, 60), labels=5, label=1)
    for prediction in predictions:
        prediction.maps[4, 20:21, 12:15] = prediction.maps[1, 20:21, 12:15]  # a rim of subdural
        prediction.maps[1, 20:21, 12:15] = 0
    judged = assess(predictions, exam, card, REQUEST)
    (piece,) = judged.assessment.pieces
    assert piece.subtype == "IPH"
    assert piece.subtype_probability == pytest.approx(0.75)
    assert np.unique(judged.segmentation.labelmap).tolist() == [0, 2]


def test_a_piece_that_is_clearly_two_large_subtypes_is_split():
    """Above 50 mm it is ventricular; each half has 4 x 3 x 2 voxels of 80 mm3."""
    card = replace(SCORED, labels=SUBTYPES, labelmap_rule="sum")
    predictions, exam = bleeding(grid(5.0), box(0.9, 40, 60), labels=5, label=1)
    for prediction in predictions[10:]:
        prediction.maps[2], prediction.maps[1] = prediction.maps[1].copy(), 0
    judged = assess(predictions, exam, card, REQUEST)
    assert sorted(piece.subtype for piece in judged.assessment.pieces) == ["IPH", "IVH"]
    assert {round(piece.volume_ml, 6) for piece in judged.assessment.pieces} == {1.92}
    assert len({piece.probability for piece in judged.assessment.pieces}) == 1  # blood as a whole
    assert set(np.flatnonzero((judged.segmentation.labelmap == 3).any(axis=(1, 2)))) == {10, 11}


def test_measures_are_those_of_the_box():
    """A box of 4 x 3 pixels of 4 mm and 20 mm, 30 HU denser than the brain around it."""
    (piece,) = judge(grid(5.0), box(0.9, 40, 60)).assessment.pieces
    assert piece.volume_ml == pytest.approx(4 * 3 * 16 * 20 / 1000)
    assert (piece.extent_mm, piece.area_mm2) == (pytest.approx(20.0), pytest.approx(192.0))
    assert (piece.mean_hu, piece.contrast_hu) == (pytest.approx(62.0), pytest.approx(30.0))
    assert piece.relative_height == pytest.approx(50 / 105)
    assert (piece.first_slice, piece.last_slice) == (8, 11)
    assert piece.midplane_distance_mm == pytest.approx((19.5 - 13) * 4, abs=0.1)
    assert piece.center_lps_mm == pytest.approx((13 * 4 - 80, 21.5 * 4 - 96, 50.0))
    assert piece.max_probability == pytest.approx(0.9)


def test_after_contrast_medium_nothing_is_suspected_and_the_sentence_says_why():
    judged = judge(grid(5.0), box(0.95, 40, 60), caps=("contrast_medium",))
    result = result_of(judged)
    assert judged.assessment.code is VerdictCode.POSSIBLE
    assert "no confident verdict: contrast medium" in result.verdict
    assert judged.assessment.pieces


def result_of(judged, card=SCORED):
    name = "score" if card.calibration is None else "probability"
    geometry = judged.segmentation.geometry
    return AnalysisResult(
        geometry,
        judged.detection,
        judged.segmentation,
        (),
        Provenance("stub", "Stub", "0", "cpu", "float32", value_name=name),
        judged.assessment,
    )


def test_the_sentence_of_each_verdict():
    card = replace(SCORED, threshold=0.4)
    suspected, possible, none = (result_of(judge(grid(5.0), box(v, 40, 60), card=card)) for v in (0.9, 0.7, 0.45))
    assert (
        suspected.verdict == "Hemorrhage suspected (score 0.90) on 4 of 21 slices, most on slice 9; 0.0 mL segmented."
    )
    assert possible.verdict.startswith("Hemorrhage possible (score 0.70) on 4 of 21 slices, most on slice 9")
    assert none.verdict == "No hemorrhage found (score 0.45); 1 piece of 3.8 mL below threshold."


@pytest.mark.parametrize("value", [0.9, 0.7, 0.45])
def test_a_judged_result_survives_json(value):
    sent = result_of(judge(grid(5.0), box(value, 40, 60), card=replace(SCORED, threshold=0.4), caps=("motion",)))
    plain = json.loads(json.dumps(sent.to_json()))
    received = AnalysisResult.from_json(plain, sent.geometry, sent.segmentation.labelmap)
    assert received.to_json() == sent.to_json()
    assert received.assessment.code is sent.assessment.code
    assert plain["statement"]["code"] == plain["assessment"]["code"] == sent.assessment.code.value


def test_what_is_positive_is_read_and_not_computed_again_from_rounded_values():
    """0.4999996 is below the threshold and rounds to 0.5, which is not."""
    card = replace(SCORED, threshold=0.4)
    sent = result_of(judge(grid(5.0), box(0.4999996, 40, 60), card=card))
    plain = json.loads(json.dumps(sent.to_json()))
    assert plain["probabilities"]["any"] == plain["detection_threshold"] == 0.5
    received = AnalysisResult.from_json(plain, sent.geometry)
    assert not received.detection.is_positive
    assert received.assessment.code is VerdictCode.NONE_FOUND


def test_a_result_of_format_1_is_read_with_the_verdict_that_it_had():
    sent = result_of(judge(grid(5.0), box(0.9, 40, 60)))
    old = json.loads(json.dumps(sent.to_json()))
    for key in ("assessment", "statement", "slice_threshold", "own_threshold"):
        del old[key]
    received = AnalysisResult.from_json({**old, "format": 1}, sent.geometry)
    assert received.assessment.code is VerdictCode.SUSPECTED
    assert received.assessment.pieces == ()


def test_a_detector_with_coefficients_has_a_probability():
    """Platt: logit 2 x + 1, at 0.5 that is 1 / (1 + 1/e)."""
    exam = LogisticModel(1.0, MappingProxyType({"slice_logit": 2.0}))
    calibration = replace(CALIBRATION, exam=exam, pieces=None)
    card = replace(get_card("rsna-sequence"), calibration=calibration)
    judged = assess([SlicePrediction(k, {"any": 0.5}) for k in range(21)], exam_of(grid(5.0)), card, REQUEST)
    assert judged.assessment.is_calibrated
    assert judged.assessment.probability == pytest.approx(1 / (1 + np.exp(-1)))
    assert judged.assessment.code is VerdictCode.POSSIBLE
    assert len(judged.detection.positive_slices) == 21
    own = assess(
        ExamPredictions([SlicePrediction(k, {"any": 0.1}) for k in range(21)], {"any": 0.9}),
        exam_of(grid(5.0)),
        card,
        REQUEST,
    )
    assert own.assessment.code is VerdictCode.SUSPECTED and not own.detection.positive_slices


def test_a_detection_threshold_moves_where_screening_begins():
    card = replace(SCORED, threshold=0.4)
    boxes = [box(0.7, 40, 60)]
    assert judge(grid(5.0), *boxes, card=card).assessment.code is VerdictCode.POSSIBLE
    higher = judge(grid(5.0), *boxes, card=card, request=replace(REQUEST, detection_threshold=0.8))
    assert higher.assessment.code is VerdictCode.NONE_FOUND
    assert higher.assessment.screening == 0.8 <= higher.assessment.confirming


def test_blood_that_only_the_outline_sees_makes_the_exam_possible():
    predictions, exam = bleeding(grid(5.0), box(0.9, 40, 60))
    outlined = result_of(assess(predictions, exam, SCORED, REQUEST))
    detector = replace(get_card("rsna-sequence"), calibration=None)
    quiet = assess([SlicePrediction(k, {"any": 0.1}) for k in range(21)], exam, detector, REQUEST)
    origin = Provenance("detector", "Detector", "0", "cpu", "float32", value_name="score")
    silent = AnalysisResult(outlined.geometry, quiet.detection, None, (), origin, quiet.assessment)
    both = combine(outlined, silent, exam.volume)
    assert silent.assessment.code is VerdictCode.NONE_FOUND
    assert both.assessment.code is VerdictCode.POSSIBLE and both.detection.is_positive
    assert both.detection.positive_slices == outlined.detection.positive_slices
    assert [piece.volume_ml for piece in both.assessment.pieces] == [outlined.assessment.pieces[0].volume_ml]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ((0.9, 0.9, 0.45), VerdictCode.SUSPECTED),
        ((0.9, 0.7, 0.45), VerdictCode.POSSIBLE),
        ((0.9, 0.45, 0.45), VerdictCode.NONE_FOUND),
    ],
)
def test_a_vote_says_what_most_methods_say(values, code):
    card = replace(SCORED, threshold=0.4)
    results = {str(n): result_of(judge(grid(5.0), box(v, 40, 60), card=card)) for n, v in enumerate(values)}
    _, exam = bleeding(grid(5.0))
    voted = vote_result(agreement_of(results, exam.volume.geometry), exam.volume)
    assert voted.assessment.code is code
    assert voted.detection.is_positive == (code is not VerdictCode.NONE_FOUND)


def test_a_calibration_survives_the_card_as_json(tmp_path):
    from ICHSegmenterLib.cards.json.reader import card_from

    plain = json.loads(json.dumps(card_facts(CALIBRATED)))
    assert card_from(plain, "card.json", {}).calibration == CALIBRATION
    assert "calibration" not in card_facts(SCORED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exam": {"intercept": 0.0, "weights": {"luck": 1.0}}}, "no feature 'luck'"),
        ({"screening": {"exam": 0.9, "piece": 0.1}}, "screening must not lie above"),
        ({"confirming": {"exam": 1.9, "piece": 0.6}}, "between 0 and 1"),
        ({"population": 5}, "population must be a text"),
        ({"luck": 5}, "unknown keys: luck"),
        ({"weights": ["model_1.pt"]}, "weights must be SHA-256 digests, got 'model_1.pt'"),
        ({"pieces": None}, "must have pieces"),
    ],
)
def test_a_calibration_that_cannot_be_names_what_is_wrong(change, message):
    from ICHSegmenterLib.cards.json.reader import card_from
    from ICHSegmenterLib.errors import CardError

    plain = json.loads(json.dumps(card_facts(CALIBRATED)))
    plain["calibration"] |= change
    with pytest.raises(CardError, match=message):
        card_from(plain, "card.json", {})


@pytest.mark.parametrize(("field", "value"), [("operating_point", "certain"), ("min_volume_ml", -0.1)])
def test_a_request_refuses_what_is_no_operating_point_or_volume(field, value):
    with pytest.raises(ValueError, match=field):
        replace(REQUEST, **{field: value})


def test_a_request_carries_operating_point_and_volume_through_the_pipe():
    sent = replace(REQUEST, operating_point="confirming", min_volume_ml=0.5)
    received = AnalysisRequest.from_json(json.loads(json.dumps(sent.to_json())))
    assert received == sent
    assert received.operating_point is OperatingPoint.CONFIRMING
