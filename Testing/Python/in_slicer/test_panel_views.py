"""What lies over and beside the CT: the map with its threshold, the smallest piece, two methods, bleeds in a head."""

import numpy as np
import pytest
from scipy import ndimage

RUN_S = 120

pytestmark = [pytest.mark.slicer, pytest.mark.usefixtures("one_worker")]


@pytest.fixture
def analyzed(shell, panel, phantom):
    """The phantom with its result; the volume node."""
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, 5, "the finding")
    return phantom.volumeNode


def pixels(name="Red"):
    import slicer

    return slicer.app.layoutManager().sliceWidget(name).sliceView()._painter().image().astype(int)


def mapOf(panel):
    return panel.shown._reference("maps")


def waitForRecut(shell, panel):
    shell.waitUntil(lambda: panel.analysis is not None, 10, "the recut")
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the recut")


def outlined(panel, volumeNode):
    import slicer

    node = panel.shown.segmentationNode
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), volumeNode) > 0


# ---- the map


def test_the_map_lies_over_the_ct_in_colors_and_opacity_of_its_own(shell, panel, analyzed):
    import slicer

    plain = pixels()
    assert not panel.ui.mapOpacitySlider.enabled
    shell.click(panel.ui.mapsCheckBox)
    assert panel.ui.mapOpacitySlider.enabled
    assert mapOf(panel).GetDisplayNode().GetColorNode().GetName() == "ICHSegmenter map"
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert composite.GetForegroundOpacity() == pytest.approx(0.6)
    shown = pixels()
    assert (np.abs(shown - plain).max(axis=2) > 30).sum() > 200
    panel.ui.mapOpacitySlider.value = 1.0
    assert composite.GetForegroundOpacity() == pytest.approx(1.0)
    assert (np.abs(pixels() - shown).max(axis=2) > 20).sum() > 200
    assert panel.ui.opacitySlider.value == pytest.approx(0.5)  # that of the segments is another


def test_colors_of_the_map_become_ever_brighter(shell):
    from ICHSegmenterSlicer.scene.map_colors import colorAt

    brightness = [np.dot(colorAt(share), (0.2126, 0.7152, 0.0722)) for share in np.linspace(0, 1, 50)]
    assert (np.diff(brightness) > 0).all()


# ---- the threshold that is moved


def test_the_outline_follows_the_threshold_at_once_and_the_result_when_it_has_settled(shell, panel, analyzed):
    import slicer

    before = outlined(panel, analyzed)
    values = slicer.util.arrayFromVolume(mapOf(panel))
    target = 0.9  # above that of the method, within the slider
    panel.ui.thresholdCheckBox.setChecked(True)
    panel.ui.thresholdSlider.value = target
    cut = panel.shown._cut.outline.node
    assert cut is not None
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(cut, "outline", analyzed) > 0
    labels, count = ndimage.label(values >= target, structure=np.ones((3, 3, 3)))
    volumes = np.bincount(labels.ravel()) * np.prod(analyzed.GetSpacing()) / 1000
    kept = [n for n in range(1, count + 1) if volumes[n] > 0.2]  # twice the smallest piece
    assert not mask[labels == 0].any()
    assert mask[np.isin(labels, kept)].all()
    assert (outlined(panel, analyzed) == before).all()  # only the views show it yet
    assert mapOf(panel).GetDisplayNode().GetLowerThreshold() == pytest.approx(target)
    display = panel.shown.segmentationNode.GetDisplayNode()
    assert not display.GetSegmentVisibility2DOutline("ICH")
    waitForRecut(shell, panel)
    assert panel.shown._cut.outline.node is None
    assert panel.shown.segmentationNode.GetDisplayNode().GetSegmentVisibility2DOutline("ICH")


def test_what_a_person_edited_is_neither_hidden_nor_changed_by_a_threshold(shell, panel, analyzed):
    import slicer

    node = panel.shown.segmentationNode
    mask = outlined(panel, analyzed).astype(np.uint8)
    mask[2, 2:5, 2:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "ICH", analyzed)
    shell.waitUntil(lambda: "(edited)" in panel.ui.segmentTable.item(0, 1).text(), 5)
    panel.ui.thresholdCheckBox.setChecked(True)
    panel.ui.thresholdSlider.value = 0.9
    assert node.GetDisplayNode().GetSegmentVisibility2DOutline("ICH")
    waitForRecut(shell, panel)
    assert node.GetScene() is not None
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(node, "ICH", analyzed) > 0
    assert (kept == (mask > 0)).all()


def test_the_smallest_piece_recuts_the_result(shell, panel, analyzed):
    assert panel.shown._result.analysis.assessment.min_volume_ml == pytest.approx(0.1)
    panel.ui.minVolumeSlider.value = 5.0
    waitForRecut(shell, panel)
    assert panel.shown._result.analysis.assessment.min_volume_ml == pytest.approx(5.0)
    assert outlined(panel, analyzed).any()  # the bleed has 20 mL


