"""The table of outputs: what a selection means, an output from outside, the map, DICOM SEG."""

import json
import sys

import nibabel
import numpy as np
import pytest

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.cli.verbs import segment
from ICHSegmenterLib.datasets.case import Case
from ICHSegmenterLib.evaluation.predictions import Method, predict
from ICHSegmenterLib.labels import EAH, IPH, IVH, PERILESIONAL_EDEMA
from ICHSegmenterLib.outputs import table
from ICHSegmenterLib.outputs.table import OUTPUTS, select
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.outputs.writer import Output
from ICHSegmenterLib.request import AnalysisRequest
from ICHSegmenterLib.results import (
    AnalysisResult,
    DetectionResult,
    Provenance,
    SegmentationResult,
    SliceDetection,
)
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.io import read_volume

DEFAULTS = ("seg_nrrd", "labelmap", "labelmap_regular", "csv", "overview", "report", "json")
STEPS_MM = [9.0] * 5 + [4.0] * 6 + [11.0] * 6


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A DICOM series with gantry tilt and unequal steps."""
    geometry = head_geometry((18, 96, 96), pixel_mm=(2.4, 2.4), slice_step_mm=STEPS_MM, tilt_deg=18.5)
    phantom = make_phantom(geometry, HeadModel(bleeds=(Bleed.sphere(25.0, (26.0, 6.0, 30.0), 62.0),)), seed=5)
    folder = tmp_path_factory.mktemp("ct")
    write_dicom_series(phantom.volume, folder)
    return folder


@pytest.fixture(scope="module")
def image(series, tmp_path_factory):
    """The same exam as a NIfTI file."""
    volume = read_volume(series)
    path = tmp_path_factory.mktemp("nifti") / "head.nii.gz"
    write_nifti(volume.hu, volume.geometry, path)
    return path


@pytest.fixture
def no_analysis(monkeypatch):
    """An analysis that has begun fails the test."""

    def analyze(*_, **__):
        raise AssertionError("the analysis has begun")

    monkeypatch.setattr(segment, "analyze", analyze)


@pytest.fixture
def slice_count(monkeypatch):
    """An output from outside the package: one file with the number of slices."""

    def write(exam):
        (exam.folder / "count.txt").write_text(str(len(exam.result.detection.slices)))

    monkeypatch.setitem(OUTPUTS, "slice_count", Output(write, files=("count.txt",)))


def run(verb, exam, folder, *options):
    return main([verb, str(exam), "--method", "hu-threshold", "--output", str(folder), *options])


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], DEFAULTS),
        (["csv"], ("csv", "json")),
        (["overview,csv"], ("csv", "overview", "json")),
        (["csv overview"], ("csv", "overview", "json")),
        (["+map"], ("seg_nrrd", "labelmap", "labelmap_regular", "map", "csv", "overview", "report", "json")),
        (["-report", "-overview"], ("seg_nrrd", "labelmap", "labelmap_regular", "csv", "json")),
        (["csv", "+map"], ("map", "csv", "json")),
        (["csv", "labelmap", "-csv"], ("labelmap", "json")),
        (["labelmap-regular"], ("labelmap_regular", "json")),
    ],
)
def test_names_replace_the_defaults_plus_adds_and_minus_takes_away(words, names):
    assert select(words) == names
    assert select(names) == names  # names that were selected mean themselves


def test_an_output_of_maps_keeps_them_in_the_result(monkeypatch):
    monkeypatch.setitem(OUTPUTS, "histogram", Output(lambda exam: None, files=("histogram.txt",), needs_maps=True))
    assert "map" in select(["histogram"])
    assert AnalysisRequest("hu-threshold", outputs=select(["+histogram"])).keeps_maps


def test_the_result_itself_cannot_be_left_out():
    with pytest.raises(ValueError, match="folder is whole"):
        select(["-json"])


@pytest.mark.parametrize("verb", ["segment", "detect", "batch", "compare"])
def test_an_unknown_output_is_wrong_use_and_answered_with_the_nearest(verb, image, tmp_path, capsys):
    method = "--methods" if verb == "compare" else "--method"
    code = main([verb, str(image), method, "hu-threshold", "--output", str(tmp_path / "o"), "--outputs", "+reprot"])
    assert code == 2
    assert "no output 'reprot'. Did you mean report?" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_minus_words_may_stand_alone_like_plus_words(image, tmp_path):
    folder = tmp_path / "out"
    assert run("segment", image, folder, "--outputs", "+map", "-report", "-overview") == 0
    assert {path.name for path in folder.iterdir()} == {
        "segmentation.seg.nrrd",
        "labelmap.nii.gz",
        "labelmap_regular.nii.gz",
        "map.nii.gz",
        "slices.csv",
        "result.json",
    }
    assert json.loads((folder / "result.json").read_text())["outputs"] == list(select(["+map", "-report", "-overview"]))


def test_save_maps_is_a_short_word_for_plus_map(image, tmp_path):
    assert run("segment", image, tmp_path / "out", "--save-maps", "--outputs", "csv") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"map.nii.gz", "slices.csv", "result.json"}


def test_outputs_of_an_earlier_selection_do_not_stay(image, tmp_path):
    run("segment", image, tmp_path / "out", "--outputs", "csv", "+map")
    run("segment", image, tmp_path / "out", "--outputs", "labelmap")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"labelmap.nii.gz", "result.json"}


def test_an_output_from_outside_is_written_by_segment(slice_count, image, tmp_path):
    assert run("segment", image, tmp_path / "out", "--outputs", "+slice_count") == 0
    assert (tmp_path / "out" / "count.txt").read_text() == "18"
    assert (tmp_path / "out" / "report.html").is_file()


def test_an_output_from_outside_is_written_by_batch_and_completed_where_it_is_absent(slice_count, image, tmp_path):
    assert run("batch", image, tmp_path / "out", "--outputs", "csv") == 0
    (exam,) = (path.parent for path in (tmp_path / "out").glob("*/result.json"))
    assert not (exam / "count.txt").exists()
    assert run("batch", image, tmp_path / "out", "--outputs", "csv", "slice_count") == 0
    assert (exam / "count.txt").read_text() == "18"
    before = (exam / "result.json").read_bytes()
    assert run("batch", image, tmp_path / "out", "--outputs", "csv") == 0  # has more than is asked for: nothing to do
    assert (exam / "result.json").read_bytes() == before


def test_an_output_from_outside_is_written_by_compare(slice_count, image, tmp_path):
    arguments = ["compare", str(image), "--methods", "hu-threshold", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--outputs", "slice_count"]) == 0
    assert {path.name for path in (tmp_path / "out" / "hu-threshold").iterdir()} == {"count.txt", "result.json"}


def test_an_output_from_outside_travels_to_the_worker_which_writes_none(slice_count):
    """The worker answers with arrays; files are written by who asked it, as Slicer's batch does."""
    request = AnalysisRequest("hu-threshold", outputs=select(["+slice_count"]))
    assert AnalysisRequest.from_json(request.to_json()) == request


