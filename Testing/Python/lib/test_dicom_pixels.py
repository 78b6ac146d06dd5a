"""Stored values to Hounsfield units: compression, rescale, padding, broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from head_volumes import edit, head, set_elements, write_head
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.dicom.pixels import read_stored_values
from ICHSegmenterLib.volume.io import read_volume
from jpeg_lossless import encode_jpeg_lossless


def compress(files: list[Path], syntax: str) -> None:
    def change(dataset: pydicom.Dataset) -> None:
        if syntax == JPEGLosslessSV1:
            dataset.PixelData = encapsulate([encode_jpeg_lossless(dataset.pixel_array)])
            dataset["PixelData"].VR = "OB"
            dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        else:
            dataset.compress(syntax, generate_instance_uid=False)

    for path in files:
        edit(path, change)


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1], ids=["RLE", "J2K", "JPEG-LS", "JPEG"]
)
def test_lossless_compression_changes_no_voxel(tmp_path: Path, syntax: str) -> None:
    files = write_head(tmp_path)
    compress(files, syntax)
    assert pydicom.dcmread(files[0]).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(read_volume(tmp_path).hu, head().hu)


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [(ImplicitVRLittleEndian, True, True), (ExplicitVRBigEndian, False, False)],
    ids=["implicit VR", "big endian"],
)
def test_other_encodings_change_no_voxel(tmp_path: Path, syntax: str, implicit: bool, little: bool) -> None:
    for path in write_head(tmp_path):
        dataset = pydicom.dcmread(path)
        if not little:
            dataset.PixelData = dataset.pixel_array.astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        plain = pydicom.Dataset(dataset)
        plain.file_meta = dataset.file_meta
        plain.save_as(path, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    assert np.array_equal(read_volume(tmp_path).hu, head().hu)


@pytest.mark.parametrize("name", ["CT_small.dcm", "J2K_pixelrep_mismatch.dcm"])
def test_images_of_other_makers_are_decoded(name: str) -> None:
    path = Path(get_testdata_file(name, download=False))
    stored = read_stored_values(path)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    assert stored.shape == (1, header.Rows, header.Columns)
    assert np.ptp(stored) > 500


def test_each_slice_is_rescaled_by_its_own_slope_and_intercept(tmp_path: Path) -> None:
    files = write_head(tmp_path)

    def halve(dataset: pydicom.Dataset) -> None:
        dataset.PixelData = (dataset.pixel_array * 2).astype("<u2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.BitsStored, dataset.HighBit = "0.5", "-1024", 16, 15

    edit(files[4], halve)
    assert np.array_equal(read_volume(tmp_path).hu, head().hu)


def store_as_hu(files: list[Path], outside: int | None = None) -> None:
    """Signed files without offset; voxels outside the reconstructed circle hold `outside`."""

    def change(dataset: pydicom.Dataset) -> None:
        hu = dataset.pixel_array.astype(np.int16) - 1024
        if outside is not None:
            hu[:4] = outside
        dataset.PixelData = hu.tobytes()
        dataset.RescaleIntercept, dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = "0", 1, 16, 15

    for path in files:
        edit(path, change)


def add_padding(files: list[Path], value: int, limit: int | None = None) -> None:
    def change(dataset: pydicom.Dataset) -> None:
        dataset.add_new("PixelPaddingValue", "SS", value)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", "SS", limit)

    for path in files:
        edit(path, change)


@pytest.mark.parametrize(("outside", "limit"), [(-1500, None), (-2000, None), (-990, -1010), (-3000, -2000)])
def test_pixel_padding_becomes_air(tmp_path: Path, outside: int, limit: int | None) -> None:
    files = write_head(tmp_path)
    store_as_hu(files, outside)
    add_padding(files, outside, limit)
    hu = read_volume(tmp_path).hu
    assert (hu[:, :4] == -1000).all()
    assert np.array_equal(hu[:, 4:], head().hu[:, 4:])


def test_values_below_air_are_air_even_if_the_header_forgets_to_say(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    store_as_hu(files, -2000)
    assert (read_volume(tmp_path).hu[:, :4] == -1000).all()


def test_padding_that_would_erase_tissue_is_ignored_with_a_warning(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    store_as_hu(files)
    add_padding(files, 30)
    found = read_volume(tmp_path)
    assert np.array_equal(found.hu, head().hu)
    assert found.source.warnings == ("PixelPaddingValue lies among tissue values and was ignored.",)


def test_several_windows_in_the_header_change_nothing(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    set_elements(files, WindowCenter=["40", "600", "80"], WindowWidth=["80", "2800", "200"])
    assert np.array_equal(read_volume(tmp_path).hu, head().hu)


def test_unscaled_values_are_not_hounsfield_units(tmp_path: Path) -> None:
    set_elements(write_head(tmp_path), RescaleSlope=None, RescaleIntercept=None)
    with pytest.raises(VolumeError, match="RescaleSlope and RescaleIntercept are missing, and values span 24 to 2024"):
        read_volume(tmp_path)


def test_one_slice_without_rescale_is_refused_too(tmp_path: Path) -> None:
    set_elements(write_head(tmp_path)[3:4], RescaleSlope=None, RescaleIntercept=None)
    with pytest.raises(VolumeError, match=r"0004\.dcm: RescaleSlope and RescaleIntercept are missing"):
        read_volume(tmp_path)


def test_stored_hounsfield_units_without_rescale_are_taken_with_a_warning(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    store_as_hu(files)
    set_elements(files, RescaleSlope=None, RescaleIntercept=None)
    found = read_volume(tmp_path)
    assert np.array_equal(found.hu, head().hu)
    assert "stored values were taken as Hounsfield units" in found.source.warnings[0]


def test_material_maps_are_not_hounsfield_units(tmp_path: Path) -> None:
    set_elements(write_head(tmp_path), RescaleType="MGML")
    with pytest.raises(VolumeError, match="the values are of type MGML"):
        read_volume(tmp_path)


def test_contrast_agent_is_warned_of(tmp_path: Path) -> None:
    set_elements(write_head(tmp_path), ContrastBolusAgent="IOHEXOL")
    assert "contrast agent" in read_volume(tmp_path).source.warnings[0]


@pytest.mark.parametrize("agent", ["", "NONE", "No"])
def test_contrast_agent_none_is_no_contrast(tmp_path: Path, agent: str) -> None:
    set_elements(write_head(tmp_path), ContrastBolusAgent=agent)
    assert read_volume(tmp_path).source.warnings == ()


def test_lossy_compression_is_warned_of(tmp_path: Path) -> None:
    set_elements(write_head(tmp_path), LossyImageCompression="01")
    assert "compressed with loss" in read_volume(tmp_path).source.warnings[0]


@pytest.mark.parametrize("keep", [0.9, 0.5])
def test_a_truncated_file_is_named_without_its_folder(tmp_path: Path, keep: float) -> None:
    folder = tmp_path / "Doe_Jane_19500101"
    path = write_head(folder)[5]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(VolumeError, match=r"^0006\.dcm: pixels are missing; the file is truncated") as raised:
        read_volume(folder)
    assert "Doe" not in str(raised.value)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1])
def test_a_truncated_compressed_file_is_refused(tmp_path: Path, syntax: str) -> None:
    files = write_head(tmp_path)
    compress(files, syntax)
    content = files[5].read_bytes()
    files[5].write_bytes(content[: int(len(content) * 0.7)])
    with pytest.raises(VolumeError, match=r"^0006\.dcm: "):
        read_volume(tmp_path)


@pytest.mark.parametrize("length", [0, 100, 131, 132, *range(140, 1400, 45), 1220])
def test_a_file_cut_anywhere_in_its_header_never_passes_silently(tmp_path: Path, length: int) -> None:
    path = write_head(tmp_path)[5]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(VolumeError, match=r"0006\.dcm: "):
        read_volume(tmp_path)


def test_a_file_without_pixels_is_refused(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    set_elements(files[5:6], PixelData=None)
    with pytest.raises(VolumeError, match=r"^0006\.dcm: there is no pixel data"):
        read_volume(tmp_path)


def test_damaged_compressed_pixels_name_the_compression(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    compress(files, JPEGLSLossless)

    def change(dataset: pydicom.Dataset) -> None:
        dataset.PixelData = encapsulate([b"\xff\xd8" + b"nonsense" * 40])
        dataset["PixelData"].VR = "OB"

    edit(files[5], change)
    with pytest.raises(VolumeError, match=r"compressed \(JPEG-LS Lossless.*install pylibjpeg"):
        read_volume(tmp_path)


def test_negative_padding_is_understood_without_explicit_types(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    store_as_hu(files, -990)
    add_padding(files, -990)
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        plain = pydicom.Dataset(dataset)
        plain.file_meta = dataset.file_meta
        plain.save_as(path, implicit_vr=True, little_endian=True)
    assert (read_volume(tmp_path).hu[:, :4] == -1000).all()


def test_pixels_that_are_not_as_many_as_the_header_promises_are_refused(tmp_path: Path) -> None:
    files = write_head(tmp_path)
    compress(files[5:6], JPEG2000Lossless)
    small = pydicom.dcmread(files[6])
    small.Rows = small.Columns = 32
    small.PixelData = bytes(2048)
    small.compress(JPEG2000Lossless, generate_instance_uid=False)
    stream = small.PixelData

    def swap(dataset: pydicom.Dataset) -> None:
        dataset.PixelData = stream

    edit(files[5], swap)
    with pytest.raises(VolumeError, match=r"^0006\.dcm: "):
        read_volume(tmp_path)


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_an_image_without_size_is_refused(tmp_path: Path, keyword: str) -> None:
    set_elements(write_head(tmp_path), **{keyword: 0})
    with pytest.raises(VolumeError, match="the image size"):
        read_volume(tmp_path)
