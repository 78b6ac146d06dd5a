"""SMART-Net's data path against arrays made by the authors' code: every gray level and every mask voxel."""

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs opencv-python-headless")

from golden_numbers import Golden
from ICHSegmenterLib.methods.smart_net import input as ours
from ICHSegmenterLib.methods.smart_net.mask import resized_mask, without_specks
from ICHSegmenterLib.preprocessing.spec import BRAIN_WINDOW, SmartNetPreprocessing

SINGLE_PRECISION = 1e-6
HALF_PRECISION = 5e-4


@pytest.fixture(scope="module")
def golden():
    return Golden("smart_net/preprocess")


def slices_first(array):
    """The authors' [1,] posterior, left, superior to our slices, rows, columns."""
    return np.moveaxis(array.reshape(array.shape[-3:]), -1, 0)


def authors_order(array):
    """Our slices, rows, columns to the authors' posterior, left, superior."""
    return np.moveaxis(array, 0, -1)


def unpacked(golden, name, shape):
    return slices_first(np.unpackbits(golden[name])[: np.prod(shape)].reshape(shape).astype(bool))


@pytest.fixture(scope="module")
def windowed(golden):
    hu = slices_first(golden["hu_i16"]).astype(np.float32)
    return ours.windowed(hu, BRAIN_WINDOW)


def test_window_equals_the_authors(golden, windowed):
    golden.assert_equal("windowed", authors_order(windowed)[None])


def test_empty_end_slices_are_those_of_the_authors(golden, windowed):
    kept = ours.shown_slices(windowed)
    assert kept.stop - kept.start == golden["depth_kept"]
    assert not windowed[: kept.start].any() and not windowed[kept.stop :].any()


def test_resized_slices_equal_the_authors_to_the_last_bit(golden, windowed):
    small = ours.resized(windowed[ours.shown_slices(windowed)], (256, 256))
    np.testing.assert_array_equal(small[:, ::16, ::16], slices_first(golden["resized_image_sample"]))
    golden.assert_close("resized_image_f16", authors_order(small)[None], atol=HALF_PRECISION)
    golden.assert_equal("ubyte", authors_order(ours.as_bytes(small)))


@pytest.mark.parametrize("over", ["slice", "volume"])
def test_equalized_and_spread_slices_equal_the_authors(golden, windowed, over):
    wanted = SmartNetPreprocessing()
    small = ours.resized(windowed[ours.shown_slices(windowed)], (wanted.size, wanted.size))
    equal = ours.equalized(ours.as_bytes(small), wanted.clip_limit, wanted.tiles)
    golden.assert_equal("clahe_u8", authors_order(equal))
    normalized = ours.normalized(ours.as_fractions(equal), over)
    golden.assert_close(f"minmax_{over}_sample", authors_order(normalized[:, ::8, ::8]), atol=SINGLE_PRECISION)


def test_a_slice_without_contrast_stays_as_it_is(golden):
    constant = slices_first(golden["minmax_constant"])
    np.testing.assert_array_equal(ours.normalized(constant, "volume"), constant)


@pytest.fixture(scope="module")
def mask(golden, windowed):
    return slices_first(golden["mask_u8"]).astype(bool)[ours.shown_slices(windowed)]


def test_masks_equal_the_authors_before_and_after_specks_are_removed(golden, mask):
    small = resized_mask(mask, 256, "floor")
    shape = golden["resized_shape"]
    np.testing.assert_array_equal(small, unpacked(golden, "resized_label_packed", shape))
    np.testing.assert_array_equal(without_specks(small), unpacked(golden, "denoised_label_packed", shape))


def test_specks_of_one_voxel_go_and_pieces_joined_by_an_edge_stay(golden, mask):
    denoised = without_specks(mask)
    assert (mask.sum(), denoised.sum()) == tuple(golden["noise_native_before_after"])
    np.testing.assert_array_equal(denoised, unpacked(golden, "noise_native_packed", golden["noise_native_shape"]))
