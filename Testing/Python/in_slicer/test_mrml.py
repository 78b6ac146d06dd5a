"""Volumes leave the scene, and segments enter it, exactly: places, voxels, names, codes, tags."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ICHSegmenterLib.errors import VolumeError
from ICHSegmenterLib.labels import EAH, EDH, ICH, IPH, PERILESIONAL_EDEMA, SDH
from ICHSegmenterLib.synthesis.phantom import head_geometry
from ICHSegmenterLib.volume.dicom.scan import read_dicom_folder
from ICHSegmenterLib.volume.geometry import VolumeGeometry

STEPS_MM = [4.22] * 5 + [1.14] + [7.38] * 5


@pytest.fixture
def mrml(shell):
    from ICHSegmenterSlicer.scene import volumes as mrml

    return mrml


@pytest.fixture
def segments(shell):
    from ICHSegmenterSlicer.scene import segments

    return segments


@pytest.fixture
def scenes(shell):
    import scene_volumes

    return scene_volumes


def tiltedGeometry() -> VolumeGeometry:
    return head_geometry((12, 20, 24), pixel_mm=(0.9, 0.7), slice_step_mm=STEPS_MM, tilt_deg=18.5, turn_deg=4)


def ramp(shape, dtype=np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def result(geometry: VolumeGeometry, labels=(ICH,), **provenance):
    """A result as the worker sends it."""
    slices = [
        {
            "index": k,
            "number": k + 1,
            "position_mm": 0.0,
            "origin_lps_mm": geometry.slice_origins[k].tolist(),
            "extent_mm": float(geometry.slice_extents_mm[k]),
            "probabilities": {"any": 0.9},
            "positive": True,
            "blood_ml": 1.0,
        }
        for k in range(geometry.shape[0])
    ]
    return {
        "verdict": "Hemorrhage suspected.",
        "positive": True,
        "probabilities": {"any": 0.9},
        "key_slice": 0,
        "blood_ml": 1.0,
        "detection_threshold": 0.5,
        "measurements": [],
        "labels": [
            {"value": n, "key": one.key, "name": one.name, "color": list(one.color), "terminology": one.terminology}
            for n, one in enumerate(labels, start=1)
        ],
        "slices": slices,
        "geometry": {
            "shape": list(geometry.shape),
            "column_step_mm": geometry.column_step.tolist(),
            "row_step_mm": geometry.row_step.tolist(),
        },
        "provenance": {
            "method": "hu-threshold",
            "title": "HU threshold",
            "version": "0.1.0",
            "device": "cpu",
            "precision": "float32",
            "created": "2026-01-01T00:00:00+00:00",
            "weights": {"a.pt": "12ab"},
            **provenance,
        },
    }


def answered(geometry: VolumeGeometry, folder, labels=(ICH,)):
    """The worker's answer, with the labelmap that lies in the folder."""
    from ICHSegmenterSlicer.client.answer import Answer

    return Answer.fromMessage({"result": result(geometry, labels), "labelmap": "labelmap.npy"}, folder, geometry)


@pytest.fixture
def imports(mrml, segments, scenes, tmp_path):
    """A function that brings a labelmap of a volume node into the scene."""

    def run(node, labelmap, labels=(ICH,), segmentationNode=None, replace=False):
        np.save(tmp_path / "labelmap.npy", labelmap.astype(np.uint8))
        answer = answered(mrml.geometryOf(node), tmp_path, labels)
        return scenes.drain(segments.importResult(answer, node, segmentationNode, replace=replace))

    return run


def someLabelmap(shape) -> np.ndarray:
    labelmap = np.zeros(shape, np.uint8)
    labelmap[3:6, 4:9, 10:17] = 1
    labelmap[7, 2:4, 1:3] = 2
    return labelmap


# ---- out


def test_each_slice_of_a_tilted_uneven_series_lies_where_dicom_says(mrml, scenes):
    geometry = tiltedGeometry()
    node = scenes.addAsFromDicom(ramp(geometry.shape), geometry)
    assert mrml.geometryOf(node).matches(geometry, tolerance_mm=1e-6)


