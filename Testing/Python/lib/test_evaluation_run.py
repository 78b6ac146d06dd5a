"""A whole evaluation: tiny heads with known bleeds, the classical method, tables, summary, pictures and page."""

import csv
import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from ICHSegmenterLib.analysis import analyze as engine
from ICHSegmenterLib.cards import table as model_cards
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.cases import find_cases
from ICHSegmenterLib.evaluation.dataset import Case, read_exam
from ICHSegmenterLib.evaluation.evaluate import evaluate
from ICHSegmenterLib.evaluation.predictions import Method, Prediction
from ICHSegmenterLib.evaluation.thresholds import MAP_GRID
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from training_layouts import write_nifti_folder, write_physionet, write_rsna

pytest.importorskip("monai")
pytest.importorskip("sklearn")

BLEEDS = {
    "head1": (Bleed.sphere(25.0, (26.0, 6.0, 30.0), 64.0),),
    "head2": (Bleed.sphere(15.0, (-26.0, 10.0, 34.0), 64.0),),
    "head3": (),
    "head4": (),
}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Phantoms by name; head2 is tilted."""
    found = {}
    for number, (name, bleeds) in enumerate(BLEEDS.items()):
        geometry = head_geometry(
            (12, 72, 72), pixel_mm=(3.0, 3.0), slice_step_mm=10.0, tilt_deg=12.0 if name == "head2" else 0.0
        )
        found[name] = make_phantom(geometry, HeadModel(bleeds=bleeds, noise_hu=2.0), seed=number)
    return found


@pytest.fixture(scope="module")
def data(heads, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, phantom in heads.items():
        write_nifti(phantom.volume.hu, phantom.volume.geometry, folder / "images" / f"{name}.nii.gz")
        write_nifti(phantom.labelmap, phantom.volume.geometry, folder / "masks" / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def report(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    arguments = ["--methods", "hu-threshold", "--output", str(output), "--resamples", "40"]
    assert main(["evaluate", "--data", str(data), *arguments]) == 0
    return output


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def case_of(data, name):
    return Case(name, name, (data / "images" / f"{name}.nii.gz",), data / "masks" / f"{name}.nii.gz")


def classical(folder, name="hu-threshold"):
    return Method(name, folder, lambda volume: engine.analyze(volume, AnalysisRequest("hu-threshold")))


def test_a_row_a_case_tells_the_known_truth(report, heads):
    found = {row["case"]: row for row in rows(report / "cases.csv")}
    assert list(found) == list(heads)
    for name, phantom in heads.items():
        volume_ml = float((phantom.labelmap > 0).sum(axis=(1, 2)) @ phantom.volume.geometry.voxel_volumes_mm3) / 1000
        assert float(found[name]["truth_ml"]) == pytest.approx(volume_ml, rel=1e-3, abs=1e-6)
        assert int(found[name]["bleeding_slices"]) == int((phantom.labelmap > 0).any(axis=(1, 2)).sum())
        assert found[name]["truth"] == str(int(bool(BLEEDS[name])))


def test_large_dense_bleeds_are_found_and_outlined(report):
    found = {row["case"]: row for row in rows(report / "cases.csv")}
    for name in ("head1", "head2"):
        assert found[name]["positive"] == "1"
        assert float(found[name]["dice"]) > 0.7
        assert found[name]["lesions_found"] == found[name]["lesions"] == "1"
    assert found["head3"]["dice"] == found["head3"]["hd95_mm"] == ""


def test_the_summary_counts_and_bounds(report):
    summary = json.loads((report / "summary.json").read_text())
    assert summary["data"] == {
        "exams": 4,
        "patients": 4,
        "bleeding_exams": 2,
        "slices": 48,
        "bleeding_slices": sum(int(row["truth"]) for row in rows(report / "slices.csv")),
    }
    one = summary["methods"]["hu-threshold"]
    assert one["value_name"] == "probability"
    assert one["detection"]["exam"]["auc"]["value"] == 1.0
    assert one["detection"]["slice"]["auc"]["low"] <= one["detection"]["slice"]["auc"]["value"]
    dice = [float(row["dice"]) for row in rows(report / "cases.csv") if row["dice"]]
    assert one["segmentation"]["dice_mean"]["value"] == pytest.approx(np.mean(dice), rel=1e-4)
    recall = one["segmentation"]["lesion_recall"]
    assert (recall[0]["lesions"], recall[0]["found"]) == (2, 2)
    negatives = one["segmentation"]["negatives_below_1_ml"]
    assert (negatives["value"], negatives["interval"], negatives["patients"]) == (1.0, "wilson", 2)
    assert negatives["low"] == pytest.approx(0.342, abs=1e-3)  # Wilson of 2 of 2: 2 / (2 + 1.96 squared)
    assert [it["lesions"] for it in recall if it["from_ml"] == 15.0] == [1]


def test_the_page_stands_alone_with_tables_and_pictures(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    for heading in ("Detection of exams", "Detection of slices", "Calibration", "Segmentation", "Lesions found"):
        assert heading in page
    assert page.count("data:image/png;base64,") == 5
    for name in ("roc", "calibration", "bland_altman", "dice_by_volume", "worst_hu-threshold"):
        assert (report / f"{name}.png").stat().st_size > 5000


def test_results_are_kept_and_not_computed_again(data, tmp_path):
    calls = []

    def analyze(volume):
        calls.append(volume)
        return engine.analyze(volume, AnalysisRequest("hu-threshold"))

    method = Method("hu-threshold", tmp_path / "results", analyze)
    for _ in range(2):
        evaluate([case_of(data, "head1")], [method], tmp_path, resamples=5)
    assert len(calls) == 1


def test_results_of_batch_are_scored_the_same(data, report, tmp_path):
    batch = tmp_path / "batch"
    assert main(["batch", str(data / "images"), "--method", "hu-threshold", "--output", str(batch)]) == 0
    arguments = ["evaluate", "--data", str(data), "--results", str(batch), "--output", str(tmp_path / "again")]
    assert main([*arguments, "--resamples", "40"]) == 0
    before, after = rows(report / "cases.csv"), rows(tmp_path / "again" / "cases.csv")
    for one, other in zip(before, after, strict=True):
        assert {**one, "seconds": ""} == {**other, "seconds": ""}


def test_folds_hold_thresholds_out_and_say_which_applied(data, tmp_path):
    folds = tmp_path / "folds.csv"
    folds.write_text("patient,fold\nhead1,A\nhead3,A\nhead2,B\nhead4,B\n")
    arguments = ["evaluate", "--data", str(data), "--methods", "hu-threshold", "--folds", str(folds)]
    assert main([*arguments, "--output", str(tmp_path / "out"), "--resamples", "10"]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    found = {one["fold"]: one for one in summary["thresholds"]["hu-threshold"]}
    for row in rows(tmp_path / "out" / "cases.csv"):
        assert float(row["threshold"]) == pytest.approx(found[row["fold"]]["exam"], abs=1e-6)
        assert float(row["map_threshold"]) == found[row["fold"]]["map"]
    assert "Held-out fold" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("with_folds", [True, False])
def test_a_network_of_a_fold_meets_only_its_patients_and_an_average_of_folds_warns(
    with_folds, data, tmp_path, monkeypatch, capsys, caplog
):
    torch = pytest.importorskip("torch")
    from ICHSegmenterLib.models import create_model

    small = replace(get_card("unet"), preprocessing=SlicePreprocessing(resize=40, crop=32))
    monkeypatch.setattr(model_cards, "MODEL_CARDS", MappingProxyType({**model_cards.MODEL_CARDS, "unet": small}))
    files = [tmp_path / f"fold{number}.pt" for number in range(2)]
    for number, file in enumerate(files):
        torch.manual_seed(number)
        torch.save(create_model("unet").state_dict(), file)
    folds = {"head1": "0", "head3": "0", "head2": "1", "head4": "1"}
    (tmp_path / "folds.json").write_text(json.dumps(folds))
    arguments = ["--methods", "unet", "--weights", *(f"unet={file}" for file in files), "--resamples", "5"]
    arguments += ["--folds", str(tmp_path / "folds.json")] if with_folds else []
    assert main(["evaluate", "--data", str(data), *arguments, "--output", str(tmp_path / "out")]) == 0
    assert ("fold 0: fold0.pt, fold 1: fold1.pt" in capsys.readouterr().out) == with_folds
    assert ("four of five knew each patient" in caplog.text) != with_folds
    for name, fold in folds.items():
        result = json.loads((tmp_path / "out" / "results" / "unet" / name / "result.json").read_text())
        used = [f"fold{fold}.pt"] if with_folds else ["fold0.pt", "fold1.pt"]
        assert list(result["provenance"]["weights"]) == used


def test_outlines_are_scored_at_the_threshold_that_was_searched(data, tmp_path):
    folds = {"head1": "A", "head3": "A", "head2": "B", "head4": "B"}
    method = Method(
        "m",
        tmp_path / "a",
        lambda volume: engine.analyze(volume, AnalysisRequest("hu-threshold", outputs=("map",))),
        map_rule=True,
    )
    cases = [case_of(data, name) for name in BLEEDS]
    found = evaluate(cases, [method], tmp_path / "out", folds=folds, resamples=5)
    records = {one.case: one for one in found.records["m"]}
    for held_out, other in (("head1", "head2"), ("head2", "head1")):
        cut = MAP_GRID.index(records[held_out].cuts.map)
        assert records[other].sweep[cut] == max(records[other].sweep)
        assert records[held_out].segmentation.dice == pytest.approx(records[held_out].sweep[cut])


@pytest.mark.parametrize(("positive_slices_only", "slices"), [(False, [0, 1]), (True, [1])])
def test_a_map_is_cut_again_by_the_rule_of_the_method(positive_slices_only, slices, tmp_path):
    soft = np.zeros((2, 3, 3), dtype=np.float32)
    soft[:, 1, 1], soft[1, 0, 0] = 0.6, 0.3
    said = Prediction(np.array([0.2, 0.9]), 0.9, 0.5, "probability", np.ones((2, 3, 3), dtype=bool), soft, 0.0)
    method = Method("m", tmp_path, positive_slices_only=positive_slices_only)
    assert np.argwhere(said.outline(method, 0.5)).tolist() == [[k, 1, 1] for k in slices]
    assert said.outline(method).all()


def test_two_methods_stand_side_by_side_and_are_compared(data, tmp_path):
    """The second one says the opposite of the first, and outlines nothing."""

    def contrary(volume):
        result = engine.analyze(volume, AnalysisRequest("hu-threshold"))
        exam = {key: 1.0 - value for key, value in result.detection.exam_probabilities.items()}
        nothing = np.zeros_like(result.segmentation.labelmap)
        return replace(
            result,
            detection=replace(result.detection, exam_probabilities=exam),
            segmentation=replace(result.segmentation, labelmap=nothing),
            measurements=(),
        )

    cases = [case_of(data, name) for name in BLEEDS]
    methods = [classical(tmp_path / "a"), Method("contrary", tmp_path / "b", contrary)]
    summary = evaluate(cases, methods, tmp_path / "out", resamples=40).summary
    found = {one["figure"]: one for one in summary["comparisons"]}
    assert found["exam_auc"]["value"] == 1.0
    assert found["slice_auc"]["value"] == 0.0
    dice = summary["methods"]["hu-threshold"]["segmentation"]["dice_mean"]["value"]
    assert found["dice_mean"]["value"] == pytest.approx(dice)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "hu-threshold minus contrary" in page


def test_without_a_positive_case_the_auc_is_undefined_and_the_page_says_so(data, tmp_path):
    cases = [case_of(data, "head3"), case_of(data, "head4")]
    summary = evaluate(cases, [classical(tmp_path / "a")], tmp_path / "out", resamples=5).summary
    found = summary["methods"]["hu-threshold"]["detection"]["exam"]["auc"]
    assert found["value"] is None
    assert "it takes cases with and without hemorrhage" in (tmp_path / "out" / "report.html").read_text()


def test_a_mask_of_another_grid_fails_its_case_and_not_the_others(data, heads, tmp_path, capsys):
    folder = tmp_path / "data"
    for name in ("head1", "head3"):
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{name}.nii.gz").write_bytes((data / kind / f"{name}.nii.gz").read_bytes())
    other = head_geometry((12, 72, 72), pixel_mm=(2.0, 2.0), slice_step_mm=10.0)
    write_nifti(heads["head1"].labelmap, other, folder / "masks" / "head1.nii.gz")
    arguments = ["evaluate", "--data", str(folder), "--methods", "hu-threshold", "--resamples", "5"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 1
    assert "head1.nii.gz: the mask lies on another grid" in capsys.readouterr().err
    assert [row["case"] for row in rows(tmp_path / "out" / "cases.csv")] == ["head3"]
    assert rows(tmp_path / "out" / "failures.csv")[0]["case"] == "head1"


def test_a_scan_without_a_mask_is_named(data, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "images" / "head1.nii.gz").write_bytes((data / "images" / "head1.nii.gz").read_bytes())
    arguments = ["evaluate", "--data", str(tmp_path), "--methods", "hu-threshold", "--output", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "head1 has no mask" in capsys.readouterr().err


def test_a_case_needs_some_truth(data):
    with pytest.raises(EvaluationError, match="there is no truth"):
        Case("head1", "head1", (data / "images" / "head1.nii.gz",))


def test_labels_must_be_as_many_as_slices(data):
    case = Case("head1", "head1", (data / "images" / "head1.nii.gz",), slice_labels=(True,) * 11)
    with pytest.raises(EvaluationError, match="11 labels for 12 slices"):
        read_exam(case)


def test_labels_of_dicom_files_find_their_slices_whatever_the_file_names(heads, tmp_path):
    phantom = heads["head1"]
    written = write_dicom_series(phantom.volume, tmp_path / "a")
    bleeds = (phantom.labelmap > 0).any(axis=(1, 2))
    shuffled = np.random.default_rng(0).permutation(len(written))
    files = []
    for place, index in enumerate(shuffled):
        files.append(tmp_path / f"ID_{place:03d}.dcm")
        files[-1].write_bytes(written[index].read_bytes())
    exam = read_exam(Case("rsna", "p", tuple(files), slice_labels=tuple(bool(it) for it in bleeds[shuffled])))
    assert exam.slice_truth.tolist() == bleeds.tolist()
    assert exam.mask is None


def test_results_of_another_exam_are_refused(data, tmp_path):
    (tmp_path / "a" / "head1").mkdir(parents=True)
    evaluate([case_of(data, "head3")], [classical(tmp_path / "a")], tmp_path / "out", resamples=5)
    short = replace(case_of(data, "head3"), name="head9")
    with pytest.raises(EvaluationError, match="holds no result.json"):
        evaluate([short], [Method("m", tmp_path / "a")], tmp_path / "out", resamples=5)


def test_two_cases_of_one_name_are_refused(data, tmp_path):
    with pytest.raises(EvaluationError, match="1 names stand for several exams \\(head1\\)"):
        evaluate([case_of(data, "head1")] * 2, [classical(tmp_path / "a")], tmp_path / "out")


@pytest.mark.parametrize(("layout", "has_masks"), [("nifti", True), ("physionet", True), ("rsna", False)])
def test_every_layout_gives_each_exam_its_patient_and_truth(layout, has_masks, tmp_path):
    write = {"nifti": write_nifti_folder, "physionet": write_physionet, "rsna": write_rsna}[layout]
    cases = find_cases(write(tmp_path / "data", 4), layout, tmp_path / "headers")
    exams = [read_exam(case) for case in cases]
    assert len({case.patient for case in cases}) == len({case.name for case in cases}) == 4
    truths = sorted(exam.slice_truth.tolist() for exam in exams)
    assert truths == [[False] * 4] * 2 + [[False, True, True, False]] * 2
    assert all((exam.mask is not None) == has_masks for exam in exams)
    for exam in exams if layout != "nifti" else ():
        assert (exam.subtype_truth[:, 1] == exam.slice_truth).all()
        assert exam.subtype_truth.sum() == exam.slice_truth.sum()


def test_subtypes_are_scored_where_method_and_truth_tell_them_apart(data, heads, tmp_path):
    """The method is surest of IPH where it bleeds, which is right; no slice has a subdural bleed."""
    cases = []
    for name, phantom in heads.items():
        bleeds = (phantom.labelmap > 0).any(axis=(1, 2)).tolist()
        subtypes = tuple((False, blood, False, False, False) for blood in bleeds)
        cases.append(replace(case_of(data, name), slice_labels=tuple(bleeds), slice_subtypes=subtypes))

    def knowing(volume):
        result = engine.analyze(volume, AnalysisRequest("hu-threshold"))
        slices = tuple(
            replace(
                one,
                probabilities={**dict.fromkeys(SUBTYPE_LABELS, 0.1), "IPH": one.blood_ml / 100},
                own_probabilities={},
            )
            for one in result.detection.slices
        )
        return replace(result, detection=replace(result.detection, slices=slices))

    methods = [Method("knowing", tmp_path / "a", knowing), classical(tmp_path / "b")]
    summary = evaluate(cases, methods, tmp_path / "out", resamples=10).summary
    found = summary["methods"]["knowing"]["detection"]["subtypes"]
    assert found["IPH"]["bleeding"] == summary["data"]["bleeding_slices"] > 0
    assert found["IPH"]["auc"]["value"] == 1.0
    assert found["SDH"]["auc"]["value"] is None
    assert summary["methods"]["hu-threshold"]["detection"]["subtypes"] == {}
    assert "Subtypes on slices" in (tmp_path / "out" / "report.html").read_text()


def test_exams_of_one_patient_are_told_by_a_list(tmp_path):
    folder = write_nifti_folder(tmp_path / "data", 2)
    (tmp_path / "patients.csv").write_text("exam,patient\nscan.0,p\nscan.1,p\n")
    cases = find_cases(folder, "nifti", tmp_path / "headers", tmp_path / "patients.csv")
    assert [case.patient for case in cases] == ["p", "p"]
    (tmp_path / "patients.csv").write_text("exam,patient\nscan.0,p\n")
    with pytest.raises(EvaluationError, match="1 exams have no patient \\(scan.1\\)"):
        find_cases(folder, "nifti", tmp_path / "headers", tmp_path / "patients.csv")


def test_truth_of_an_exam_stored_as_sagittal_slices_speaks_of_axial_ones(heads, tmp_path):
    phantom = heads["head1"]
    grid = phantom.volume.geometry
    steps = grid.slice_origins[1] - grid.slice_origins[0], grid.row_step, grid.column_step
    origins = grid.slice_origins[0] + np.arange(grid.shape[2])[:, None] * steps[2]
    sagittal = VolumeGeometry((grid.shape[2], grid.shape[1], grid.shape[0]), steps[0], steps[1], origins)
    for name, values in (("ct", phantom.volume.hu), ("mask", phantom.labelmap)):
        write_nifti(np.ascontiguousarray(values.transpose(2, 1, 0)), sagittal, tmp_path / f"{name}.nii.gz")
    case = Case("head1", "p", (tmp_path / "ct.nii.gz",), tmp_path / "mask.nii.gz")
    found = evaluate([case], [classical(tmp_path / "a")], tmp_path / "out", resamples=5).records["hu-threshold"][0]
    assert found.slice_truth.tolist() == (phantom.labelmap > 0).any(axis=(1, 2)).tolist()
    assert (found.positive_slices == found.slice_truth).all()
    assert found.segmentation.dice > 0.7
