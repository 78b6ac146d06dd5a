"""Enhanced multi-frame CT: one file, positions in functional groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, JPEG2000Lossless

from head_volumes import gantry_geometry, head, write_head
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import list_series, read_volume


def item(**elements: object) -> Sequence:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def write_enhanced(
    path: Path,
    geometry: VolumeGeometry | None = None,
    *,
    order: list[int] | None = None,
    change: Callable[[Dataset], None] | None = None,
) -> Path:
    """The small head as one enhanced CT file, with frames in the given order of slices."""
    files = write_head(path.parent / "single", geometry)
    images = [pydicom.dcmread(files[k]) for k in order or range(len(files))]
    for file in files:
        file.unlink()
    stored = np.stack([image.pixel_array + np.uint16(10 * number) for number, image in enumerate(images)])
    positions = [image.ImagePositionPatient for image in images]
    whole = pydicom.Dataset(images[0])
    whole.file_meta = images[0].file_meta
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    whole.NumberOfFrames = len(images)
    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=whole.PixelSpacing, SliceThickness=whole.SliceThickness)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=whole.ImageOrientationPatient)
    shared.CTReconstructionSequence = item(ConvolutionKernel="H60s")
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for number, position in enumerate(positions):
        frame = Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=position)
        intercept = -1024 - 10 * number  # every frame has its own rescale
        frame.PixelValueTransformationSequence = item(
            RescaleSlope="1", RescaleIntercept=str(intercept), RescaleType="HU"
        )
        frames.append(frame)
    whole.PerFrameFunctionalGroupsSequence = Sequence(frames)
    whole.PixelData = stored.tobytes()
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "ConvolutionKernel",
    ):
        delattr(whole, keyword)
    if change is not None:
        change(whole)
    whole.save_as(path, enforce_file_format=True)
    return path


TILTED = gantry_geometry(tilt_deg=15.0, steps_mm=[10.0] * 6 + [6.0] * 5)


@pytest.mark.parametrize("order", [None, [5, 0, 3, 11, 1, 2, 4, 10, 9, 6, 8, 7]], ids=["in order", "shuffled"])
def test_frames_land_where_their_functional_groups_say(tmp_path: Path, order: list[int] | None) -> None:
    found = read_volume(write_enhanced(tmp_path / "enhanced", TILTED, order=order))
    assert found.geometry.matches(TILTED, tolerance_mm=1e-6)
    assert np.array_equal(found.hu, head(TILTED).hu)


def test_a_compressed_multiframe_file_is_read(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "enhanced", TILTED)
    dataset = pydicom.dcmread(path)
    dataset.compress(JPEG2000Lossless)
    dataset.save_as(path)
    assert np.array_equal(read_volume(path).hu, head(TILTED).hu)


def test_a_folder_with_one_multiframe_file_is_a_series(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "enhanced", TILTED)
    (summary,) = list_series(tmp_path)
    assert (summary.slices, summary.plane, summary.kernel, summary.rejected) == (12, "axial", "H60s", "")
    assert read_volume(tmp_path).geometry.shape == (12, 64, 64)


def test_frames_without_positions_are_refused(tmp_path: Path) -> None:
    def forget(whole: Dataset) -> None:
        del whole.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence

    path = write_enhanced(tmp_path / "enhanced", change=forget)
    with pytest.raises(VolumeError, match=r"the position \(ImagePositionPatient\) is missing"):
        read_volume(path)


def test_time_points_in_one_file_are_refused(tmp_path: Path) -> None:
    def twice(whole: Dataset) -> None:
        whole.NumberOfFrames = 24
        whole.PerFrameFunctionalGroupsSequence.extend(list(whole.PerFrameFunctionalGroupsSequence))
        whole.PixelData = whole.PixelData + (np.frombuffer(whole.PixelData, np.uint16) + 5).astype(np.uint16).tobytes()

    path = write_enhanced(tmp_path / "enhanced", change=twice)
    with pytest.raises(VolumeError, match=r"more than one scan: 24 images at 12 positions"):
        read_volume(path)


def test_more_frames_than_functional_groups_are_refused(tmp_path: Path) -> None:
    def lose(whole: Dataset) -> None:
        del whole.PerFrameFunctionalGroupsSequence[10:]

    path = write_enhanced(tmp_path / "enhanced", change=lose)
    with pytest.raises(VolumeError, match="12 frames, but positions of 10"):
        read_volume(path)
