"""The output folder of one exam."""

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import slicerio
from PIL import Image

from ICHSegmenterLib.analysis import analyze as engine
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.measuring.line import Line
from ICHSegmenterLib.measuring.midline import Midline, NoMidline
from ICHSegmenterLib.outputs import report as page
from ICHSegmenterLib.outputs import write as report
from ICHSegmenterLib.report.drawing.canvas import Canvas, fitting_font, font
from ICHSegmenterLib.report.drawing.slices import slices_to_show
from ICHSegmenterLib.report.measures import measures_section
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.io import read_mask

IDEAL = Line.between((0.0, -60.0, 10.0), (0.0, 60.0, 10.0))
BALL_ML, BALL_CENTER_LPS = 25.0, (26.0, 6.0, 20.0)


@pytest.fixture(scope="module")
def exam():
    geometry = head_geometry((20, 128, 128), pixel_mm=(1.8, 1.8), slice_step_mm=7.0, tilt_deg=12)
    model = HeadModel(bleeds=(Bleed.sphere(15.0, (26.0, 6.0, 30.0), 62.0),))
    volume = make_phantom(geometry, model, seed=2).volume
    return volume, engine.analyze(volume, AnalysisRequest("hu-threshold", outputs=("map",)))


def test_everything_promised_is_written(exam, tmp_path):
    volume, result = exam
    files = report.write_outputs(result, volume, tmp_path / "out", outputs=["+map"])
    assert set(files) == {
        "segmentation.seg.nrrd",
        "labelmap.nii.gz",
        "labelmap_regular.nii.gz",
        "map.nii.gz",
        "slices.csv",
        "overview.png",
        "thumbnail.jpg",
        "report.html",
        "result.json",
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(files)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # no scratch folder stays


def test_the_labelmap_comes_back_voxel_for_voxel(exam, tmp_path):
    volume, result = exam
    files = report.write_outputs(result, volume, tmp_path / "out")
    back = read_mask(files["labelmap.nii.gz"], volume.geometry)
    np.testing.assert_array_equal(back, result.segmentation.labelmap > 0)


def scan_with_a_ball(**geometry):
    """A phantom with a ball of blood, and a result whose labelmap is exactly that ball."""
    grid = head_geometry((40, 128, 128), pixel_mm=(1.8, 1.8), **geometry)
    phantom = make_phantom(grid, HeadModel(bleeds=(Bleed.sphere(BALL_ML, BALL_CENTER_LPS, 62.0),)), seed=3)
    result = engine.analyze(phantom.volume, AnalysisRequest("hu-threshold"))
    return phantom.volume, replace(result, segmentation=replace(result.segmentation, labelmap=phantom.labelmap))


@pytest.mark.parametrize(
    ("geometry", "grid"),
    [
        ({"slice_step_mm": 4.0}, "acquired"),
        ({"slice_step_mm": 4.0, "tilt_deg": 18.5}, "regular"),
        ({"slice_step_mm": [5.0] * 15 + [1.25] * 16 + [5.0] * 8}, "regular"),
        ({"slice_step_mm": [5.0] * 15 + [1.25] * 16 + [5.0] * 8, "tilt_deg": 18.5}, "regular"),
    ],
    ids=["plain", "tilted", "unequal", "tilted and unequal"],
)
def test_slicer_finds_the_segment_where_the_blood_is(tmp_path, geometry, grid):
    volume, result = scan_with_a_ball(**geometry)
    files = report.write_outputs(result, volume, tmp_path / "out")
    found = slicerio.read_segmentation(str(files["segmentation.seg.nrrd"]))
    ijk = np.argwhere(found["voxels"] == found["segments"][0]["labelValue"])
    center = found["ijkToLPS"][:3, :3] @ ijk.mean(axis=0) + found["ijkToLPS"][:3, 3]
    assert np.linalg.norm(center - BALL_CENTER_LPS) < 1.0
    axes = found["ijkToLPS"][:3, :3] / np.linalg.norm(found["ijkToLPS"][:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)  # Slicer knows no shear
    assert json.loads(files["result.json"].read_text())["files"] == {"segmentation_grid": grid}


def test_a_detection_speaks_of_no_segmentation_grid(exam, tmp_path):
    volume, result = exam
    detection = replace(result, segmentation=None, measurements=())
    files = report.write_outputs(detection, volume, tmp_path / "out")
    assert "files" not in json.loads(files["result.json"].read_text())


def test_slices_csv_has_one_row_a_slice_from_the_lowest(exam, tmp_path):
    volume, result = exam
    files = report.write_outputs(result, volume, tmp_path / "out")
    with files["slices.csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["slice"]) for row in rows] == list(range(1, 21))
    assert sum(float(row["blood_ml"]) for row in rows) == pytest.approx(result.blood_ml, abs=0.01)


def test_the_report_is_one_file_with_verdict_picture_and_notice(exam, tmp_path):
    volume, result = exam
    page = report.write_outputs(result, volume, tmp_path / "out")["report.html"].read_text(encoding="utf-8")
    assert result.verdict in page
    assert "data:image/png;base64," in page
    assert page.count("Research software") == 1


def test_the_report_names_the_measures_with_their_criteria_and_sources(exam, tmp_path):
    volume, result = exam
    shifted = replace(result.measures, midline=Midline(IDEAL, (6.2, 0.0, 10.0), 8, 0.1, 0.0))
    page = report.write_outputs(replace(result, measures=shifted), volume, tmp_path / "out")["report.html"].read_text()
    (piece,) = shifted.pieces
    assert f"<td>{piece.abc2.volume_ml:.2f}</td>" in page
    assert "Midline shift at the septum: 6.2 mm towards the left." in page
    assert "midline shift of 6.2 mm, more than 5" in page
    assert "Neurosurgery 2006" in page
    straight = replace(shifted, midline=Midline(IDEAL, (0.04, 0.0, 10.0), 8, 0.1, 0.0))
    assert "No midline shift at the septum." in measures_section(straight)
    unknown = measures_section(replace(shifted, midline=NoMidline.NO_SKULL, count=40))
    assert "Midline shift not measured: too little of the skull" in unknown
    assert "40 pieces in all; the 1 largest are measured." in unknown
    assert "Neurosurgery" not in unknown


def test_a_long_line_gets_smaller_letters_and_a_short_one_keeps_them():
    short, long = (fitting_font("hemorrhage " * count, 15, 500) for count in (1, 12))
    assert short.size == 15
    assert 450 < long.getlength("hemorrhage " * 12) <= 500


def test_an_outline_runs_along_the_edge_of_a_stretched_mask_and_tints_its_inside():
    """A square of 10 x 10 of 40 x 40 pixels, drawn at 200 x 200: its edges lie at 75 and 125."""
    mask = np.zeros((40, 40), dtype=bool)
    mask[15:25, 15:25] = True
    canvas = Canvas((220, 220), "black")
    canvas.outline((10, 10), (200, 200), mask, (200, 0, 0))
    row = np.asarray(canvas.image)[110, :, 0]
    strong = np.flatnonzero(row > 150) - 10
    assert {75, 125} - set(strong) - set(strong + 1) == set()  # an edge lies between two pixels
    assert all(min(abs(x + 0.5 - 75), abs(x + 0.5 - 125)) <= 2 for x in strong)
    assert 40 < row[110] < 70  # 0.28 of 200
    assert not row[: 10 + 70].any() and not row[10 + 130 :].any()


def test_letters_on_a_slice_have_a_dark_rim_and_are_read_on_bone():
    canvas = Canvas((60, 30), "white")
    canvas.text_on_slice((5, 5), "R", "white", font(20), anchor="la")
    pixels = np.asarray(canvas.image)[..., 0]
    assert pixels.min() == 0
    rows, columns = np.nonzero(pixels < 100)
    assert (pixels[rows.min() : rows.max(), columns.min() : columns.max()] == 255).any()  # the letter within its rim


def test_the_thumbnail_shows_the_key_slice_with_its_blood(exam, tmp_path):
    volume, result = exam
    path = report.write_outputs(result, volume, tmp_path / "out")["thumbnail.jpg"]
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert picture.shape == (224, 224, 3)
    assert path.stat().st_size < 20_000  # a list of exams holds thousands
    red, green = picture[..., 0], picture[..., 1]
    rows, columns = np.nonzero(red - green > 60)
    assert rows.size > 30
    assert columns.mean() > 112  # the bleed lies at the patient's left, which is shown at the right


def test_the_overview_shows_gray_slices_and_the_color_of_the_segment(exam, tmp_path):
    volume, result = exam
    path = report.write_outputs(result, volume, tmp_path / "out")["overview.png"]
    picture = np.asarray(Image.open(path).convert("RGB"))
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    assert np.count_nonzero((red - green > 80) & (red - blue > 80)) > 100  # outlines
    assert np.count_nonzero((red == green) & (green == blue) & (red > 40)) > 10_000  # brain


def test_the_overview_has_legends_of_segments_and_bars(exam, tmp_path):
    """Above the slices a square of each segment's color, below the bars those of positive and negative slices."""
    volume, result = exam
    path = report.write_outputs(result, volume, tmp_path / "out")["overview.png"]
    picture = np.asarray(Image.open(path).convert("RGB"))
    height = len(picture)
    header, footer = picture[: round(0.11 * height)], picture[round(0.96 * height) :]
    (label,) = result.segmentation.labels
    for part, color in ((header, label.color), (footer, (0xFF, 0x6B, 0x57)), (footer, (0x5B, 0x70, 0x83))):
        assert np.count_nonzero((part == color).all(axis=-1)) > 100


def test_the_key_slice_is_always_shown(exam):
    _, result = exam
    assert result.detection.key_slice in slices_to_show(result, 8)
    assert len(slices_to_show(result, 8)) == 8


def test_an_interrupted_write_leaves_the_earlier_results_whole(exam, tmp_path, monkeypatch):
    volume, result = exam
    folder = tmp_path / "out"
    report.write_outputs(result, volume, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write_report", full_disk)
    with pytest.raises(OutputError, match="No space left on device. Free some space"):
        report.write_outputs(result, volume, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_of_an_earlier_run_do_not_stay_beside_a_detection(exam, tmp_path):
    volume, result = exam
    report.write_outputs(result, volume, tmp_path / "out")
    report.write_outputs(replace(result, segmentation=None, measurements=()), volume, tmp_path / "out")
    assert not (tmp_path / "out" / "labelmap.nii.gz").exists()


def test_without_pillow_everything_but_the_pictures_is_written(exam, tmp_path, monkeypatch):
    volume, result = exam
    for module in ("overview", "drawing.canvas"):
        monkeypatch.delitem(sys.modules, f"ICHSegmenterLib.report.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    files = report.write_outputs(result, volume, tmp_path / "out")
    assert not {"overview.png", "thumbnail.jpg"} & set(files)
    assert {"report.html", "result.json", "labelmap.nii.gz"} <= set(files)


def test_an_output_below_a_file_is_a_teaching_error(exam, tmp_path):
    volume, result = exam
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Choose another folder"):
        report.write_outputs(result, volume, tmp_path / "file" / "sub" / "out")


def test_result_json_holds_every_slice_position(exam, tmp_path):
    volume, result = exam
    plain = json.loads(report.write_outputs(result, volume, tmp_path / "out")["result.json"].read_text())
    found = [one["origin_lps_mm"] for one in plain["slices"]]
    np.testing.assert_allclose(found, volume.geometry.slice_origins, atol=1e-3)
