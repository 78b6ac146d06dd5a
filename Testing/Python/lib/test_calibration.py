"""A calibration: fitted on exams with truth, judged on other patients, kept so that refitting is instant."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ICHSegmenterLib.analysis.verdict.scores import model_logits, sigmoid
from ICHSegmenterLib.cards.calibration import PIECE_FEATURES, Calibration
from ICHSegmenterLib.cards.table import card_facts, get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.evaluation.calibration.models import FOLDS, fit_logistic, fit_models, folds_of
from ICHSegmenterLib.evaluation.calibration.observations import ObservedExam, ObservedPiece
from ICHSegmenterLib.evaluation.calibration.points import choose_cuts, cross_validate
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti


def made_up_exams(count: int = 200) -> tuple[list[ObservedExam], np.ndarray]:
    """Half of them bleed; true pieces are larger and denser, every exam has one or two false ones."""
    random = np.random.default_rng(0)
    exams = []
    for n in range(count):
        bleeds = n % 2 == 0
        pieces = [made_up_piece(random, is_true=False) for _ in range(random.integers(0, 3))]
        pieces += [made_up_piece(random, is_true=True)] * bleeds
        exams.append(ObservedExam(f"e{n}", f"p{n // 2}" if n < 20 else f"q{n}", 5.0 * bleeds, 0.5, tuple(pieces)))
    return exams, np.array([one.truth_ml > 0 for one in exams])


def made_up_piece(random, *, is_true: bool) -> ObservedPiece:
    features = dict.fromkeys(PIECE_FEATURES, 0.0)
    log_volume = float(random.normal(0.6 if is_true else -0.4, 0.5))
    features |= {"log_volume": log_volume, "contrast_hu": float(random.normal(2.5 if is_true else 1.0, 0.7))}
    volume = 10**log_volume
    return ObservedPiece(features, volume, volume * is_true)


def test_a_logistic_model_finds_the_coefficients_that_made_the_truth():
    """40 000 items of logit 2 x - 1: standard errors are about 0.02."""
    random = np.random.default_rng(1)
    x = random.normal(size=40_000)
    truth = random.random(40_000) < sigmoid(2 * x - 1)
    model = fit_logistic({"top_logit": x}, truth)
    assert model.weights["top_logit"] == pytest.approx(2.0, abs=0.1)
    assert model.intercept == pytest.approx(-1.0, abs=0.1)


def test_more_blood_never_makes_an_exam_less_suspicious():
    random = np.random.default_rng(2)
    x = random.normal(size=500)
    truth = random.random(500) < sigmoid(-3 * x)
    assert fit_logistic({"log_volume": x}, truth).weights["log_volume"] == 0.0
    assert fit_logistic({"height": x}, truth).weights["height"] < -1


def test_values_beyond_what_was_fitted_on_are_clipped():
    model = fit_logistic({"top_logit": np.array([-1.0, 0.0, 1.0, 2.0])}, np.array([False, False, True, True]))
    at, beyond = (model_logits(model, {"top_logit": np.array([value])}) for value in (2.0, 50.0))
    assert at == beyond


def test_exams_of_one_patient_are_in_one_fold_and_every_fold_has_both_kinds():
    exams, is_positive = made_up_exams()
    folds = folds_of(exams, is_positive)
    assert len({(one.patient, fold) for one, fold in zip(exams, folds, strict=True)}) == len({e.patient for e in exams})
    for fold in range(FOLDS):
        assert 0 < is_positive[folds == fold].mean() < 1


def test_probabilities_of_other_patients_are_calibrated_and_the_points_hold_what_they_promise():
    exams, is_positive = made_up_exams()
    held_out = cross_validate(exams, is_positive, with_pieces=True)
    models = fit_models(exams, is_positive, with_pieces=True)
    empty = models.exam_value(ObservedExam("", "", 0.0, 0.0))
    screening, confirming = choose_cuts(held_out, is_positive, is_positive, empty)
    assert (held_out.exams[~is_positive] < confirming.exam).mean() >= 0.95
    assert (held_out.exams[is_positive] >= screening.exam).mean() >= 0.95
    assert (held_out.exams[~is_positive] < screening.exam).mean() >= 0.8
    assert empty < screening.exam <= confirming.exam
    assert screening.piece <= confirming.piece
    assert abs(held_out.exams.mean() - is_positive.mean()) < 0.05


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve small heads, half of them with 20 mL of blood."""
    folder = tmp_path_factory.mktemp("exams")
    geometry = head_geometry((12, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=11.0)
    for name, model in (("set0", HeadModel()), ("set1", HeadModel((Bleed.sphere(20.0, (30.0, 5.0, 32.0)),)))):
        for part in ("images", "masks"):
            (folder / name / part).mkdir(parents=True)
        for seed in range(6):
            phantom = make_phantom(geometry, model, subsamples=(1, 1, 1), seed=seed)
            write_nifti(phantom.volume.hu.astype(np.int16), geometry, folder / name / "images" / f"{seed}.nii.gz")
            write_nifti(phantom.labelmap.astype(np.uint8), geometry, folder / name / "masks" / f"{seed}.nii.gz")
    return folder


def test_the_verb_writes_what_a_card_can_read_and_resumes(data, tmp_path, capsys):
    card = tmp_path / "card.json"
    card.write_text(json.dumps(card_facts(get_card("hu-threshold"))))
    words = ["calibrate", "hu-threshold", "--data", str(data / "set0"), str(data / "set1")]
    words += ["--output", str(tmp_path / "out"), "--card", str(card), "--population", "twelve small heads"]
    assert main(words) == 0, capsys.readouterr().err
    written = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert json.loads(card.read_text())["calibration"] == written
    calibration = Calibration.from_json(written)
    assert (calibration.exams, calibration.population) == (12, "twelve small heads")
    assert (tmp_path / "out" / "reliability.png").stat().st_size > 1000
    kept = sorted((tmp_path / "out" / "exams").glob("*.json"))
    assert len(kept) == 12
    times = [path.stat().st_mtime_ns for path in kept]
    assert main(words) == 0
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert main([*words, "--threshold", "0.6"]) == 0
    assert [path.stat().st_mtime_ns for path in kept] != times


def test_too_few_exams_of_a_kind_are_refused(data, tmp_path, capsys):
    assert main(["calibrate", "hu-threshold", "--data", str(data / "set0"), "--output", str(tmp_path)]) == 1
    assert "at least 5 exams with and without hemorrhage; found 0 and 6" in capsys.readouterr().err
