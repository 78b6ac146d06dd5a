"""Reading NIfTI, NRRD and MetaImage files, and brain masks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from head_volumes import affine, gantry_geometry, head, lps_of_voxels, write_head
from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_mask, read_volume
from ICHSegmenterLib.volume.nifti import is_upright, read_nifti

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = affine(
    Rotation.from_euler("xyz", [8, -6, 10], degrees=True).as_matrix() * [[-3.0], [-3.1], [9.0]], [90.0, 95.0, -50.0]
)
"""Oblique axes, columns and rows reversed, with three different spacings."""


def oblique_head() -> tuple[np.ndarray, VolumeGeometry]:
    geometry = VolumeGeometry.from_affine((12, 60, 64), OBLIQUE)
    return head(geometry).hu, geometry


def write_with_sitk(hu: np.ndarray, geometry: VolumeGeometry, path: Path) -> None:
    image = sitk.GetImageFromArray(hu)
    spacing = np.linalg.norm(geometry.affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((geometry.affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(geometry.affine[:3, 3].tolist())
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ct.nii", "NIfTI"),
        ("ct.nii.gz", "NIfTI"),
        ("CT.NII.GZ", "NIfTI"),
        ("ct.nrrd", "NRRD"),
        ("ct.nhdr", "NRRD"),
        ("ct.mha", "MetaImage"),
        ("ct.mhd", "MetaImage"),
    ],
)
def test_every_format_gives_the_same_voxels_at_the_same_places(tmp_path: Path, name: str, kind: str) -> None:
    hu, geometry = oblique_head()
    write_with_sitk(hu, geometry, tmp_path / name.lower())
    (tmp_path / name.lower()).rename(tmp_path / name)
    found = read_volume(tmp_path / name)
    assert np.array_equal(found.hu, hu)
    assert found.hu.dtype == np.float32
    assert found.geometry.matches(geometry, tolerance_mm=1e-3)
    assert found.source.format == kind


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64", "uint16"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_nifti_of_any_type_and_byte_order_agrees_with_nibabel(tmp_path: Path, dtype: str, byte_order: str) -> None:
    hu, geometry = oblique_head()
    stored = (hu + 1024 if dtype == "uint16" else hu).astype(dtype)
    image = nibabel.Nifti1Image(stored.T, RAS_FROM_LPS @ geometry.affine, nibabel.Nifti1Header(endianness=byte_order))
    image.set_data_dtype(dtype)
    if dtype == "uint16":
        image.header.set_slope_inter(1.0, -1024.0)
        image = nibabel.Nifti1Image(hu.T, image.affine, image.header)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    loaded = nibabel.load(tmp_path / "ct.nii.gz")
    found = read_nifti(tmp_path / "ct.nii.gz")
    assert np.allclose(found.values, np.asarray(loaded.dataobj).T)
    assert np.allclose(found.geometry.affine, RAS_FROM_LPS @ loaded.affine, atol=1e-4)


def test_a_nifti_with_qform_alone_is_placed_by_it(tmp_path: Path) -> None:
    hu, geometry = oblique_head()
    image = nibabel.Nifti1Image(hu.T, None)
    image.set_qform(RAS_FROM_LPS @ geometry.affine, code=1)
    image.set_sform(None, code=0)
    nibabel.save(image, tmp_path / "ct.nii")
    assert read_volume(tmp_path / "ct.nii").geometry.matches(geometry, tolerance_mm=1e-3)


def test_a_sheared_nifti_stays_sheared(tmp_path: Path) -> None:
    geometry = gantry_geometry(tilt_deg=20.0)
    nibabel.save(nibabel.Nifti1Image(head(geometry).hu.T, RAS_FROM_LPS @ geometry.affine), tmp_path / "ct.nii.gz")
    found = read_volume(tmp_path / "ct.nii.gz")
    assert found.geometry.matches(geometry, tolerance_mm=1e-3)
    assert found.geometry.tilt_deg == pytest.approx(20.0, abs=0.01)


def test_a_sheared_nrrd_in_ras_stays_sheared(tmp_path: Path) -> None:
    geometry = gantry_geometry(tilt_deg=20.0)
    ras = RAS_FROM_LPS @ geometry.affine
    header = {"space": "right-anterior-superior", "space directions": ras[:3, :3].T, "space origin": ras[:3, 3]}
    nrrd.write(str(tmp_path / "ct.nrrd"), head(geometry).hu.T.astype(np.int16), header)
    found = read_volume(tmp_path / "ct.nrrd")
    assert np.array_equal(found.hu, head(geometry).hu)
    assert found.geometry.matches(geometry, tolerance_mm=1e-3)


@pytest.mark.parametrize(("unit", "millimeters"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0), ("unknown", 1.0)])
def test_a_nifti_in_another_unit_is_read_in_millimeters(tmp_path: Path, unit: str, millimeters: float) -> None:
    hu, geometry = oblique_head()
    scaled = RAS_FROM_LPS @ geometry.affine
    scaled[:3] /= millimeters
    image = nibabel.Nifti1Image(hu.T, scaled)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "ct.nii")
    assert read_volume(tmp_path / "ct.nii").geometry.matches(geometry, tolerance_mm=1e-2)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(nibabel.Nifti2Image, "ct.nii"), (nibabel.Nifti1Pair, "ct.hdr"), (nibabel.Nifti2Pair, "ct.hdr")],
    ids=["NIfTI-2", "pair", "NIfTI-2 pair"],
)
def test_nifti_2_and_pairs_are_read(tmp_path: Path, kind: type, name: str) -> None:
    hu, geometry = oblique_head()
    nibabel.save(kind(hu.T, RAS_FROM_LPS @ geometry.affine), tmp_path / name)
    found = read_volume(tmp_path / name)
    assert np.array_equal(found.hu, hu)
    assert found.geometry.matches(geometry, tolerance_mm=1e-3)
    assert found.source.format == "NIfTI"


def test_a_nifti_without_orientation_is_read_as_ras_with_a_warning(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(head().hu.T, None)
    image.header["pixdim"][1:4] = (3.2, 3.2, 10.0)
    image.header["qform_code"] = image.header["sform_code"] = 0
    nibabel.save(image, tmp_path / "ct.nii")
    found = read_volume(tmp_path / "ct.nii")
    assert "does not say left from right" in found.source.warnings[0]
    assert np.allclose(found.geometry.affine, np.diag([-3.2, -3.2, 10.0, 1.0]), atol=1e-5)


def test_padding_and_missing_numbers_become_air(tmp_path: Path) -> None:
    hu = head().hu.copy()
    hu[:, 0], hu[:, 1], hu[:, 2] = -3024, np.nan, np.inf
    nibabel.save(nibabel.Nifti1Image(hu.T, np.diag([3.2, 3.2, 10, 1])), tmp_path / "ct.nii.gz")
    found = read_volume(tmp_path / "ct.nii.gz")
    assert (found.hu[:, :3] == -1000).all()
    assert np.array_equal(found.hu[:, 3:], hu[:, 3:])
    assert any("NaN" in warning for warning in found.source.warnings)


def write_text(path: Path) -> None:
    path.write_text("this is no image, only a sentence of some length")


def write_cut(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(head().hu.T, np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:-3000])


def write_colors(path: Path) -> None:
    rgb = np.zeros((8, 8, 8), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), path)


def write_4d(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8, 5), np.float32), np.eye(4)), path)


def write_flat(path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.float32), None)
    image.header["sform_code"], image.header["srow_x"] = 1, 0
    image.header["srow_y"] = image.header["srow_z"] = 0
    nibabel.Nifti1Image(image.dataobj, None, image.header).to_filename(path)
    content = bytearray(path.read_bytes())
    content[254:256] = b"\x01\x00"  # sform_code
    content[280:328] = bytes(48)  # srow
    path.write_bytes(content)


def write_analyze(path: Path) -> None:
    nibabel.save(nibabel.AnalyzeImage(head().hu.T.astype(np.int16), np.eye(4)), path)


def write_half_of_a_pair(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(head().hu.T, np.eye(4)), path)
    path.with_suffix(".img").unlink()


def write_unknown_type(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(head().hu.T, np.eye(4)), path)
    content = bytearray(path.read_bytes())
    content[70:72] = b"\x01\x00"  # datatype: one bit a voxel
    path.write_bytes(content)


def write_image_4d(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 6), np.float32), isVector=False), str(path))


def write_vectors(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.float32), isVector=True), str(path))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("ct.nii", write_text, r"^ct\.nii: no NIfTI image"),
        ("ct.nii", write_cut, r"^ct\.nii: the file is truncated or damaged"),
        ("ct.nii.gz", write_cut, r"^ct\.nii\.gz: the file is truncated or damaged"),
        ("ct.nii", write_colors, r"NIfTI data type 128 \(color or complex\)"),
        ("ct.nii", write_4d, r"dimensions \[8, 8, 8, 5\]; a CT is one 3-D volume"),
        ("ct.hdr", write_analyze, r"^ct\.hdr: no NIfTI image, .* \(Analyze 7\.5, which does not say left from right"),
        ("ct.hdr", write_half_of_a_pair, r"^ct\.hdr: .* or the \.img of its \.hdr is missing; copy it again"),
        ("ct.nii", write_unknown_type, r"^ct\.nii: no NIfTI image, or a damaged header"),
        ("ct.nii", write_flat, r"orientation or spacing makes no grid"),
        ("ct.nrrd", write_text, r"^ct\.nrrd: the file is truncated, damaged"),
        ("ct.mha", write_text, r"^ct\.mha: the file is truncated, damaged"),
        ("ct.nrrd", write_vectors, r"3 dimensions and 3 numbers a voxel"),
        ("ct.mha", write_image_4d, r"4 dimensions and 1 numbers a voxel"),
        ("ct.png", write_text, r"^ct\.png: neither DICOM nor a file that ends in \.nii"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path: Path, name: str, write: object, message: str) -> None:
    write(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(VolumeError, match=message):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("name", ["nowhere.nii.gz", "nowhere", "nowhere.dcm"])
def test_a_path_that_does_not_exist_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(VolumeError, match=rf"^{name}: there is no such file or folder"):
        read_volume(tmp_path / name)


def test_a_truncated_nrrd_is_refused(tmp_path: Path) -> None:
    write_with_sitk(*oblique_head(), tmp_path / "ct.nrrd")
    content = (tmp_path / "ct.nrrd").read_bytes()
    (tmp_path / "ct.nrrd").write_bytes(content[: len(content) // 2])
    with pytest.raises(VolumeError, match=r"^ct\.nrrd: the file is truncated"):
        read_volume(tmp_path / "ct.nrrd")


def brain(geometry: VolumeGeometry) -> np.ndarray:
    """An off-center box, so that a flip shows."""
    points = lps_of_voxels(geometry)
    return np.asarray((np.abs(points - np.array([20.0, -15.0, 10.0])) < np.array([40.0, 50.0, 30.0])).all(axis=-1))


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "mask.mha"])
def test_a_mask_on_the_same_grid_is_read(tmp_path: Path, name: str) -> None:
    geometry = VolumeGeometry.from_affine((12, 60, 64), OBLIQUE)
    write_with_sitk(brain(geometry).astype(np.uint8), geometry, tmp_path / name)
    mask = read_mask(tmp_path / name, geometry)
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, brain(geometry))


@pytest.mark.parametrize("geometry", [gantry_geometry(tilt_deg=18.5), gantry_geometry(slices=4, steps_mm=[4, 1, 7])])
def test_a_mask_that_this_program_wrote_fits_its_ct_again(tmp_path: Path, geometry: VolumeGeometry) -> None:
    write_nifti(brain(geometry), geometry, tmp_path / "mask.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz", geometry), brain(geometry))


@pytest.mark.parametrize("flips", [(True, False, False), (False, True, False), (True, True, True)])
def test_a_mask_stored_the_other_way_round_is_turned(tmp_path: Path, flips: tuple[bool, bool, bool]) -> None:
    geometry = gantry_geometry(tilt_deg=10.0)
    turn = np.diag([-1.0 if flip else 1.0 for flip in flips[::-1]] + [1.0])
    turn[:3, 3] = [(size - 1) * flip for size, flip in zip(geometry.shape[::-1], flips[::-1], strict=True)]
    stored = brain(geometry)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    other = VolumeGeometry.from_affine(geometry.shape, geometry.affine @ turn)
    write_nifti(stored, other, tmp_path / "mask.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz", geometry), brain(geometry))


def test_a_mask_on_another_grid_is_refused_with_both_grids(tmp_path: Path) -> None:
    write_nifti(brain(gantry_geometry(slices=11)), gantry_geometry(slices=11), tmp_path / "mask.nii.gz")
    with pytest.raises(VolumeError, match=r"the mask lies on another grid: it has 64 x 64 x 11 .* the CT 64 x 64 x 12"):
        read_mask(tmp_path / "mask.nii.gz", gantry_geometry())


def test_a_mask_of_the_same_size_elsewhere_is_refused(tmp_path: Path) -> None:
    geometry = gantry_geometry()
    moved = VolumeGeometry(geometry.shape, geometry.column_step, geometry.row_step, geometry.slice_origins + 1.0)
    write_nifti(brain(moved), moved, tmp_path / "mask.nii.gz")
    with pytest.raises(VolumeError, match="another grid"):
        read_mask(tmp_path / "mask.nii.gz", geometry)


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    geometry = gantry_geometry()
    write_nifti(np.zeros(geometry.shape, np.uint8), geometry, tmp_path / "mask.nii.gz")
    with pytest.raises(VolumeError, match="the mask is empty"):
        read_mask(tmp_path / "mask.nii.gz", geometry)


def test_a_mask_must_be_an_image_file(tmp_path: Path) -> None:
    path = write_head(tmp_path)[0]
    with pytest.raises(VolumeError, match="a mask must be a file that ends in"):
        read_mask(path, gantry_geometry())


def test_reading_dicom_and_writing_results_load_neither_simpleitk_nor_torch_nor_highdicom(tmp_path: Path) -> None:
    write_head(tmp_path / "ct")
    program = """