def test_a_real_tilted_series_lies_where_dicom_says(mrml, scenes, head_scan):
    volume = read_dicom_folder(head_scan)
    node = scenes.addAsFromDicom(volume.hu.astype(np.int16), volume.geometry)
    found = mrml.geometryOf(node)
    assert found.matches(volume.geometry, tolerance_mm=1e-5)
    assert found.tilt_deg == pytest.approx(18.5, abs=0.1)


def test_a_linear_transform_moves_every_voxel(mrml, scenes):
    geometry = head_geometry((5, 6, 7), turn_deg=10)
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    node = scenes.addLinear(ramp(geometry.shape), flip @ geometry.affine)
    moved = np.eye(4)
    moved[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    moved[:3, 3] = (10, -20, 30)
    scenes.underTransform(node, moved)
    expected = VolumeGeometry.from_affine(geometry.shape, flip @ moved @ flip @ geometry.affine)
    assert mrml.geometryOf(node).matches(expected, tolerance_mm=1e-9)


def test_a_transform_that_bends_slices_is_refused_with_advice(mrml, scenes):
    import slicer

    geometry = tiltedGeometry()
    node = scenes.addAsFromDicom(ramp(geometry.shape), geometry)
    transformNode = node.GetParentTransformNode()
    slicer.util.arrayFromGridTransform(transformNode)[4, 1, 1] += 5.0
    slicer.util.arrayFromGridTransformModified(transformNode)
    with pytest.raises(VolumeError, match=r"bends its slices.*Harden"):
        mrml.geometryOf(node)


@pytest.mark.parametrize(
    ("dtype", "saved"), [(np.int16, np.int16), (np.int32, np.int16), (np.uint8, np.int16), (np.float64, np.float32)]
)
def test_voxels_are_exported_unchanged(mrml, scenes, tmp_path, dtype, saved):
    voxels = ramp((4, 5, 6), dtype)
    node = scenes.addLinear(voxels, np.eye(4))
    fields = scenes.drain(mrml.exportVolume(node, tmp_path)).message()
    exported = np.load(tmp_path / "hu.npy")
    assert exported.dtype == saved
    assert_array_equal(exported, voxels)
    assert fields["geometry"]["shape"] == [4, 5, 6]
    assert fields["job"] == str(tmp_path)


def test_padding_beyond_int16_is_clipped_not_wrapped(mrml, scenes, tmp_path):
    voxels = np.zeros((3, 4, 5), np.int32)
    voxels[0, 0, 0], voxels[1, 0, 0] = -100_000, 100_000
    scenes.drain(mrml.exportVolume(scenes.addLinear(voxels, np.eye(4)), tmp_path))
    exported = np.load(tmp_path / "hu.npy")
    assert exported[0, 0, 0] == -32768
    assert exported[1, 0, 0] == 32767


def test_a_large_volume_is_exported_in_many_steps(mrml, scenes, tmp_path):
    node = scenes.addLinear(np.zeros((90, 512, 512), np.int16), np.eye(4))
    assert len(list(mrml.exportVolume(node, tmp_path))) >= 6


def test_a_volume_without_voxels_is_refused(mrml, scenes, tmp_path):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    with pytest.raises(VolumeError, match="holds no voxels"):
        scenes.drain(mrml.exportVolume(node, tmp_path))


# ---- in


def test_segments_have_exactly_the_voxels_of_the_labelmap(mrml, scenes, imports):
    import slicer

    geometry = tiltedGeometry()
    node = scenes.addAsFromDicom(ramp(geometry.shape), geometry)
    labelmap = someLabelmap(geometry.shape)
    imported = imports(node, labelmap, (IPH, EAH))
    assert len(imported.segmentIds) == 2
    for value, segmentId in enumerate(imported.segmentIds, start=1):
        found = slicer.util.arrayFromSegmentBinaryLabelmap(imported.segmentationNode, segmentId, node)
        assert_array_equal(found > 0, labelmap == value)


def test_a_segment_lies_in_the_world_where_its_voxels_do(mrml, scenes, imports):
    geometry = tiltedGeometry()
    node = scenes.addAsFromDicom(ramp(geometry.shape), geometry)
    imported = imports(node, someLabelmap(geometry.shape))
    assert imported.segmentationNode.GetTransformNodeID() == node.GetTransformNodeID()
    image = (
        imported.segmentationNode.GetSegmentation()
        .GetSegment(imported.segmentIds[0])
        .GetRepresentation("Binary labelmap")
    )
    import slicer
    import vtk

    imageToWorld = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(imageToWorld)
    corner = imageToWorld.MultiplyPoint((image.GetExtent()[0], image.GetExtent()[2], image.GetExtent()[4], 1))[:3]
    world = [0.0, 0.0, 0.0]
    slicer.vtkMRMLTransformableNode.TransformPointToWorld(imported.segmentationNode, corner, world)
    assert_allclose(np.array(world) * (-1, -1, 1), geometry.ijk_to_lps((10, 4, 3)), atol=1e-5)


def test_segments_carry_name_color_terminology_and_dicom_tags(mrml, scenes, imports):
    import slicer

    from ICHSegmenterSlicer.scene.results.edits import tagOf

    node = scenes.addLinear(ramp((12, 20, 24)), np.eye(4), "Head")
    imported = imports(node, someLabelmap((12, 20, 24)), (IPH, SDH))
    assert imported.segmentationNode.GetName() == "Head hemorrhage (HU threshold)"
    segmentation = imported.segmentationNode.GetSegmentation()
    entries = []
    for segmentId, label in zip(imported.segmentIds, (IPH, SDH), strict=True):
        segment = segmentation.GetSegment(segmentId)
        assert segment.GetName() == label.name
        assert_allclose(segment.GetColor(), np.array(label.color) / 255)
        assert tagOf(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
        assert tagOf(segment, "DICOM.SegmentAlgorithmName") == "ICHSegmenter 0.1.0 hu-threshold"
        entry = slicer.vtkSlicerTerminologyEntry()
        assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(segment.GetTerminology(), entry)
        entries.append((entry.GetTypeObject().GetCodeValue(), entry.GetRegionObject().GetCodeValue()))
    assert entries == [("50960005", "12738006"), ("50960005", "54214006")]


def test_the_space_under_the_dura_is_known_to_slicer(mrml, scenes, imports):
    import slicer

    from ICHSegmenterLib.labels import OWN_REGION_CONTEXT

    imports(scenes.addLinear(ramp((12, 20, 24)), np.eye(4)), someLabelmap((12, 20, 24)), (SDH, IPH))
    logic = slicer.modules.terminologies.logic()
    region, codes = slicer.vtkSlicerTerminologyType(), set()
    for n in range(logic.GetNumberOfRegionsInRegionContext(OWN_REGION_CONTEXT)):
        assert logic.GetNthRegionInRegionContext(OWN_REGION_CONTEXT, n, region)
        codes.add(region.GetCodeValue())
    assert {SDH.region.value, EDH.region.value} <= codes


def test_no_empty_segment_is_made(mrml, scenes, imports):
    labelmap = np.zeros((12, 20, 24), np.uint8)
    labelmap[2, 3:5, 4:6] = 2
    imported = imports(scenes.addLinear(ramp(labelmap.shape), np.eye(4)), labelmap, (IPH, EAH, SDH))
    segmentation = imported.segmentationNode.GetSegmentation()
    assert [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())] == [EAH.name]


def test_without_blood_there_is_a_result_and_no_segmentation(mrml, scenes, imports):
    import slicer

    node = scenes.addLinear(ramp((12, 20, 24)), np.eye(4))
    imported = imports(node, np.zeros((12, 20, 24), np.uint8))
    assert imported.segmentationNode is None
    assert json.loads(imported.resultNode.GetText())["verdict"]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_the_segmentation_has_the_volumes_grid_and_tells_how_it_was_made(mrml, scenes, imports):
    node = scenes.addLinear(ramp((12, 20, 24)), np.diag([0.7, 0.9, 5.0, 1.0]))
    segmentationNode = imports(node, someLabelmap((12, 20, 24))).segmentationNode
    role = segmentationNode.GetReferenceImageGeometryReferenceRole()
    assert segmentationNode.GetNodeReference(role) is node
    assert segmentationNode.GetAttribute("ICHSegmenter.method") == "hu-threshold"
    assert segmentationNode.GetAttribute("ICHSegmenter.weights") == "a.pt:12ab"
    assert segmentationNode.GetDisplayNode().GetVisibility()


def test_the_segmentation_joins_the_study_of_its_volume(mrml, scenes, imports):
    import slicer

    node = scenes.addLinear(ramp((12, 20, 24)), np.eye(4))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(study, node)
    hierarchy.SetItemParent(item, study)
    segmentationNode = imports(node, someLabelmap((12, 20, 24))).segmentationNode
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentationNode)) == study


