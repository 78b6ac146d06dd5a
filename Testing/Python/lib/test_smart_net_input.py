"""SMART-Net's stack: which way up, which slices, and back on the acquired pixels."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from head_volumes import gantry_geometry, head
from ICHSegmenterLib.errors import DependencyError
from ICHSegmenterLib.methods.smart_net import input as smart_net_input
from ICHSegmenterLib.methods.smart_net.input import SmartNetStack, resized
from ICHSegmenterLib.preprocessing.orientation import AxialView
from ICHSegmenterLib.preprocessing.spec import SmartNetPreprocessing
from ICHSegmenterLib.synthesis.phantom import HeadModel, StorageOrder, head_geometry, make_phantom
from ICHSegmenterLib.volume.volume import Volume

WANTED = SmartNetPreprocessing(size=64)


@pytest.fixture
def unequalized(monkeypatch):
    """Without OpenCV, and so that values can be foreseen."""
    monkeypatch.setattr(smart_net_input, "equalized", lambda slices, *_: slices)


def stack_of(volume, wanted=WANTED):
    return SmartNetStack.of(volume, AxialView.of(volume.geometry), wanted)


def test_rows_run_to_posterior_columns_to_left_and_slices_to_superior(unequalized):
    volume = head()
    hu = np.full_like(volume.hu, -1000)
    lps = volume.geometry.ijk_to_lps(np.stack(np.meshgrid(*map(np.arange, hu.shape[::-1]), indexing="ij"), axis=-1))
    left_posterior_superior = (lps > 30).all(axis=-1).transpose(2, 1, 0)
    hu[left_posterior_superior] = 40
    slices = stack_of(Volume(hu, volume.geometry)).slices
    assert slices[-1, -1, -1] == 1
    assert slices[0].max() == slices[-1, 0].max() == slices[-1, :, 0].max() == 0


@pytest.mark.parametrize("flips", [{"is_descending": True}, {"flips_rows": True}, {"flips_columns": True}])
def test_flipped_acquisitions_look_the_same_to_the_network(unequalized, flips):
    plain = head_geometry((6, 48, 40), pixel_mm=(4.0, 5.0), slice_step_mm=20.0)
    flipped = head_geometry((6, 48, 40), pixel_mm=(4.0, 5.0), slice_step_mm=20.0, order=StorageOrder(**flips))
    volume = make_phantom(plain, HeadModel(), seed=1).volume
    view = AxialView.of(flipped)
    stored = Volume(np.ascontiguousarray(view.undo(volume.hu)), flipped)
    stack = stack_of(stored)
    np.testing.assert_array_equal(stack.slices, stack_of(volume).slices)
    assert stack.indices == tuple(view.acquired_index(k, 6) for k in range(6))


def test_maps_return_to_the_acquired_pixels(unequalized):
    volume = head(gantry_geometry(size=48, pixel_mm=4.0))
    stack = stack_of(volume)
    rows, columns = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 64), indexing="ij")
    ramp = (0.25 * rows + 0.75 * columns).astype(np.float32)
    rows, columns = np.meshgrid(np.linspace(0, 1, 48), np.linspace(0, 1, 48), indexing="ij")
    restored = stack.restore(np.stack([ramp, 1 - ramp]))
    np.testing.assert_allclose(restored[0], 0.25 * rows + 0.75 * columns, atol=1e-6)
    np.testing.assert_allclose(restored.sum(axis=0), 1, atol=1e-6)


def test_resizing_to_more_pixels_and_back_is_exact_where_pixels_coincide():
    slices = np.random.default_rng(0).random((2, 9, 5), dtype=np.float32)
    np.testing.assert_allclose(resized(resized(slices, (33, 17)), (9, 5)), slices, atol=1e-6)


def test_one_row_and_one_column_can_be_resized():
    assert resized(np.ones((1, 1, 4), np.float32), (3, 1)).tolist() == [[[1], [1], [1]]]


def test_empty_end_slices_are_dropped_only_when_asked_for(unequalized):
    volume = head()
    hu = volume.hu.copy()
    hu[[0, 1, 5, -1]] = -1000
    emptied = Volume(hu, volume.geometry)
    assert len(stack_of(emptied).slices) == 12
    assert stack_of(emptied, replace(WANTED, drop_empty_ends=True)).indices == tuple(range(2, 11))


def test_an_empty_exam_keeps_its_slices(unequalized):
    volume = head()
    empty = Volume(np.full_like(volume.hu, -1000), volume.geometry)
    stack = stack_of(empty, replace(WANTED, drop_empty_ends=True))
    assert stack.slices.shape == (12, 64, 64)
    assert not stack.slices.any()


def test_spreading_over_slices_uses_the_whole_range_on_each(unequalized):
    volume = head()
    dimmed = Volume(np.where(volume.hu > 60, np.float32(50), volume.hu), volume.geometry)
    by_slice = stack_of(dimmed, replace(WANTED, normalize="slice")).slices
    assert set(by_slice.max(axis=(1, 2))) == {1.0}


def test_missing_opencv_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DependencyError, match="opencv-python-headless.*ichsegmenter"):
        stack_of(head())
