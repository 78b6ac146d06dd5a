"""Masks and maps on the acquired grid, as other programs read them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from head_volumes import affine, gantry_geometry, write_head
from ICHSegmenterLib.errors import OutputError
from ICHSegmenterLib.files import replacing
from ICHSegmenterLib.labels import EDH, IPH, PERILESIONAL_EDEMA, SAH
from ICHSegmenterLib.outputs.seg_nrrd import write_seg_nrrd
from ICHSegmenterLib.volume.export import write_nifti
from ICHSegmenterLib.volume.geometry import VolumeGeometry
from ICHSegmenterLib.volume.io import read_volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLAIN = gantry_geometry(slices=6, size=20)
TILTED = gantry_geometry(slices=6, size=20, tilt_deg=18.5)
UNEQUAL = gantry_geometry(slices=6, size=20, tilt_deg=18.5, steps_mm=[4.22, 4.22, 1.14, 7.38, 7.38])
LEFT_HANDED = VolumeGeometry.from_affine((6, 20, 20), affine([[-1, 0, 0], [0, -1.5, 0], [0, 0, -4]], [10, 20, 30]))
GRIDS = pytest.mark.parametrize(
    "geometry", [PLAIN, TILTED, UNEQUAL, LEFT_HANDED], ids=["plain", "tilted", "unequal", "left-handed"]
)


def labelmap_on(geometry: VolumeGeometry) -> np.ndarray:
    labelmap = np.zeros(geometry.shape, np.uint8)
    labelmap[1:3, 4:9, 5:15] = 1
    labelmap[4, 2:5, 3:4] = 3
    return labelmap


@GRIDS
def test_a_labelmap_has_one_plane_for_each_slice_in_array_order(tmp_path: Path, geometry: VolumeGeometry) -> None:
    labelmap = labelmap_on(geometry)
    write_nifti(labelmap, geometry, tmp_path / "labelmap.nii.gz")
    image = nibabel.load(tmp_path / "labelmap.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj), labelmap.T)
    assert np.allclose(LPS_FROM_RAS @ image.affine, geometry.affine, atol=1e-4)


@GRIDS
def test_planes_ascend_when_the_volume_came_from_dicom(tmp_path: Path, geometry: VolumeGeometry) -> None:
    write_head(tmp_path / "ct", geometry)
    volume = read_volume(tmp_path / "ct")
    write_nifti(volume.hu, volume.geometry, tmp_path / "ct.nii")
    image = nibabel.load(tmp_path / "ct.nii")
    assert image.shape[2] == geometry.shape[0]
    along = (LPS_FROM_RAS @ image.affine)[:3, 2] @ volume.geometry.normal
    assert along > 0


@pytest.mark.parametrize(
    ("geometry", "note", "intent"),
    [
        (PLAIN, "", ""),
        (TILTED, "Gantry tilt: sform has shear, qform is upright", ""),
        (UNEQUAL, "Unequal or sheared slices: best-fit affine", "best-fit affine"),
    ],
    ids=["plain", "tilted", "unequal"],
)
def test_the_header_says_when_its_affine_is_a_best_fit(
    tmp_path: Path, geometry: VolumeGeometry, note: str, intent: str
) -> None:
    write_nifti(labelmap_on(geometry), geometry, tmp_path / "labelmap.nii.gz")
    header = nibabel.load(tmp_path / "labelmap.nii.gz").header
    assert header["descrip"].item().decode() == ". ".join(filter(None, ("ICHSegmenter", note)))
    assert header["intent_name"].item().decode() == intent


@pytest.mark.parametrize("geometry", [PLAIN, LEFT_HANDED], ids=["plain", "left-handed"])
def test_simpleitk_puts_upright_grids_at_the_same_place(tmp_path: Path, geometry: VolumeGeometry) -> None:
    write_nifti(labelmap_on(geometry), geometry, tmp_path / "labelmap.nii.gz")
    image = sitk.ReadImage(str(tmp_path / "labelmap.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(image), labelmap_on(geometry))
    for ijk in ((0, 0, 0), (19, 0, 5), (3, 17, 2)):
        assert image.TransformIndexToPhysicalPoint(ijk) == pytest.approx(geometry.ijk_to_lps(ijk), abs=1e-4)


@pytest.mark.parametrize("geometry", [TILTED, UNEQUAL], ids=["tilted", "unequal"])
def test_readers_without_shear_get_upright_slices_at_the_same_center(tmp_path: Path, geometry: VolumeGeometry) -> None:
    write_nifti(labelmap_on(geometry), geometry, tmp_path / "labelmap.nii.gz")
    image = sitk.ReadImage(str(tmp_path / "labelmap.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(image), labelmap_on(geometry))
    center = [(size - 1) / 2 for size in geometry.shape[::-1]]
    expected = (geometry.affine @ (*center, 1.0))[:3]
    assert image.TransformContinuousIndexToPhysicalPoint(center) == pytest.approx(expected, abs=1e-3)
    direction = np.reshape(image.GetDirection(), (3, 3))
    assert np.allclose(direction[:, 2], geometry.normal, atol=1e-5)


def test_maps_keep_their_values_and_masks_become_zero_and_one(tmp_path: Path) -> None:
    soft = np.random.default_rng(0).random(PLAIN.shape, dtype=np.float32)
    write_nifti(soft, PLAIN, tmp_path / "map.nii.gz")
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "map.nii.gz").dataobj), soft.T)
    write_nifti(soft > 0.5, PLAIN, tmp_path / "mask.nii.gz")
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "mask.nii.gz").dataobj), (soft > 0.5).T)


def test_equal_results_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_nifti(labelmap_on(PLAIN), PLAIN, tmp_path / f"{name}.nii.gz")
        write_seg_nrrd(labelmap_on(PLAIN), PLAIN, (IPH, SAH, EDH), tmp_path / f"{name}.seg.nrrd")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.seg.nrrd").read_bytes() == (tmp_path / "b.seg.nrrd").read_bytes()


@GRIDS
def test_slicerio_reads_the_segmentation_back(tmp_path: Path, geometry: VolumeGeometry) -> None:
    slicerio = pytest.importorskip("slicerio")
    write_seg_nrrd(
        labelmap_on(geometry), geometry, (IPH, SAH, PERILESIONAL_EDEMA), tmp_path / "s.seg.nrrd", algorithm="Test 1.2"
    )
    found = slicerio.read_segmentation(str(tmp_path / "s.seg.nrrd"))
    assert np.array_equal(found["voxels"].T, labelmap_on(geometry))
    assert np.allclose(found["ijkToLPS"], geometry.affine)
    bleed, edema = found["segments"]
    assert (bleed["id"], bleed["name"], bleed["labelValue"]) == ("IPH", "Intraparenchymal hemorrhage", 1)
    assert (edema["id"], edema["name"], edema["labelValue"]) == ("edema", "Perilesional edema", 3)
    assert bleed["color"] == pytest.approx([channel / 255 for channel in IPH.color], abs=1e-5)
    assert bleed["extent"] == [5, 14, 4, 8, 1, 2]
    assert bleed["terminology"]["category"] == ["SCT", "49755003", "Morphologically Altered Structure"]
    assert bleed["terminology"]["type"] == ["SCT", "50960005", "Hemorrhage"]
    assert bleed["terminology"]["anatomicRegion"] == ["SCT", "12738006", "Brain"]
    assert edema["terminology"]["type"] == ["SCT", "79654002", "Edema"]
    assert bleed["tags"]["DICOM.SegmentAlgorithmType"] == "AUTOMATIC"
    assert bleed["tags"]["DICOM.SegmentAlgorithmName"] == "Test 1.2"


@GRIDS
def test_simpleitk_reads_the_segmentation_as_an_image(tmp_path: Path, geometry: VolumeGeometry) -> None:
    write_seg_nrrd(labelmap_on(geometry), geometry, (IPH, SAH, EDH), tmp_path / "s.seg.nrrd")
    image = sitk.ReadImage(str(tmp_path / "s.seg.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(image), labelmap_on(geometry))
    for ijk in ((0, 0, 0), (19, 0, 5), (3, 17, 2)):
        expected = (geometry.affine @ (*ijk, 1.0))[:3]
        assert image.TransformIndexToPhysicalPoint(ijk) == pytest.approx(expected, abs=1e-6)


def test_a_segmentation_on_unequal_slices_says_that_its_affine_is_a_best_fit(tmp_path: Path) -> None:
    for geometry, says_so in ((PLAIN, False), (UNEQUAL, True)):
        write_seg_nrrd(labelmap_on(geometry), geometry, (IPH, SAH, EDH), tmp_path / "s.seg.nrrd")
        header = (tmp_path / "s.seg.nrrd").read_bytes().split(b"\n\n")[0]
        assert (b"best-fit affine" in header) == says_so


READ_IN_SLICER = """
import json, sys
import slicer_core, slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4
scene, storage, node = slicer.vtkMRMLScene(), slicer.vtkMRMLSegmentationStorageNode(), slicer.vtkMRMLSegmentationNode()
scene.AddNode(node); scene.AddNode(storage)
storage.SetFileName(sys.argv[1])
assert storage.ReadData(node)
segmentation, found = node.GetSegmentation(), []
for number in range(segmentation.GetNumberOfSegments()):
    segment = segmentation.GetNthSegment(number)
    image, matrix = segment.GetRepresentation("Binary labelmap"), vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    tag = __import__("vtkmodules.vtkCommonCore", fromlist=["mutable"]).mutable("")
    segment.GetTag("DICOM.SegmentAlgorithmType", tag)
    voxels = vtk_to_numpy(image.GetPointData().GetScalars())
    found.append({
        "id": segmentation.GetNthSegmentID(number), "name": segment.GetName(), "color": segment.GetColor(),
        "terminology": segment.GetTerminology(), "algorithm": str(tag),
        "voxels": int((voxels == segment.GetLabelValue()).sum()),
        "matrix": [[matrix.GetElement(i, j) for j in range(4)] for i in range(4)],
    })
