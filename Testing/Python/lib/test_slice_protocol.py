"""HGI-SAM's protocol: Dice and IoU of every bleeding slice at the network's pixels, thresholds from other folds."""

import csv
import json
import pickle
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from ICHSegmenterLib.cards import table as model_cards
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.datasets.brain_masks import brain_mask_of, with_brain_masks
from ICHSegmenterLib.errors import CancelledError, EvaluationError, WeightsCorruptError
from ICHSegmenterLib.evaluation.attempt import attempt
from ICHSegmenterLib.evaluation.cases import find_cases
from ICHSegmenterLib.evaluation.fold_networks import FoldNetworks, warn_of_training_data
from ICHSegmenterLib.evaluation.slices.authors_folds import folds_of
from ICHSegmenterLib.evaluation.slices.evaluate import SliceProtocol, evaluate_slices
from ICHSegmenterLib.evaluation.slices.figures import best_threshold
from ICHSegmenterLib.evaluation.slices.methods import SliceMethod
from ICHSegmenterLib.evaluation.slices.slice_scores import (
    THRESHOLDS,
    SliceScores,
    dice_sweep,
    iou_of,
    nearest_threshold,
)
from ICHSegmenterLib.methods.slice_batches import SliceBatch
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing
from ICHSegmenterLib.volume import overlap
from training_layouts import write_physionet

pytest.importorskip("sklearn")

