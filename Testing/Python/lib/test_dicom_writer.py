"""The DICOM series that the demo and the tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.fileset import FileSet

from head_volumes import gantry_geometry, head, set_elements, write_head
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume


def test_every_slice_is_a_file_with_own_uid_in_one_series_of_one_study(tmp_path: Path) -> None:
    headers = [pydicom.dcmread(path) for path in write_head(tmp_path)]
    assert len({header.SOPInstanceUID for header in headers}) == 12
    for shared in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        (uid,) = {getattr(header, shared) for header in headers}
        assert uid.is_valid
    assert {str(header.PatientName) for header in headers} == {"Phantom"}
    assert [header.InstanceNumber for header in headers] == list(range(1, 13))


def test_equal_seeds_give_equal_files_and_other_seeds_other_uids(tmp_path: Path) -> None:
    first, again, other = (
        write_dicom_series(head(), tmp_path / name, seed=seed)[3] for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.read_bytes() == again.read_bytes()
    assert pydicom.dcmread(first).StudyInstanceUID != pydicom.dcmread(other).StudyInstanceUID


def test_another_series_number_is_another_series_of_the_same_study(tmp_path: Path) -> None:
    brain, bone = (pydicom.dcmread(write_head(tmp_path / str(n), series_number=n)[0]) for n in (2, 3))
    assert brain.StudyInstanceUID == bone.StudyInstanceUID
    assert brain.SeriesInstanceUID != bone.SeriesInstanceUID
    assert brain.SOPInstanceUID != bone.SOPInstanceUID


def test_the_gantry_tilt_stands_in_the_header(tmp_path: Path) -> None:
    header = pydicom.dcmread(write_head(tmp_path, gantry_geometry(tilt_deg=18.5))[0])
    assert float(header.GantryDetectorTilt) == pytest.approx(18.5)


def test_values_beyond_twelve_bits_are_clipped(tmp_path: Path) -> None:
    volume = head()
    hu = volume.hu.copy()
    hu[:, :4], hu[:, 4:8] = -2000, 9000
    write_dicom_series(Volume(hu, volume.geometry), tmp_path)
    found = read_volume(tmp_path).hu
    assert (found[:, :4] == -1024).all()
    assert (found[:, 4:8] == 3071).all()


def test_another_reader_gets_the_same_volume(tmp_path: Path) -> None:
    volume = head()
    files = write_dicom_series(volume, tmp_path)
    image = sitk.ReadImage([str(path) for path in files])
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.hu)
    for ijk in ((0, 0, 0), (63, 0, 11), (5, 60, 3)):
        assert image.TransformIndexToPhysicalPoint(ijk) == pytest.approx(volume.geometry.ijk_to_lps(ijk), abs=1e-6)


@pytest.mark.parametrize("choose_file", [True, False], ids=["the DICOMDIR", "its folder"])
def test_a_disc_with_a_dicomdir_is_read(tmp_path: Path, choose_file: bool) -> None:
    disc = FileSet()
    files = write_head(tmp_path / "ct")
    set_elements(files, StudyDate="20260101", StudyTime="120000", StudyID="1")
    for path in files:
        disc.add(path)
    disc.write(tmp_path / "disc")
    found = read_volume(tmp_path / "disc" / "DICOMDIR" if choose_file else tmp_path / "disc")
    assert np.array_equal(found.hu, head().hu)