def test_pieces_below_the_smallest_one_leave_the_segments_and_the_list(shell, panel):
    import scene_volumes
    from ICHSegmenterLib.synthesis.phantom import Bleed, HeadModel, head_geometry, make_phantom

    geometry = head_geometry((26, 112, 112), pixel_mm=(2.0, 2.0))
    bleeds = (Bleed.sphere(20.0, (30.0, 5.0, 38.0)), Bleed.sphere(3.0, (-32.0, -20.0, 45.0)))
    hu = make_phantom(geometry, HeadModel(bleeds), subsamples=(2, 1, 1)).volume.hu
    ijkToRas = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
    volumeNode = scene_volumes.addLinear(np.round(hu).astype(np.int16), ijkToRas, "Two bleeds")
    panel.ui.inputSelector.setCurrentNode(volumeNode)
    shell.click(panel.ui.applyButton)
    shell.waitUntil(lambda: panel.analysis is None, RUN_S, "the end of the run")
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 2, 10, "the findings")
    before = outlined(panel, volumeNode).sum() * np.prod(volumeNode.GetSpacing()) / 1000
    panel.ui.minVolumeSlider.value = 5.0
    waitForRecut(shell, panel)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, 10, "the larger finding")
    after = outlined(panel, volumeNode).sum() * np.prod(volumeNode.GetSpacing()) / 1000
    assert before - after == pytest.approx(3, rel=0.3)


def test_small_pieces_are_left_out_of_a_cut():
    from ICHSegmenterSlicer.scene.results.live_cut import _removeSmall

    mask = np.zeros((4, 31, 31), bool)
    mask[1:3, 3:13, 3:13] = True
    mask[1, 20:23, 20:23] = True
    volumes = np.full(4, 0.01)
    _removeSmall(mask, volumes, 0.1)
    assert mask.sum() == 200
    _removeSmall(mask, volumes, 2.1)
    assert not mask.any()


# ---- bleeds in a head


def test_bleeds_are_shown_within_a_translucent_head(shell, panel, analyzed):
    import slicer

    shell.click(panel.ui.show3DButton)
    shell.waitUntil(lambda: panel.shown._head.node is not None, 10, "the head")
    shell.process(0.2)
    head = panel.shown._head.node
    assert 0 < head.GetDisplayNode().GetOpacity() < 0.5
    bounds, bleed = np.zeros(6), np.zeros(6)
    head.GetRASBounds(bounds)
    panel.shown.segmentationNode.GetRASBounds(bleed)
    assert (bounds[::2] < bleed[::2]).all()
    assert (bounds[1::2] > bleed[1::2]).all()
    width = bounds[1] - bounds[0]
    assert 140 < width < 170  # the phantom's head: 2 * (66 + 6.5 + 6) mm
    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    view.resetFocalPoint()
    withHead = view._painter().image().astype(int)
    assert head.GetDisplayNode().GetVisibility()
    head.GetDisplayNode().SetVisibility(False)
    alone = view._painter().image().astype(int)
    assert (np.abs(withHead - alone).max(axis=2) > 5).sum() > 5000
    head.GetDisplayNode().SetVisibility(True)
    red = (alone[:, :, 0] > 120) & (alone[:, :, 1] < 110)
    assert red.sum() > 50
    shell.click(panel.ui.show3DButton)
    assert not head.GetDisplayNode().GetVisibility()


def test_an_edit_makes_the_surface_anew(shell, panel, analyzed):
    shell.click(panel.ui.show3DButton)
    shell.waitUntil(lambda: panel.shown._head.node is not None, 10, "the head")
    segment = panel.shown.segmentationNode.GetSegmentation().GetSegment("ICH")
    points = segment.GetRepresentation("Closed surface").GetNumberOfPoints()
    assert points > 100
    panel.ui.findingsTable.setCurrentCell(0, 0)
    shell.click(panel.ui.rejectButton)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 0, 5)
    surface = segment.GetRepresentation("Closed surface")
    assert surface is None or surface.GetNumberOfPoints() == 0
    shell.click(panel.ui.undoButton)
    shell.waitUntil(lambda: panel.ui.findingsTable.rowCount == 1, 5)
    shell.process(0.5)
    assert segment.GetRepresentation("Closed surface").GetNumberOfPoints() == points


def test_the_surfaces_of_all_segments_are_made_in_steps_and_none_by_slicer_at_once(shell, panel, analyzed, monkeypatch):
    from ICHSegmenterSlicer.scene import segments, surfaces
    from ICHSegmenterSlicer.scene.volumes import matrixOf

    shell.click(panel.ui.show3DButton)
    shell.waitUntil(lambda: panel.shown._head.node is not None, 10, "the head")
    made, make = [], surfaces._surface
    monkeypatch.setattr(surfaces, "_surface", lambda piece, *others: made.append(piece) or make(piece, *others))
    node = panel.shown.segmentationNode
    segmentation = node.GetSegmentation()
    segmentation.RemoveRepresentation(surfaces.SURFACE)
    other = slicerSegment(segments.orientedImage(np.ones((2, 4, 4), bool), (3, 20, 20), matrixOf(analyzed)))
    segmentation.AddSegment(other, "other")
    for _ in surfaces.make(node):
        pass
    assert len(made) == 2
    assert other.GetRepresentation(surfaces.SURFACE).GetNumberOfPoints() > 8


def slicerSegment(image):
    import slicer

    segment = slicer.vtkSegment()
    segment.AddRepresentation("Binary labelmap", image)
    return segment


def test_a_large_piece_gets_a_surface_of_blocks_at_the_same_place(shell):
    import vtk

    from ICHSegmenterLib.volume.components import Component
    from ICHSegmenterSlicer.scene.surfaces import MAX_VOXELS, _surface

    i, j, k = np.ogrid[-44:45, -44:45, -44:45]
    ball = Component(i * i + j * j + k * k <= 40**2, (10, 20, 30))
    assert ball.mask.size > 2 * MAX_VOXELS
    matrix = vtk.vtkMatrix4x4()
    bounds = np.array(_surface(ball, matrix, "0.5").GetBounds())
    center = np.array([30, 20, 10]) + 44
    assert np.abs(bounds[::2] + 40 - center).max() < 2
    assert np.abs(bounds[1::2] - 40 - center).max() < 2
