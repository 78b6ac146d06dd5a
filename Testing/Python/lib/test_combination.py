"""One method says which type, another where: pieces are named only where the detector is certain."""

import csv
import json
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch

from head_volumes import gantry_geometry
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.combine import combine, named
from ICHSegmenterLib.cards import pairs
from ICHSegmenterLib.cards import table as model_cards
from ICHSegmenterLib.cards.table import get_card
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.labels import EAH, ICH, IPH, SUBTYPE_LABELS
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import DetectionResult, SegmentationResult, SliceDetection
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.volume import Volume

SMALL = MappingProxyType({"embed_dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)})
GEOMETRY = gantry_geometry(slices=8, size=16)
CERTAIN = {"EDH": 0.05, "IPH": 0.9, "IVH": 0.1, "SAH": 0.1, "SDH": 0.2, "any": 0.95}
SILENT = dict.fromkeys(SUBTYPE_LABELS, 0.0)


def detected(*each):
    """A detection with these slice values, from the first slice on; the others are silent."""
    values = [*each, *[SILENT] * (GEOMETRY.shape[0] - len(each))]
    slices = tuple(SliceDetection(k, 10.0 * k, one, one["any"] >= 0.5) for k, one in enumerate(values))
    exam = {key: max(one[key] for one in values) for key in SUBTYPE_LABELS}
    return DetectionResult(slices, exam, 0.5, 0)


def outlined(*pieces, labels=(ICH,), soft_maps=None):
    """A segmentation of boxes (value, first slice, last slice, first column)."""
    voxels = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    for value, first, last, column in pieces:
        voxels[first : last + 1, 4:8, column : column + 3] = value
    return SegmentationResult(voxels, GEOMETRY, labels, soft_maps)


def test_a_piece_of_blood_gets_the_subtype_that_is_certain_on_its_slices():
    result = named(outlined((1, 0, 1, 2)), detected(CERTAIN, CERTAIN))
    assert [label.key for label in result.labels] == ["ICH", "IPH"]
    assert np.count_nonzero(result.mask("IPH")) == 2 * 4 * 3
    assert not result.mask("ICH").any()


def test_each_piece_is_judged_on_its_own_slices():
    low, high = CERTAIN, {**CERTAIN, "IPH": 0.1, "SDH": 0.95}
    result = named(outlined((1, 0, 1, 2), (1, 4, 5, 10)), detected(low, low, SILENT, SILENT, high, high))
    assert sorted(np.flatnonzero(result.mask("IPH").any(axis=(1, 2)))) == [0, 1]
    assert sorted(np.flatnonzero(result.mask("SDH").any(axis=(1, 2)))) == [4, 5]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({**CERTAIN, "IPH": 0.49}, "improbable"),
        ({**CERTAIN, "IVH": 0.71}, "as likely as another one"),
        (SILENT, "nothing was detected"),
    ],
)
def test_blood_stays_unnamed_where_the_detector_is_not_certain(values, why):
    result = named(outlined((1, 0, 1, 2)), detected(values, values))
    assert [label.key for label in result.labels] == ["ICH"], why
    assert result.mask("ICH").any()


def test_extra_axial_blood_is_never_named_intraparenchymal():
    result = named(outlined((1, 0, 1, 2), labels=(EAH,)), detected(CERTAIN, CERTAIN))
    assert [label.key for label in result.labels] == ["EAH"]
    subdural = {**CERTAIN, "SDH": 0.8}
    assert named(outlined((1, 0, 1, 2), labels=(EAH,)), detected(subdural, subdural)).mask("SDH").any()


def test_segments_that_have_a_subtype_keep_it():
    segmentation = outlined((1, 0, 1, 2), (2, 0, 1, 10), labels=(ICH, IPH))
    result = named(segmentation, detected({**CERTAIN, "IPH": 0.1, "SDH": 0.9}, {**CERTAIN, "IPH": 0.1, "SDH": 0.9}))
    np.testing.assert_array_equal(result.mask("IPH"), segmentation.mask("IPH"))
    np.testing.assert_array_equal(result.mask("SDH"), segmentation.mask("ICH"))


