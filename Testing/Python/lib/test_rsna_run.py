"""A folder of slices from several series to the competition's files, each slice under its own name."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch

from ICHSegmenterLib.cards import table as model_cards
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.evaluation.rsna import csv_files as rsna_csv
from ICHSegmenterLib.evaluation.rsna.run import predict_folder
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
    failures = predict_folder(folder, tmp_path / "pred.csv", tmp_path / "meta.csv", says_its_height)
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
    failures = predict_folder(tmp_path, tmp_path / "pred.csv", tmp_path / "meta.csv", says_its_height)
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
