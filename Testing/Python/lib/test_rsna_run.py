"""A folder of slices from several series to the competition's files, each slice under its own name."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch

from ICHSegmenterLib.cards import table as model_cards
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.evaluation.rsna import csv_files as rsna_csv
from ICHSegmenterLib.evaluation.rsna.run import by_series, by_volume, predict_folder
from ICHSegmenterLib.evaluation.rsna.slices import rsna_slices
from ICHSegmenterLib.labels import SUBTYPE_LABELS
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.results import AnalysisResult, DetectionResult, Provenance, SliceDetection
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import StorageOrder, head_geometry, make_phantom

SMALL = MappingProxyType({"embed_dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two series of 8 and 10 slices, one of them stored from the top, all files in one folder."""
    together = tmp_path_factory.mktemp("stage_2_train")
    for number, (slices, is_descending) in enumerate(((8, False), (10, True))):
        geometry = head_geometry(
            (slices, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=14.0, order=StorageOrder(is_descending)
        )
        volume = make_phantom(geometry, seed=number, subsamples=(1, 1, 1)).volume
        one = tmp_path_factory.mktemp("series")
        for place, path in enumerate(write_dicom_series(volume, one, seed=number)):
            path.rename(together / f"ID_{number}{place:02}.dcm")
    return together


def says_its_height(volume):
    """A method whose "any" is the slice's height, from 0 to 1, and whose epidural value is half of it."""
    heights = volume.geometry.slice_origins[:, 2]
    values = (heights - heights.min()) / np.ptp(heights)
    slices = tuple(
        SliceDetection(k, float(h), {**dict.fromkeys(SUBTYPE_LABELS, 0.0), "EDH": v / 2, "any": v}, False)
        for k, (h, v) in enumerate(zip(heights, values.tolist(), strict=True))
    )
    detection = DetectionResult(slices, dict.fromkeys(SUBTYPE_LABELS, 1.0), 0.5, 0)
    return AnalysisResult(volume.geometry, detection, None, (), Provenance("stub", "Stub", "0", "cpu", "float32"))


def test_every_slice_gets_the_value_of_its_own_image(folder, tmp_path):
    failures = predict_folder(folder, tmp_path / "pred.csv", tmp_path / "meta.csv", by_volume(says_its_height))
    assert failures == {}
    ids = rsna_csv.read_slice_ids(tmp_path / "meta.csv")
    rsna_csv.write_submission(tmp_path / "pred.csv", ids, tmp_path / "sub.csv")
    submission = rsna_csv.read_submission(tmp_path / "sub.csv")
    assert len(submission) == 6 * 18
    for series in {one.series_uid for one in rsna_slices(folder)}:
        members = [one for one in rsna_slices(folder) if one.series_uid == series]
        heights = np.array([one.position[2] for one in members])
        expected = (heights - heights.min()) / np.ptp(heights)
        found = [submission[f"{one.slice_id}_any"] for one in members]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        np.testing.assert_allclose([submission[f"{one.slice_id}_epidural"] for one in members], expected / 2, atol=1e-6)


def test_a_series_that_fails_is_told_and_the_others_are_written(folder, tmp_path):
    broken, other = sorted({one.series_uid for one in rsna_slices(folder)})
    for one in rsna_slices(folder):
        content = one.path.read_bytes()
        (tmp_path / one.path.name).write_bytes(content[:-2000] if one.series_uid == broken else content)
    failures = predict_folder(tmp_path, tmp_path / "pred.csv", tmp_path / "meta.csv", by_volume(says_its_height))
    assert list(failures) == [broken]
    rows, _ = rsna_csv.read_predictions(tmp_path / "pred.csv")
    assert rows.tolist() == [row for row, one in enumerate(rsna_slices(tmp_path)) if one.series_uid == other]


def test_the_command_line_goes_from_images_to_an_ensemble(folder, tmp_path, monkeypatch, capsys):
    cards = {**model_cards.MODEL_CARDS}
    cards["rsna-sequence"] = replace(cards["rsna-sequence"], network_config=SMALL)
    monkeypatch.setattr(model_cards, "MODEL_CARDS", MappingProxyType(cards))
    torch.manual_seed(0)
    torch.save(create_model("slice_sequence_transformer", **SMALL).state_dict(), tmp_path / "a.pt")
    files = {name: str(tmp_path / name) for name in ("pred.csv", "meta.csv", "sub.csv", "ensemble.csv")}
    made = ["--output", files["pred.csv"], "--meta", files["meta.csv"], "--weights", str(tmp_path / "a.pt")]
    assert main(["rsna", "predict", str(folder), *made, "--option", "xyz_order=true"]) == 0
    assert (
        main(["rsna", "submission", files["pred.csv"], "--meta", files["meta.csv"], "--output", files["sub.csv"]]) == 0
    )
    assert main(["rsna", "ensemble", *[files["sub.csv"]] * 3, "--output", files["ensemble.csv"]]) == 0
    one, blended = (rsna_csv.read_submission(tmp_path / name) for name in ("sub.csv", "ensemble.csv"))
    assert len(one) == 6 * 18
    np.testing.assert_allclose([blended[key] for key in one], list(one.values()), atol=1e-9)
    assert main(["rsna", "predict", str(folder), *made, "--method", "unet"]) == 2
    assert "unet tells no subtypes" in capsys.readouterr().err


class SaysItsDensity:
    """A predictor whose six values are all the share of a slice that is dense, and that keeps what it was shown."""

    def __init__(self):
        self.shown = []

    def predict_series(self, hu):
        self.shown.append(hu)
        return np.repeat((hu > 20).mean(axis=(1, 2), dtype=np.float32)[:, None], 6, axis=1)


def test_two_slices_at_one_position_gaps_and_air_are_all_predicted(folder, tmp_path):
    """The competition wants a value for each image, whatever its series looks like."""
    import pydicom

    files = sorted(folder.glob("ID_0*.dcm"))
    for number, path in enumerate(files):
        file = pydicom.dcmread(path)
        if number == 1:  # where the first slice lies
            file.ImagePositionPatient = pydicom.dcmread(files[0]).ImagePositionPatient
        if number == 2:  # nothing but air
            file.PixelData = bytes(len(file.PixelData))
        if number == 4:  # another size than the others
            file.Rows, file.PixelData = file.Rows // 2, file.PixelData[: len(file.PixelData) // 2]
        if number != 3:
            file.save_as(tmp_path / path.name)
    predictor = SaysItsDensity()
    failures = predict_folder(tmp_path, tmp_path / "pred.csv", tmp_path / "meta.csv", by_series(predictor))
    assert failures == {}
    ids = rsna_csv.read_slice_ids(tmp_path / "meta.csv")
    rsna_csv.write_submission(tmp_path / "pred.csv", ids, tmp_path / "sub.csv", complete=True)
    found = rsna_csv.read_submission(tmp_path / "sub.csv")
    assert len(found) == 6 * (len(files) - 1)
    air, small = (str(pydicom.dcmread(files[number]).SOPInstanceUID) for number in (2, 4))
    assert found[f"{air}_any"] == found[f"{small}_any"] == 0.0
    assert (np.diff([(one > -500).mean() for one in predictor.shown[0]]) != 0).any()


def test_an_incomplete_submission_is_refused_with_the_missing_ids(folder, tmp_path, capsys):
    predict_folder(folder, tmp_path / "pred.csv", tmp_path / "meta.csv", by_series(SaysItsDensity()))
    rows, values = rsna_csv.read_predictions(tmp_path / "pred.csv")
    rsna_csv.write_predictions(tmp_path / "pred.csv", rows[1:].tolist(), values[1:])
    first = rsna_csv.read_slice_ids(tmp_path / "meta.csv")[rows[0]]
    arguments = ["--meta", str(tmp_path / "meta.csv"), "--output", str(tmp_path / "sub.csv")]
    assert main(["rsna", "submission", str(tmp_path / "pred.csv"), *arguments]) == 1
    told = capsys.readouterr().err
    assert f"lacks 1 of 18 slices ({first})" in told
    assert not (tmp_path / "sub.csv").exists()


def test_the_score_is_the_weighted_log_loss_of_its_definition(tmp_path, capsys):
    """Mean over slices of the sum of weight times cross entropy; weight 2 of 7 for any."""
    random = np.random.default_rng(0)
    values, labels = random.uniform(0.05, 0.95, (5, 6)), random.integers(0, 2, (5, 6))
    names = [f"ID_{number}" for number in range(5)]
    for path, table in ((tmp_path / "sub.csv", values), (tmp_path / "labels.csv", labels)):
        lines = [
            f"{name}_{kind},{value}"
            for name, six in zip(names, table, strict=True)
            for kind, value in zip(rsna_csv.CLASSES, six, strict=True)
        ]
        path.write_text("\n".join(["ID,Label", *lines]) + "\n")
    weights = np.array([1, 1, 1, 1, 1, 2]) / 7
    expected = -(weights * (labels * np.log(values) + (1 - labels) * np.log(1 - values))).sum(axis=1).mean()
    assert main(["rsna", "score", str(tmp_path / "sub.csv"), "--labels", str(tmp_path / "labels.csv")]) == 0
    assert f"weighted log loss {expected:.5f} of 5 slices" in capsys.readouterr().out
    (tmp_path / "labels.csv").write_text((tmp_path / "labels.csv").read_text().replace("ID_4", "ID_x"))
    assert main(["rsna", "score", str(tmp_path / "sub.csv"), "--labels", str(tmp_path / "labels.csv")]) == 1
    assert "1 of 5 predicted slices have no label (ID_4)" in capsys.readouterr().err


def test_more_slices_than_positions_are_shown_in_equal_parts():
    from ICHSegmenterLib.methods.rsna_sequence.predictor import RsnaSequencePredictor

    torch.manual_seed(0)
    network = create_model("slice_sequence_transformer", **SMALL)
    predictor = RsnaSequencePredictor([network], device="cpu", precision="float32")
    lengths = []
    predictor._ensemble = lambda slices, run: lengths.append(len(slices)) or np.zeros((len(slices), 6), np.float32)
    assert predictor.predict_series(np.zeros((61, 40, 40), dtype=np.float32)).shape == (61, 6)
    assert lengths == [31, 30]


def test_the_authors_crop_draws_area_and_sides_and_falls_back_to_the_central_square():
    from ICHSegmenterLib.methods.rsna_sequence.crop import random_box, randomly_cropped

    random = np.random.default_rng(0)
    boxes = [random_box(90, 80, random, (0.8, 1.2)) for _ in range(2000)]
    assert all(
        top >= 0 and top + rows <= 90 and left >= 0 and left + columns <= 80 for top, left, rows, columns in boxes
    )
    drawn = [box for box in boxes if box != (5, 0, 80, 80)]
    shares = np.array([rows * columns / 7200 for _, _, rows, columns in drawn])
    assert shares.min() > 0.78 and shares.max() <= 1.0
    assert 0.02 < 1 - len(drawn) / len(boxes) < 0.4  # a crop above the whole area never fits
    assert random_box(90, 80, random, (1.1, 1.2)) == (5, 0, 80, 80)
    pixels = np.full((90, 80, 3), 200, dtype=np.uint8)
    assert randomly_cropped(pixels, 32, random, (0.8, 1.2)).shape == (3, 32, 32)


def test_opencv_and_the_way_without_it_give_the_same_bytes():
    """Slices larger than the network's pixels, with parts that the opening takes away."""
    cv2 = pytest.importorskip("cv2")
    assert cv2
    from ICHSegmenterLib.methods.rsna_sequence import input as series

    random = np.random.default_rng(0)
    for rows, columns in ((64, 64), (99, 71), (300, 257)):
        pixels = random.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        pixels[random.random((rows, columns)) < 0.05] = 0
        np.testing.assert_array_equal(series._opened(pixels[..., 0]), series.opened_by_hand(pixels[..., 0]))
        np.testing.assert_array_equal(series.resized(pixels, 64), series.resized_by_hand(pixels, 64))


def test_whole_and_other_hounsfield_units_are_shown_alike():
    from ICHSegmenterLib.methods.rsna_sequence import input as series
    from ICHSegmenterLib.preprocessing.spec import Window

    hu = np.arange(-1024, 3072, dtype=np.float32).reshape(4, 32, 32)
    windows = [Window(40, 80), Window(80, 200), Window(40, 380)]
    whole = series.windowed_cube(hu, windows)
    mixed = series.windowed_cube(np.concatenate([hu, np.full((1, 32, 32), 0.5, np.float32)]), windows)
    np.testing.assert_array_equal(mixed[:4], whole)
