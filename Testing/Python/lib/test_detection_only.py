"""`detect` without maps: the probabilities of `segment`, no segmentation, and the map is never made."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.session import Session
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.methods.smart_net.predictor import SmartNetUpPredictor
from ICHSegmenterLib.methods.swin.attention_maps import AttentionMapper
from ICHSegmenterLib.methods.swin.predictor import SwinMapPredictor
from ICHSegmenterLib.methods.unet.predictor import UnetPredictor
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.preprocessing.pipeline import prepare
from ICHSegmenterLib.preprocessing.spec import SlicePreprocessing, SmartNetPreprocessing
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.runtime.context import RunContext, SliceDetector
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti

CROP = 32
FLOAT32_TOLERANCE = 1e-5
"""Softmax and matrix products in another order: some hundred roundings of 6e-8."""
BFLOAT16_TOLERANCE = 0.05
"""Eight bits of mantissa through eight blocks, then a probability."""


@pytest.fixture(scope="module")
def exam():
    """A head whose first two and last slices hold no brain, seen at 32 x 32 pixels."""
    volume = head()
    mask = np.zeros(volume.geometry.shape, dtype=bool)
    mask[2:-1] = True
    return prepare(volume, SlicePreprocessing(resize=36, crop=CROP), mask)


def swin(map_kind, classes, **settings):
    torch.manual_seed(1)
    network = create_model(
        "swin_classifier",
        num_classes=classes,
        image_size=CROP,
        window_size=2,
        embed_dim=8,
        depths=(2, 2, 2, 2),
        num_heads=(1, 2, 2, 4),
    )
    with torch.no_grad():  # logits that differ from slice to slice
        network.head.weight.mul_(20)
    return SwinMapPredictor(network, map_kind=map_kind, **{"device": "cpu", "precision": "float32", **settings})


def values(predictions):
    return np.array([list(each.probabilities.values()) for each in predictions])


@pytest.mark.parametrize(("map_kind", "classes"), [("hgi-sam", 2), ("swin-sam", 6), ("swin-sam", 1), ("grad-cam", 2)])
@pytest.mark.parametrize("tta", [False, True])
def test_swin_methods_detect_with_the_probabilities_of_their_maps(exam, map_kind, classes, tta):
    predictor = swin(map_kind, classes, tta=tta)
    outlined, detected = predictor.predict(exam, RunContext()), predictor.detect(exam, RunContext())
    assert np.ptp(values(detected)) > 0.01
    np.testing.assert_allclose(values(detected), values(outlined), atol=FLOAT32_TOLERANCE)
    assert [each.index for each in detected] == [each.index for each in outlined]
    assert all(each.maps is None for each in detected)


def test_probabilities_are_equal_in_bfloat16_too(exam):
    predictor = swin("hgi-sam", 2, precision="bfloat16")
    outlined, detected = predictor.predict(exam, RunContext()), predictor.detect(exam, RunContext())
    np.testing.assert_allclose(values(detected), values(outlined), atol=BFLOAT16_TOLERANCE)


def test_slices_without_brain_are_zero_in_a_detection(exam):
    detected = swin("hgi-sam", 2).detect(exam, RunContext())
    without = [each for each in detected if each.index not in exam.brain_slices]
    assert without
    assert all(each.probabilities == {"any": 0.0} for each in without)


@pytest.mark.parametrize("variant", ["smart_net_up", "smart_net_up_single_seg", "smart_net_up_single_cls"])
def test_smart_net_detects_with_the_values_of_its_outlines(variant):
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    volume = head(gantry_geometry(slices=9, size=48, pixel_mm=4.2, steps_mm=14.0))
    seen = prepare(volume, SmartNetPreprocessing(size=32))
    torch.manual_seed(2)
    predictor = SmartNetUpPredictor(create_model(variant), device="cpu", precision="float32")
    outlined, detected = predictor.predict(seen, RunContext()), predictor.detect(seen, RunContext())
    np.testing.assert_allclose(values(detected), values(outlined), atol=FLOAT32_TOLERANCE)
    assert all(each.maps is None for each in detected)


def test_a_method_whose_values_come_from_its_map_has_no_shorter_way():
    assert not isinstance(UnetPredictor([create_model("unet")], device="cpu", precision="float32"), SliceDetector)


@pytest.fixture(scope="module")
def bundled_exam():
    geometry = head_geometry((10, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=14.0)
    return make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), 62.0),)), seed=5).volume


WEIGHTS = Path(__file__).parents[3] / "Resources" / "Models" / "compact-hgi.safetensors"


def request(**fields):
    return AnalysisRequest("compact-hgi", weights=[WEIGHTS], device="cpu", precision="float32", **fields)


def test_a_detection_takes_the_path_without_maps_and_says_the_same(bundled_exam, monkeypatch):
    session = Session()
    outlined = analyze(bundled_exam, request(), session=session)

    def never(*_):
        raise AssertionError("a map was made")

    (predictor,) = session._predictors.values()
    monkeypatch.setattr(predictor, "_maps", never)
    detected = analyze(bundled_exam, request(detection_only=True), session=session)
    assert detected.segmentation is None
    assert detected.measurements == ()
    pairs = zip(detected.detection.slices, outlined.detection.slices, strict=True)
    for ours, theirs in pairs:
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=FLOAT32_TOLERANCE)
        assert ours.is_positive == theirs.is_positive
    with pytest.raises(AssertionError, match="a map was made"):
        analyze(bundled_exam, request(), session=session)


def test_a_detector_of_another_method_makes_no_maps_either():
    pair = AnalysisRequest("unet", detector="swin-sam-multi")
    assert pair.of_detector().detection_only
    assert not pair.of_segmenter().detection_only


def test_the_verb_detect_makes_no_map(bundled_exam, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("a map was made")

    for kind in ("hgi_sam", "swin_sam", "grad_cam"):
        monkeypatch.setattr(AttentionMapper, kind, never)
    write_nifti(bundled_exam.hu, bundled_exam.geometry, tmp_path / "head.nii.gz")
    method = ["--method", "compact-hgi", "--weights", str(WEIGHTS), "--outputs", "csv"]
    assert main(["detect", str(tmp_path / "head.nii.gz"), "--output", str(tmp_path / "out"), *method]) == 0
    plain = json.loads((tmp_path / "out" / "result.json").read_text())
    assert plain["labels"] == plain["measurements"] == []
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"slices.csv", "result.json"}