SMALL = SlicePreprocessing(resize=40, crop=36)
FOLDS = {f"{number:03d}": str((number - 1) // 2 % 2) for number in range(1, 9)}


class DenseIsBlood:
    """A network whose map is 0.3 where a pixel is dense and 0.1 in the rest of the brain; sees every slice."""

    batch_size = 3

    def __init__(self):
        self.slices = 0

    def predict_batch(self, exam, indices):
        self.slices += len(indices)
        hu = exam.grid.forward(exam.view.apply_to_slices(exam.volume.hu[list(indices)]))
        soft = np.where((hu > 55) & (hu < 100), 0.3, 0.1) * exam.mask_batch(indices)
        return SliceBatch({"any": (soft.max(axis=(1, 2)) > 0.2) * 0.9}, soft[:, None].astype(np.float32))


class Warm:
    """A session with one network."""

    def __init__(self):
        self.network = DenseIsBlood()

    def device(self, card, requested, precision):
        return "cpu"

    def predictor(self, card, files, device):
        return self.network


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_physionet(tmp_path_factory.mktemp("data"), 8)
    (folder / "brainmask_ero").mkdir()
    for path in (folder / "ct_scans").iterdir():  # the whole picture is brain
        import nibabel

        image = nibabel.load(path)
        whole = nibabel.Nifti1Image(np.ones(image.shape, dtype=np.uint8), image.affine)
        nibabel.save(whole, folder / "brainmask_ero" / f"{path.name.removesuffix('.nii')}_mask.nii.gz")
    return folder


@pytest.fixture
def method(tmp_path):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    return SliceMethod(replace(get_card("hgi-sam"), preprocessing=SMALL), (weights,), session=Warm())


def cases_of(data, tmp_path):
    return with_brain_masks(find_cases(data, "physionet", tmp_path / "headers"), data / "brainmask_ero")


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_is_the_dice_of_the_map_cut_at_each_threshold():
    random = np.random.default_rng(0)
    soft, truth = random.random((20, 30)).astype(np.float32), random.random((20, 30)) < 0.2
    sweep = dice_sweep(soft, truth)
    for threshold in (0.01, 0.05, 0.37, 0.99):
        cut = soft >= np.float32(threshold)
        place = nearest_threshold(threshold)
        assert sweep[place] == pytest.approx(overlap.dice(cut, truth), abs=1e-12)
        assert iou_of(sweep)[place] == pytest.approx((cut & truth).sum() / (cut | truth).sum(), abs=1e-12)
    assert np.isnan(dice_sweep(soft, np.zeros_like(truth))).all()


def test_mean_deviation_and_error_are_of_slices_and_each_fold_has_its_own(data, method, tmp_path):
    found = evaluate_slices(cases_of(data, tmp_path), [method], tmp_path, SliceProtocol(FOLDS, resamples=20))
    groups = found.summary["methods"]["hgi-sam"]
    assert list(groups) == ["all", "0", "1"]
    table = rows(tmp_path / "slices.csv")
    assert len(table) == groups["all"]["slices"] == 8 * 4
    for fold in groups:
        dice = np.array([float(row["dice"]) for row in table if row["dice"] and fold in ("all", row["fold"])])
        assert groups[fold]["outlined_slices"] == len(dice)
        assert groups[fold]["dice"]["value"] == pytest.approx(dice.mean(), rel=1e-5)
        assert groups[fold]["dice"]["sd"] == pytest.approx(dice.std(), rel=1e-4, abs=1e-7)
        assert groups[fold]["dice"]["sem"] == pytest.approx(dice.std(ddof=1) / np.sqrt(len(dice)), rel=1e-4, abs=1e-7)
    assert groups["all"]["outlined_slices"] == 4 * 2  # two slices of every second patient
    assert len(list((tmp_path / "pictures" / "hgi-sam").glob("*.png"))) == 8


def test_the_threshold_comes_from_the_slices_of_other_folds(data, method, tmp_path):
    found = evaluate_slices(cases_of(data, tmp_path), [method], tmp_path, SliceProtocol(FOLDS, resamples=5))
    groups = found.summary["methods"]["hgi-sam"]
    assert groups["all"]["thresholds"] == [0.11]  # the lowest that parts 0.3 from 0.1
    own = evaluate_slices(cases_of(data, tmp_path), [method], tmp_path, SliceProtocol(resamples=5))
    assert own.summary["methods"]["hgi-sam"]["all"]["thresholds"] == [0.05]
    assert own.summary["methods"]["hgi-sam"]["all"]["dice"]["value"] < groups["all"]["dice"]["value"]


def test_a_slice_bleeds_by_its_label_alone_where_the_authors_count(data, method, tmp_path):
    """The label of one outlined slice of exam 002 is taken away, and a slice without a mask gets one."""
    cases = cases_of(data, tmp_path)
    changed = [replace(each, slice_labels=(1, 0, 1, 0)) if each.name == "002" else each for each in cases]
    counts = {}
    for by_label in (False, True):
        protocol = SliceProtocol(FOLDS, by_label=by_label, resamples=5)
        found = evaluate_slices(changed, [method], tmp_path / str(by_label), protocol)
        group = found.summary["methods"]["hgi-sam"]["all"]
        table = [row for row in rows(tmp_path / str(by_label) / "slices.csv") if row["case"] == "002"]
        counts[by_label] = (group["bleeding_slices"], group["outlined_slices"])
        assert [row["truth"] for row in table] == (["1", "0", "1", "0"] if by_label else ["1", "1", "1", "0"])
        drawn = sorted(path.name for path in (tmp_path / str(by_label) / "pictures" / "hgi-sam").glob("002_*"))
        assert drawn == (["002_002.png"] if by_label else ["002_001.png", "002_002.png"])
    assert counts == {False: (9, 8), True: (8, 7)}
    both = [tmp_path / name / "pictures" / "hgi-sam" / "002_002.png" for name in ("False", "True")]
    assert both[0].read_bytes() == both[1].read_bytes()  # the picture of the same slice, not of another one


def test_hard_labels_have_their_own_auc(data, method, tmp_path):
    found = evaluate_slices(cases_of(data, tmp_path), [method], tmp_path, SliceProtocol(FOLDS, resamples=5))
    group = found.summary["methods"]["hgi-sam"]["all"]
    detection = group["detection"]
    middle = (detection["sensitivity"]["value"] + detection["specificity"]["value"]) / 2
    assert group["hard_label_auc"]["value"] == pytest.approx(middle)


@pytest.mark.parametrize("every_bleeding", [True, False])
def test_a_bleeding_slice_that_is_called_negative_is_outlined_only_by_the_authors_rule(
    every_bleeding, data, method, tmp_path
):
    deaf = replace(method, card=replace(method.card, detection_threshold=0.95))
    protocol = SliceProtocol(FOLDS, every_bleeding, pictures=False, resamples=5)
    group = evaluate_slices(cases_of(data, tmp_path), [deaf], tmp_path, protocol).summary["methods"]["hgi-sam"]["all"]
    assert (group["dice"]["value"] > 0) == every_bleeding
    assert group["detection"]["sensitivity"]["value"] == 0.0


def test_scores_are_kept_until_what_made_them_changes(data, method, tmp_path):
    cases = cases_of(data, tmp_path)
    for _ in range(2):
        evaluate_slices(cases, [method], tmp_path, SliceProtocol(pictures=False, resamples=5))
    assert method.session.network.slices == 8 * 4
    method.files[0].write_bytes(b"others")
    evaluate_slices(cases, [method], tmp_path, SliceProtocol(pictures=False, resamples=5))
    assert method.session.network.slices == 2 * 8 * 4


def test_an_exam_that_fails_in_an_unknown_way_does_not_stop_the_others(data, method, tmp_path, monkeypatch):
    dense = method.session.network
    answers = iter([RuntimeError("broken"), *[None] * 100])

    def predict(exam, indices):
        error = next(answers)
        if error is not None:
            raise error
        return DenseIsBlood.predict_batch(dense, exam, indices)

    monkeypatch.setattr(dense, "predict_batch", predict)
    found = evaluate_slices(cases_of(data, tmp_path), [method], tmp_path, SliceProtocol(pictures=False, resamples=5))
    assert found.summary["methods"]["hgi-sam"]["all"]["exams"] == 7
    assert [(one.case, one.message) for one in found.failures] == [("001", "Unexpected RuntimeError: broken")]


def test_a_stop_is_no_failure_of_an_exam():
    with pytest.raises(CancelledError):
        attempt(lambda: (_ for _ in ()).throw(CancelledError("stopped")), "m", "c")


def test_the_network_of_a_fold_meets_only_that_folds_patients(tmp_path):
    files = [tmp_path / f"{n}.pt" for n in range(3)]
    folds = {"p1": "0", "p2": "2", "p3": "10"}
    networks = FoldNetworks.of(folds, files)
    assert [networks.file_of(patient) for patient in folds] == files
    with pytest.raises(EvaluationError, match="2 networks for 3 folds"):
        FoldNetworks.of(folds, files[:2])
    with pytest.raises(EvaluationError, match="p4 has no fold"):
        networks.file_of("p4")


def test_an_average_of_fold_networks_warns_that_it_knows_the_patients(caplog, tmp_path):
    warn_of_training_data(get_card("unet"), [tmp_path / "a", tmp_path / "b"])
    assert "four of five knew each patient" in caplog.text


def test_brain_masks_are_found_under_the_authors_names(data, tmp_path):
    scan = data / "ct_scans" / "003.nii"
    assert brain_mask_of(scan, data / "brainmask_ero").name == "003_mask.nii.gz"
    with pytest.raises(EvaluationError, match="8 of 8 exams have no brain mask"):
        with_brain_masks(find_cases(data, "physionet", tmp_path), data / "ct_scans" / "..")


def test_the_command_line_lets_each_fold_meet_its_own_network(data, tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    small = replace(get_card("unet"), preprocessing=SlicePreprocessing(resize=40, crop=32))
    monkeypatch.setattr(model_cards, "MODEL_CARDS", MappingProxyType({**model_cards.MODEL_CARDS, "unet": small}))
    from ICHSegmenterLib.models import create_model

    files = []
    for number in range(2):
        torch.manual_seed(number)
        files.append(tmp_path / f"fold{number}.pt")
        torch.save(create_model("unet").state_dict(), files[-1])
    (tmp_path / "folds.json").write_text(json.dumps(FOLDS))
    arguments = ["--data", str(data), "--layout", "physionet", "--protocol", "slices", "--methods", "unet"]
    weights = ["--weights", *(f"unet={file}" for file in files), "--resamples", "5"]
    more = ["--brain-masks", "brainmask_ero", "--folds", str(tmp_path / "folds.json"), *weights]
    assert main(["evaluate", *arguments, *more, "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "fold 0: fold0.pt, fold 1: fold1.pt" in printed
    assert [row["fold"] for row in rows(tmp_path / "out" / "methods.csv")] == ["all", "0", "1"]
    for number, fold in FOLDS.items():
        with np.load(tmp_path / "out" / "slices" / "unet" / f"{number}.npz") as stored:
            assert list(json.loads(str(stored["facts"]))["weights"]) == [f"fold{fold}.pt"]


def test_thresholds_rise():
    assert list(THRESHOLDS) == sorted(set(THRESHOLDS))


def test_the_authors_search_climbs_until_dice_first_falls():
    """Their grid has a higher peak behind the first one, which they never reach."""
    dice = np.zeros((1, len(THRESHOLDS)))
    for threshold, value in ((0.03, 0.2), (0.04, 0.3), (0.05, 0.25), (0.06, 0.9)):
        dice[0, nearest_threshold(threshold)] = value
    none = np.zeros(1, dtype=bool)
    scores = SliceScores("c", "p", "m", none, none, np.zeros(1), np.zeros(1, dtype=int), dice, {})
    assert best_threshold([scores]) == 0.06
    assert best_threshold([scores], climb=(0.03, 0.04, 0.05, 0.06)) == 0.04


def test_the_authors_fold_files_become_folds_of_patients(data, tmp_path):
    cases = find_cases(data, "physionet", tmp_path / "headers")
    slices = {case.patient: list(range(4 * n, 4 * n + 4)) for n, case in enumerate(cases)}
    for fold in range(2):
        held_out = [index for patient in slices if FOLDS[patient] == str(fold) for index in slices[patient]]
        (tmp_path / f"fold{fold}.pt").write_bytes(pickle.dumps(np.array(held_out)))
    assert folds_of(tmp_path, cases) == FOLDS
    (tmp_path / "fold1.pt").write_bytes(pickle.dumps(np.arange(0, 32, 2)))
    with pytest.raises(EvaluationError, match="slices of patient 001 are in the folds .* no folds of patients"):
        folds_of(tmp_path, cases)
    (tmp_path / "fold1.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(EvaluationError, match="only a pointer of Git LFS"):
        folds_of(tmp_path, cases)
    (tmp_path / "fold1.pt").write_bytes(pickle.dumps(print))
    with pytest.raises(WeightsCorruptError, match="runs code is refused"):
        folds_of(tmp_path, cases)
