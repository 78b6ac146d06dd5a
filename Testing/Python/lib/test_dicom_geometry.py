"""DICOM slices land where DICOM says: tilted, unequal, shuffled, flipped, and on the real scan."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from head_volumes import gantry_geometry, head, set_elements, write_head
from ICHSegmenterLib.synthesis.dicom_series import write_dicom_series
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.volume.volume import Volume

EXACT_MM = 1e-6


def position_by_dicom(dataset: pydicom.Dataset, column: int, row: int) -> np.ndarray:
    """DICOM PS3.3, equation C.7.6.2.1-1."""
    along_row, along_column = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
    between_rows, between_columns = (float(value) for value in dataset.PixelSpacing)
    corner = np.array(dataset.ImagePositionPatient, dtype=float)
    return corner + along_row * between_columns * column + along_column * between_rows * row


def assert_positions_are_dicoms(volume: Volume, files: list[Path]) -> None:
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in map(pydicom.dcmread, files)}
    _, rows, columns = volume.geometry.shape
    assert len(by_uid) == len(volume.source.instance_uids)
    for k, uid in enumerate(volume.source.instance_uids):
        for i, j in ((0, 0), (columns - 1, 0), (0, rows - 1)):
            wanted = position_by_dicom(by_uid[uid], i, j)
            assert np.abs(volume.geometry.ijk_to_lps((i, j, k)) - wanted).max() < EXACT_MM


@pytest.fixture(scope="module", name="real")
def _real(head_scan: Path) -> tuple[Volume, list[Path]]:
    return read_volume(head_scan), sorted(head_scan.glob("*.dcm"))


def test_every_corner_of_the_real_scan_lies_where_dicom_says(real: tuple[Volume, list[Path]]) -> None:
    assert_positions_are_dicoms(*real)


def test_tilt_and_steps_of_the_real_scan_are_kept(real: tuple[Volume, list[Path]]) -> None:
    geometry = real[0].geometry
    assert geometry.shape == (28, 512, 512)
    assert geometry.tilt_deg == pytest.approx(18.5, abs=0.01)
    table_steps = np.diff(geometry.slice_origins[:, 2])
    assert table_steps == pytest.approx([4.22] * 13 + [1.14] + [7.38] * 13, abs=1e-4)
    assert np.ptp(geometry.slice_origins[:, 1]) == 0
    assert not geometry.is_regular


def test_the_real_scan_has_unequal_steps_but_no_missing_slice(real: tuple[Volume, list[Path]]) -> None:
    (warning,) = real[0].source.warnings
    assert warning.startswith("Unequal slice spacing: steps of 1.08 to 7.00 mm")


def test_padding_of_the_real_scan_is_air_and_all_else_is_the_stored_value(real: tuple[Volume, list[Path]]) -> None:
    volume, files = real
    stored = np.stack([pydicom.dcmread(path).pixel_array for path in files])
    padding = stored == -1500
    assert padding.any()
    assert (volume.hu[padding] == -1000).all()
    assert np.array_equal(volume.hu[~padding], stored[~padding])


@pytest.mark.parametrize(
    "geometry",
    [
        gantry_geometry(),
        gantry_geometry(tilt_deg=-22.0),
        gantry_geometry(tilt_deg=18.5, steps_mm=[4.2] * 5 + [1.1] + [7.4] * 5),
    ],
    ids=["plain", "tilted", "tilted and unequal"],
)
def test_a_written_series_is_read_back_exactly(tmp_path: Path, geometry: VolumeGeometry) -> None:
    written = head(geometry)
    files = write_dicom_series(written, tmp_path)
    found = read_volume(tmp_path)
    assert np.array_equal(found.hu, written.hu)
    assert found.geometry.matches(geometry, tolerance_mm=EXACT_MM)
    assert_positions_are_dicoms(found, files)


def test_slices_ascend_whatever_the_files_are_called(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    expected = read_volume(tmp_path)
    names = [f"IM{number:05d}" for number in range(len(files))]
    random.Random(1).shuffle(names)
    for path, name in zip(files, names, strict=True):
        path.rename(tmp_path / name)
    found = read_volume(tmp_path)
    assert np.array_equal(found.hu, expected.hu)
    assert (np.diff(found.geometry.slice_positions_mm) > 0).all()


def test_descending_instance_numbers_are_turned_around(tmp_path: Path) -> None:
    volume = head()
    grid = volume.geometry
    down = VolumeGeometry(grid.shape, grid.column_step, grid.row_step, grid.slice_origins[::-1])
    write_dicom_series(Volume(volume.hu[::-1], down), tmp_path)
    found = read_volume(tmp_path)
    assert np.array_equal(found.hu, volume.hu)
    assert found.geometry.matches(grid)


def test_slices_stored_upside_down_keep_their_rows_and_their_places(tmp_path: Path) -> None:
    volume = head()
    grid = volume.geometry
    last_row = grid.slice_origins + (grid.shape[1] - 1) * grid.row_step
    flipped = VolumeGeometry(grid.shape, grid.column_step, -grid.row_step, last_row)
    files = write_dicom_series(Volume(volume.hu[:, ::-1], flipped), tmp_path)
    found = read_volume(tmp_path)
    assert (np.diff(found.geometry.slice_positions_mm) > 0).all()
    assert_positions_are_dicoms(found, files)
    i, j, k = 40, 20, 9
    mirrored = found.geometry.lps_to_ijk(grid.ijk_to_lps((i, j, k))).round().astype(int)
    assert found.hu[mirrored[2], mirrored[1], mirrored[0]] == volume.hu[k, j, i]


def test_one_file_stands_for_its_series(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    write_head(tmp_path / "other", series_number=3)
    found = read_volume(files[4])
    assert found.geometry.shape[0] == len(files)


def test_folders_in_folders_are_searched(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    for number, path in enumerate(files):
        folder = tmp_path / "study" / f"part{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    assert read_volume(tmp_path).geometry.shape[0] == len(files)


def test_the_volume_knows_series_study_and_slices_but_no_patient(tmp_path: Path) -> None:
    files = write_head(tmp_path, kernel="H40s")
    set_elements(files, PatientName="Doe^Jane", PatientID="4711", PatientBirthDate="19500101")
    source = read_volume(tmp_path).source
    first = pydicom.dcmread(files[0])
    assert (source.format, source.kernel) == ("DICOM", "H40s")
    assert (source.series_uid, source.study_uid) == (first.SeriesInstanceUID, first.StudyInstanceUID)
    assert source.frame_of_reference_uid == first.FrameOfReferenceUID
    assert source.instance_uids == tuple(pydicom.dcmread(path).SOPInstanceUID for path in files)
    assert not any(secret in repr(source) for secret in ("Doe", "4711", "1950"))


def test_headers_are_read_without_any_element_of_the_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ICHSegmenterLib.volume.dicom.files import list_dicom_files

    write_head(tmp_path)
    groups = {element.tag.group for file in list_dicom_files(tmp_path).files for element in file.header}
    assert 0x0020 in groups
    assert 0x0010 not in groups


@pytest.mark.parametrize("small_error", [1e-6, 4e-4])
def test_rounded_direction_cosines_are_one_orientation(tmp_path: Path, small_error: float) -> None:
    files = write_head(tmp_path)
    set_elements(files[:3], ImageOrientationPatient=[1, small_error, 0, 0, 1, 0])
    assert read_volume(tmp_path).geometry.shape[0] == len(files)


def _shift(axis: int, by_mm: float) -> Callable[[pydicom.Dataset], None]:
    def change(dataset: pydicom.Dataset) -> None:
        position = [float(value) for value in dataset.ImagePositionPatient]
        position[axis] += by_mm
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]

    return change


def test_a_slice_shifted_sideways_keeps_its_own_position(tmp_path: Path) -> None:
    from head_volumes import edit

    files = write_head(tmp_path)
    edit(files[5], _shift(0, 2.5))
    volume = read_volume(tmp_path)
    assert_positions_are_dicoms(volume, files)
    assert not volume.geometry.is_regular
