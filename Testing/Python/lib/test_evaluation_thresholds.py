"""Thresholds come from the other folds, and leaks are errors."""

import numpy as np
import pytest

from ICHSegmenterLib.errors import EvaluationError
from ICHSegmenterLib.evaluation.dataset import Case
from ICHSegmenterLib.evaluation.evaluate import search_thresholds
from ICHSegmenterLib.evaluation.records import CaseRecord, CutOffs
from ICHSegmenterLib.evaluation.thresholds import (
    MAP_GRID,
    best_cut,
    best_map_threshold,
    check_folds,
    map_sweep,
    read_folds,
)

pytest.importorskip("sklearn")


def record(patient, truth, value, sweep=()):
    return CaseRecord(
        patient,
        patient,
        "m",
        np.array([truth, False]),
        np.array([value, 0.0]),
        value,
        "score",
        CutOffs(0.5, 0.5),
        sweep=sweep,
    )


def test_the_best_cut_lies_between_both_kinds():
    truth = np.array([True, True, False, False])
    assert best_cut(truth, np.array([0.8, 0.6, 0.2, 0.1])) == pytest.approx(0.4)


def test_values_of_one_kind_only_cannot_be_parted():
    with pytest.raises(EvaluationError, match="only items without hemorrhage"):
        best_cut(np.zeros(3, dtype=bool), np.array([0.1, 0.2, 0.3]))


def test_the_held_out_fold_has_no_say_in_its_threshold():
    """Fold b alone would be parted at 0.95 and 0.05; only the other fold's values decide."""
    folds = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    records = [record("a1", True, 0.8), record("a2", False, 0.4), record("b1", True, 0.3), record("b2", False, 0.1)]
    of_a, of_b = search_thresholds(records, folds)
    assert (of_a.fold, of_a.exam) == ("a", pytest.approx(0.2))
    assert (of_b.fold, of_b.exam) == ("b", pytest.approx(0.6))
    changed = [*records[:2], record("b1", True, 0.95), record("b2", False, 0.05)]
    assert search_thresholds(changed, folds)[1] == of_b


def test_maps_are_cut_where_the_other_folds_are_outlined_best():
    early, late = (tuple(float(abs(cut - best) < 1e-6) for cut in MAP_GRID) for best in (0.1, 0.5))
    folds = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    records = [record("a1", True, 0.8, early), record("a2", False, 0.4)]
    records += [record("b1", True, 0.8, late), record("b2", False, 0.4)]
    assert [one.map for one in search_thresholds(records, folds)] == [0.5, 0.1]
    assert best_map_threshold([]) is None


def test_the_sweep_is_the_dice_at_each_threshold():
    random = np.random.default_rng(8)
    soft = random.random((3, 10, 10)).astype(np.float32)
    truth = random.random((3, 10, 10)) < 0.3
    for cut, found in zip(MAP_GRID, map_sweep(soft, truth), strict=True):
        outlined = soft >= cut
        assert found == pytest.approx(2 * (outlined & truth).sum() / (outlined.sum() + truth.sum()))


@pytest.mark.parametrize(
    ("name", "text"),
    [("folds.csv", "patient,fold\np1,0\np2,1\n"), ("folds.json", '{"p1": 0, "p2": 1}')],
)
def test_folds_are_read_from_csv_and_json(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_folds(tmp_path / name) == {"p1": "0", "p2": "1"}


@pytest.mark.parametrize(
    ("name", "text"),
    [("folds.csv", "patient,fold\np1,0\np1,1\n"), ("folds.json", '{"p1": 0, "p1": 1}')],
)
def test_a_patient_in_two_folds_is_a_leak(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(EvaluationError, match="leak: patient p1 is in the folds 0 and 1"):
        read_folds(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("folds.csv", "name,part\np1,0\n", "columns patient,fold; found name,part"),
        ("folds.json", "[1, 2]", "must be one object"),
        ("folds.json", "patient", "no JSON"),
    ],
)
def test_a_file_that_holds_no_folds_says_what_it_needs(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(EvaluationError, match=told):
        read_folds(tmp_path / name)


def cases_of(tmp_path, *contents):
    found = []
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.nii").write_bytes(content)
        found.append(Case(f"exam-{number}", f"p{number}", (tmp_path / f"{number}.nii",), slice_labels=(True,)))
    return found


def test_the_same_image_in_two_folds_is_a_leak(tmp_path):
    cases = cases_of(tmp_path, b"one", b"two", b"one")
    check_folds({"p0": "0", "p1": "1", "p2": "0"}, cases)
    with pytest.raises(EvaluationError, match="exam-0 and exam-2 are the same image"):
        check_folds({"p0": "0", "p1": "1", "p2": "1"}, cases)


def test_a_patient_without_a_fold_is_named(tmp_path):
    with pytest.raises(EvaluationError, match="1 patients have no fold \\(p1\\)"):
        check_folds({"p0": "0"}, cases_of(tmp_path, b"one", b"two"))


def test_one_fold_alone_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="no other one to search on"):
        check_folds({"p0": "0", "p1": "0"}, cases_of(tmp_path, b"one", b"two"))
