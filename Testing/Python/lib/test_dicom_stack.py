"""Slices as one stack: repeats, gaps, and grids that do not fit together."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from head_volumes import edit, gantry_geometry, set_elements, write_head
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom.stack import missing_slices
from ICHSegmenterLib.volume.io import read_volume


def repeat(path: Path, *, brighter: int = 0, acquisition: int = 1) -> Path:
    """A second image at the same place; with other pixels if brighter is not 0."""
    copy = path.with_name(f"again_{path.name}")
    shutil.copy(path, copy)

    def change(dataset: pydicom.Dataset) -> None:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.AcquisitionNumber = acquisition
        dataset.PixelData = (dataset.pixel_array + np.uint16(brighter)).tobytes()

    edit(copy, change)
    return copy


def test_copies_of_files_are_dropped_without_a_word(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    expected = read_volume(tmp_path)
    for path in files:
        shutil.copy(path, path.with_name(f"copy_{path.name}"))
    found = read_volume(tmp_path)
    assert np.array_equal(found.hu, expected.hu)
    assert found.source.warnings == ()


def test_equal_images_under_another_uid_are_dropped_too(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    repeat(files[3])
    found = read_volume(tmp_path)
    assert found.geometry.shape[0] == len(files)
    assert found.source.warnings == ()


def test_of_a_repeated_slice_the_latest_is_kept_and_the_place_is_named(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    before = read_volume(tmp_path)
    repeat(files[6], brighter=7, acquisition=2)
    found = read_volume(tmp_path)
    assert np.array_equal(found.hu[6], before.hu[6] + 7)
    assert np.array_equal(found.hu[5], before.hu[5])
    position = before.geometry.slice_positions_mm[6]
    assert found.source.warnings[0].startswith(f"Slices were repeated at {position:.1f} mm")


def test_an_earlier_repetition_does_not_replace_the_later_one(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    before = read_volume(tmp_path)
    repeat(files[6], brighter=7, acquisition=0)
    assert np.array_equal(read_volume(tmp_path).hu, before.hu)


def test_two_scans_in_one_series_are_refused(tmp_path: Path) -> None:
    for path in write_head(tmp_path):
        repeat(path, brighter=7, acquisition=2)
    with pytest.raises(VolumeError, match="more than one scan: 24 images at 12 positions"):
        read_volume(tmp_path)


def test_missing_slices_are_named_and_positions_stay_exact(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    before = read_volume(tmp_path)
    files[5].unlink()
    files[6].unlink()
    found = read_volume(tmp_path)
    low, high = before.geometry.slice_positions_mm[[4, 7]]
    assert found.source.warnings[0].startswith(
        f"2 slices seem to be missing (between {low:.1f} and {high:.1f} mm along the slice normal)"
    )
    kept = [k for k in range(12) if k not in (5, 6)]
    assert np.allclose(found.geometry.slice_origins, before.geometry.slice_origins[kept])


@pytest.mark.parametrize(
    "steps",
    [
        [4.22] * 13 + [1.14] + [7.38] * 13,
        [7.0] * 6 + [2.5] + [5.0] * 8,
        [2.5] * 10 + [5.0] * 10,
        [2.5] * 10 + [3.7] + [5.0] * 10,
        [5.0, 10.0],
    ],
    ids=["GE", "overlap", "posterior fossa", "posterior fossa with seam", "three slices"],
)
def test_a_change_of_step_is_no_missing_slice(steps: list[float]) -> None:
    positions = np.concatenate(([0.0], np.cumsum(steps)))
    assert missing_slices(positions, np.zeros(len(positions))) is None


@pytest.mark.parametrize("at", [0, 4, 9], ids=["first", "middle", "last"])
def test_one_missing_slice_is_found_anywhere_inside(at: int) -> None:
    steps = np.full(10, 5.0)
    steps[at] = 10.0
    positions = np.concatenate(([0.0], np.cumsum(steps)))
    assert missing_slices(positions, np.full(11, 5.0)).text.startswith("1 slice seems to be missing")


def test_a_wide_step_between_thick_slices_is_no_missing_slice() -> None:
    positions = np.array([0.0, 5.0, 10.0, 15.0, 25.0])
    thickness = np.array([5.0, 5.0, 5.0, 5.0, 10.0])
    assert missing_slices(positions, thickness) is None


def test_unequal_steps_are_told(tmp_path: Path) -> None:
    write_head(tmp_path, gantry_geometry(steps_mm=[8.0] * 6 + [11.0] * 5))
    assert read_volume(tmp_path).source.warnings == (
        "Unequal slice spacing: steps of 8.00 to 11.00 mm. Positions and volumes take it into account.",
    )


def test_mixed_orientations_are_refused_and_the_odd_file_is_named(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    set_elements(files[6:7], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    with pytest.raises(VolumeError, match=r"mixes orientations: 1 of 12 .*\(0007\.dcm\)"):
        read_volume(tmp_path)


def test_mixed_image_sizes_are_refused(tmp_path: Path) -> None:
    files = write_head(tmp_path / "a")
    other = write_head(tmp_path / "b", gantry_geometry(size=32))
    uid = pydicom.dcmread(files[0]).SeriesInstanceUID
    set_elements(other, SeriesInstanceUID=uid)
    for path in other[1:]:
        path.unlink()
    with pytest.raises(VolumeError, match=r"mixes image sizes: 0001\.dcm has 32 x 32 pixels, .* 64 x 64"):
        read_volume(tmp_path)


def test_mixed_pixel_spacings_are_refused(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    set_elements(files[:1], PixelSpacing=[3.0, 3.0])
    with pytest.raises(VolumeError, match=r"mixes pixel spacings: 0001.dcm has 3 mm, .* 3\.2 mm"):
        read_volume(tmp_path)


def test_two_stacks_side_by_side_are_refused(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    copy = repeat(files[0], brighter=1)
    x, y, z = pydicom.dcmread(copy).ImagePositionPatient
    set_elements([copy], ImagePositionPatient=[float(x) + 200, y, z])
    with pytest.raises(VolumeError, match=r"two stacks side by side: .* 200\.0 mm apart"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "what"),
    [
        ("ImagePositionPatient", r"the position \(ImagePositionPatient\) is missing"),
        ("ImageOrientationPatient", r"the orientation \(ImageOrientationPatient\) is missing"),
        ("PixelSpacing", r"the pixel spacing \(PixelSpacing\) is missing"),
    ],
)
def test_a_slice_without_a_place_is_refused(tmp_path: Path, keyword: str, what: str) -> None:
    files = write_head(tmp_path)
    set_elements(files[2:3], **{keyword: None})
    with pytest.raises(VolumeError, match=rf"^0003\.dcm: {what}"):
        read_volume(tmp_path)


def test_orientation_must_be_two_perpendicular_directions(tmp_path: Path) -> None:
    set_elements(write_head(tmp_path), ImageOrientationPatient=[1, 0, 0, 0.5, 0.5, 0])
    with pytest.raises(VolumeError, match="two perpendicular unit vectors"):
        read_volume(tmp_path)


def test_pixel_spacing_must_be_positive(tmp_path: Path) -> None:
    set_elements(write_head(tmp_path), PixelSpacing=[0, 0])
    with pytest.raises(VolumeError, match="PixelSpacing is 0 x 0 mm"):
        read_volume(tmp_path)
