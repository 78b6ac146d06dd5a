"""Prediction, submission and ensemble files of RSNA 2019, and its metric, against the authors' own."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from golden_numbers import Golden, golden_file
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.evaluation.rsna import csv_files as rsna_csv
from ICHSegmenterLib.evaluation.rsna.metric import AUTHORS_WEIGHTS, logits_of, weighted_log_loss
from ICHSegmenterLib.evaluation.rsna.slices import rsna_slices

SIX = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])


@pytest.fixture(scope="module")
def golden():
    return golden_file("rsna/data")


@pytest.mark.parametrize("number", range(3))
def test_a_submission_equals_the_authors_character_for_character(golden, number, tmp_path):
    ids = rsna_csv.read_slice_ids(golden / "root/test_meta.csv")
    rsna_csv.write_submission(golden / f"csv/pred{number}.csv", ids, tmp_path / "sub.csv")
    assert (tmp_path / "sub.csv").read_text() == (golden / f"csv/sub{number}.csv").read_text()


def test_the_ensemble_equals_the_authors(golden, tmp_path):
    rsna_csv.write_ensemble([golden / f"csv/sub{number}.csv" for number in range(3)], tmp_path / "ensemble.csv")
    found, expected = (
        rsna_csv.read_submission(path) for path in (tmp_path / "ensemble.csv", golden / "csv/ensemble.csv")
    )
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=1e-12)
    assert sum(value == 1.0 for value in found.values()) == 3


def test_a_prediction_file_is_written_as_the_authors_write_it(golden, tmp_path):
    theirs = golden / "csv/pred0.csv"
    lines = [line.partition(",") for line in theirs.read_text().splitlines()]
    rows = [int(row) for row, _, _ in lines]
    values = np.array([[float(one) for one in text.split()] for _, _, text in lines], dtype=np.float32)
    rsna_csv.write_predictions(tmp_path / "pred.csv", rows, values)
    assert (tmp_path / "pred.csv").read_text() == theirs.read_text()


def write_headers(meta: Path, folder: Path) -> None:
    """One DICOM file without pixels for each line, named by its id."""
    with meta.open(newline="") as file:
        for row in csv.DictReader(file):
            file_meta = FileMetaDataset()
            file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            header = FileDataset("", Dataset(), file_meta=file_meta, preamble=b"\0" * 128)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Invalid value for VR UI")
                header.SOPInstanceUID, header.SeriesInstanceUID = row["slice_id"], row["series_id"]
                header.ImagePositionPatient = [row[f"ImagePos{axis}"] for axis in (1, 2, 3)]
                header.save_as(folder / f"{row['slice_id']}.dcm")


def test_slices_are_sorted_as_the_authors_meta_file_is(golden, tmp_path):
    write_headers(golden / "root/test_meta.csv", tmp_path)
    slices = rsna_slices(tmp_path)
    with (golden / "root/test_meta.csv").open(newline="") as file:
        expected = [
            (
                row["slice_id"],
                row["series_id"],
                float(row["ImagePos1"]),
                float(row["ImagePos2"]),
                float(row["ImagePos3"]),
            )
            for row in csv.DictReader(file)
        ]
    assert [(one.slice_id, one.series_uid, *one.position) for one in slices] == expected


def test_the_metric_equals_the_authors():
    arrays = Golden("rsna/data/golden_data")
    loss = weighted_log_loss(arrays["metric_logits"], arrays["metric_labels"], weights=AUTHORS_WEIGHTS)
    assert 1 - loss.total == pytest.approx(float(arrays["metric_benchmark"]), abs=1e-6)
    assert loss.slices == 9
    assert sum(loss.by_label.values()) == pytest.approx(loss.total)


def test_padding_and_repeated_lines_are_dropped(tmp_path):
    path = tmp_path / "pred.csv"
    rsna_csv.write_predictions(path, [1, 0, 1, -1], SIX.repeat(4, axis=0))
    rsna_csv.write_submission(path, ["ID_a", "ID_b"], tmp_path / "sub.csv")
    submission = rsna_csv.read_submission(tmp_path / "sub.csv")
    assert list(submission)[::6] == ["ID_b_epidural", "ID_a_epidural"]
    assert list(submission.values()) == [*SIX[0], *SIX[0]]


def test_a_series_is_padded_behind_its_slices():
    assert rsna_csv.padded_rows(7, 3, 5).tolist() == [7, 8, 9, -1, -1]


def test_one_model_alone_is_never_certain(tmp_path):
    for number, value in enumerate((0.9999, 0.9981, 0.998)):
        rsna_csv.write_predictions(tmp_path / "p.csv", [0], np.full((1, 6), value))
        rsna_csv.write_submission(tmp_path / "p.csv", ["ID_a"], tmp_path / f"{number}.csv")
    rsna_csv.write_ensemble([tmp_path / f"{number}.csv" for number in range(3)], tmp_path / "out.csv")
    values = list(rsna_csv.read_submission(tmp_path / "out.csv").values())
    assert values == pytest.approx([0.85 * 0.9999 + 0.05 * 0.9981 + 0.1 * 0.998] * 6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0,0.1 0.2\n", "2 values"),
        ("slice,0.1 0.2 0.3 0.4 0.5 0.6\n", "'slice"),
        ("0;0.1\n", "no line of a prediction"),
    ],
)
def test_a_file_that_is_no_prediction_is_refused(text, told, tmp_path):
    (tmp_path / "pred.csv").write_text(text)
    with pytest.raises(VolumeError, match=told):
        rsna_csv.read_predictions(tmp_path / "pred.csv")


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    rsna_csv.write_predictions(tmp_path / "p.csv", [0, 3], SIX.repeat(2, axis=0))
    with pytest.raises(VolumeError, match="predicts row 3, but the meta file has 2 slices"):
        rsna_csv.write_submission(tmp_path / "p.csv", ["ID_a", "ID_b"], tmp_path / "s.csv")
    ids = ["ID_a", "ID_b", "ID_c", "ID_d"]
    rsna_csv.write_submission(tmp_path / "p.csv", ids, tmp_path / "s.csv")
    rsna_csv.write_predictions(tmp_path / "p.csv", [0], SIX)
    rsna_csv.write_submission(tmp_path / "p.csv", ids, tmp_path / "short.csv")
    with pytest.raises(VolumeError, match=r"short.csv: lacks 6 of 12 lines, first ID_d_any"):
        rsna_csv.write_ensemble([tmp_path / "s.csv", tmp_path / "s.csv", tmp_path / "short.csv"], tmp_path / "e.csv")
    with pytest.raises(VolumeError, match="no column slice_id"):
        rsna_csv.read_slice_ids(tmp_path / "s.csv")
    with pytest.raises(VolumeError, match="columns must be ID,Label"):
        rsna_csv.read_submission(tmp_path / "p.csv")


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="holds no .dcm file"):
        rsna_slices(tmp_path)
    (tmp_path / "a.dcm").write_bytes(b"nothing")
    with pytest.raises(VolumeError, match="a.dcm: is no DICOM slice"):
        rsna_slices(tmp_path)


def test_certain_and_right_costs_nothing_and_any_costs_twice():
    right = np.array([[50.0, -50.0, -50.0, -50.0, -50.0, 50.0]])
    labels = np.array([[1, 0, 0, 0, 0, 1]])
    assert weighted_log_loss(right, labels).total == pytest.approx(0, abs=1e-12)
    wrong_type, wrong_any = right.copy(), right.copy()
    wrong_type[0, 1], wrong_any[0, 5] = 2.0, -2.0
    ratio = weighted_log_loss(wrong_any, labels).total / weighted_log_loss(wrong_type, labels).total
    assert ratio == pytest.approx(2)


def test_the_first_of_repeated_slices_counts():
    logits, labels = np.array([[0.0] * 6, [9.0] * 6, [1.0] * 6]), np.zeros((3, 6))
    repeated = weighted_log_loss(logits, labels, rows=np.array([4, 4, 5]))
    assert repeated.total == pytest.approx(weighted_log_loss(logits[[0, 2]], labels[[0, 2]]).total)
    assert repeated.slices == 2


def test_probabilities_become_logits_and_certain_ones_stay_finite():
    np.testing.assert_allclose(1 / (1 + np.exp(-logits_of(SIX))), SIX)
    assert np.isfinite(logits_of(np.array([0.0, 1.0]))).all()


def test_a_metric_without_labels_is_refused():
    with pytest.raises(ValueError, match="no labeled slice"):
        weighted_log_loss(np.zeros((2, 6)), np.full((2, 6), 255))
    with pytest.raises(ValueError, match=r"\(slices, 6\)"):
        weighted_log_loss(np.zeros((2, 5)), np.zeros((2, 5)))
