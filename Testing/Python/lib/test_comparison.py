"""Several methods on one exam: each result is written, and how far they agree."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from ICHSegmenterLib.agreement import AGREEMENT_FORMAT_VERSION, Agreement
from ICHSegmenterLib.analysis.analyze import analyze
from ICHSegmenterLib.analysis.comparison import compare as comparing
from ICHSegmenterLib.analysis.comparison.compare import agreement_of, compare
from ICHSegmenterLib.analysis.default_method import ready_methods
from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.cli.progress import stage_text
from ICHSegmenterLib.errors import CancelledError, DeviceError, Failure, ModelNotFoundError, ResultError, VolumeError
from ICHSegmenterLib.models import create_model
from ICHSegmenterLib.outputs.comparison import write_comparison
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.report.comparison_picture import (
    COLORS,
    DASH,
    _draw_volumes,
    dash_pattern,
    slices_to_show,
    write_picture,
)
from ICHSegmenterLib.request import AnalysisRequest, CompareRequest
from ICHSegmenterLib.runtime.context import RunContext
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_mask, read_volume
from ICHSegmenterLib.volume.overlap import dice
from ICHSegmenterLib.volume.volume import Volume


@pytest.fixture(scope="module")
def phantom():
    geometry = head_geometry((12, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=[10.0] * 6 + [14.0] * 5, tilt_deg=8)
    return make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(40.0, (26.0, 6.0, 30.0), 62.0),)), seed=5)


@pytest.fixture(scope="module")
def unet_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "fold.pt"
    torch.save(create_model("unet", variant="release").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def both(phantom, unet_file):
    """The classical method and a U-Net with seeded weights; a third method has no weights here."""
    return compare(phantom.volume, CompareRequest(["hu-threshold", "unet", "hgi-sam"], weights={"unet": [unet_file]}))


def with_mask(result, mask):
    """The result as if it had outlined this."""
    return replace(result, segmentation=replace(result.segmentation, labelmap=mask.astype(np.uint8)))


@pytest.fixture(scope="module")
def three(phantom):
    """Three methods that outline 2, 1 and 0 of two voxels of one slice, and one elsewhere."""
    result = analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    masks = np.zeros((3, *phantom.volume.geometry.shape), dtype=bool)
    masks[0, 8, 30, 30:32] = True
    masks[1, 8, 30, 30] = True
    masks[2, 2, 5, 5] = True
    results = {name: with_mask(result, mask) for name, mask in zip("abc", masks, strict=True)}
    return agreement_of(results, phantom.volume.geometry)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 1, 0], [1, 0, 0], 2 / 3), ([1, 0], [0, 1], 0.0), ([1, 1], [1, 1], 1.0), ([0, 0], [0, 0], 1.0)],
)
def test_dice_is_twice_the_common_part_over_both_and_one_where_neither_finds_blood(one, other, expected):
    assert dice(np.array(one, dtype=bool), np.array(other, dtype=bool)) == pytest.approx(expected)


def test_a_voxel_is_blood_by_vote_if_more_than_half_of_the_methods_say_so(three, phantom):
    assert three.agreement[8, 30, 30] == pytest.approx(2 / 3)
    assert three.agreement[8, 30, 31] == pytest.approx(1 / 3)
    assert np.argwhere(three.vote).tolist() == [[8, 30, 30]]
    assert three.vote_ml == pytest.approx(phantom.volume.geometry.voxel_volumes_mm3[8] / 1000)


def test_two_methods_must_both_see_blood_for_a_majority(three, phantom):
    pair = agreement_of({name: three.results[name] for name in "ab"}, phantom.volume.geometry)
    np.testing.assert_array_equal(pair.vote, three.results["b"].segmentation.blood_mask)


def test_dice_is_the_same_in_either_order(three):
    assert three.dice("a", "b") == three.dice("b", "a") == pytest.approx(2 / 3)
    assert three.dice("a", "a") == 1.0
    with pytest.raises(ValueError, match="a and d were not compared; compared: a, b, c"):
        three.dice("a", "d")


def test_a_method_that_fails_does_not_stop_the_others(both, phantom):
    assert list(both.results) == ["hu-threshold", "unet"]
    (failure,) = both.failures
    assert (failure.method, failure.kind) == ("hgi-sam", "weights_missing")
    assert both.outlining == ("hu-threshold", "unet")


def test_a_defect_of_one_method_is_told_as_its_failure(phantom, monkeypatch):
    def broken(volume, request, *_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(comparing, "analyze", broken)
    found = compare(phantom.volume, CompareRequest(["hu-threshold"]))
    assert found.failures[0].message == "Unexpected RuntimeError: shapes do not match"
    assert not found.vote.any()


def test_each_method_says_what_it_says_alone(both, phantom):
    alone = analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    np.testing.assert_array_equal(both.results["hu-threshold"].segmentation.labelmap, alone.segmentation.labelmap)


def test_a_volume_of_sagittal_slices_is_compared_on_its_own_grid(phantom):
    geometry = head_geometry((16, 64, 64), pixel_mm=(3.6, 3.6), slice_step_mm=9.0)
    axial = make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(40.0, (26.0, 6.0, 30.0), 62.0),)), seed=5)
    affine = geometry.affine[:, [2, 1, 0, 3]]
    stored = Volume(axial.volume.hu.transpose(2, 1, 0), VolumeGeometry.from_affine((64, 64, 16), affine))
    found = compare(stored, CompareRequest(["hu-threshold"]))
    assert found.agreement.shape == (64, 64, 16)
    assert dice(found.vote, axial.labelmap.transpose(2, 1, 0) > 0) > 0.6
    shown = slices_to_show(found, AxialView.of(stored.geometry), 4)
    assert all((axial.labelmap[index] > 0).any() for index in shown)


def test_everything_promised_is_written(both, phantom, tmp_path):
    files = write_comparison(both, phantom.volume, tmp_path / "out")
    assert set(files) == {"vote.nii.gz", "agreement.nii.gz", "agreement.csv", "comparison.png", "agreement.json"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*files, "hu-threshold", "unet"])
    assert (tmp_path / "out" / "unet" / "result.json").exists()
    with Image.open(files["comparison.png"]) as picture:
        assert picture.size == (1320, 1100)
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 20)) > 100


def near(picture, color, *, tolerance=40):
    """bool (rows, columns): pixels of this color, "#rrggbb", edges smoothed into their background left out."""
    red_green_blue = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    return (np.abs(picture.astype(int) - red_green_blue) < tolerance).all(axis=-1)


def test_outlines_that_coincide_are_each_seen(phantom, tmp_path):
    """Three methods that outline the same: along the edge their colors take turns, none covers the others."""
    mask = np.zeros(phantom.volume.geometry.shape, dtype=bool)
    mask[4:12, 30:50, 30:50] = True
    result = with_mask(analyze(phantom.volume, AnalysisRequest("hu-threshold")), mask)
    same = agreement_of(dict.fromkeys("abc", result), phantom.volume.geometry)
    write_picture(same, phantom.volume, tmp_path / "comparison.png")
    picture = np.asarray(Image.open(tmp_path / "comparison.png").convert("RGB"))
    slices = picture[int(0.09 * 1100) : int(0.67 * 1100)]
    seen = [np.count_nonzero(near(slices, color)) for color in COLORS[:3]]
    assert min(seen) > 100
    assert max(seen) < 2 * min(seen)


def test_the_axis_of_volumes_is_legible_where_no_method_finds_blood(phantom):
    empty = np.zeros(phantom.volume.geometry.shape, dtype=bool)
    found = analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    nothing = replace(with_mask(found, empty), measurements=())
    axes = Figure().subplots()
    _draw_volumes(axes, agreement_of({"a": nothing, "b": nothing}, phantom.volume.geometry), {"a": "r", "b": "b"})
    assert axes.get_xlim() == (0, pytest.approx(1.55))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_dashes_of_outlines_fill_the_gaps_of_the_others(count):
    """At each place of a common edge exactly one outline draws."""
    places = (np.arange(4 * count * 10) + 0.5) / 10 * DASH
    drawn = np.zeros(len(places), dtype=int)
    for number in range(count):
        offset, (dash, gap) = dash_pattern(number, count)
        drawn += (places + offset) % (dash + gap) < dash
    assert (drawn == 1).all()
    assert dash_pattern(0, 1) == "solid"


def test_the_vote_comes_back_voxel_for_voxel(three, phantom, tmp_path):
    results = {"hu-threshold": three.results["a"]}
    files = write_comparison(agreement_of(results, phantom.volume.geometry), phantom.volume, tmp_path / "one")
    back = read_mask(files["vote.nii.gz"], phantom.volume.geometry)
    np.testing.assert_array_equal(back, three.results["a"].segmentation.blood_mask)


def test_the_agreement_is_written_even_if_every_method_failed(phantom, tmp_path):
    nothing = agreement_of({}, phantom.volume.geometry, [Failure("weights_missing", "no file", method="unet")])
    files = write_comparison(nothing, phantom.volume, tmp_path)
    assert json.loads(files["agreement.json"].read_text())["failures"][0]["method"] == "unet"
    assert not read_volume(files["agreement.nii.gz"]).hu.any()


def test_the_table_and_the_json_say_the_same(both, phantom, tmp_path):
    files = write_comparison(both, phantom.volume, tmp_path)
    plain = json.loads(files["agreement.json"].read_text())
    with files["agreement.csv"].open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert rows["hgi-sam"]["status"] == "failed" and rows["hgi-sam"]["error"] == "weights_missing"
    assert float(rows["unet"]["dice hu-threshold"]) == pytest.approx(plain["dice"][0]["dice"], abs=1e-6)
    assert float(rows["unet"]["dice unet"]) == 1.0
    assert float(rows["hu-threshold"]["blood_ml"]) == plain["methods"]["hu-threshold"]["blood_ml"]
    assert plain["vote"]["of"] == ["hu-threshold", "unet"]


def test_the_agreement_sent_as_json_is_the_same_agreement(both):
    plain = json.loads(json.dumps(both.to_json()))
    received = Agreement.from_json(plain)
    assert received.to_json() == both.to_json()
    assert received.dice("unet", "hu-threshold") == pytest.approx(both.dice("hu-threshold", "unet"), abs=1e-6)
    assert [(one.method, one.kind) for one in received.failures] == [("hgi-sam", "weights_missing")]
    del plain["format"]  # as written before there were formats
    assert Agreement.from_json(plain) == received


def test_an_agreement_that_is_cut_off_or_of_a_later_format_says_what_to_do(both):
    plain = both.to_json()
    with pytest.raises(ResultError, match="Update ICHSegmenter, or compare"):
        Agreement.from_json({**plain, "format": AGREEMENT_FORMAT_VERSION + 1})
    with pytest.raises(ResultError, match="incomplete .KeyError: 'vote'.*Compare the methods again"):
        Agreement.from_json({key: value for key, value in plain.items() if key != "vote"})


def test_slices_with_most_blood_are_shown_lowest_first(three, phantom):
    shown = slices_to_show(three, AxialView.of(phantom.volume.geometry), 4)
    assert shown == sorted(shown) and len(shown) == 4
    assert {2, 8} <= set(shown)


def test_slices_of_a_left_handed_array_are_shown_lowest_first_too(three):
    turned = replace(three, geometry=replace(three.geometry, row_step=-three.geometry.row_step))
    shown = slices_to_show(turned, AxialView.of(turned.geometry), 4)
    assert shown == sorted(shown)  # the array ascends, though its normal points to the feet


def test_progress_names_the_method(phantom):
    told = []
    compare(
        phantom.volume,
        CompareRequest(["hu-threshold"]),
        context=RunContext(progress=lambda done, total, message: told.append(message)),
    )
    assert stage_text(told[0]) == "Finding the brain"
    assert "HU threshold: Measuring" in map(stage_text, told)


def test_cancelling_stops_all_of_them(phantom):
    with pytest.raises(CancelledError):
        compare(phantom.volume, CompareRequest(["hu-threshold", "unet"]), context=RunContext(cancelled=lambda: True))


def test_what_is_wrong_with_the_exam_or_the_names_is_told_at_once(phantom):
    gray = Volume(np.clip(phantom.volume.hu, 0, 255), phantom.volume.geometry)
    with pytest.raises(VolumeError, match="Hounsfield"):
        compare(gray, CompareRequest(["hu-threshold"]))
    with pytest.raises(ModelNotFoundError, match="'best'"):
        compare(phantom.volume, CompareRequest(["hu-threshold", "best"]))
    with pytest.raises(ValueError, match="each method once, got unet, unet"):
        compare(phantom.volume, CompareRequest(["unet", "unet"]))
    with pytest.raises(DeviceError, match="'gpu' cannot be used"):
        compare(phantom.volume, CompareRequest(["hu-threshold"], device="gpu"))


def test_options_go_to_their_method_only(phantom, unet_file):
    given = {"methods": ["hu-threshold", "unet"], "weights": {"unet": [unet_file]}, "outputs": ["map"]}
    mirrored = compare(phantom.volume, CompareRequest(**given, options={"unet": {"tta": True}})).results
    alone = analyze(
        phantom.volume, AnalysisRequest("unet", weights=[unet_file], options={"tta": True}, outputs=("map",))
    )
    np.testing.assert_allclose(mirrored["unet"].segmentation.soft_maps, alone.segmentation.soft_maps, atol=1e-6)
    assert mirrored["unet"].provenance.options == {"tta": True, "inside_brain": True}
    assert mirrored["hu-threshold"].provenance.options == {}


def test_options_that_nobody_would_use_are_refused_before_anything_runs(phantom, unet_file):
    with pytest.raises(ValueError, match="unet has no option 'tat'; available: tta"):
        compare(phantom.volume, CompareRequest(["hu-threshold", "unet"], options={"unet": {"tat": True}}))
    with pytest.raises(ValueError, match="options are given for unet, which is not among the methods to run"):
        compare(phantom.volume, CompareRequest(["hu-threshold"], options={"unet": {"tta": True}}))
    with pytest.raises(ValueError, match="weights are given for unet, which is not among the methods to run"):
        compare(phantom.volume, CompareRequest(["hu-threshold"], weights={"unet": [unet_file]}))


def test_all_means_the_methods_that_can_run_here():
    assert ready_methods() == ("hu-threshold",)


def test_the_command_line_compares_and_fails_if_a_method_failed(phantom, unet_file, tmp_path, capsys):
    write_dicom_series(phantom.volume, tmp_path / "ct")
    arguments = ["compare", str(tmp_path / "ct"), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--methods", "all", "--weights", f"unet={unet_file}"]) == 0
    printed = capsys.readouterr().out
    assert "Dice hu-threshold and unet" in printed or "Dice unet and hu-threshold" in printed
    assert "Majority of 2 methods" in printed
    assert main([*arguments, "--methods", "hu-threshold", "hgi-sam"]) == 1
    assert "failed: hgi-sam: hgi-sam needs" in capsys.readouterr().err
    assert main([*arguments, "--methods", "hu-threshold", "--weights", f"unet={unet_file}"]) == 2
    assert main([*arguments, "--weights", "unet"]) == 2


def test_the_command_line_takes_options_by_method(phantom, unet_file, tmp_path, capsys):
    write_dicom_series(phantom.volume, tmp_path / "ct")
    arguments = [
        "compare",
        str(tmp_path / "ct"),
        "--output",
        str(tmp_path / "out"),
        "--methods",
        "hu-threshold",
        "unet",
    ]
    arguments += ["--weights", f"unet={unet_file}"]
    assert main([*arguments, "--option", "unet:tta=true"]) == 0
    plain = json.loads((tmp_path / "out" / "unet" / "result.json").read_text())
    assert plain["provenance"]["options"] == {"tta": True, "inside_brain": True}
    assert main([*arguments, "--option", "hgi-sam:tta=true"]) == 2
    assert "hgi-sam, which is not among the methods to run" in capsys.readouterr().err
    for wrong in ("tta=true", "unet:tta", "tta=unet:true"):
        assert main([*arguments, "--option", wrong]) == 2
        assert f"=VALUE, got {wrong.removeprefix('unet:')}" in capsys.readouterr().err


def test_weights_and_options_named_one_by_one_add_up(unet_file, phantom, tmp_path):
    write_dicom_series(phantom.volume, tmp_path / "ct")
    (tmp_path / "second.pt").write_bytes(unet_file.read_bytes())
    arguments = ["compare", str(tmp_path / "ct"), "--output", str(tmp_path / "out"), "--methods", "unet"]
    for file in (unet_file, tmp_path / "second.pt"):
        arguments += ["--weights", f"unet={file}"]
    assert main(arguments) == 0
    plain = json.loads((tmp_path / "out" / "unet" / "result.json").read_text())
    assert list(plain["provenance"]["weights"]) == ["fold.pt", "second.pt"]
