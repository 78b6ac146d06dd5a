"""DICOM SEG and structured report, read back by other readers than the one that wrote them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from head_volumes import affine, gantry_geometry, head, set_elements, write_head
from ICHSegmenterLib.analysis.labelmap import measure
from ICHSegmenterLib.analysis.outlined_findings import outlined_findings
from ICHSegmenterLib.errors import DependencyError, OutputError
from ICHSegmenterLib.labels import IPH, PERILESIONAL_EDEMA, SAH
from ICHSegmenterLib.measuring.exam import measure_exam
from ICHSegmenterLib.outputs.dicom.scan import scan_headers
from ICHSegmenterLib.outputs.dicom.segments import MAX_OWN, DicomSegments
from ICHSegmenterLib.outputs.write import write_outputs
from ICHSegmenterLib.results import AnalysisResult, DetectionResult, Provenance, SegmentationResult, SliceDetection
from ICHSegmenterLib.verdict import Edits
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

POSITION_MM = 0.1
PLAIN = gantry_geometry(slices=6, size=20)
TILTED = gantry_geometry(slices=6, size=20, tilt_deg=18.5)
UNEQUAL = gantry_geometry(slices=6, size=20, tilt_deg=18.5, steps_mm=[4.22, 4.22, 1.14, 7.38, 7.38])
GRIDS = pytest.mark.parametrize("geometry", [PLAIN, TILTED, UNEQUAL], ids=["plain", "tilted", "unequal"])
LABELS = (IPH, SAH, PERILESIONAL_EDEMA)
KEYS = {"Intraparenchymal hemorrhage": 1, "Perilesional edema": 3}


@pytest.fixture
def highdicom():
    return pytest.importorskip("highdicom")


def labelmap_on(geometry: VolumeGeometry) -> np.ndarray:
    """Two bleeds in the parenchyma, 100 and 4 voxels, and edema."""
    labelmap = np.zeros(geometry.shape, np.uint8)
    labelmap[1:3, 4:9, 5:15] = 1
    labelmap[3, 12:14, 2:4] = 1
    labelmap[4, 2:5, 3:4] = 3
    return labelmap


def result_of(volume: Volume, labelmap: np.ndarray, method: str = "hu-threshold", probability: float = 0.9):
    """A result as of an analysis."""
    segmentation = SegmentationResult(labelmap, volume.geometry, LABELS)
    slices = tuple(
        SliceDetection(k, 10.0 * k, {"any": probability}, is_positive=bool((labelmap[k] > 0).any()))
        for k in range(volume.geometry.shape[0])
    )
    return AnalysisResult(
        geometry=volume.geometry,
        detection=DetectionResult(slices, {"any": probability}, threshold=0.5, key_slice=1),
        segmentation=segmentation,
        measurements=measure(segmentation, volume),
        provenance=Provenance(method, "A method", "9.9", "cpu", "float32"),
    )


def written(folder: Path, geometry: VolumeGeometry, outputs: str, **changes: object):
    """SEG and structured report of a small head; None for what was not written."""
    write_head(folder / "ct", geometry)
    volume = read_volume(folder / "ct")
    result = replace(result_of(volume, labelmap_on(volume.geometry)), **changes)
    files = write_outputs(result, volume, folder / "out", outputs=[outputs], source=folder / "ct")
    return [pydicom.dcmread(files[name]) if name in files else None for name in ("segmentation.dcm", "report.dcm")]


def frames_of(segmentation: pydicom.Dataset):
    """(segment number, positions of its first voxel and of the last ones of its row and its column, pixels)."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    pixels = np.atleast_3d(segmentation.pixel_array).reshape(-1, segmentation.Rows, segmentation.Columns)
    for frame, mask in zip(segmentation.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        place = frame.get("PlanePositionSequence") or shared.PlanePositionSequence
        turn = frame.get("PlaneOrientationSequence") or shared.PlaneOrientationSequence
        scale = frame.get("PixelMeasuresSequence") or shared.PixelMeasuresSequence
        segment = frame.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        origin = np.array(place[0].ImagePositionPatient, dtype=float)
        row, column = np.array(turn[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
        between_rows, between_columns = (float(step) for step in scale[0].PixelSpacing)
        ends = (segmentation.Columns - 1) * between_columns * row, (segmentation.Rows - 1) * between_rows * column
        yield segment[0].ReferencedSegmentNumber, np.stack([origin, *(origin + end for end in ends)]), mask > 0


@GRIDS
def test_segments_lie_where_they_were_acquired(highdicom, tmp_path: Path, geometry: VolumeGeometry) -> None:
    segmentation, _ = written(tmp_path, geometry, "dicom_seg")
    _, rows, columns = geometry.shape
    corners = [[(0, 0, k), (columns - 1, 0, k), (0, rows - 1, k)] for k in range(geometry.shape[0])]
    acquired = geometry.ijk_to_lps(corners)
    values = [KEYS[segment.SegmentLabel.rstrip(" 12")] for segment in segmentation.SegmentSequence]
    found = np.zeros(geometry.shape, np.uint8)
    for number, positions, mask in frames_of(segmentation):
        apart = np.linalg.norm(acquired - positions, axis=-1).max(axis=-1)
        assert apart.min() < POSITION_MM
        found[apart.argmin()][mask] = values[number - 1]
    assert np.array_equal(found, labelmap_on(geometry))


def test_simpleitk_finds_a_segment_on_plain_slices_where_it_is(highdicom, tmp_path: Path) -> None:
    segmentation, _ = written(tmp_path, PLAIN, "dicom_seg")
    image = sitk.ReadImage(str(tmp_path / "out" / "segmentation.dcm"))
    assert image.GetSize()[:2] == (20, 20)
    first = segmentation.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    assert image.TransformIndexToPhysicalPoint((0, 0, 0)) == pytest.approx([float(x) for x in first], abs=POSITION_MM)
    assert sitk.GetArrayFromImage(image).astype(bool).sum() == (labelmap_on(PLAIN) > 0).sum()


def test_each_finding_is_a_segment_with_its_codes_and_its_maker(highdicom, tmp_path: Path) -> None:
    segmentation, _ = written(tmp_path, PLAIN, "dicom_seg")
    first, second, edema = segmentation.SegmentSequence
    assert [one.SegmentLabel for one in (first, second, edema)] == [
        "Intraparenchymal hemorrhage 1",
        "Intraparenchymal hemorrhage 2",
        "Perilesional edema",
    ]
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == "50960005"
    assert edema.SegmentedPropertyTypeCodeSequence[0].CodeValue == "79654002"
    assert first.AnatomicRegionSequence[0].CodeValue == "12738006"
    (made_by,) = first.SegmentationAlgorithmIdentificationSequence
    assert (made_by.AlgorithmName, made_by.AlgorithmVersion) == ("ICHSegmenter hu-threshold", "9.9")
    assert {one.SegmentAlgorithmType for one in segmentation.SegmentSequence} == {"AUTOMATIC"}


@pytest.mark.parametrize(
    ("method", "family"), [("hu-threshold", "123104"), ("blast-ct", "123110"), ("another", "123110")]
)
def test_a_rule_is_not_called_artificial_intelligence(highdicom, tmp_path: Path, method: str, family: str) -> None:
    made_by = Provenance(method, "A method", "1", "cpu", "float32")
    segmentation, _ = written(tmp_path, PLAIN, "dicom_seg", provenance=made_by)
    (made_by,) = segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert made_by.AlgorithmFamilyCodeSequence[0].CodeValue == family


def test_what_a_hand_touched_is_semiautomatic(highdicom, tmp_path: Path) -> None:
    segmentation, report = written(tmp_path, PLAIN, "dicom_sr", edits=Edits(("IPH",), "Before."))
    kinds = [segment.SegmentAlgorithmType for segment in segmentation.SegmentSequence]
    assert kinds == ["SEMIAUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC"]
    assert "edited by hand" in texts(report, "111002")


def test_slicers_segments_say_so_too(tmp_path: Path) -> None:
    slicerio = pytest.importorskip("slicerio")
    volume = head(PLAIN)
    result = replace(result_of(volume, labelmap_on(PLAIN)), edits=Edits(("IPH",), "Before."))
    files = write_outputs(result, volume, tmp_path / "out", outputs=["seg_nrrd"])
    read = slicerio.read_segmentation(str(files["segmentation.seg.nrrd"]))
    kinds = {one["id"]: one["tags"]["DICOM.SegmentAlgorithmType"] for one in read["segments"]}
    assert kinds == {"IPH": "SEMIAUTOMATIC", "edema": "AUTOMATIC"}


def items(report: pydicom.Dataset, code: str, parent: pydicom.Dataset | None = None) -> list[pydicom.Dataset]:
    """All content items of a concept below an item, by its code."""
    found = []
    for item in (parent or report).get("ContentSequence", ()):
        if item.get("ConceptNameCodeSequence") and item.ConceptNameCodeSequence[0].CodeValue == code:
            found.append(item)
        found += items(report, code, item)
    return found


def texts(report: pydicom.Dataset, code: str) -> list[str]:
    return [item.TextValue for item in items(report, code)]


def number(report: pydicom.Dataset, code: str, parent: pydicom.Dataset) -> float:
    (item,) = items(report, code, parent)
    return float(item.MeasuredValueSequence[0].NumericValue)


@GRIDS
def test_the_structured_report_measures_each_segment(highdicom, tmp_path: Path, geometry: VolumeGeometry) -> None:
    segmentation, report = written(tmp_path, geometry, "dicom_sr")
    exam, *findings = items(report, "125007")
    labelmap, hu = labelmap_on(geometry), read_volume(tmp_path / "ct").hu
    assert len(findings) == len(segmentation.SegmentSequence) == 3
    pixel_mm2 = float(np.prod([3.2, 3.2]))
    for segment, group in zip(segmentation.SegmentSequence, findings, strict=True):
        (reference,) = items(report, "121191", group)
        (image,) = reference.ReferencedSOPSequence
        assert image.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert image.ReferencedSegmentNumber == segment.SegmentNumber
        assert segment.TrackingUID == items(report, "112040", group)[0].UID
        assert items(report, "121071", group)[0].ConceptCodeSequence[0] == segment.SegmentedPropertyTypeCodeSequence[0]
        at = np.zeros(geometry.shape, bool)
        for number_, positions, mask in frames_of(segmentation):
            if number_ == segment.SegmentNumber:
                at[np.linalg.norm(geometry.slice_origins - positions[0], axis=1).argmin()] |= mask
        ml = float((at.sum(axis=(1, 2)) * geometry.slice_extents_mm).sum()) * pixel_mm2 / 1000
        assert number(report, "118565006", group) == pytest.approx(ml, abs=0.0006)
        assert number(report, "112031", group) == pytest.approx(float(hu[at].mean()), abs=0.0006)
    blood = (labelmap == 1).sum(axis=(1, 2)) * geometry.slice_extents_mm * pixel_mm2 / 1000
    assert number(report, "118565006", exam) == pytest.approx(blood.sum(), abs=0.0006)
    assert number(report, "111012", exam) == pytest.approx(90.0)


def test_the_structured_report_says_the_verdict_and_its_maker(highdicom, tmp_path: Path) -> None:
    _, report = written(tmp_path, PLAIN, "dicom_sr")
    exam = items(report, "125007")[0]
    (verdict,) = (item for item in items(report, "1386000", exam) if item.ValueType == "CODE")
    assert verdict.ConceptCodeSequence[0].CodeMeaning == "Suspected"
    assert set(texts(report, "111001")) == {"ICHSegmenter hu-threshold"}
    assert set(texts(report, "111003")) == {"9.9"}
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_an_exam_without_blood_gets_a_report_and_no_segmentation(highdicom, tmp_path: Path) -> None:
    write_head(tmp_path / "ct", PLAIN)
    volume = read_volume(tmp_path / "ct")
    result = result_of(volume, np.zeros(PLAIN.shape, np.uint8), probability=0.1)
    files = write_outputs(result, volume, tmp_path / "out", outputs=["dicom_sr"], source=tmp_path / "ct")
    assert set(files) == {"report.dcm", "result.json"}
    report = pydicom.dcmread(files["report.dcm"])
    (exam,) = items(report, "125007")
    (verdict,) = (item for item in items(report, "1386000", exam) if item.ValueType == "CODE")
    assert verdict.ConceptCodeSequence[0].CodeMeaning == "Not detected"
    assert number(report, "118565006", exam) == 0


def test_the_objects_keep_the_studys_patient_and_stay_in_its_study(highdicom, tmp_path: Path) -> None:
    files = write_head(tmp_path / "ct", PLAIN)
    set_elements(files, PatientName="Doe^Jane", PatientID="4711", AccessionNumber="A1", PatientBirthDate="19700101")
    volume = read_volume(tmp_path / "ct")
    result = result_of(volume, labelmap_on(PLAIN))
    written = write_outputs(result, volume, tmp_path / "out", outputs=["dicom_sr"], source=tmp_path / "ct")
    scan = pydicom.dcmread(files[0])
    for name in ("segmentation.dcm", "report.dcm"):
        made = pydicom.dcmread(written[name])
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyInstanceUID"):
            assert made[keyword].value == scan[keyword].value
        assert made.SeriesInstanceUID != scan.SeriesInstanceUID
    assert pydicom.dcmread(written["segmentation.dcm"]).FrameOfReferenceUID == scan.FrameOfReferenceUID
    assert "Doe" not in written["result.json"].read_text()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy of dicom3tools is not installed")
@GRIDS
def test_dciodvfy_finds_no_error_in_the_objects(highdicom, tmp_path: Path, geometry: VolumeGeometry) -> None:
    written(tmp_path, geometry, "dicom_sr", edits=Edits(("IPH",), "Before."))
    for name in ("segmentation.dcm", "report.dcm"):
        run = subprocess.run(["dciodvfy", str(tmp_path / "out" / name)], capture_output=True, text=True, check=False)
        assert [line for line in (run.stdout + run.stderr).splitlines() if "Error" in line] == []


def test_a_hundred_specks_share_a_segment_and_none_is_lost() -> None:
    labelmap = np.zeros((6, 40, 40), np.uint8)
    labelmap[1:5:2, ::4, ::4] = 1
    labelmap[0, :3, :3] = 2
    volume = head(gantry_geometry(slices=6, size=40))
    result = result_of(volume, labelmap)
    segments = DicomSegments.of(result.segmentation, outlined_findings(result, volume))
    assert [one.name for one in segments.segments[-3:]] == [
        f"Intraparenchymal hemorrhage {MAX_OWN}",
        "Intraparenchymal hemorrhage, further pieces",
        "Subarachnoid hemorrhage",
    ]
    assert np.array_equal(segments.numbered > 0, labelmap > 0)
    assert segments.numbered.max() == len(segments.segments) == MAX_OWN + 2
    volumes = [segments.measure(one, volume)[0] for one in segments.segments]
    assert sum(volumes) == pytest.approx(sum(one.volume_ml for one in result.measurements))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0)], ids=["axial", "stored sagittally"])
