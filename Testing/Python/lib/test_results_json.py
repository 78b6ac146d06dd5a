"""A result survives the way through JSON."""

import json

import numpy as np
import pytest

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.comparison.differences import differences
from ICHSegmenterLib.errors import ResultError
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import RESULT_FORMAT_VERSION, AnalysisResult
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom


def test_a_result_sent_as_json_is_the_same_result():
    geometry = head_geometry((12, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=11.0)
    phantom = make_phantom(geometry, HeadModel((Bleed.sphere(30.0, (30.0, 5.0, 32.0)),)), subsamples=(1, 1, 1))
    sent = analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    data = json.loads(json.dumps(sent.to_json()))
    received = AnalysisResult.from_json(data, geometry, sent.segmentation.labelmap)
    assert received.to_json() == sent.to_json()
    assert received.segmentation.labels == sent.segmentation.labels
    assert np.array_equal(received.segmentation.blood_mask, sent.segmentation.blood_mask)
    assert received.provenance == sent.provenance


def test_a_detection_without_segmentation_survives_too():
    geometry = head_geometry((12, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=11.0)
    sent = analyze(make_phantom(geometry, subsamples=(1, 1, 1)).volume, AnalysisRequest("hu-threshold"))
    received = AnalysisResult.from_json(json.loads(json.dumps(sent.to_json())), geometry)
    assert received.segmentation is None
    assert received.detection.key_slice == sent.detection.key_slice


@pytest.fixture(scope="module")
def stored():
    """The content of a result.json of this version, and its grid."""
    geometry = head_geometry((12, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=11.0)
    result = analyze(make_phantom(geometry, subsamples=(1, 1, 1)).volume, AnalysisRequest("hu-threshold"))
    return json.loads(json.dumps(result.to_json())), geometry


@pytest.mark.parametrize("key", ["no such label", 0, None, [1]])
def test_an_unknown_label_is_a_typed_error(key, stored):
    changed = json.loads(json.dumps(stored[0]))
    changed["labels"][0]["key"] = key
    with pytest.raises(ResultError, match="incomplete"):
        AnalysisResult.from_json(changed, stored[1], np.zeros(stored[1].shape, np.uint8))


def test_a_result_names_the_version_of_its_format(stored):
    assert stored[0]["format"] == RESULT_FORMAT_VERSION


def test_a_result_of_before_the_formats_is_read_with_the_defaults_of_what_it_lacks(stored):
    old, geometry = json.loads(json.dumps(stored[0])), stored[1]
    del old["format"]
    for field in ("detector", "options", "detector_options", "value_name"):
        del old["provenance"][field]
    for item in old["slices"]:
        del item["blood_ml"]
    received = AnalysisResult.from_json(old, geometry)
    assert (received.provenance.detector, received.provenance.value_name) == ("", "probability")
    assert received.detection.key_slice == old["key_slice"]
    assert differences(AnalysisRequest("hu-threshold"), old) == []  # a batch that was begun then goes on


@pytest.mark.parametrize("version", [RESULT_FORMAT_VERSION + 1, "2"])
def test_a_result_of_a_later_format_says_to_update(stored, version):
    with pytest.raises(ResultError, match="Update ICHSegmenter, or analyze the exam again"):
        AnalysisResult.from_json({**stored[0], "format": version}, stored[1])


@pytest.mark.parametrize("field", ["slices", "provenance", "measurements", "probabilities", "labels"])
def test_a_result_that_was_cut_off_says_what_is_missing(stored, field):
    incomplete = {key: value for key, value in stored[0].items() if key != field}
    with pytest.raises(ResultError, match=f"incomplete .KeyError: '{field}'"):
        AnalysisResult.from_json(incomplete, stored[1])


def test_a_printed_result_is_one_short_line_without_voxels():
    phantom = make_phantom(head_geometry((8, 48, 48), pixel_mm=(4.8, 4.8), slice_step_mm=18.0), HeadModel(), seed=1)
    result = analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    assert str(result) == repr(result) == f"AnalysisResult(hu-threshold: {result.verdict})"