def test_results_without_a_table_of_slices_are_no_exams_either(image, tmp_path):
    from ICHSegmenterLib.batch.run import find_exams

    folder = tmp_path / "inputs"
    run("segment", image, folder / "results", "--outputs", "labelmap")
    write_nifti(read_volume(image).hu, read_volume(image).geometry, folder / "exam.nii.gz")
    assert [exam.name for exam in find_exams([folder])] == ["exam"]


def edema_only(volume):
    """A result as of BLAST-CT that sees nothing but edema."""
    shape = volume.geometry.shape
    maps = np.zeros((4, *shape), np.float32)
    maps[2], maps[0, 3] = 0.9, 0.05
    labels = (IPH, EAH, PERILESIONAL_EDEMA, IVH)
    return AnalysisResult(
        geometry=volume.geometry,
        detection=DetectionResult(
            tuple(SliceDetection(k, 5.0 * k, {"any": 0.05}, is_positive=False) for k in range(shape[0])),
            {"any": 0.05},
            threshold=0.5,
            key_slice=0,
        ),
        segmentation=SegmentationResult(np.full(shape, 3, np.uint8), volume.geometry, labels, maps),
        measurements=(),
        provenance=Provenance("blast-ct", "BLAST-CT", "1.0", "cpu", "float32"),
    )


