"""Steps of edits that are taken back and done again, a segment at a time."""

import numpy as np
import pytest

pytestmark = pytest.mark.slicer

SHAPE = (4, 8, 8)


@pytest.fixture
def segmentation(shell):
    """Two segments, `a` and `b`, each with a labelmap of its own."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for number, name in enumerate(("a", "b")):
        mask = np.zeros(SHAPE, np.uint8)
        mask[1:3, 2:4, 1 + 3 * number : 3 + 3 * number] = 1
        node.GetSegmentation().AddSegment(segment(name, mask), name)
    yield node.GetSegmentation()
    slicer.mrmlScene.RemoveNode(node)


def segment(name, mask):
    import slicer
    import vtk

    from ICHSegmenterSlicer.scene import segments

    made = slicer.vtkSegment()
    made.SetName(name)
    made.AddRepresentation("Binary labelmap", segments.orientedImage(mask > 0, (0, 0, 0), vtk.vtkMatrix4x4()))
    return made


def voxels(segmentation):
    """Segment identifier to the number of its voxels."""
    from ICHSegmenterSlicer.scene.results import segment_voxels

    counts = {}
    for name in segmentation.GetSegmentIDs():
        image = segment_voxels.labelmapOf(segmentation.GetSegment(name))
        counts[name] = 0 if image is None else int(np.count_nonzero(segment_voxels._voxels(image)))
    return counts


def clear(segmentation, name, columns):
    from ICHSegmenterSlicer.scene.results import segment_voxels

    mask = np.ones((4, 8, columns), bool)
    assert segment_voxels.write(segmentation.GetSegment(name), mask, (0, 0, 0), isAdded=False)


def test_steps_on_two_segments_are_taken_back_and_done_again_in_order(segmentation):
    from ICHSegmenterSlicer.scene.results.edit_history import EditHistory

    history = EditHistory(segmentation)
    states = [voxels(segmentation)]
    for name, columns in (("a", 2), ("b", 5), ("a", 8)):
        list(history.save([name]))
        clear(segmentation, name, columns)
        states.append(voxels(segmentation))
    assert [state["a"] for state in states] == [8, 4, 4, 0]
    for state in states[-2::-1]:
        list(history.undo())
        assert voxels(segmentation) == state
    assert (history.canUndo, history.canRedo) == (False, True)
    for state in states[1:]:
        list(history.redo())
        assert voxels(segmentation) == state
    assert (history.canUndo, history.canRedo) == (True, False)


def test_a_step_after_one_that_was_taken_back_stands_in_its_place(segmentation):
    from ICHSegmenterSlicer.scene.results.edit_history import EditHistory

    history = EditHistory(segmentation)
    states = [voxels(segmentation)]
    for columns in (2, 8):
        list(history.save(["a"]))
        clear(segmentation, "a", columns)
        states.append(voxels(segmentation))
    list(history.undo())
    list(history.save(["b"]))
    clear(segmentation, "b", 8)
    assert not history.canRedo
    list(history.undo())
    list(history.save(["a"]))
    clear(segmentation, "a", 8)
    for state in (states[1], states[0]):
        list(history.undo())
        assert voxels(segmentation) == state
    assert not history.canUndo


def test_a_segment_that_a_step_made_goes_and_comes_back_with_later_steps_on_it(segmentation):
    from ICHSegmenterSlicer.scene.results import segment_voxels
    from ICHSegmenterSlicer.scene.results.edit_history import EditHistory

    history = EditHistory(segmentation)
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 0, :4] = 1
    list(history.save(["a"]))
    clear(segmentation, "a", 2)
    segmentation.AddSegment(segment("new", mask), "new")
    segment_voxels.write(segmentation.GetSegment("new"), mask > 0, (0, 0, 0), isAdded=False)
    list(history.save(["new"], ["new"]))
    segment_voxels.write(segmentation.GetSegment("new"), mask > 0, (0, 0, 0), isAdded=True)
    list(history.save(["new"]))
    clear(segmentation, "new", 1)
    assert voxels(segmentation) == {"a": 4, "b": 8, "new": 3}
    for state in ({"a": 4, "b": 8, "new": 4}, {"a": 4, "b": 8}, {"a": 8, "b": 8}):
        list(history.undo())
        assert voxels(segmentation) == state
    for state in ({"a": 4, "b": 8}, {"a": 4, "b": 8, "new": 4}, {"a": 4, "b": 8, "new": 3}):
        list(history.redo())
        assert voxels(segmentation) == state


def test_a_step_copies_the_segments_that_it_changes_one_a_turn(segmentation, monkeypatch):
    from ICHSegmenterSlicer.scene.results import edit_history

    copied = []
    save = edit_history._Group.save
    monkeypatch.setattr(
        edit_history._Group, "save", lambda group: (copied.append(tuple(group.segmentIds)), save(group))
    )
    history = edit_history.EditHistory(segmentation)
    copies = [len(copied) for _ in history.save(["a", "b"])]
    assert copied == [("a",), ("b",)]
    assert max(np.diff([0, *copies])) == 1
    before = voxels(segmentation)
    clear(segmentation, "a", 8)
    clear(segmentation, "b", 8)
    seen = [voxels(segmentation) for _ in history.undo()]
    assert seen == [{"a": before["a"], "b": 0}, before]
    list(history.redo())
    list(history.save(["b"]))
    assert copied == [("a",), ("b",), ("b",)]


def test_only_so_many_steps_are_kept_and_all_of_them_can_be_taken_back(segmentation):
    from ICHSegmenterSlicer.scene.results import segment_voxels
    from ICHSegmenterSlicer.scene.results.edit_history import MAX_STATES, EditHistory

    history, counts = EditHistory(segmentation), []
    for step in range(MAX_STATES + 3):
        counts.append(voxels(segmentation)["a"])
        list(history.save(["a"]))
        at = np.unravel_index(step, SHAPE)
        segment_voxels.write(segmentation.GetSegment("a"), np.ones((1, 1, 1), bool), at, isAdded=True)
    for count in counts[: -MAX_STATES - 1 : -1]:
        assert history.canUndo
        list(history.undo())
        assert voxels(segmentation)["a"] == count
    assert not history.canUndo


def test_segments_that_share_a_labelmap_are_kept_together(shared):
    from ICHSegmenterSlicer.scene.results import segment_voxels
    from ICHSegmenterSlicer.scene.results.edit_history import EditHistory
    from scene_volumes import drain

    node, names = shared
    history = EditHistory(node.GetSegmentation())
    counts = lambda: [int(drain(segment_voxels.maskOf(node, name))[0].sum()) for name in names]  # noqa: E731
    before = counts()
    for name in names:
        list(history.save([name]))
        clear(node.GetSegmentation(), name, 8)
    assert counts() == [0, 0]
    list(history.undo())
    assert counts() == [0, before[1]]
    list(history.undo())
    assert counts() == before
    assert len(segment_voxels.sharing(node.GetSegmentation(), names[0])) == 2


@pytest.fixture
def shared(shell):
    """Two segments in one labelmap, as Slicer imports them: the node and their identifiers."""
    import slicer

    both = np.zeros(SHAPE, np.uint8)
    both[1, 1, 1:4], both[2, 2, 2:4] = 1, 2
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.util.updateVolumeFromArray(labels, both)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, node)
    yield node, list(node.GetSegmentation().GetSegmentIDs())
    for made in (labels, node):
        slicer.mrmlScene.RemoveNode(made)
