"""A result survives the way through JSON."""

import json

import numpy as np

from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import AnalysisResult
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
