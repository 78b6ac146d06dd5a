"""Which series of a folder is the head CT, and what is said when that cannot be told."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import EnhancedSRStorage, MRImageStorage, SecondaryCaptureImageStorage

from head_volumes import gantry_geometry, set_elements, write_head
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom.scan import scans_in
from ICHSegmenterLib.volume.io import list_series, read_volume


def uid_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)


def add_localizer(folder: Path) -> None:
    files = write_head(folder / "localizer", series_number=1, description="Topogram")
    for path in files[1:]:
        path.unlink()
    set_elements(files[:1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])


def add_dose_report(folder: Path) -> None:
    path = write_head(folder / "dose", series_number=501)[0]
    for extra in (folder / "dose").glob("*.dcm"):
        if extra != path:
            extra.unlink()
    set_elements([path], SOPClassUID=EnhancedSRStorage, Modality="SR", Rows=None, Columns=None, PixelData=None)


def add_captures(folder: Path) -> None:
    files = write_head(folder / "captures", series_number=502)
    set_elements(files, SOPClassUID=SecondaryCaptureImageStorage, ImagePositionPatient=None)


def test_localizer_dose_report_and_screen_captures_are_left_out(tmp_path: Path) -> None:
    files = write_head(tmp_path / "head", series_number=2)
    add_localizer(tmp_path)
    add_dose_report(tmp_path)
    add_captures(tmp_path)
    found = read_volume(tmp_path)
    assert found.source.series_uid == uid_of(files[0])
    assert found.source.warnings == ()


def test_a_localizer_inside_the_series_is_left_out(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    set_elements(files[:1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    assert read_volume(tmp_path).geometry.shape[0] == len(files) - 1


def test_reformats_and_bone_kernels_give_way_to_the_axial_brain_series_with_a_warning(tmp_path: Path) -> None:
    brain = write_head(tmp_path / "brain", series_number=2, kernel="H31s")
    write_head(tmp_path / "bone", series_number=3, kernel="H60s")
    coronal = write_head(tmp_path / "coronal", series_number=4, description="Coronal")
    set_elements(coronal, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    found = read_volume(tmp_path)
    assert found.source.series_uid == uid_of(brain[0])
    (warning,) = found.source.warnings
    assert warning.startswith("Read series 2, ")
    assert "Head phantom" not in warning
    assert "kernel H60s" in warning
    assert "coronal" in warning


def test_several_heads_are_listed_with_what_to_give_to_series(tmp_path: Path) -> None:
    thick = write_head(tmp_path / "a", series_number=2)
    thin = write_head(tmp_path / "b", gantry_geometry(slices=40, steps_mm=2.5), series_number=3, kernel="H30f")
    set_elements(thick, ContrastBolusAgent="Ultravist 370")
    set_elements(thin, SliceThickness="3")
    with pytest.raises(VolumeError, match="2 series could be the head CT") as raised:
        read_volume(tmp_path)
    message = str(raised.value)
    told = "series 2, 12 slices of 10 mm every 10 mm, axial, kernel H31s, with contrast agent, UID"
    assert f"{told} {uid_of(thick[0])}" in message
    assert f"series 3, 40 slices of 3 mm every 2.5 mm, axial, kernel H30f, UID {uid_of(thin[0])}" in message
    assert "--series" in message


def test_nothing_that_people_type_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for number in (2, 3):
        files = write_head(tmp_path / str(number), series_number=number, description="CT Head Doe Jane")
        set_elements(
            files,
            PatientName="Doe^Jane",
            PatientID="4711",
            StudyDescription="Jane Doe",
            ProtocolName="for Jane",
            ImageComments="Jane fell",
            AcquisitionDeviceProcessingDescription="Doe",
            ContrastBolusAgent="given to Jane",
        )
    add_localizer(tmp_path)
    set_elements(list((tmp_path / "localizer").iterdir()), SeriesDescription="Topogram of Jane")
    told = [str(summary) for summary in list_series(tmp_path)]
    for folder, uid in ((tmp_path, None), (tmp_path, "1.2.3"), (tmp_path / "localizer", None)):
        with pytest.raises(VolumeError) as raised:
            read_volume(folder, series_uid=uid)
        told.append(str(raised.value))
    told += read_volume(tmp_path / "2").source.warnings
    assert len(told) == 7  # three series, three errors, one warning: contrast agent
    everything = " ".join([*told, caplog.text])
    for typed in ("Doe", "Jane", "4711"):
        assert typed not in everything


def test_the_usual_step_of_a_series_counts_copies_once(tmp_path: Path) -> None:
    files = write_head(tmp_path, gantry_geometry(slices=9, steps_mm=[4.0] * 5 + [7.0] * 3, tilt_deg=20.0))
    for path in files:
        shutil.copy(path, path.with_name(f"copy_{path.name}"))
    (summary,) = list_series(tmp_path)
    assert summary.step_mm == pytest.approx(4.0 * math.cos(math.radians(20.0)), abs=1e-3)


def test_a_series_is_chosen_by_its_uid(tmp_path: Path) -> None:
    write_head(tmp_path / "a", series_number=2)
    chosen = write_head(tmp_path / "b", series_number=3)
    assert read_volume(tmp_path, series_uid=uid_of(chosen[0])).source.series_uid == uid_of(chosen[0])


def test_an_unknown_series_uid_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    with pytest.raises(VolumeError, match=r"There is no series 1\.2\.3\.") as raised:
        read_volume(tmp_path, series_uid="1.2.3")
    assert uid_of(files[0]) in str(raised.value)


def test_a_chosen_localizer_is_refused(tmp_path: Path) -> None:
    write_head(tmp_path / "head", series_number=2)
    add_localizer(tmp_path)
    uid = uid_of(next((tmp_path / "localizer").iterdir()))
    with pytest.raises(VolumeError, match=r"The chosen series is no CT scan: .*localizer"):
        read_volume(tmp_path, series_uid=uid)


def test_magnetic_resonance_is_not_ct(tmp_path: Path) -> None:
    set_elements(write_head(tmp_path), Modality="MR", SOPClassUID=MRImageStorage)
    with pytest.raises(VolumeError, match=r"No CT scan among 12 files, 12 of them DICOM: .*modality MR, not CT"):
        read_volume(tmp_path)


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="The folder is empty"):
        read_volume(tmp_path)


def test_a_folder_without_dicom_tells_what_was_found(tmp_path: Path) -> None:
    for name in ("a.txt", "b.jpg", "ct.nii.gz"):
        (tmp_path / name).write_text("nothing of the kind")
    with pytest.raises(VolumeError, match=r"the folder holds 3 files, 0 of them DICOM.*NIfTI"):
        read_volume(tmp_path)


def test_other_files_beside_the_slices_do_no_harm(tmp_path: Path) -> None:
    write_head(tmp_path)
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "looks_bare").write_bytes(b"\x08\x00\x05\x00" + bytes(range(256)))
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 300)
    assert read_volume(tmp_path).geometry.shape[0] == 12


def test_one_image_is_no_scan(tmp_path: Path) -> None:
    for path in write_head(tmp_path)[1:]:
        path.unlink()
    with pytest.raises(VolumeError, match=r"1 slice of 10 mm,.*too few slices"):
        read_volume(tmp_path)
    with pytest.raises(VolumeError, match="The series holds one slice"):
        read_volume(tmp_path / "0001.dcm")


def test_every_series_is_listed_with_the_reason_why_it_is_no_scan(tmp_path: Path) -> None:
    files = write_head(tmp_path / "head", series_number=2, kernel="H31s")
    add_localizer(tmp_path)
    add_dose_report(tmp_path)
    localizer, scan, dose = list_series(tmp_path)
    assert (localizer.rejected, dose.rejected) == ("localizer", "no images")
    assert (scan.uid, scan.number, scan.slices, scan.plane) == (uid_of(files[0]), 2, 12, "axial")
    assert (scan.kernel, scan.modality, scan.thickness_mm, scan.rejected) == ("H31s", "CT", 10.0, "")
    assert (scan.step_mm, scan.has_contrast) == (10.0, False)
    assert str(scan) == "series 2, 12 slices of 10 mm every 10 mm, axial, kernel H31s"


def test_a_batch_sees_the_scans_of_one_folder_alone(tmp_path: Path) -> None:
    files = write_head(tmp_path, series_number=2)
    write_head(tmp_path / "below", series_number=3)
    assert [scan.summary.uid for scan in scans_in(tmp_path)] == [uid_of(files[0])]


def test_files_without_preamble_are_dicom_too(tmp_path: Path) -> None:
    for path in write_head(tmp_path):
        dataset = pydicom.dcmread(path)
        bare = pydicom.Dataset(dataset)
        bare.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert read_volume(tmp_path).geometry.shape[0] == 12


def test_a_number_that_is_text_is_as_good_as_absent(tmp_path: Path) -> None:
    for path in write_head(tmp_path, series_number=12345):
        path.write_bytes(path.read_bytes().replace(b"12345 ", b"twelve"))
    (summary,) = list_series(tmp_path)
    assert (summary.number, summary.slices) == (0, 12)


def test_a_slice_that_may_not_be_read_is_told_and_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [path.rename(path.with_suffix("")) for path in write_head(tmp_path)]  # as hospitals name them
    opened = Path.open

    def guarded(path: Path, *arguments: Any, **named: Any) -> Any:
        if path == files[3]:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", guarded)  # real rights do not stop root, who runs tests in containers
    with pytest.raises(VolumeError, match="0004: no right to read this file"):
        read_volume(tmp_path)
