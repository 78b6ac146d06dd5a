"""What decides the numbers of a result: checked before anything runs, and found again in what was written."""

import hashlib
from pathlib import Path

import pytest

from ICHSegmenterLib.analysis.settings import Settings
from ICHSegmenterLib.errors import ModelNotFoundError

BOTH = Settings("unet", detector="rsna-sequence")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def result(method="unet", *, detection_threshold=0.5, **provenance):
    """What result.json would hold of a U-Net, apart from what was found."""
    known = {"method": method, "weights": {}, "threshold": 0.5, "options": {"tta": False}}
    return {"detection_threshold": detection_threshold, "provenance": {**known, **provenance}}


@pytest.mark.parametrize(
    ("settings", "found", "told"),
    [
        (Settings("unet"), result(), []),
        (Settings("unet", options={"tta": False}, threshold=0.5), result(), []),
        (Settings("unet"), result(method="hu-threshold"), ["hu-threshold instead of unet"]),
        (BOTH, result(), ["unet instead of unet with detector rsna-sequence"]),
        (Settings("unet", options={"tta": True}), result(), ["option tta=false of unet instead of true"]),
        (Settings("unet", threshold=0.3), result(), ["threshold 0.5 instead of 0.3"]),
        (Settings("unet"), result(detection_threshold=0.2), ["detection threshold 0.2 instead of 0.5"]),
        (Settings("blast-ct"), result("blast-ct", threshold=None), []),
        (Settings("blast-ct", threshold=0.3), result("blast-ct", threshold=None), []),
    ],
)
def test_a_difference_of_a_result_is_told_by_its_name(settings, found, told):
    assert settings.differences(found) == told


def test_options_of_the_detector_are_compared_with_its_own():
    found = result(detector="rsna-sequence", detector_options={"masked": True, "xyz_order": False, "tta": False})
    assert BOTH.differences(found) == ["option masked=true of rsna-sequence instead of false"]


def test_options_that_an_earlier_version_did_not_write_had_their_defaults():
    found = result()
    del found["provenance"]["options"]
    assert Settings("unet").differences(found) == []
    assert Settings("unet", options={"tta": True}).differences(found) != []


def test_other_weights_are_told_whatever_the_files_are_called(tmp_path):
    files = [tmp_path / name / "unet.safetensors" for name in "ab"]
    for file in files:
        file.parent.mkdir()
        file.write_text(file.parent.name)
    ours = Settings("unet", weights=files)
    both = {"unet.safetensors": digest(files[0]), "renamed.pt": digest(files[1])}
    assert ours.differences(result(weights=both)) == []
    (told,) = ours.differences(result(weights={"unet.safetensors": digest(files[1])}))
    assert told == (
        f"weights unet.safetensors ({digest(files[1])[:8]}) instead of unet.safetensors ({digest(files[0])[:8]}), "
        f"unet.safetensors (2) ({digest(files[1])[:8]})"
    )


def test_results_whose_weights_are_not_here_any_more_stay_usable():
    assert Settings("unet", weights=[Path("gone.pt")]).differences(result(weights={"gone.pt": "0" * 64})) == []


def test_settings_that_cannot_work_are_refused_before_anything_runs():
    with pytest.raises(ModelNotFoundError, match="'best'"):
        Settings("best")
    with pytest.raises(ValueError, match="unet has no option 'tat'; available: tta"):
        Settings("unet", options={"tat": True})
    with pytest.raises(ValueError, match="option tta of swin-sam-multi is a bool"):
        Settings("unet", detector="swin-sam-multi", detector_options={"tta": 1})
    with pytest.raises(ValueError, match="hgi-sam tells no subtypes"):
        Settings("unet", detector="hgi-sam")
    with pytest.raises(ValueError, match="hu-threshold has no network and takes no weights"):
        Settings("hu-threshold", weights=[Path("x.pt")])
    with pytest.raises(ValueError, match="no detector; name it by --detector"):
        Settings("unet", detector_weights=[Path("x.pt")])