def test_the_result_says_where_to_look_on_each_slice(mrml, scenes, imports):
    node = scenes.addLinear(ramp((12, 20, 24)), np.eye(4))
    slices = json.loads(imports(node, someLabelmap((12, 20, 24)), (IPH, EAH)).resultNode.GetText())["slices"]
    assert slices[4]["focus"] == [13, 6]
    assert slices[4]["type"] == "IPH"
    assert "focus" not in slices[0]


def test_edema_never_hides_the_blood_of_a_slice(mrml, scenes, imports):
    labelmap = np.zeros((12, 20, 24), np.uint8)
    labelmap[2:4] = 2
    labelmap[2, 5, 6] = 1
    node = scenes.addLinear(ramp(labelmap.shape), np.eye(4))
    slices = json.loads(imports(node, labelmap, (IPH, PERILESIONAL_EDEMA)).resultNode.GetText())["slices"]
    assert (slices[2]["type"], slices[2]["focus"]) == ("IPH", [6, 5])
    assert slices[3]["type"] == ""


def sagittal(shape=(6, 12, 20)) -> VolumeGeometry:
    """Slices to the patient's left, rows to the feet, columns to the back: twelve axial slices of six columns."""
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 2.0], [1.5, 0, 0], [0, -3.0, 0]]
    return VolumeGeometry.from_affine(shape, affine)