def test_soft_maps_follow_the_names_and_the_input_is_not_changed():
    segmentation = outlined((1, 0, 1, 2), soft_maps=np.full((1, *GEOMETRY.shape), 0.75, dtype=np.float32))
    result = named(segmentation, detected(CERTAIN, CERTAIN))
    assert result.soft_maps.shape[0] == len(result.labels) == 2
    np.testing.assert_array_equal(result.soft_maps[1] > 0, result.mask("IPH"))
    np.testing.assert_array_equal(result.soft_maps.max(axis=0), segmentation.soft_maps[0])
    assert segmentation.soft_maps.min() == 0.75
    assert segmentation.mask("ICH").any()


@pytest.fixture(scope="module")
def phantom():
    geometry = head_geometry((16, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=9.0)
    return make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), 62.0),)), seed=5)


@pytest.fixture
def detector_file(tmp_path, monkeypatch):
    """Weights of a small sequence transformer that answers "subdural" on every slice, and a card for its size."""
    cards = {**model_cards.MODEL_CARDS}
    cards["rsna-sequence"] = replace(cards["rsna-sequence"], network_config=SMALL)
    monkeypatch.setattr(model_cards, "MODEL_CARDS", MappingProxyType(cards))
    torch.manual_seed(0)
    network = create_model("slice_sequence_transformer", **SMALL)
    with torch.no_grad():
        network.sequence_decoder.weight.zero_()
        network.sequence_decoder.bias.copy_(torch.tensor([-3.0, -3.0, -3.0, -3.0, 3.0, 4.0]))
    torch.save(network.state_dict(), tmp_path / "sequence.pt")
    return tmp_path / "sequence.pt"


def test_two_methods_run_together_and_both_are_told(phantom, detector_file):
    result = analyze(
        phantom.volume, AnalysisRequest("hu-threshold", detector="rsna-sequence", detector_weights=[detector_file])
    )
    alone = analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    assert result.blood_ml == pytest.approx(alone.blood_ml)
    assert [one.name for one in result.measurements] == ["Subdural hemorrhage"]
    assert result.detection.exam_probabilities["any"] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-4)
    blood = [one.blood_ml for one in result.detection.slices]
    assert result.detection.key_slice == int(np.argmax(blood))
    used = result.provenance
    assert (used.method, used.detector, used.value_name) == ("hu-threshold", "rsna-sequence", "score")
    assert used.title == "HU threshold, named by sequence (own weights for rsna-sequence)"
    assert list(used.weights) == ["sequence.pt"]
    assert used.options == {}
    assert used.detector_options == {"masked": False, "xyz_order": False, "tta": False}


def test_a_volume_stored_as_sagittal_slices_is_named_on_its_own_grid(phantom, detector_file):
    affine = phantom.volume.geometry.affine[:, [2, 1, 0, 3]]
    stored = Volume(phantom.volume.hu.transpose(2, 1, 0), VolumeGeometry.from_affine((96, 96, 16), affine))
    result = analyze(
        stored, AnalysisRequest("hu-threshold", detector="rsna-sequence", detector_weights=[detector_file])
    )
    axial = analyze(
        phantom.volume, AnalysisRequest("hu-threshold", detector="rsna-sequence", detector_weights=[detector_file])
    )
    np.testing.assert_array_equal(result.segmentation.mask("SDH").transpose(2, 1, 0), axial.segmentation.mask("SDH"))


def test_the_command_line_names_what_it_outlines(phantom, detector_file, tmp_path):
    write_dicom_series(phantom.volume, tmp_path / "ct")
    arguments = ["segment", str(tmp_path / "ct"), "--method", "hu-threshold", "--output", str(tmp_path / "out")]
    detector = ["--detector", "rsna-sequence", "--detector-weights", str(detector_file)]
    assert main([*arguments, *detector, "--detector-option", "masked=true"]) == 0
    plain = json.loads((tmp_path / "out" / "result.json").read_text())
    assert plain["provenance"]["detector"] == "rsna-sequence"
    assert [one["key"] for one in plain["measurements"]] == ["SDH"]
    assert "Shang et al." in (tmp_path / "out" / "report.html").read_text()


