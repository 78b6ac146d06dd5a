"""The worker's report of a result that the scene holds: every number is that of the segments as they are now."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from head_volumes import gantry_geometry, head, write_head
from ICHSegmenterLib.analysis.labelmap import measure
from ICHSegmenterLib.errors import ResultError
from ICHSegmenterLib.labels import IPH, SAH
from ICHSegmenterLib.protocol import LABELMAP_FILE, VOXEL_FILE, exam_message
from ICHSegmenterLib.results import AnalysisResult, DetectionResult, Provenance, SegmentationResult, SliceDetection
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.worker.report import write_report

GEOMETRY = gantry_geometry(slices=6, size=40, tilt_deg=12.0)
VOXEL_ML = 3.2 * 3.2 * float(GEOMETRY.slice_step_mm) / 1000


@pytest.fixture
def message(tmp_path: Path) -> dict[str, Any]:
    """A request as the panel sends it: a bleed of 27 voxels as the run made it."""
    volume, job = head(GEOMETRY), tmp_path / "job"
    job.mkdir()
    np.save(job / VOXEL_FILE, volume.hu)
    labelmap = np.zeros(GEOMETRY.shape, np.uint8)
    labelmap[2:5, 10:13, 10:13] = 1
    np.save(job / LABELMAP_FILE, labelmap)
    segmentation = SegmentationResult(labelmap, GEOMETRY, (IPH, SAH))
    slices = tuple(SliceDetection(k, 10.0 * k, {"any": 0.9}, 2 <= k < 5, 9 * VOXEL_ML * (2 <= k < 5)) for k in range(6))
    result = AnalysisResult(
        GEOMETRY,
        DetectionResult(slices, {"any": 0.9}, 0.5, 3),
        segmentation,
        measure(segmentation, volume),
        Provenance("hu-threshold", "HU threshold", "9.9", "cpu", "float32"),
    )
    return {
        **exam_message(job, GEOMETRY, volume.source),
        "result": json.loads(json.dumps(result.to_json())),
        "labels": ["IPH", "SAH"],
        "edited": [],
        "folder": str(tmp_path / "report"),
        "outputs": ["csv"],
        "slice_files": [],
        "slice_folder": "",
        "instance_uids": [],
    }


def edit(message: dict[str, Any], labelmap: np.ndarray, *keys: str) -> dict[str, Any]:
    np.save(Path(message["job"]) / LABELMAP_FILE, labelmap)
    return {**message, "edited": list(keys)}


def written(message: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """result.json and slices.csv."""
    write_report(message)
    folder = Path(message["folder"])
    with (folder / "slices.csv").open() as file:
        return json.loads((folder / "result.json").read_text()), list(csv.DictReader(file))


def test_what_nobody_touched_is_reported_as_it_was_made(message: dict[str, Any]) -> None:
    plain, rows = written(message)
    assert {key: plain[key] for key in ("verdict", "blood_ml", "measurements")} == {
        key: message["result"][key] for key in ("verdict", "blood_ml", "measurements")
    }
    assert plain["edits"] is None
    assert sum(float(row["blood_ml"]) for row in rows) == pytest.approx(27 * VOXEL_ML, abs=0.001)


def test_after_edits_every_number_is_that_of_the_segments(message: dict[str, Any]) -> None:
    labelmap = np.zeros(GEOMETRY.shape, np.uint8)
    labelmap[4, 20:24, 20:25] = 2
    plain, rows = written(edit(message, labelmap, "IPH", "SAH"))
    assert plain["verdict"].startswith(f"Edited by hand: {20 * VOXEL_ML:.1f} mL of hemorrhage on 1 of 6 slices")
    assert plain["edits"] == {"segments": ["IPH", "SAH"], "before": message["result"]["verdict"]}
    assert [one["key"] for one in plain["measurements"]] == ["SAH"]
    assert plain["blood_ml"] == pytest.approx(20 * VOXEL_ML, abs=0.001)
    assert [piece["volume_ml"] for piece in plain["measures"]["pieces"]] == [pytest.approx(20 * VOXEL_ML, abs=0.001)]
    assert [row["positive"] for row in rows] == ["0", "0", "0", "0", "1", "0"]
    assert {float(row["any"]) for row in rows} == {0.9}  # the values stay the method's


def test_when_all_was_removed_the_report_says_so(message: dict[str, Any]) -> None:
    plain, _ = written(edit(message, np.zeros(GEOMETRY.shape, np.uint8), "IPH"))
    assert plain["verdict"] == "Edited by hand: no hemorrhage is outlined."
    assert plain["assessment"]["code"] == "none_found"
    assert plain["positive"] is False
    assert plain["measures"] is None


def test_an_edited_result_comes_back_from_its_json(message: dict[str, Any]) -> None:
    labelmap = np.zeros(GEOMETRY.shape, np.uint8)
    labelmap[4, 20:24, 20:25] = 2
    plain, _ = written(edit(message, labelmap, "SAH"))
    again = AnalysisResult.from_json(plain, GEOMETRY)
    assert again.verdict == plain["verdict"]
    assert again.edits is not None
    assert again.edits.segments == ("SAH",)


def test_objects_lie_on_the_files_that_the_scene_came_from(message: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    files = write_head(tmp_path / "ct", GEOMETRY)
    labelmap = np.zeros(GEOMETRY.shape, np.uint8)
    labelmap[1, 5:9, 20:30] = 1
    request = edit(message, labelmap, "IPH")
    answer = write_report({**request, "outputs": ["dicom_sr"], "slice_files": [str(file) for file in files[::-1]]})
    assert answer["files"] == ["report.dcm", "result.json", "segmentation.dcm"]
    assert not answer["left_out"]
    segmentation = pydicom.dcmread(tmp_path / "report" / "segmentation.dcm")
    assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    groups = segmentation.PerFrameFunctionalGroupsSequence
    place = (
        groups[0].get("PlanePositionSequence") or segmentation.SharedFunctionalGroupsSequence[0].PlanePositionSequence
    )
    position = np.array(place[0].ImagePositionPatient, dtype=float)
    assert np.linalg.norm(position - GEOMETRY.slice_origins[1]) < 0.1
    assert np.array_equal(segmentation.pixel_array.squeeze() > 0, labelmap[1] > 0)


def test_objects_lie_on_the_files_of_the_folder_that_was_opened(message: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    files = write_head(tmp_path / "ct", GEOMETRY)
    write_head(tmp_path / "ct" / "other", GEOMETRY)  # another series at the same positions
    uids = [str(pydicom.dcmread(file).SOPInstanceUID) for file in files]
    opened = {**message, "outputs": ["dicom_seg"], "slice_folder": str(tmp_path / "ct"), "instance_uids": uids}
    assert write_report(opened)["files"] == ["result.json", "segmentation.dcm"]
    segmentation = pydicom.dcmread(tmp_path / "report" / "segmentation.dcm")
    named = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {str(one.ReferencedSOPInstanceUID) for one in named} <= set(uids)


def test_a_folder_that_is_there_no_more_leaves_out_only_the_objects(message: dict[str, Any], tmp_path: Path) -> None:
    opened = {
        **message,
        "outputs": ["csv", "dicom_seg"],
        "slice_folder": str(tmp_path / "gone"),
        "instance_uids": ["1.2"],
    }
    answer = write_report(opened)
    assert answer["files"] == ["result.json", "slices.csv"]
    assert "1 of 1 slices are not in the given folder" in answer["left_out"]


@pytest.mark.parametrize("shift_mm", [None, 5.0])
def test_without_files_of_its_own_the_rest_is_written_and_the_reason_said(
    message: dict[str, Any], tmp_path: Path, shift_mm: float | None
) -> None:
    files = []
    if shift_mm is not None:
        origins = np.add(GEOMETRY.slice_origins, (shift_mm, 0.0, 0.0))
        moved = VolumeGeometry(GEOMETRY.shape, GEOMETRY.column_step, GEOMETRY.row_step, origins)
        files = [str(file) for file in write_head(tmp_path / "ct", moved)]
    answer = write_report({**message, "outputs": ["csv", "dicom_sr", "identity"], "slice_files": files})
    assert answer["files"] == ["result.json", "slices.csv"]
    assert ("5.0 mm away" if files else "not read from such") in answer["left_out"]


def test_segments_that_do_not_fit_are_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ResultError, match="for 2 labels, not uint8"):
        write_report(edit(message, np.zeros((3, 4, 5), np.uint8)))
    with pytest.raises(ResultError, match="for 2 labels"):
        write_report(edit(message, np.full(GEOMETRY.shape, 3, np.uint8)))
    with pytest.raises(ValueError, match="unknown labels XYZ"):
        write_report({**message, "labels": ["XYZ"]})