@pytest.fixture
def sagittal_import(mrml, segments, scenes, tmp_path):
    """An exam stored as sagittal slices, with a bleed; the worker's detection is of axial ones."""
    from ICHSegmenterLib.preprocessing.orientation import AxialView
    from ICHSegmenterSlicer.client.answer import Answer

    acquired = sagittal()
    axial = AxialView.at_border(acquired).geometry(acquired)
    assert axial.shape == (12, 20, 6)
    node = scenes.addLinear(ramp(acquired.shape), np.diag([-1.0, -1.0, 1.0, 1.0]) @ acquired.affine)
    labelmap = np.zeros(acquired.shape, np.uint8)
    labelmap[2:4, 5:8, 10:12] = 1
    np.save(tmp_path / "labelmap.npy", labelmap)
    message = {"result": result(axial), "labelmap": "labelmap.npy"}
    answer = Answer.fromMessage(message, tmp_path, mrml.geometryOf(node))
    return node, answer, scenes.drain(segments.importResult(answer, node))


def test_segments_of_sagittal_slices_lie_on_them_and_the_views_on_axial_ones(sagittal_import):
    import slicer

    node, answer, imported = sagittal_import
    outlined = slicer.util.arrayFromSegmentBinaryLabelmap(imported.segmentationNode, imported.segmentIds[0], node)
    assert_array_equal(outlined > 0, answer.result.segmentation.labelmap == 1)
    stored = imported.result
    assert [row.number for row in stored.slices] == list(range(1, 13))
    assert stored.focuses == {}  # acquired slices and those of the detection are not the same
    assert_allclose(stored.pointRas(3)[2], stored.analysis.geometry.slice_origins[3, 2])