def test_the_map_is_of_blood_whoever_writes_it(image, tmp_path):
    volume = read_volume(image)
    files = write_outputs(edema_only(volume), volume, tmp_path / "segment", outputs=["map"])
    method = Method("blast-ct", tmp_path / "evaluate", edema_only, map_rule=True)
    case = Case("case", "patient", (image,), slice_labels=(0,) * volume.geometry.shape[0])
    prediction = predict(method, case, volume)
    expected = np.zeros(volume.geometry.shape, np.float32)
    expected[3] = 0.05  # and the 0.9 of edema nowhere
    for path in (files["map.nii.gz"], tmp_path / "evaluate" / "case" / "map.nii.gz"):
        np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), expected.T)
    np.testing.assert_array_equal(prediction.soft, expected)


def test_a_dicom_seg_lies_where_the_slices_were_acquired(series, tmp_path):
    highdicom = pytest.importorskip("highdicom")
    assert run("segment", series, tmp_path / "out", "--outputs", "dicom_seg,labelmap") == 0
    segmentation = highdicom.seg.segread(tmp_path / "out" / "segmentation.dcm")
    description = segmentation.get_segment_description(1)
    assert description.algorithm_type.value == "AUTOMATIC"
    (made_by,) = description.SegmentationAlgorithmIdentificationSequence
    version = json.loads((tmp_path / "out" / "result.json").read_text())["provenance"]["version"]
    assert (made_by.AlgorithmName, made_by.AlgorithmVersion) == ("ICHSegmenter hu-threshold", version)

    volume = read_volume(series)
    assert not volume.geometry.is_regular
    assert volume.geometry.tilt_deg == pytest.approx(18.5, abs=0.01)
    labelmap = np.asarray(nibabel.load(tmp_path / "out" / "labelmap.nii.gz").dataobj).T
    masks = segmentation.get_pixels_by_source_instance(list(volume.source.instance_uids), segment_numbers=[1])
    np.testing.assert_array_equal(masks[..., 0], labelmap)
    for frame, pixels in zip(segmentation.PerFrameFunctionalGroupsSequence, segmentation.pixel_array, strict=True):
        corner = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        distance_mm = np.linalg.norm(volume.geometry.slice_origins - corner, axis=1)
        assert distance_mm.min() < 0.1
        np.testing.assert_array_equal(pixels, labelmap[distance_mm.argmin()])


def test_a_dicom_seg_of_a_file_that_is_no_dicom_is_refused_before_the_analysis(image, tmp_path, capsys, no_analysis):
    pytest.importorskip("highdicom")
    assert run("segment", image, tmp_path / "out", "--outputs", "+dicom_seg") == 1
    assert "DICOM objects refer to the scan's own DICOM files" in capsys.readouterr().err


def test_a_missing_highdicom_is_named_before_the_analysis(series, tmp_path, capsys, no_analysis, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert run("segment", series, tmp_path / "out", "--outputs", "+dicom_seg") == 1
    assert "pip install highdicom" in capsys.readouterr().err


def test_a_head_without_blood_gets_its_other_outputs_and_no_dicom_seg(series, tmp_path, caplog):
    pytest.importorskip("highdicom")
    volume = read_volume(series)
    result = edema_only(volume)
    result.segmentation.labelmap[:] = 0
    files = write_outputs(result, volume, tmp_path / "out", outputs=["csv", "dicom_seg"], source=series)
    assert set(files) == {"slices.csv", "result.json"}
    assert "needs one segment at least" in caplog.text


def test_every_file_belongs_to_one_output():
    files = [name for output in table.OUTPUTS.values() for name in output.files]
    assert len(files) == len(set(files))