print(json.dumps(found))
"""


@pytest.mark.slicer
@GRIDS
def test_slicer_itself_opens_the_segmentation(tmp_path: Path, geometry: VolumeGeometry) -> None:
    pytest.importorskip("slicer_core")
    path = tmp_path / "s.seg.nrrd"
    write_seg_nrrd(labelmap_on(geometry), geometry, (IPH, SAH, EDH), path)
    # In its own process: Slicer's ITK and SimpleITK's do not live together.
    run = subprocess.run([sys.executable, "-c", READ_IN_SLICER, str(path)], capture_output=True, text=True, check=True)
    bleed, epidural = json.loads(run.stdout.splitlines()[-1])
    assert (bleed["id"], bleed["name"], bleed["voxels"]) == ("IPH", IPH.name, 100)
    assert (epidural["id"], epidural["name"], epidural["voxels"]) == ("EDH", EDH.name, 3)
    assert (bleed["terminology"], epidural["terminology"]) == (IPH.terminology, EDH.terminology)
    assert bleed["color"] == pytest.approx([channel / 255 for channel in IPH.color], abs=1e-5)
    assert bleed["algorithm"] == "AUTOMATIC"
    assert np.allclose(bleed["matrix"], LPS_FROM_RAS @ geometry.affine, atol=1e-6)


def test_a_labelmap_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    labelmap = labelmap_on(PLAIN)
    with pytest.raises(ValueError, match=r"shape \(5, 20, 20\), its geometry \(6, 20, 20\)"):
        write_nifti(labelmap[1:], PLAIN, tmp_path / "a.nii")
    with pytest.raises(ValueError, match="type complex128"):
        write_nifti(labelmap.astype(complex), PLAIN, tmp_path / "a.nii")
    with pytest.raises(ValueError, match="must be uint8"):
        write_seg_nrrd(labelmap.astype(np.int16), PLAIN, (IPH, SAH, EDH), tmp_path / "a.seg.nrrd")
    with pytest.raises(ValueError, match="holds value 3, but there are 2 labels"):
        write_seg_nrrd(labelmap, PLAIN, (IPH, SAH), tmp_path / "a.seg.nrrd")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.nii.gz"
    path.write_text("old")

    def fail_in_the_middle() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail_in_the_middle()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"^a\.nii\.gz cannot be written .*Choose another output folder"):
        write_nifti(labelmap_on(PLAIN), PLAIN, tmp_path / "file" / "a.nii.gz")


def test_missing_folders_are_made_and_gz_means_compressed(tmp_path: Path) -> None:
    write_nifti(labelmap_on(PLAIN), PLAIN, tmp_path / "new" / "a.nii.gz")
    write_nifti(labelmap_on(PLAIN), PLAIN, tmp_path / "new" / "a.nii")
    assert gzip.decompress((tmp_path / "new" / "a.nii.gz").read_bytes()) == (tmp_path / "new" / "a.nii").read_bytes()