def test_an_answer_for_sagittal_slices_can_be_written_to_a_file(sagittal_import, mrml):
    """More axial slices than acquired ones: the detection has the grid of the first, the masks that of the second."""
    node, answer, _ = sagittal_import
    written = answer.result.to_json()["slices"]
    origins = [[entry["origin_lps_mm"] for entry in entries] for entries in (written, answer.plain["slices"])]
    assert_allclose(*origins, atol=1e-4)  # the digits of the file
    assert answer.result.segmentation.geometry.matches(mrml.geometryOf(node))


def SliceFocusOf(segment, index):
    from ICHSegmenterSlicer.scene.results.stored_result import SliceFocus

    return SliceFocus(*segment.centers[index], segment.key)


def inMask(node, mask, ras):
    import vtk

    rasToIjk = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(rasToIjk)
    column, row, index = (round(one) for one in rasToIjk.MultiplyPoint((*ras, 1.0))[:3])
    return bool(mask[:, row, column].any()) and 0 <= index < len(mask)


def test_an_edit_of_sagittal_slices_is_measured_in_milliliters(sagittal_import, scenes):
    import slicer

    from ICHSegmenterSlicer.scene.results.measured import measure

    node, _, imported = sagittal_import
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(imported.segmentationNode, imported.segmentIds[0], node)
    mask[:] = 0
    mask[2, 4:6, 10:15], mask[5, 4:8, 10:15] = 1, 1  # 10 and 20 voxels, in rows 4 to 7: axial slices 7 to 4
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, imported.segmentationNode, imported.segmentIds[0], node)
    segment = scenes.drain(measure(imported.segmentationNode, imported.result, node)).segments[0]
    assert segment.volumeMl == pytest.approx(30 * 2.0 * 1.5 * 3.0 / 1000)
    assert sorted(segment.sliceMl) == [4, 5, 6, 7]
    for index in segment.centers:  # the middle lies inside, whichever way the axes run
        point = imported.result.pointRas(index, {index: SliceFocusOf(segment, index)})
        assert inMask(node, mask, point)


# ---- what the scene keeps


def test_a_stored_result_is_the_one_that_was_imported(mrml, scenes, imports):
    from ICHSegmenterSlicer.scene.results.stored_result import StoredResult

    node = scenes.addLinear(ramp((12, 20, 24)), np.eye(4))
    imported = imports(node, someLabelmap((12, 20, 24)), (IPH, EAH))
    stored = StoredResult.fromNode(imported.resultNode)
    assert (stored.slices, stored.focuses, stored.labels) == (
        imported.result.slices,
        imported.result.focuses,
        (IPH, EAH),
    )
    assert stored.segmentIds == dict(zip(("IPH", "EAH"), imported.segmentIds, strict=True))
    assert stored.analysis.provenance == imported.result.analysis.provenance
    assert stored.pointRas(4) == pytest.approx(np.array([13.0, 6.0, 4.0]), abs=1e-3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda plain: plain.update(format=99), "reads up to"),
        (lambda plain: plain.pop("slices"), "incomplete .*'slices'.*Analyze the exam again"),
        (lambda plain: plain["labels"][0].update(key="XYZ"), "incomplete .*'XYZ'"),
    ],
)
def test_a_stored_result_that_cannot_be_read_says_what_to_do(mrml, scenes, imports, change, reason):
    from ICHSegmenterLib.errors import ResultError
    from ICHSegmenterSlicer.scene.results.stored_result import StoredResult

    resultNode = imports(
        scenes.addLinear(ramp((12, 20, 24)), np.eye(4)), someLabelmap((12, 20, 24)), (IPH, EAH)
    ).resultNode
    plain = json.loads(resultNode.GetText())
    change(plain)
    resultNode.SetText(json.dumps(plain))
    with pytest.raises(ResultError, match=reason):
        StoredResult.fromNode(resultNode)
    resultNode.SetText("")
    with pytest.raises(ResultError, match="holds no result"):
        StoredResult.fromNode(resultNode)


# ---- runs on top of earlier work