def test_a_finding_is_measured_like_the_exam_whichever_way_it_is_stored(axes: tuple[int, int, int]) -> None:
    axial = head(VolumeGeometry.from_affine((20, 40, 40), affine(np.diag([4.0, 4.0, 6.0]), [-78, -78, -57])))
    labelmap = np.zeros(axial.geometry.shape, np.uint8)
    labelmap[8:13, 12:19, 24:30] = 1
    matrix = np.array(axial.geometry.affine)
    matrix[:3, :3] = matrix[:3, 2 - np.array(axes)[::-1]]
    shape = tuple(axial.geometry.shape[axis] for axis in axes)
    volume = Volume(np.transpose(axial.hu, axes), VolumeGeometry.from_affine(shape, matrix))
    stored = np.ascontiguousarray(np.transpose(labelmap, axes))
    (finding,) = outlined_findings(result_of(volume, stored), volume)
    (expected,) = measure_exam(axial, labelmap, LABELS).pieces
    assert finding.volume_ml == pytest.approx(expected.volume_ml)
    assert finding.mean_hu == pytest.approx(expected.mean_hu)
    assert (finding.side, finding.region) == (expected.side, expected.region)
    assert (finding.first_slice, finding.last_slice) == (8, 12)
    assert np.array_equal(stored[finding.box] > 0, finding.mask)