import sys
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.outputs.seg_nrrd import write_seg_nrrd
from ICHSegmenterLib.preprocessing.input_check import check_head_ct
from ICHSegmenterLib.volume.io import read_volume
from ICHSegmenterLib.labels import ICH
folder = sys.argv[1]
volume = read_volume(folder + "/ct")
labelmap = (volume.hu > 40).astype("uint8")
write_nifti(labelmap, volume.geometry, folder + "/labelmap.nii.gz")
write_seg_nrrd(labelmap, volume.geometry, (ICH,), folder + "/segmentation.seg.nrrd")
read_volume(folder + "/labelmap.nii.gz")
assert not {"SimpleITK", "torch", "highdicom"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize(
    ("sform_shear", "qform_shift", "unit", "expected"),
    [
        (0.0, 0.0, "mm", True),
        (0.0, None, "mm", True),
        (None, 0.0, "mm", True),
        (None, None, "mm", False),  # it does not say where it lies
        (1.0, 0.0, "mm", False),  # ITK would take qform without a word
        (1.0, None, "mm", False),
        (0.0, 1.0, "mm", False),  # the two say different places
        (0.0, 0.0, "micron", False),
    ],
)
def test_a_nifti_is_upright_if_every_reader_puts_it_at_the_same_place(
    tmp_path: Path, kind, byte_order, sform_shear, qform_shift, unit, expected
) -> None:
    grid = np.eye(4)
    grid[:3, :3] = Rotation.from_rotvec([0.3, -0.2, 2.9]).as_matrix() * (-0.5, 0.5, 5.0)
    grid[:3, 3] = (10.0, -100.0, 20.0)
    header = kind.header_class(endianness=byte_order)
    image = kind(np.zeros((40, 30, 12), np.int16), None, header)
    sheared, shifted = grid.copy(), grid.copy()
    sheared[1, 2] += sform_shear or 0.0
    shifted[0, 3] += qform_shift or 0.0
    image.set_sform(sheared, code=int(sform_shear is not None))
    image.set_qform(shifted, code=int(qform_shift is not None))
    image.header.set_xyzt_units(unit)
    for name in ("ct.nii", "ct.nii.gz"):
        image.to_filename(tmp_path / name)
        assert is_upright(tmp_path / name) is expected


@pytest.mark.parametrize("content", [b"", b"\x5c\x01\x00\x00", b"no NIfTI image, whatever its name may be", bytes(600)])
def test_a_damaged_nifti_is_not_upright(tmp_path: Path, content: bytes) -> None:
    for name in ("ct.nii", "ct.nii.gz"):
        (tmp_path / name).write_bytes(content)
        assert not is_upright(tmp_path / name)
    assert not is_upright(tmp_path / "gone.nii")


def test_a_small_tilt_is_not_upright(tmp_path: Path) -> None:
    """A tenth of a degree moves the top of a head by a quarter of a millimeter."""
    geometry = gantry_geometry(tilt_deg=0.1)
    write_nifti(head(geometry).hu, geometry, tmp_path / "ct.nii.gz")
    assert not is_upright(tmp_path / "ct.nii.gz")
    write_nifti(head().hu, gantry_geometry(), tmp_path / "ct.nii.gz")
    assert is_upright(tmp_path / "ct.nii.gz")