def test_a_batch_names_what_it_outlines_and_goes_on_where_it_stopped(phantom, detector_file, tmp_path, capsys):
    for exam in "ab":
        write_dicom_series(phantom.volume, tmp_path / "ct" / exam, seed=ord(exam))
    arguments = ["--output", str(tmp_path / "out"), "--method", "hu-threshold"]
    detector = [
        "--detector",
        "rsna-sequence",
        "--detector-weights",
        str(detector_file),
        "--detector-option",
        "tta=true",
    ]
    assert main(["batch", str(tmp_path / "ct" / "a"), *arguments, *detector]) == 0
    assert main(["batch", str(tmp_path / "ct"), *arguments, *detector]) == 0
    assert "1 done, 1 done before, 0 failed" in capsys.readouterr().out
    plain = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").glob("*/result.json"))]
    assert [(one["provenance"]["method"], one["provenance"]["detector"]) for one in plain] == [
        ("hu-threshold", "rsna-sequence")
    ] * 2
    assert all(one["provenance"]["detector_options"]["tta"] for one in plain)
    assert [[segment["key"] for segment in one["measurements"]] for one in plain] == [["SDH"]] * 2
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        assert {(row["method"], row["detector"]) for row in csv.DictReader(file)} == {("hu-threshold", "rsna-sequence")}
    assert main(["batch", str(tmp_path / "ct"), *arguments]) == 1
    told = capsys.readouterr().err
    assert "1 more exams of hu-threshold with detector rsna-sequence instead of hu-threshold. Name another" in told


@pytest.mark.parametrize("verb", ["segment", "batch"])
def test_a_detector_that_cannot_name_is_wrong_use_and_leaves_no_folder(verb, phantom, tmp_path, capsys):
    write_dicom_series(phantom.volume, tmp_path / "ct")
    arguments = [verb, str(tmp_path / "ct"), "--method", "hu-threshold", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--detector", "hgi-sam"]) == 2
    assert "hgi-sam tells no subtypes" in capsys.readouterr().err
    assert main([*arguments, "--detector-option", "tta=true"]) == 2
    assert "no detector; name it by --detector" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_a_detector_a_method_speaks_for_itself(phantom):
    alone = analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    assert alone.provenance.detector == ""
    assert (
        alone.detection.exam_probabilities
        == analyze(phantom.volume, AnalysisRequest("hu-threshold")).detection.exam_probabilities
    )
    with pytest.raises(ValueError, match="no detector; name it by --detector"):
        analyze(phantom.volume, AnalysisRequest("hu-threshold", detector_weights=["file.pt"]))


def test_weights_of_one_name_are_both_told(phantom):
    result = analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    one, other = (replace(result, provenance=replace(result.provenance, weights={"best.pt": two})) for two in "ab")
    assert combine(one, other, phantom.volume).provenance.weights == {"best.pt": "a", "best.pt (2)": "b"}


@pytest.mark.parametrize(
    ("method", "detector", "told"),
    [
        ("unet", "hgi-sam", "hgi-sam tells no subtypes.*choose swin-sam-multi, .*rsna-sequence"),
        ("rsna-sequence", "rsna-sequence", "rsna-sequence has no segment that a detector could name"),
    ],
)
def test_methods_that_cannot_work_together_are_refused_before_anything_runs(phantom, method, detector, told):
    with pytest.raises(ValueError, match=told):
        analyze(phantom.volume, AnalysisRequest(method, detector=detector))


def test_a_result_without_outlines_cannot_be_named(phantom):
    found = replace(analyze(phantom.volume, AnalysisRequest("hu-threshold")), segmentation=None)
    with pytest.raises(ValueError, match="made no segmentation to name"):
        combine(found, found, phantom.volume)


def test_every_detector_really_knows_the_subtypes():
    assert {"rsna-sequence", "swin-sam-multi"} <= {card.name for card in pairs.detectors()}
    assert get_card("unet") in pairs.segmenters()