def test_files_in_any_order_are_found_by_the_positions_of_the_slices(tmp_path: Path) -> None:
    files = write_head(tmp_path / "ct", UNEQUAL)
    in_scene = head(UNEQUAL)  # as of a scene: without identifiers
    headers = scan_headers(in_scene, None, files[::-1])
    uids = [str(header.SOPInstanceUID) for header in headers]
    assert uids == list(read_volume(tmp_path / "ct").source.instance_uids)


@pytest.mark.parametrize("shift_mm", [(0.0, 0.0, 3.0), (1.0, 0.0, 0.0)])
def test_a_volume_that_was_moved_is_refused(tmp_path: Path, shift_mm: tuple[float, float, float]) -> None:
    files = write_head(tmp_path / "ct", UNEQUAL)
    moved = VolumeGeometry(UNEQUAL.shape, UNEQUAL.column_step, UNEQUAL.row_step, UNEQUAL.slice_origins + shift_mm)
    with pytest.raises(OutputError, match="does not lie where its DICOM files say"):
        scan_headers(head(moved), None, files)


def test_objects_need_the_slices_and_highdicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_head(tmp_path / "ct", PLAIN)
    volume = read_volume(tmp_path / "ct")
    result = result_of(volume, labelmap_on(PLAIN))
    monkeypatch.setitem(sys.modules, "highdicom", None)
    for name in ("dicom_seg", "dicom_sr"):
        with pytest.raises(DependencyError, match="pip install highdicom"):
            write_outputs(result, volume, tmp_path / "out", outputs=[name], source=tmp_path / "ct")
    monkeypatch.undo()
    pytest.importorskip("highdicom")
    with pytest.raises(OutputError, match="refer to the scan's own DICOM files"):
        write_outputs(result, head(PLAIN), tmp_path / "out", outputs=["dicom_sr"], source=tmp_path / "ct")
    files[2].unlink()
    with pytest.raises(OutputError, match="1 of 6 slices are not in the given folder"):
        write_outputs(result, volume, tmp_path / "out", outputs=["dicom_sr"], source=tmp_path / "ct")
    assert not (tmp_path / "out").exists()


def test_objects_can_be_made_of_an_anonymized_scan(highdicom, tmp_path: Path) -> None:
    files = write_head(tmp_path / "ct", PLAIN)
    set_elements(files, PatientBirthDate=None, PatientSex=None, StudyID=None, PatientName=None)
    volume = read_volume(tmp_path / "ct")
    result = result_of(volume, labelmap_on(PLAIN))
    made = write_outputs(result, volume, tmp_path / "out", outputs=["dicom_sr"], source=tmp_path / "ct")
    for name in ("segmentation.dcm", "report.dcm"):
        assert pydicom.dcmread(made[name]).PatientBirthDate == ""
