"""A request is checked when it is made, cannot be changed, and survives the way through JSON."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from ICHSegmenterLib.cards.table import MODEL_CARDS
from ICHSegmenterLib.errors import DeviceError, ModelNotFoundError
from ICHSegmenterLib.request import MAP, PRECISIONS, AnalysisRequest, CompareRequest

FILES = (Path("/weights/a.pt"), Path("/weights/ř b.pt"))
REQUESTS = [
    *(AnalysisRequest(name) for name in MODEL_CARDS),
    *(AnalysisRequest("unet", precision=precision) for precision in PRECISIONS),
    *(AnalysisRequest("unet", device=device) for device in ("auto", "cpu", "cuda", "cuda:3", "mps")),
    *(AnalysisRequest("unet", threshold=value, detection_threshold=1 - value) for value in (0.0, 0.1, 1 / 3, 1.0)),
    AnalysisRequest("hgi-sam", weights=FILES, options={"tta": True}, outputs=(MAP,)),
    AnalysisRequest("unet", detection_only=True),
    AnalysisRequest(
        "unet",
        detector="rsna-sequence",
        weights=FILES[:1],
        detector_weights=FILES[1:],
        options={"tta": True},
        detector_options={"masked": True, "tta": True},
        threshold=0.25,
        detection_threshold=0.75,
    ),
]
COMPARISONS = [
    CompareRequest(("hu-threshold",)),
    CompareRequest(tuple(MODEL_CARDS), device="cpu", precision="float32", outputs=(MAP,)),
    CompareRequest(("unet", "hgi-sam"), weights={"unet": FILES}, options={"hgi-sam": {"tta": True}}),
]


def through_json(request):
    return type(request).from_json(json.loads(json.dumps(request.to_json())))


@pytest.mark.parametrize("request_made", [*REQUESTS, *COMPARISONS], ids=str)
def test_a_request_sent_as_json_is_the_same_request(request_made):
    assert through_json(request_made) == request_made


def test_weights_named_in_a_folder_are_found_from_another_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = AnalysisRequest("unet", weights=[Path("fold.pt")]).to_json()
    monkeypatch.chdir("/")
    assert AnalysisRequest.from_json(sent).weights == (tmp_path / "fold.pt",)


def test_a_request_cannot_be_changed_nor_what_it_was_made_of():
    options, weights = {"tta": True}, [Path("a.pt")]
    made = AnalysisRequest("unet", options=options, weights=weights)
    options["tta"] = False
    weights.append(Path("b.pt"))
    assert (dict(made.options), made.weights) == ({"tta": True}, (Path("a.pt"),))
    with pytest.raises(TypeError):
        made.options["tta"] = False
    with pytest.raises(FrozenInstanceError):
        made.method = "hgi-sam"


def test_each_part_of_a_pair_gets_what_is_its_own():
    pair = REQUESTS[-1]
    detector, segmenter = pair.of_detector(), pair.of_segmenter()
    assert (detector.method, detector.weights, dict(detector.options)) == (
        "rsna-sequence",
        FILES[1:],
        {"masked": True, "tta": True},
    )
    assert (detector.threshold, detector.detection_threshold, detector.detector) == (None, 0.75, "")
    assert (segmenter.method, segmenter.weights, dict(segmenter.options)) == ("unet", FILES[:1], {"tta": True})
    assert (segmenter.threshold, segmenter.detection_threshold, segmenter.detector) == (0.25, None, "")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"method": "best"}, ModelNotFoundError, "'best'; available"),
        ({"method": "unet", "device": "gpu"}, DeviceError, "'gpu' cannot be used"),
        ({"method": "unet", "precision": "int8"}, ValueError, "precision must be one of auto, float32"),
        ({"method": "unet", "threshold": 1.5}, ValueError, "threshold must lie between 0 and 1, got 1.5"),
        ({"method": "unet", "detector": "rsna-sequence", "detection_only": True}, ValueError, "nothing to name"),
        ({"method": "unet", "weights": "a.pt"}, TypeError, "a sequence of files, got 'a.pt'"),
        ({"method": "unet", "outputs": "map"}, TypeError, "a sequence of names, got 'map'"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_asked(fields, error, message):
    with pytest.raises(error, match=message):
        AnalysisRequest(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "'method' must be a text, got None"),
        ({"method": "unet", "threshold": True}, "'threshold' must be a number, got True"),
        ({"method": "unet", "weights": [1]}, "'weights' must be a list of texts"),
        ({"method": "unet", "options": [1]}, "'options' must be an object"),
        ({"method": "unet", "treshold": 0.5}, "no field 'treshold'; its fields are method, detector, weights"),
    ],
)
def test_json_that_is_no_request_says_which_field_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        AnalysisRequest.from_json(fields)


def test_a_compared_method_gets_its_own_weights_and_options_and_what_is_common():
    both = CompareRequest(("unet", "hgi-sam"), weights={"unet": FILES}, device="cpu", outputs=(MAP,))
    assert both.of_method("unet") == AnalysisRequest("unet", weights=FILES, device="cpu", outputs=(MAP,))
    assert both.of_method("hgi-sam") == AnalysisRequest("hgi-sam", device="cpu", outputs=(MAP,))
