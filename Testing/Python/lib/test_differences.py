"""What decides the numbers of a result: checked before anything runs, and found again in what was written."""

import hashlib
from pathlib import Path

import pytest

from ICHSegmenterLib.analysis.comparison.differences import differences
from ICHSegmenterLib.errors import ModelNotFoundError
from ICHSegmenterLib.request import AnalysisRequest

BOTH = AnalysisRequest("unet", detector="rsna-sequence")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def result(method="unet", *, detection_threshold=0.5, **provenance):
    """What result.json would hold of a U-Net, apart from what was found."""
    known = {"method": method, "weights": {}, "threshold": 0.5, "options": {"tta": False}}
    return {"detection_threshold": detection_threshold, "provenance": {**known, **provenance}}


@pytest.mark.parametrize(
    ("request_now", "found", "told"),
    [
        (AnalysisRequest("unet"), result(), []),
        (AnalysisRequest("unet", options={"tta": False}, threshold=0.5), result(), []),
        (AnalysisRequest("unet"), result(method="hu-threshold"), ["hu-threshold instead of unet"]),
        (BOTH, result(), ["unet instead of unet with detector rsna-sequence"]),
        (AnalysisRequest("unet", options={"tta": True}), result(), ["option tta=false of unet instead of true"]),
        (AnalysisRequest("unet", threshold=0.3), result(), ["threshold 0.5 instead of 0.3"]),
        (AnalysisRequest("unet"), result(detection_threshold=0.2), ["detection threshold 0.2 instead of 0.5"]),
        (AnalysisRequest("blast-ct"), result("blast-ct", threshold=None), []),
        (AnalysisRequest("blast-ct", threshold=0.3), result("blast-ct", threshold=None), []),
    ],
)
def test_a_difference_of_a_result_is_told_by_its_name(request_now, found, told):
    assert differences(request_now, found) == told


def test_options_of_the_detector_are_compared_with_its_own():
    found = result(detector="rsna-sequence", detector_options={"masked": True, "xyz_order": False, "tta": False})
    assert differences(BOTH, found) == ["option masked=true of rsna-sequence instead of false"]


def test_options_that_an_earlier_version_did_not_write_had_their_defaults():
    found = result()
    del found["provenance"]["options"]
    assert differences(AnalysisRequest("unet"), found) == []
    assert differences(AnalysisRequest("unet", options={"tta": True}), found) != []


def test_other_weights_are_told_whatever_the_files_are_called(tmp_path):
    files = [tmp_path / name / "unet.safetensors" for name in "ab"]
    for file in files:
        file.parent.mkdir()
        file.write_text(file.parent.name)
    ours = AnalysisRequest("unet", weights=files)
    both = {"unet.safetensors": digest(files[0]), "renamed.pt": digest(files[1])}
    assert differences(ours, result(weights=both)) == []
    (told,) = differences(ours, result(weights={"unet.safetensors": digest(files[1])}))
    assert told == (
        f"weights unet.safetensors ({digest(files[1])[:8]}) instead of unet.safetensors ({digest(files[0])[:8]}), "
        f"unet.safetensors (2) ({digest(files[1])[:8]})"
    )


def test_results_whose_weights_are_not_here_any_more_stay_usable():
    assert differences(AnalysisRequest("unet", weights=[Path("gone.pt")]), result(weights={"gone.pt": "0" * 64})) == []


def test_settings_that_cannot_work_are_refused_before_anything_runs():
    with pytest.raises(ModelNotFoundError, match="'best'"):
        AnalysisRequest("best")
    with pytest.raises(ValueError, match="unet has no option 'tat'; available: tta"):
        AnalysisRequest("unet", options={"tat": True})
    with pytest.raises(ValueError, match="option tta of swin-sam-multi is a bool"):
        AnalysisRequest("unet", detector="swin-sam-multi", detector_options={"tta": 1})
    with pytest.raises(ValueError, match="hgi-sam tells no subtypes"):
        AnalysisRequest("unet", detector="hgi-sam")
    with pytest.raises(ValueError, match="hu-threshold has no network and takes no weights"):
        AnalysisRequest("hu-threshold", weights=[Path("x.pt")])
    with pytest.raises(ValueError, match="no detector; name it by --detector"):
        AnalysisRequest("unet", detector_weights=[Path("x.pt")])
