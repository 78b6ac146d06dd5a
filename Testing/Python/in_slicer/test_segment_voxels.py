"""The voxels of segments in Slicer's labelmaps: boxes that are no larger than what they hold."""

import numpy as np
import pytest

pytestmark = pytest.mark.slicer


@pytest.fixture
def stretched(shell):
    """A volume with a segment of 2 x 3 x 4 voxels in a labelmap as large as the volume, as a script leaves it."""
    import slicer

    from ICHSegmenterSlicer.scene.sample import addPhantom

    volumeNode = addPhantom("Head", pixels=32, slices=12).volumeNode
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    mask = np.zeros((12, 32, 32), np.uint8)
    mask[3:5, 10:13, 20:24] = 1
    mask[3, 10, 20] = 0
    node.GetSegmentation().AddEmptySegment("bleed", "bleed")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "bleed", volumeNode)
    segment = node.GetSegmentation().GetSegment("bleed")
    assert segment.GetRepresentation("Binary labelmap").GetNumberOfPoints() == 12 * 32 * 32
    return volumeNode, node, segment, mask


def test_a_mask_is_the_filled_box_of_a_large_labelmap_and_no_copy(stretched):
    from ICHSegmenterSlicer.scene.results import segment_voxels
    from scene_volumes import drain

    _volumeNode, node, _segment, mask = stretched
    assert segment_voxels.sharing(node.GetSegmentation(), "bleed") == ["bleed"]
    own, start = drain(segment_voxels.maskOf(node, "bleed"))
    assert (start, own.shape, own.dtype) == ((3, 10, 20), (2, 3, 4), np.dtype(bool))
    assert (own == mask[3:5, 10:13, 20:24]).all()
    assert not own.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        own[0, 0, 0] = True


def test_a_cropped_labelmap_holds_what_it_held_and_grows_by_what_is_written(stretched):
    import slicer

    from ICHSegmenterSlicer.scene.results import segment_voxels

    volumeNode, node, segment, mask = stretched
    image = segment.GetRepresentation("Binary labelmap")
    segment_voxels.crop(segment)
    assert segment.GetRepresentation("Binary labelmap") is image
    assert image.GetExtent() == (20, 23, 10, 12, 3, 4)
    assert segment_voxels.write(segment, np.ones((1, 2, 2), bool), (1, 8, 22), isAdded=True)
    mask[1, 8:10, 22:24] = 1
    assert image.GetExtent() == (20, 23, 8, 12, 1, 4)
    assert (slicer.util.arrayFromSegmentBinaryLabelmap(node, "bleed", volumeNode) == mask).all()
    assert segment_voxels.write(segment, np.ones((3, 3, 3), bool), (0, 7, 21), isAdded=False)  # reaches beyond it
    mask[0:3, 7:10, 21:24] = 0
    assert (slicer.util.arrayFromSegmentBinaryLabelmap(node, "bleed", volumeNode) == mask).all()


def test_a_mask_leaves_out_the_segment_that_shares_the_labelmap(stretched, monkeypatch):
    import slicer

    from ICHSegmenterSlicer.scene import volumes
    from ICHSegmenterSlicer.scene.results import segment_voxels
    from scene_volumes import drain

    volumeNode, _node, _segment, mask = stretched
    both = mask.copy()
    both[8, 2:4, 2:4] = 2
    labels = slicer.modules.volumes.logic().CreateAndAddLabelVolume(volumeNode, "both")
    slicer.util.updateVolumeFromArray(labels, both)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, node)
    segmentation = node.GetSegmentation()
    names = list(segmentation.GetSegmentIDs())
    assert [segment_voxels.sharing(segmentation, name) for name in names] == [names, names[::-1]]
    segment_voxels.crop(segmentation.GetSegment(names[0]))
    for value, name in enumerate(names, start=1):
        assert len(segment_voxels.sharing(segmentation, name)) == 2
        assert drain(segment_voxels.maskOf(node, name))[0].sum() == (both == value).sum()
        assert (slicer.util.arrayFromSegmentBinaryLabelmap(node, name, volumeNode) == (both == value)).all()
    monkeypatch.setattr(volumes, "CHUNK_BYTES", 1)  # a slice a step: both lie in slices 3 to 8 of the labelmap
    assert len(list(segment_voxels.maskOf(node, names[1]))) == 6
    assert drain(segment_voxels.maskOf(node, names[1]))[0].sum() == (both == 2).sum()