@pytest.fixture
def twice(mrml, scenes, imports):
    """A first import, and a function that imports again into its node."""
    node = scenes.addLinear(ramp((12, 20, 24)), np.eye(4))
    first = imports(node, someLabelmap((12, 20, 24)), (IPH, EAH))

    def again(**options):
        labelmap = np.roll(someLabelmap((12, 20, 24)), 2, axis=2)
        return imports(node, labelmap, (IPH, EAH), segmentationNode=first.segmentationNode, **options)

    return node, first, again


def names(segmentationNode):
    segmentation = segmentationNode.GetSegmentation()
    return [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]


def test_a_run_into_an_existing_segmentation_adds_and_keeps(twice):
    _, first, again = twice
    again()
    assert names(first.segmentationNode) == [
        IPH.name,
        EAH.name,
        f"{IPH.name} (HU threshold)",
        f"{EAH.name} (HU threshold)",
    ]


def test_replacing_takes_unedited_segments_only(twice, scenes):
    import slicer

    from ICHSegmenterSlicer.scene.results import edits, segment_voxels

    node, first, again = twice
    mine = slicer.util.arrayFromSegmentBinaryLabelmap(first.segmentationNode, first.segmentIds[0], node)
    mine[4, 6, 12] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mine, first.segmentationNode, first.segmentIds[0], node)
    changed = [
        scenes.drain(
            edits.isEdited(
                first.segmentationNode.GetSegmentation().GetSegment(one),
                *scenes.drain(segment_voxels.maskOf(first.segmentationNode, one)),
            )
        )
        for one in first.segmentIds
    ]
    assert changed == [True, False]
    again(replace=True)
    assert names(first.segmentationNode) == [IPH.name, f"{IPH.name} (HU threshold)", EAH.name]
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(first.segmentationNode, first.segmentIds[0], node)
    assert_array_equal(kept > 0, mine > 0)


def test_segments_of_the_user_are_never_replaced(twice):
    _, first, again = twice
    first.segmentationNode.GetSegmentation().AddEmptySegment("own", "My segment")
    again(replace=True)
    assert names(first.segmentationNode) == ["My segment", IPH.name, EAH.name]


def nodeIds():
    import slicer

    return {slicer.mrmlScene.GetNthNode(n).GetID() for n in range(slicer.mrmlScene.GetNumberOfNodes())}


def test_an_import_that_is_stopped_half_way_leaves_nothing(mrml, segments, scenes, tmp_path):
    import slicer

    node = scenes.addLinear(ramp((12, 20, 24)), np.eye(4))
    np.save(tmp_path / "labelmap.npy", someLabelmap((12, 20, 24)))
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    before = nodeIds()
    for steps in range(1, 4):
        work = segments.importResult(answered(mrml.geometryOf(node), tmp_path, (IPH, EAH)), node)
        for _ in range(steps):
            next(work)
        work.close()
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
        assert nodeIds() == before


def test_an_edit_makes_a_segment_semiautomatic_and_undoing_it_automatic_again(twice, scenes):
    import slicer

    from ICHSegmenterSlicer.scene.results import edits
    from ICHSegmenterSlicer.scene.results.measured import measure

    node, first, _ = twice
    segment = first.segmentationNode.GetSegmentation().GetSegment(first.segmentIds[0])
    before = slicer.util.arrayFromSegmentBinaryLabelmap(first.segmentationNode, first.segmentIds[0], node)
    after = before.copy()
    after[4, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(after, first.segmentationNode, first.segmentIds[0], node)
    measured = scenes.drain(measure(first.segmentationNode, first.result, node)).segments[0]
    assert measured.isEdited
    assert measured.sliceMl == pytest.approx({3: 0.035, 4: 0.036, 5: 0.035})
    assert edits.tagOf(segment, edits.ALGORITHM_TAG) == "SEMIAUTOMATIC"
    slicer.util.updateSegmentBinaryLabelmapFromArray(before, first.segmentationNode, first.segmentIds[0], node)
    assert not scenes.drain(measure(first.segmentationNode, first.result, node)).isEdited
    assert edits.tagOf(segment, edits.ALGORITHM_TAG) == "AUTOMATIC"
